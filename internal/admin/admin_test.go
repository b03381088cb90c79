package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

const marker = "sk-marker-4711"

func config() *ir.Config {
	ref := secret.Ref{Kind: "Secret", Namespace: "ns", Name: "openai", Key: "Authorization"}
	jwt := &ir.JWT{Providers: []ir.JWTProvider{{Name: "idp", Issuer: "https://idp<b>", Keys: ir.KeySource{Remote: &ir.RemoteKeys{URL: "https://user:" + marker + "@idp.test/jwks"}}}}}
	route := func(name string, steps ...ir.Step) *ir.Route {
		return &ir.Route{
			Name: name, Matches: []ir.Match{{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/" + name}, Methods: []string{"POST"}}},
			Steps: steps, Origin: ir.Origin{Kind: "HTTPRoute", Namespace: "ns", Name: name, File: "r.yaml", Line: 3},
			Action: ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: "openai", Weight: 1}}}},
		}
	}
	exact := "Bearer " + marker
	matched := route("matched", ir.Step{Phase: ir.PhaseAuthenticate, JWT: jwt})
	matched.Matches[0].Headers = []ir.StringMatch{{Name: "Authorization", Exact: &exact}, {Name: "api-key", Prefix: &exact}}
	closed := route("broken", ir.Step{Phase: ir.PhaseFilter, Closed: &ir.Closed{Reason: "<script>alert(1)</script>"}})
	edit := &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{
		{Name: "authorization", Value: "Bearer " + marker}, {Name: "x-plain", Value: "shown"}, {Name: "x-api-key", Secret: ref},
	}}}
	return &ir.Config{
		Listeners: []*ir.Listener{{Name: "ns/gw/http", Port: 8080, Hosts: []*ir.VirtualHost{{Hostname: "ai.test", Routes: []*ir.Route{
			route("asked", ir.Step{Phase: ir.PhaseAuthenticate, JWT: jwt}), route("open"), closed,
			route("edited", ir.Step{Phase: ir.PhaseFilter, Headers: edit}), matched,
		}}}}},
		Upstreams: map[string]*ir.Upstream{"openai": {Name: "openai", Credential: &ir.Credential{Header: &ir.HeaderCredential{Name: "Authorization", Prefix: "Bearer ", Secret: ref}}}},
	}
}

func deps(t testing.TB) Deps {
	t.Helper()
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{{Kind: "Secret", Namespace: "ns", Name: "openai", Key: "Authorization"}: secret.NewValue([]byte(marker))})
	var report status.Report
	report.Add(status.Errorf(ir.Origin{Kind: "RouteOption", Namespace: "ns", Name: "<i>x", File: "o.yaml", Line: 9}, "target %q is not there", "<img src=x>").Fix("did you mean y?"))
	return Deps{
		Ready:   func() error { return nil },
		Report:  func() status.Report { return report },
		Config:  config,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "postern_x 1\n") }),
		Version: "v1",
	}
}

// ask sends a request to a real server, and returns the answer and its body.
func ask(t testing.TB, server *httptest.Server, method, path, host string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func start(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestPaths(t *testing.T) {
	d := deps(t)
	notReady := d
	notReady.Ready = func() error { return errors.New("draining") }
	for _, tc := range []struct {
		handler http.Handler
		path    string
		status  int
		want    string
	}{
		{New(d), "/livez", 200, "ok"},
		{New(d), "/readyz", 200, "ok"},
		{New(notReady), "/readyz", 503, "not ready: draining"},
		{New(notReady), "/livez", 200, "ok"},
		{New(notReady), "/", 200, "not ready: draining"},
		{New(d), "/metrics", 200, "postern_x 1"},
		{New(d), "/status", 200, `"did you mean y?"`},
		{New(d), "/config", 200, `"ns/gw/http"`},
		{New(d), "/", 200, "ai.test"},
		{New(d), "/nothing", 404, ""},
		{NewHealth(d), "/livez", 200, "ok"},
		{NewHealth(d), "/readyz", 200, "ok"},
		{NewHealth(notReady), "/readyz", 503, "not ready\n"},
		{NewHealth(d), "/metrics", 200, "postern_x 1"},
		{NewHealth(d), "/status", 404, ""},
		{NewHealth(d), "/config", 404, ""},
		{NewHealth(d), "/", 404, ""},
	} {
		res, body := ask(t, start(t, tc.handler), "GET", tc.path, "", nil)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s", tc.path, res.StatusCode, body)
		}
	}
}

// Row16: a page of somebody else's reaches nothing through a browser.
func TestRow16Rebinding(t *testing.T) {
	d := deps(t)
	d.Config = func() *ir.Config { return config() }
	server := start(t, New(d))
	for host, want := range map[string]int{
		"":                 200, // 127.0.0.1 and the server's port
		"localhost":        200,
		"LOCALHOST:9901":   200,
		"127.0.0.1":        200,
		"10.0.0.1:9901":    200,
		"[::1]:9901":       200,
		"[::1]":            200,
		"evil.test":        403,
		"evil.test:9901":   403,
		"localhost.evil":   403,
		"evil.localhost":   403,
		"127.0.0.1.nip.io": 403,
		"127.1":            403,
		"2130706433":       403,
	} {
		for _, path := range []string{"/", "/status", "/config", "/metrics", "/livez"} {
			res, body := ask(t, server, "GET", path, host, nil)
			if res.StatusCode != want {
				t.Errorf("host %q %s: %d", host, path, res.StatusCode)
			}
			if want == 403 && strings.Contains(body, "ai.test") {
				t.Errorf("host %q %s tells", host, path)
			}
		}
	}
}

func TestRow16OtherSites(t *testing.T) {
	server := start(t, New(deps(t)))
	own := strings.TrimPrefix(server.URL, "http://")
	for _, tc := range []struct {
		name   string
		header http.Header
		want   int
	}{
		{"address bar", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"own page", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://" + own}}, 200},
		{"cross-site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"other port", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"origin", http.Header{"Origin": {"http://evil.test"}}, 403},
		{"null origin", http.Header{"Origin": {"null"}}, 403},
		{"two origins", http.Header{"Origin": {"http://" + own, "http://evil.test"}}, 403},
	} {
		res, _ := ask(t, server, "GET", "/config", "", tc.header)
		if res.StatusCode != tc.want {
			t.Errorf("%s: %d", tc.name, res.StatusCode)
		}
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", tc.name, name)
			}
		}
	}
}

func TestRow16ItCannotTouch(t *testing.T) {
	for _, h := range []http.Handler{New(deps(t)), NewHealth(deps(t))} {
		server := start(t, h)
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"} {
			for _, path := range []string{"/livez", "/metrics", "/config", "/"} {
				res, _ := ask(t, server, method, path, "", nil)
				if res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s %s: %d", method, path, res.StatusCode)
				}
			}
		}
		if res, body := ask(t, server, "HEAD", "/livez", "", nil); res.StatusCode != 200 || body != "" {
			t.Errorf("HEAD: %d %q", res.StatusCode, body)
		}
	}
}

func TestHardened(t *testing.T) {
	server := start(t, New(deps(t)))
	for _, path := range []string{"/", "/config", "/nothing"} {
		res, _ := ask(t, server, "GET", path, "", nil)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": policy(),
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
	}
}

// Row08: nothing that is shown holds a secret.
func TestRow08NothingLeaks(t *testing.T) {
	d := deps(t)
	server := start(t, New(d))
	for _, path := range []string{"/", "/status", "/config", "/metrics", "/readyz"} {
		if _, body := ask(t, server, "GET", path, "", nil); strings.Contains(body, marker) {
			t.Errorf("%s holds the secret: %s", path, body)
		}
	}
	_, body := ask(t, server, "GET", "/config", "", nil)
	var c ir.Config
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	set := c.Listeners[0].Hosts[0].Routes[3].Steps[0].Headers.Request.Set
	if set[0].Value != redacted || set[1].Value != "shown" || set[2].Secret.Name != "openai" {
		t.Errorf("got %+v", set)
	}
	if got := c.Upstreams["openai"].Credential.Header; got.Prefix != "Bearer " || got.Secret.Key != "Authorization" {
		t.Errorf("got %+v", got)
	}
}

func TestPage(t *testing.T) {
	_, body := ask(t, start(t, New(deps(t))), "GET", "/", "", nil)
	for _, want := range []string{
		"http://*:8080", "JWT of https://idp&lt;b&gt;", "nobody, and it carries a credential", "Secret ns/openai[Authorization]",
		"POST /asked/*", "r.yaml:3", "1 errors, 0 warnings", "&lt;img src=x&gt;", "o.yaml:9", "closed: &lt;script&gt;",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	for _, never := range []string{"<script", "<img", "<i>", "src=", "http-equiv", "onload"} {
		if strings.Contains(strings.ReplaceAll(body, "&lt;img src=x&gt;", ""), never) {
			t.Errorf("%q in the page", never)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
	if style == nil || !strings.Contains(policy(), "'sha256-"+hashOf(style[1])+"'") {
		t.Error("the style sheet is not the one that the policy allows")
	}
}

func TestPageOfNothingAndOfMuch(t *testing.T) {
	d := deps(t)
	d.Config = func() *ir.Config { return &ir.Config{} }
	if _, body := ask(t, start(t, New(d)), "GET", "/", "", nil); !strings.Contains(body, "Nothing is served.") {
		t.Errorf("%s", body)
	}
	host := &ir.VirtualHost{Hostname: "*"}
	for i := range mostRoutes + 5 {
		host.Routes = append(host.Routes, &ir.Route{Name: fmt.Sprint("r", i), Action: ir.Action{Direct: &ir.Direct{Status: 204}}})
	}
	d.Config = func() *ir.Config {
		return &ir.Config{Listeners: []*ir.Listener{{Name: "l", Hosts: []*ir.VirtualHost{host}}}}
	}
	if _, body := ask(t, start(t, New(d)), "GET", "/", "", nil); !strings.Contains(body, "5 more routes") {
		t.Error("what is left out is not said")
	}
}
