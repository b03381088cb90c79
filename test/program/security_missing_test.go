package program

import (
	"fmt"
	"strings"
	"testing"
)

// TestSecurityRow09Missing: a protection of which something is missing, broken
// or not built closes what it protects, at the start and when it breaks while
// serving; the neighbours are served.
func TestSecurityRow09Missing(t *testing.T) {
	staged := func(jwt string) string { return "jwtProvidersStaged: {afterExtAuth: " + jwt + "}" }
	jwks := func(s string) string {
		return staged("{providers: {p: {issuer: tests, jwks: " + s + "}}}")
	}
	with := staged(asks()) + ", "
	for _, tc := range []struct {
		name, options string
		status        []int
	}{
		{"no key", jwks("{}"), []int{500}},
		{"empty key", jwks(`{local: {key: ""}}`), []int{500}},
		{"key that is none", jwks("{local: {key: nonsense}}"), []int{500}},
		{"private key's place taken by a certificate request", jwks(`{local: {key: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"}}`), []int{500}},
		{"empty key set", jwks(`{local: {key: '{"keys":[]}'}}`), []int{500, 401}},
		{"key set nobody serves", jwks(`{remote: {url: "http://127.0.0.1:1/keys"}}`), []int{401}},
		{"key set without URL", jwks("{remote: {}}"), []int{500}},
		{"key set of an upstream that is not there", jwks(`{remote: {url: "http://x/keys", upstreamRef: {name: nobody}}}`), []int{500}},
		{"no providers", staged("{providers: {}}"), []int{500}},
		{"misspelt field", staged("{provider: {p: {}}}"), []int{500}},
		{"misspelt policy", staged(strings.Replace(asks(), "{providers", "{validationPolicy: ALLOW_ALL, providers", 1)), []int{500}},
		{"no principals", with + "rbac: {policies: {a: {principals: []}}}", []int{500, 403}},
		{"empty principal", with + "rbac: {policies: {a: {principals: [{}]}}}", []int{500, 403}},
		{"no claims", with + "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {}}}]}}}", []int{500, 403}},
		{"no policies", with + "rbac: {policies: {}}", []int{500, 403}},
		{"rbac of nothing", with + "rbac: {}", []int{500, 403}},
		{"rbac without jwt", "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: ann}}}]}}}", []int{403}},
		{"unknown matcher", with + "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: ann}, matcher: ANY}}]}}}", []int{500}},
		{"bad expression", with + `rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: "("}, matcher: REGEX_MATCH}}]}}}`, []int{500}},
		{"empty expression of another", with + `rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: "bob"}, matcher: REGEX_MATCH}}]}}}`, []int{403}},
		{"misspelt permissions", with + "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: ann}}}], permission: {methods: [PUT]}}}}", []int{500}},
		{"extauth", "extauth: {configRef: {name: nobody, namespace: apps}}", []int{500, 403}},
		{"custom extauth", "extauth: {customAuth: {}}", []int{500, 403}},
		{"ratelimit", "ratelimit: {rateLimits: []}", []int{500}},
		{"rate limit configs", "rateLimitConfigs: {refs: [{name: nobody}]}", []int{500}},
		{"basic rate limit", "ratelimitBasic: {anonymousLimits: {requestsPerUnit: 1, unit: HOUR}}", []int{500}},
		{"waf", "waf: {ruleSets: []}", []int{500}},
		{"csrf", "csrf: {}", []int{500}},
		{"dlp", "dlp: {}", []int{500}},
		{"extProc", "extProc: {}", []int{500}},
		{"transformation of a kind that is not built", "stagedTransformations: {early: {requestTransforms: [{clearRouteCache: true, requestTransformation: {headerBodyTransform: {}}}]}}", []int{500}},
		{"prompt guard", "ai: {promptGuard: {request: {webhook: {host: h, port: 1}}}}", []int{500}},
		{"header secret that is not there", "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: nobody}}]}", []int{500}},
		{"header secret in another namespace", "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: creds, namespace: other}}]}", []int{500}},
		{"header secret with a line break", "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: broken}}]}", []int{500}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := serveOrigin(t, nil)
			secrets := secretOf("creds", "x-key: MARKER-1") + secretOf("broken", `x-key: "MARKER\r\nX-Admin: 1"`)
			good := virtualService("", route("/guarded", "up", staged(asks())), route("/", "up", ""))
			bad := virtualService("", route("/guarded", "up", tc.options), route("/", "up", ""))
			other := strings.NewReplacer("name: vs", "name: other", `["*"]`, "[other.example]").Replace(virtualService("", route("/", "up", "")))
			rest := o.yaml("up") + secrets + other
			p := run(t, map[string]string{"vs.yaml": good, "up.yaml": rest}, settings{})
			guarded, open := "http://"+p.addr("8080")+"/guarded", "http://"+p.addr("8080")+"/open"
			check := func(when string) {
				for _, h := range []map[string]string{nil, bearer(caller(""))} {
					got := send(t, request{url: guarded, header: h})
					ok := h == nil && got.status == 401 && strings.Contains(tc.options, "jwt")
					for _, s := range tc.status {
						ok = ok || got.status == s
					}
					if !ok || len(o.requests()) != 0 {
						t.Errorf("%s: %v, want %v", when, got, tc.status)
					}
				}
				if got := send(t, request{url: open, header: map[string]string{"Host": "other.example"}}); got.status != 200 || len(o.requests()) != 1 {
					t.Errorf("%s: the other object: %v", when, got)
				}
				if strings.HasPrefix(tc.name, "misspelt") || strings.HasPrefix(tc.name, "unknown") {
					return
				}
				if got := send(t, request{url: open}); got.status != 200 || len(o.requests()) != 1 {
					t.Errorf("%s: the neighbour: %v", when, got)
				}
			}
			p.write("vs.yaml", bad)
			p.await("the reload", func() bool { return strings.Contains(p.err.String(), "postern: reloaded") })
			check("while serving")
			if tc.status[0] == 500 && !strings.Contains(p.err.String(), "vs.yaml:") {
				t.Errorf("nothing tells of it:\n%s", p.err)
			}
			q := run(t, map[string]string{"vs.yaml": bad, "up.yaml": rest}, settings{})
			guarded, open = "http://"+q.addr("8080")+"/guarded", "http://"+q.addr("8080")+"/open"
			check("from the start")
		})
	}
}

// TestSecurityRow09SecretsWhileServing: a credential that is deleted, emptied
// or spoilt closes its route and no other; mended, it serves again.
func TestSecurityRow09SecretsWhileServing(t *testing.T) {
	o := serveOrigin(t, nil)
	good := secretOf("key", "Authorization: Bearer MARKER-good")
	p := run(t, map[string]string{
		"key.yaml":  good,
		"vs.yaml":   virtualService("", route("/header", "up", "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: key}}]}"), route("/ai", "ai", ""), route("/", "up", "")),
		"rest.yaml": o.yaml("up") + aiUpstream("ai", o, "key"),
	}, settings{})
	base := "http://" + p.addr("8080")
	status := func(target string) int { return send(t, request{url: base + target}).status }
	for _, tc := range []struct{ name, secret string }{
		{"deleted", ""},
		{"empty", secretOf("key", `Authorization: ""`)},
		{"another key", secretOf("key", "other: MARKER-x")},
		{"line break", secretOf("key", `Authorization: "MARKER\r\nX-Admin: 1"`)},
		{"NUL", secretOf("key", `Authorization: "MARKER\0"`)},
		{"nothing but a scheme", secretOf("key", `Authorization: "Bearer "`)},
	} {
		if tc.secret == "" {
			p.remove("key.yaml")
		} else {
			p.write("key.yaml", tc.secret)
		}
		want := "/header"
		if tc.name == "another key" || tc.name == "nothing but a scheme" { // a header Secret's keys are its headers
			want = "/ai"
		}
		p.await(tc.name, func() bool { return status(want) == 500 && status("/ai") == 500 })
		o.requests()
		for _, target := range []string{want, "/ai"} {
			if got := status(target); got != 500 || len(o.requests()) != 0 {
				t.Errorf("%s: %s: %d, want 500", tc.name, target, got)
			}
		}
		if got := status("/"); got != 200 {
			t.Errorf("%s: the neighbour: %d", tc.name, got)
		}
		p.write("key.yaml", good)
		p.await("mended after "+tc.name, func() bool { return status("/header") == 200 && status("/ai") == 200 })
		if s := o.requests(); s[len(s)-1].header.Get("Authorization") != "Bearer MARKER-good" {
			t.Errorf("mended after %s: another credential", tc.name)
		}
	}
}

// TestSecurityRow24Injections: what a claim, a Secret or a configured value
// holds splits no header and forges no line.
func TestSecurityRow24Injections(t *testing.T) {
	o := serveOrigin(t, nil)
	jwt := jwtOf(rsaKey(), ", claimsToHeaders: [{claim: team, header: x-team}]")
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+jwt,
		route("/value", "up", `headerManipulation: {requestHeadersToAdd: [{header: {key: x-a, value: "a\r\nX-Admin: 1"}}]}`),
		route("/name", "up", `headerManipulation: {requestHeadersToAdd: [{header: {key: "x-a\r\nX-Admin", value: a}}]}`),
		route("/answer", "up", `headerManipulation: {responseHeadersToAdd: [{header: {key: x-a, value: "a\nX-Admin: 1"}}]}`),
		route("/formatted", "up", `headerManipulation: {requestHeadersToAdd: [{header: {key: x-a, value: "%REQ(x-b)%"}}], responseHeadersToAdd: [{header: {key: x-c, value: "%REQ(x-b)%"}}]}`),
		route("/host", "up", `hostRewrite: "a\r\nX-Admin: 1"`), route("/path", "up", `prefixRewrite: "/a HTTP/1.1\r\nX-Admin: 1"`),
		route("/", "up", "")))
	base := "http://" + p.addr("8080")
	for _, claim := range []string{`a\r\nX-Admin: 1`, `a\nX-Admin: 1`, `a\rX-Admin: 1`, `a\u0000b`, `\u007f`, `\u001b[31m`, `a\u000b`} {
		got := send(t, request{url: base + "/", header: bearer(caller(`,"team":"` + claim + `"`))})
		if got.status != 401 || got.body != "Jwt verification fails" || len(o.requests()) != 0 {
			t.Errorf("claim %s: %v", claim, got)
		}
	}
	for claim, want := range map[string]string{`"a"`: "a", `"\t"`: "", `["a\r\nb"]`: "WyJhXHJcbmIiXQ==", `7`: "7", `null`: ""} {
		got := send(t, request{url: base + "/", header: bearer(caller(`,"team":` + claim))})
		if s := o.one(t); got.status != 200 || strings.TrimSpace(s.header.Get("X-Team")) != want {
			t.Errorf("claim %s: %v, x-team %q", claim, got, s.header["X-Team"])
		}
	}
	for _, target := range []string{"/value", "/name", "/answer", "/host", "/path"} {
		got := send(t, request{url: base + target, header: bearer(caller(""))})
		for _, s := range o.requests() {
			if s.header.Get("X-Admin") != "" {
				t.Errorf("%s: the upstream saw %v", target, s)
			}
		}
		if got.header.Get("X-Admin") != "" || target != "/path" && got.status != 500 {
			t.Errorf("%s: %v, want 500", target, got)
		}
	}
	got := sendRaw(t, p.addr("8080"), "GET /formatted HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+caller("")+"\r\nX-B: a\x0bb\r\n\r\n")
	if got.status == 200 && strings.ContainsAny(got.header.Get("X-C"), "\x0b\r\n") {
		t.Errorf("formatted: %v", got)
	}
	if n := strings.Count(p.out.String(), "X-Admin: 1\n"); n != 0 {
		t.Errorf("%d forged lines in the log", n)
	}
}

// TestSecurityRow28RoutesAreChosenOnce: what decides on the route stands
// before auth, so a header that auth sets, or removes, sheds no policy.
func TestSecurityRow28RoutesAreChosenOnce(t *testing.T) {
	o := serveOrigin(t, nil)
	jwt := jwtOf(rsaKey(), ", claimsToHeaders: [{claim: team, header: x-team}]")
	by := func(value, options string) string {
		return fmt.Sprintf("{matchers: [{prefix: /, headers: [{name: x-team, value: %s}]}], routeAction: {single: {upstream: {name: up}}}, options: {%s}}", value, options)
	}
	rules := "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {team: red}}}]}}}"
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+jwt, by("red", rules), by("open", "prefixRewrite: /open"), route("/", "up", rules)))
	base := "http://" + p.addr("8080") + "/"
	for _, tc := range []struct {
		claim, header string
		status        int
	}{
		{"red", "", 200}, {"blue", "", 403}, {"blue", "red", 403}, {"red", "red", 200}, {"red", "blue", 200}, {"open", "", 403}, {"open", "red", 403},
	} {
		h := bearer(caller(`,"team":"` + tc.claim + `"`))
		if tc.header != "" {
			h["X-Team"] = tc.header
		}
		got := send(t, request{url: base, header: h})
		seen := o.requests()
		if got.status != tc.status || tc.status == 200 && (len(seen) != 1 || strings.Join(seen[0].header["X-Team"], "|") != tc.claim) {
			t.Errorf("claim %s, header %q: %v, want %d; upstream %v", tc.claim, tc.header, got, tc.status, seen)
		}
	}
}
