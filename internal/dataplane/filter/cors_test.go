package filter

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestPreflight(t *testing.T) {
	age := 600
	plain := &ir.CORS{
		AllowOrigins: []string{"https://app.test"}, AllowMethods: []string{"GET", "POST"}, AllowHeaders: []string{"content-type", "authorization"},
		ExposeHeaders: []string{"x-a"}, AllowCredentials: true, MaxAgeSeconds: &age,
	}
	wild := &ir.CORS{AllowOrigins: []string{"*"}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}, AllowCredentials: true}
	for _, tc := range []struct {
		name    string
		cfg     *ir.CORS
		request []string
		want    map[string]string
	}{
		{"allowed", plain, []string{"Origin: https://app.test", "Access-Control-Request-Method: POST"}, map[string]string{
			"Access-Control-Allow-Origin": "https://app.test", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "GET, POST",
			"Access-Control-Allow-Headers": "content-type, authorization", "Access-Control-Max-Age": "600", "Access-Control-Expose-Headers": "x-a",
			"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
		}},
		{"wildcards with credentials", wild, []string{"Origin: https://any.test", "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: authorization,x-b"}, map[string]string{
			"Access-Control-Allow-Origin": "https://any.test", "Access-Control-Allow-Methods": "PATCH", "Access-Control-Allow-Headers": "authorization,x-b", "Access-Control-Max-Age": "",
		}},
		{"nothing but an origin", &ir.CORS{AllowOrigins: []string{"*"}}, []string{"Origin: null", "Access-Control-Request-Method: GET"}, map[string]string{
			"Access-Control-Allow-Origin": "null", "Access-Control-Allow-Methods": "", "Access-Control-Allow-Headers": "", "Access-Control-Allow-Credentials": "",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Whoever is not asked who he is, is not refused.
			refuse := asking(answering{err: &authn.Failure{Status: 401, Text: "Jwt is missing", Missing: true}})
			res := serve(t, ir.PathMatch{}, must(t)(NewCORS(tc.cfg)), refuse).do(t, "OPTIONS /", tc.request...)
			if res.StatusCode != 200 || bodyOf(t, res) != "" {
				t.Errorf("status %d", res.StatusCode)
			}
			for name, want := range tc.want {
				if got := strings.Join(res.Header[name], "|"); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestPreflightOfOthersPasses(t *testing.T) {
	stage := must(t)(NewCORS(&ir.CORS{AllowOrigins: []string{"https://app.test"}}))
	g := serve(t, ir.PathMatch{}, stage)
	for name, request := range map[string][]string{
		"other origin":  {"Origin: https://evil.test", "Access-Control-Request-Method: GET"},
		"two origins":   {"Origin: https://app.test", "Origin: https://evil.test", "Access-Control-Request-Method: GET"},
		"no origin":     {"Access-Control-Request-Method: GET"},
		"prefix of one": {"Origin: https://app.test.evil", "Access-Control-Request-Method: GET"},
	} {
		res := g.do(t, "OPTIONS /", request...)
		if res.Header.Get("X-From") != "upstream" || res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
	if res := g.do(t, "OPTIONS /", "Origin: https://app.test"); res.Header.Get("X-From") != "upstream" || res.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("OPTIONS that is no preflight: %v", res.Header)
	}
}

func TestPreflightOfOthersIsAnswered(t *testing.T) {
	stage := must(t)(NewCORS(&ir.CORS{AllowOrigins: []string{"https://app.test"}, AllowMethods: []string{"GET"}, AnswerOthers: true}))
	g := serve(t, ir.PathMatch{}, stage)
	for _, tc := range []struct {
		name, method string
		request      []string
		from         string
	}{
		{"other origin", "OPTIONS /", []string{"Origin: https://evil.test", "Access-Control-Request-Method: GET"}, ""},
		{"two origins", "OPTIONS /", []string{"Origin: https://app.test", "Origin: https://evil.test", "Access-Control-Request-Method: GET"}, ""},
		{"no origin", "OPTIONS /", []string{"Access-Control-Request-Method: GET"}, "upstream"},
		{"no preflight", "OPTIONS /", []string{"Origin: https://evil.test"}, "upstream"},
		{"a request", "GET /", []string{"Origin: https://evil.test", "Access-Control-Request-Method: GET"}, "upstream"},
	} {
		res := g.do(t, tc.method, tc.request...)
		if res.StatusCode != 200 || res.Header.Get("X-From") != tc.from || !strings.HasPrefix(res.Header.Get("Vary"), "Origin") {
			t.Errorf("%s: %d %v", tc.name, res.StatusCode, res.Header)
		}
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s is told", tc.name, name)
			}
		}
	}
}

func TestAnswersAreMarked(t *testing.T) {
	stage := must(t)(NewCORS(&ir.CORS{AllowOrigins: []string{"https://app.test"}, ExposeHeaders: []string{"X-A", "x-b"}}))
	refuse := asking(answering{err: &authn.Failure{Status: 401, Text: "Jwt is missing", Missing: true}})
	for name, res := range map[string]*http.Response{
		"answer":  serve(t, ir.PathMatch{}, stage).do(t, "GET /", "Origin: https://app.test"),
		"refusal": serve(t, ir.PathMatch{}, stage, refuse).do(t, "GET /", "Origin: https://app.test"),
	} {
		h := res.Header
		if h.Get("Access-Control-Allow-Origin") != "https://app.test" || h.Get("Access-Control-Expose-Headers") != "X-A, x-b" ||
			h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestExposedWildcard(t *testing.T) {
	for credentials, want := range map[bool]string{false: "*", true: ""} {
		stage := must(t)(NewCORS(&ir.CORS{AllowOrigins: []string{"*"}, ExposeHeaders: []string{"*"}, AllowCredentials: credentials}))
		h := serve(t, ir.PathMatch{}, stage).do(t, "GET /", "Origin: https://app.test").Header
		if got := h.Get("Access-Control-Expose-Headers"); got != want {
			t.Errorf("credentials %v: %q", credentials, got)
		}
	}
}

func TestOrigins(t *testing.T) {
	for _, tc := range []struct {
		pattern, regex, origin string
		want                   bool
	}{
		{"https://a.test", "", "https://a.test", true},
		{"HTTPS://A.test", "", "https://a.test", true},
		{"https://a.test", "", "http://a.test", false},
		{"https://a.test", "", "https://a.test:8443", false},
		{"https://*.a.test", "", "https://x.a.test", true},
		{"https://*.a.test", "", "https://x.y.a.test", true},
		{"https://*.a.test", "", "https://a.test", false},
		{"https://*.a.test", "", "https://evil.test/.a.test", false},
		{"https://*.a.test", "", "https://.a.test", false},
		{"https://*", "", "https://x:8443", true},
		{"https://*", "", "http://x", false},
		{"http://localhost:*", "", "http://localhost:3000", true},
		{"*", "", "null", true},
		{"", `https://[a-z]+\.a\.test`, "https://x.a.test", true},
		{"", `https://[a-z]+\.a\.test`, "https://x.a.test.evil", false},
		{"", `https://[a-z]+\.a\.test`, "https://x1a.test", false},
	} {
		cfg := &ir.CORS{}
		if tc.pattern != "" {
			cfg.AllowOrigins = []string{tc.pattern}
		} else {
			cfg.AllowOriginRegex = []string{tc.regex}
		}
		c := must(t)(NewCORS(cfg)).(*cors)
		if got := c.allows(tc.origin); got != tc.want {
			t.Errorf("%s%s takes %s: %v", tc.pattern, tc.regex, tc.origin, got)
		}
	}
}

func TestCORSIsRefusedWhenMade(t *testing.T) {
	for name, cfg := range map[string]*ir.CORS{
		"two wildcards": {AllowOrigins: []string{"https://*.*.test"}},
		"no origin":     {AllowOrigins: []string{""}},
		"line break":    {AllowOrigins: []string{"https://a\r\nb"}},
		"regex":         {AllowOriginRegex: []string{"("}},
		"method":        {AllowMethods: []string{"GET, POST\r\n"}},
		"header":        {AllowHeaders: []string{"a b"}},
		"exposed":       {ExposeHeaders: []string{"a\nb"}},
	} {
		if _, err := NewCORS(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
