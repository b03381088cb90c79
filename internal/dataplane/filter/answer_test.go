package filter

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestRedirect(t *testing.T) {
	for _, tc := range []struct {
		name         string
		cfg          ir.Redirect
		match        ir.PathMatch
		host, target string
		status       int
		want         string
	}{
		{"nothing", ir.Redirect{}, ir.PathMatch{}, "a.test", "/x?q=1", 302, "http://a.test:8080/x?q=1"},
		{"the client's port stays", ir.Redirect{Status: 301}, ir.PathMatch{}, "a.test:10080", "/x", 301, "http://a.test:10080/x"},
		{"hostname, the listener's port", ir.Redirect{Hostname: "B.test."}, ir.PathMatch{}, "a.test:10080", "/x", 302, "http://b.test:8080/x"},
		{"scheme, its port", ir.Redirect{Scheme: "https"}, ir.PathMatch{}, "a.test:10080", "/x", 302, "https://a.test/x"},
		{"port", ir.Redirect{Port: 8443}, ir.PathMatch{}, "a.test", "/x", 302, "http://a.test:8443/x"},
		{"well-known port", ir.Redirect{Port: 80}, ir.PathMatch{}, "a.test:81", "/x", 302, "http://a.test/x"},
		{"scheme and its well-known port", ir.Redirect{Scheme: "https", Port: 443}, ir.PathMatch{}, "a.test", "/x", 302, "https://a.test/x"},
		{"scheme and another port", ir.Redirect{Scheme: "https", Port: 80}, ir.PathMatch{}, "a.test", "/x", 302, "https://a.test:80/x"},
		{"full path", ir.Redirect{Port: 80, Path: full("/new")}, ir.PathMatch{}, "a.test", "/x?q=1", 302, "http://a.test/new?q=1"},
		{"full path with a query", ir.Redirect{Port: 80, Path: full("/new?a=1")}, ir.PathMatch{}, "a.test", "/x?q=1", 302, "http://a.test/new?a=1&q=1"},
		{"segments", ir.Redirect{Port: 80, Path: segments("/b"), Status: 308}, whole("/a"), "a.test", "/a/c", 308, "http://a.test/b/c"},
		{"strip query", ir.Redirect{Port: 80, StripQuery: true}, ir.PathMatch{}, "a.test", "/x?q=1", 302, "http://a.test/x"},
		{"doubled slashes open nothing", ir.Redirect{Port: 80}, ir.PathMatch{}, "a.test", "//evil.test/x", 302, "http://a.test/evil.test/x"},
		{"prefix to root opens nothing", ir.Redirect{Port: 80, Path: prefix("/")}, raw("/a"), "a.test", "/a/evil.test", 302, "http://a.test/evil.test"},
		{"dot segment", ir.Redirect{Port: 80, Path: prefix("/")}, raw("/a"), "a.test", "/a../x", 400, ""},
		{"address", ir.Redirect{Scheme: "https", Port: 1}, ir.PathMatch{}, "[::1]:8080", "/", 302, "https://[::1]:1/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := serve(t, tc.match, must(t)(NewRedirect(&tc.cfg)))
			res := g.do(t, "GET "+tc.target, "Host: "+tc.host)
			if res.StatusCode != tc.status || res.Header.Get("Location") != tc.want {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, res.Header.Get("Location"), tc.status, tc.want)
			}
		})
	}
}

func TestDirect(t *testing.T) {
	g := serve(t, ir.PathMatch{}, must(t)(NewDirect(&ir.Direct{Status: 418, Body: `{"a":1}`, ContentType: "application/json"})))
	res := g.do(t, "GET /")
	if body := bodyOf(t, res); res.StatusCode != 418 || body != `{"a":1}` || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
	if r := g.last(); r.Verdict != dataplane.Allowed {
		t.Errorf("verdict %s", r.Verdict)
	}
	res = serve(t, ir.PathMatch{}, must(t)(NewDirect(&ir.Direct{Status: 204, Body: "x"}))).do(t, "GET /")
	if res.StatusCode != 204 || bodyOf(t, res) != "" {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestHost(t *testing.T) {
	pathHost := &ir.RegexRewrite{Pattern: "^/([a-z]+)/.*$", Substitution: `\1.test`}
	for _, tc := range []struct {
		name   string
		cfg    ir.HostRewrite
		target string
		header string
		want   string // "400" for a refusal
		xfh    string
	}{
		{"literal", ir.HostRewrite{Literal: "API.test."}, "/", "", "api.test", ""},
		{"literal with port", ir.HostRewrite{Literal: "api.test:8443", AppendForwarded: true}, "/", "", "api.test:8443", "gw.test"},
		{"auto", ir.HostRewrite{Auto: true, AppendForwarded: true}, "/", "", "auto", "gw.test"},
		{"from header", ir.HostRewrite{FromHeader: "x-host"}, "/", "X-Host: b.test", "b.test", ""},
		{"from header that is not there", ir.HostRewrite{FromHeader: "x-host", AppendForwarded: true}, "/", "", "gw.test", ""},
		{"from header that is no host", ir.HostRewrite{FromHeader: "x-host"}, "/", "X-Host: a b", "400", ""},
		{"from path", ir.HostRewrite{FromPath: pathHost}, "/foo/x", "", "foo.test", ""},
		{"from path that makes no host", ir.HostRewrite{FromPath: pathHost}, "/x", "", "400", ""},
	} {
		g := serve(t, ir.PathMatch{}, must(t)(NewHost(&tc.cfg)))
		var header []string
		if tc.header != "" {
			header = append(header, tc.header)
		}
		res := g.do(t, "GET "+tc.target, append(header, "X-Forwarded-Host: evil.test")...)
		if tc.want == "400" {
			if res.StatusCode != 400 {
				t.Errorf("%s: %d", tc.name, res.StatusCode)
			}
			continue
		}
		s := upstream(t, res)
		got := s.Host
		if s.Auto {
			got = "auto"
		}
		if got != tc.want || s.Header.Get("X-Forwarded-Host") != tc.xfh {
			t.Errorf("%s: got %s, forwarded %q", tc.name, got, s.Header.Get("X-Forwarded-Host"))
		}
	}
}

// Row25: a header whose token was accepted gives no host.
func TestRow25HostFromConsumedHeader(t *testing.T) {
	result := authn.Result{Identities: []authn.Identity{alice()}, Consumed: []authn.Location{{Header: "X-Token"}}}
	g := serve(t, ir.PathMatch{}, asking(answering{result: result}), must(t)(NewHost(&ir.HostRewrite{FromHeader: "x-token"})))
	if s := upstream(t, g.do(t, "GET /", "X-Token: "+marker)); s.Host != "gw.test" {
		t.Errorf("host %s", s.Host)
	}
}

func TestBody(t *testing.T) {
	limit, buffered := must(t)(NewBodyLimit(&ir.BodyLimit{Bytes: 4})), must(t)(NewBuffer(&ir.Buffer{Bytes: 4}))
	none := must(t)(NewBuffer(&ir.Buffer{Bytes: 0}))
	for _, tc := range []struct {
		name   string
		stages []dataplane.Stage
		body   string
		status int
	}{
		{"within the limit", []dataplane.Stage{limit}, "1234", 200},
		{"declared beyond", []dataplane.Stage{limit}, "12345", 413},
		{"buffered", []dataplane.Stage{buffered}, "1234", 200},
		{"buffered beyond", []dataplane.Stage{buffered}, "12345", 413},
		{"buffered before the limit", []dataplane.Stage{must(t)(NewBuffer(&ir.Buffer{Bytes: 9})), limit}, "12345", 413},
		{"nothing to hold", []dataplane.Stage{none}, "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := serve(t, ir.PathMatch{}, tc.stages...)
			res := g.send(t, "POST /", tc.body)
			if res.StatusCode != tc.status {
				t.Fatalf("status %d", res.StatusCode)
			}
			if text := bodyOf(t, res); tc.status == 413 && text != "Payload Too Large" || tc.status == 200 && !strings.Contains(text, `"Body":"`+tc.body+`"`) {
				t.Errorf("body %s", text)
			}
		})
	}
}

func TestAnswersAreRefusedWhenMade(t *testing.T) {
	for name, err := range map[string]error{
		"redirect status":   second(NewRedirect(&ir.Redirect{Status: 200})),
		"redirect scheme":   second(NewRedirect(&ir.Redirect{Scheme: "javascript"})),
		"redirect host":     second(NewRedirect(&ir.Redirect{Hostname: "a\r\nb"})),
		"redirect host 2":   second(NewRedirect(&ir.Redirect{Hostname: "a/b"})),
		"redirect host:80":  second(NewRedirect(&ir.Redirect{Hostname: "a:80"})),
		"redirect port":     second(NewRedirect(&ir.Redirect{Port: 70000})),
		"redirect path":     second(NewRedirect(&ir.Redirect{Path: full("x")})),
		"direct status":     second(NewDirect(&ir.Direct{Status: 101})),
		"direct type":       second(NewDirect(&ir.Direct{Status: 200, ContentType: "a\r\nb: c"})),
		"host, nothing":     second(NewHost(&ir.HostRewrite{})),
		"host, two":         second(NewHost(&ir.HostRewrite{Auto: true, Literal: "a"})),
		"host, line break":  second(NewHost(&ir.HostRewrite{Literal: "a\r\nb"})),
		"host, credential":  second(NewHost(&ir.HostRewrite{FromHeader: "authorization"})),
		"host, expression":  second(NewHost(&ir.HostRewrite{FromPath: &ir.RegexRewrite{Pattern: "("}})),
		"body limit":        second(NewBodyLimit(&ir.BodyLimit{Bytes: -1})),
		"buffer":            second(NewBuffer(&ir.Buffer{Bytes: -1})),
		"redirect path two": second(NewRedirect(&ir.Redirect{Path: &ir.PathRewrite{}})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ dataplane.Stage, err error) error { return err }
