package program

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// aiUpstream is an OpenAI provider at a host of the test's, with the key of a
// Secret.
func aiUpstream(name string, o *origin, secret string) string {
	return fmt.Sprintf("---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: %s, namespace: apps}\nspec: {ai: {openai: %s}}\n", name, aiHost(o, secret, ""))
}

func aiHost(o *origin, secret, more string) string {
	return fmt.Sprintf("{customHost: {host: %q, port: %d}, authToken: {secretRef: {name: %s}}%s}", o.host, o.port, secret, more)
}

// TestSecurityRow07DestinationsComeFromConfiguration: nothing in a request
// leads it, or the key, anywhere else, and no redirect is followed.
func TestSecurityRow07DestinationsComeFromConfiguration(t *testing.T) {
	evil := serveOrigin(t, nil)
	at := fmt.Sprintf("http://%s:%d/", evil.host, evil.port)
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Redirect") != "" {
			http.Redirect(w, r, at, http.StatusTemporaryRedirect)
		}
	})
	p := runOne(t, nil, aiUpstream("up", o, "key"), secretOf("key", "Authorization: Bearer MARKER-one"), virtualService("", route("/", "up", "")))
	for _, tc := range []struct {
		name string
		q    request
	}{
		{"api_base", request{body: `{"api_base":"` + at + `","base_url":"` + at + `","model":"m","messages":[]}`}},
		{"Host", request{header: map[string]string{"Host": strings.TrimPrefix(at, "http://")[:len(at)-8]}}},
		{"headers", request{header: map[string]string{"X-Envoy-Original-Dst-Host": at, "X-Forwarded-Host": at, "X-Host": at, "X-Api-Base": at, "X-Original-Url": at, "X-Rewrite-Url": at, "Destination": at, "Api-Base": at, "X-Litellm-Api-Base": at}}},
		{"query", request{url: "?api_base=" + at + "&base_url=" + at}},
		{"path", request{url: "http://" + strings.TrimPrefix(at, "http://")}},
		{"redirect", request{header: map[string]string{"X-Redirect": "1"}}},
	} {
		tc.q.method = "POST"
		tc.q.url = "http://" + p.addr("8080") + "/" + tc.q.url
		got := send(t, tc.q)
		if n := len(evil.requests()); n != 0 {
			t.Fatalf("%s: %d requests to another host", tc.name, n)
		}
		if got.status == 400 {
			continue
		}
		s := o.one(t)
		if a := s.header["Authorization"]; len(a) != 1 || a[0] != "Bearer MARKER-one" {
			t.Errorf("%s: Authorization has %d values, or another", tc.name, len(a))
		}
		if tc.name == "redirect" && (got.status != 307 || got.header.Get("Location") != at) {
			t.Errorf("redirect: %v", got)
		}
	}
}

// TestSecurityRow07FailoverHasKeysOfItsOwn: each attempt shows its provider
// its own key and model, and nothing of the other's or of the caller's.
func TestSecurityRow07FailoverHasKeysOfItsOwn(t *testing.T) {
	first := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) })
	second := serveOrigin(t, nil)
	multi := fmt.Sprintf("---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: up, namespace: apps}\nspec: {ai: {multi: {priorities: [{pool: [{openai: %s}]}, {pool: [{anthropic: %s}]}]}}}\n",
		aiHost(first, "one", ", model: big"), aiHost(second, "two", ", model: small"))
	p := runOne(t, nil, multi, secretOf("one", "Authorization: Bearer MARKER-one"), secretOf("two", "Authorization: MARKER-two"),
		virtualService("jwt: "+asks(), route("/", "up", "retries: {retryOn: retriable-status-codes, retriableStatusCodes: [429], numRetries: 2, previousPriorities: {updateFrequency: 1}}")))
	token := caller("")
	got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + "/", body: `{"model":"mine","messages":[]}`, header: map[string]string{
		"Authorization": "Bearer " + token, "X-Api-Key": "callers", "Api-Key": "callers", "X-Goog-Api-Key": "callers", "Content-Type": "application/json",
	}})
	if got.status != 200 {
		t.Fatal(got)
	}
	a, b := first.one(t), second.one(t)
	if a.header.Get("Authorization") != "Bearer MARKER-one" || !strings.Contains(a.body, `"big"`) {
		t.Errorf("the first provider: body %s", a.body)
	}
	if b.header.Get("X-Api-Key") != "MARKER-two" || len(b.header["X-Api-Key"]) != 1 || !strings.Contains(b.body, `"small"`) {
		t.Errorf("the second provider: body %s", b.body)
	}
	for name, s := range map[string]sight{"first": a, "second": b} {
		other := map[string]string{"first": "MARKER-two", "second": "MARKER-one"}[name]
		if text := fmt.Sprint(s); strings.Contains(text, other) || strings.Contains(text, "callers") || strings.Contains(text, token) {
			t.Errorf("the %s provider sees another's credential", name)
		}
	}
}

// TestSecurityRow08Echoes: what an upstream repeats of the credential in its
// head, and what breaks, tells no caller and no log of it. The program's own
// output is searched for markers at the end of every test.
func TestSecurityRow08Echoes(t *testing.T) {
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		w.Header().Set("X-Echo", key)
		w.Header().Set("X-Bare", strings.TrimPrefix(key, "Bearer "))
		w.Header().Set("X-Within", "you sent <"+key+">")
		w.Header().Set("Set-Cookie", "k="+strings.TrimPrefix(key, "Bearer "))
		w.Header().Set("Location", "http://other/?key="+strings.TrimPrefix(key, "Bearer "))
		w.Header().Set("Www-Authenticate", key)
		w.Header().Set("X-Other", r.Header.Get("X-Provider-Key"))
		w.Header().Set("Trailer", "X-Late")
		switch r.URL.Path {
		case "/401":
			w.WriteHeader(401)
		case "/reset":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "ok")
		w.Header().Set("X-Late", key)
	})
	p := runOne(t, nil, o.yaml("up"), secretOf("creds", "Authorization: Bearer MARKER-secret, x-provider-key: MARKER-other"),
		virtualService("", route("/", "up", "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: creds}}]}")))
	for _, target := range []string{"/", "/401", "/reset", "/half", "/..%2f"} {
		if got := sendRaw(t, p.addr("8080"), "GET "+target+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); strings.Contains(got.String(), "MARKER") {
			t.Errorf("%s: the credential is in the answer: %v", target, got)
		}
	}
	for _, path := range []string{"/config", "/status", "/metrics", "/"} {
		if got := send(t, request{url: "http://" + p.admin + path}); got.status != 200 || strings.Contains(got.body, "MARKER") {
			t.Errorf("admin %s: %d", path, got.status)
		}
	}
}

// TestSecurityRow08CallersCredentials: a caller's own credential is in no
// output either, whether it is good, bad, in the wrong place or malformed.
func TestSecurityRow08CallersCredentials(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(), route("/", "up", "")))
	good := caller(`,"secret":"MARKER-claim"`)
	bad := good[:len(good)-10] + "MARKERMARK"
	for _, head := range []string{
		"Authorization: Bearer " + good, "Authorization: Bearer " + bad, "Authorization: Basic MARKER", "Authorization: MARKER", "X-Api-Key: MARKER", "Api-Key: MARKER", "Cookie: session=MARKER",
		"Proxy-Authorization: Basic MARKER", "Authorization: Bearer MARKER.MARKER.MARKER", "Authorization: Bearer " + mint(`{"alg":"RS256","kid":"k"}`, `{"iss":"x","secret":"MARKER"}`, otherRSA()),
	} {
		sendRaw(t, p.addr("8080"), "GET /?access_token=MARKER&key=MARKER HTTP/1.1\r\nHost: a\r\n"+head+"\r\nReferer: http://x/?token=MARKER\r\n\r\n")
		sendRaw(t, p.addr("8080"), "GET / HTTP/1.1\r\nHost: a\r\n"+head+"\r\n\r\n")
	}
	p.await("the log", func() bool { return strings.Count(p.out.String(), "\n") >= 20 })
	for _, part := range append(strings.Split(good, ".")[1:], bad) {
		if strings.Contains(p.out.String()+p.err.String(), part[:40]) {
			t.Errorf("a part of a token is in the log: %.40s", part)
		}
	}
}

// TestSecurityRow10Exposed: a route that gives a credential to anyone is told
// of everywhere, and refused where that is asked for.
func TestSecurityRow10Exposed(t *testing.T) {
	o := serveOrigin(t, nil)
	add := "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: key}}]}"
	files := []string{
		o.yaml("up"), aiUpstream("ai", o, "key"), secretOf("key", "Authorization: Bearer MARKER-one"),
		virtualService("", route("/ai", "ai", ""), route("/header", "up", add), route("/plain", "up", ""), route("/guarded", "ai", "jwtProvidersStaged: {afterExtAuth: "+asks()+"}"),
			route("/optional", "ai", "jwtProvidersStaged: {afterExtAuth: "+strings.Replace(asks(), "{providers", "{validationPolicy: ALLOW_MISSING_OR_FAILED, providers", 1)+"}")),
		httpGateway("gw", 8081), httpRoute("open", "gw", rule("/ai", "ai", "")),
	}
	for _, deny := range []bool{false, true} {
		args := []string{"--port", "8081=127.0.0.1:0"}
		if deny {
			args = append(args, "--exposed=deny")
		}
		p := runOne(t, args, files...)
		if n := p.metric("postern_routes_exposed"); n != 4 {
			t.Errorf("deny %v: the metric counts %v routes, want 4", deny, n)
		}
		status := send(t, request{url: "http://" + p.admin + "/status"}).body
		if n := strings.Count(status, "may use the provider credential"); n != 4 || strings.Count(p.err.String(), "may use the provider credential") != 4 {
			t.Errorf("deny %v: the status names %d routes, want 4:\n%s", deny, n, p.err)
		}
		for url, want := range map[string]int{
			p.addr("8080") + "/ai": 200, p.addr("8080") + "/header": 200, p.addr("8081") + "/ai": 200, p.addr("8080") + "/optional": 200,
			p.addr("8080") + "/plain": 200, p.addr("8080") + "/guarded": 401,
		} {
			if deny && want == 200 && !strings.HasSuffix(url, "/plain") {
				want = 403
			}
			if got := send(t, request{url: "http://" + url}); got.status != want {
				t.Errorf("deny %v: %s: %v, want %d", deny, url, got, want)
			}
		}
	}
}

// TestSecurityRow19Denials: a denial's id finds the line that tells who was
// refused what, by which policy, and where that is written.
func TestSecurityRow19Denials(t *testing.T) {
	o := serveOrigin(t, nil)
	rules := "rbac: {policies: {admins: {principals: [{jwtPrincipal: {claims: {role: admin}}}]}}}"
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(), route("/chat", "up", rules)))
	for _, tc := range []struct {
		name, target string
		header       map[string]string
		want         map[string]string
	}{
		{"no token", "/chat", nil, map[string]string{"verdict": "deny", "policy": "gloo/jwt", "status": "401", "cause": "missing", "policy_origin": "all.yaml:"}},
		{"bad token", "/chat", bearer("x"), map[string]string{"verdict": "deny", "policy": "gloo/jwt", "status": "401", "cause": "Jwt is not in the form", "policy_origin": "VirtualService apps/vs"}},
		{"not allowed", "/chat", bearer(caller("")), map[string]string{"verdict": "deny", "policy": "gloo/rbac", "status": "403", "subject": "ann", "issuer": "tests", "authenticator": "p", "policy_origin": "all.yaml:", "route": "apps/vs"}},
		{"no route", "/other", nil, map[string]string{"verdict": "no-route", "status": "404"}},
		{"bad path", "/chat/..%2fx", nil, map[string]string{"verdict": "invalid", "status": "400"}},
		{"forged lines", "/chat", map[string]string{"User-Agent": "x\",\"verdict\":\"allow\u2028", "Authorization": "Bearer " + mint(`{"alg":"RS256"}`, `{"iss":"tests\u2028\",\"verdict\":\"allow"}`, rsaKey())}, map[string]string{"verdict": "deny", "status": "401"}},
	} {
		got := send(t, request{url: "http://" + p.addr("8080") + tc.target, header: tc.header})
		id := got.header.Get("X-Postern-Decision")
		line := map[string]any{}
		p.await("the line of "+tc.name, func() bool {
			for l := range strings.Lines(p.out.String()) {
				if strings.Contains(l, `"decision":"`+id+`"`) {
					return json.Unmarshal([]byte(l), &line) == nil
				}
			}
			return false
		})
		for k, want := range tc.want {
			if text := fmt.Sprint(line[k]); !strings.Contains(text, want) {
				t.Errorf("%s: %s is %q, want %q", tc.name, k, text, want)
			}
		}
		if id == "" || line["client"] != "127.0.0.1" && tc.name != "bad path" || line["time"] == nil {
			t.Errorf("%s: %v", tc.name, line)
		}
	}
}

// TestSecurityRow25TokenInTheQuery: a token that came in the URL goes nowhere.
func TestSecurityRow25TokenInTheQuery(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(),
		route("/moved", "up", "prefixRewrite: /elsewhere"), "{matchers: [{prefix: /redirect}], redirectAction: {hostRedirect: other.example}}", route("/", "up", "")))
	token := caller("")
	base := "http://" + p.addr("8080")
	for _, tc := range []struct {
		target, upstream string
		status           int
	}{
		{"/chat?access_token=" + token, "/chat", 200},
		{"/chat?a=1&access_token=" + token + "&b=%20", "/chat?a=1&b=%20", 200},
		{"/chat?acc%65ss_token=" + token, "/chat", 200},
		{"/moved/x?access_token=" + token + "&a=1", "/elsewhere/x?a=1", 200},
		{"/redirect?access_token=" + token + "&a=1", "", 301},
		{"/chat?access_token=" + token + "x", "", 401},
	} {
		got := send(t, request{url: base + tc.target, header: map[string]string{"Referer": base + "/?access_token=" + token + "&q=1"}})
		if got.status != tc.status || strings.Contains(got.String(), token) {
			t.Errorf("%s: %v", tc.target[:20], got)
		}
		seen := o.requests()
		if tc.status != 200 {
			if len(seen) != 0 {
				t.Errorf("%s: %d requests upstream", tc.target[:20], len(seen))
			}
			continue
		}
		if len(seen) != 1 || seen[0].target != tc.upstream || strings.Contains(fmt.Sprint(seen[0]), token) {
			t.Errorf("%s: the upstream saw %v", tc.target[:20], seen)
		}
	}
	if got := send(t, request{url: base + "/chat?access_token=x&a=1"}); !strings.HasPrefix(got.header.Get("WWW-Authenticate"), `Bearer realm="`+base+`/chat"`) {
		t.Errorf("the realm: %v", got)
	}
	p.await("the log", func() bool { return strings.Count(p.out.String(), "\n") >= 7 })
	if text := p.out.String() + p.err.String(); strings.Contains(text, token) || strings.Contains(text, "access_token") {
		t.Errorf("the token is in the log:\n%s", text)
	}
}
