package program

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"
)

// pathForms are ways to write a path that is to lead from below /open to
// /guarded or /open/admin, and back. %s is the place aimed at, without its
// first slash.
var pathForms = []string{
	"/open/../%s", "/open/./../%s", "/open/%%2e%%2e/%s", "/open/.%%2e/%s", "/open/%%2E./%s", "/open/..%%2f%s", "/open/..%%2F%s",
	"/open/%%2e%%2e%%2f%s", "/open/..%%5c%s", "/open/..\\%s", "/open\\..\\%s", "/open/..;/%s", "/open/..;x=1/%s", "/open;/../%s",
	"/open/%%252e%%252e/%s", "/open/..%%252f%s", "/open/%%25%%32%%65%%25%%32%%65/%s", "/open/..%%c0%%af%s", "/open/%%c0%%ae%%c0%%ae/%s",
	"/open/..%%ef%%bc%%8f%s", "/open/%%uff0e%%uff0e/%s", "/open/..%%00/%s", "/open/%%00/../%s", "/open/..%%0a/%s", "/open/..%%0d%%0a%s",
	"/open/..%%09/%s", "/open/..%%20/%s", "/open/.. /%s", "/open/..//%s", "//%s", "///%s", "/./%s", "/.//%s", "/%%2f%s", "/%%2F%%2f%s", "/;/%s", "/;x/%s", "/\\%s", "/%%5c%s", "/%%2e/%s",
	"/%s;", "/%s;x=y", "/%s%%3b", "/%s%%3Bx", "/%s/.", "/%s/..;/", "/%s%%00", "/%s%%2f", "/%s%%20", "/%s%%09", "/%s/", "/%s//", "/%s/../%[1]s", "/%s/x/..", "/%s%%23", "/%s%%3f", "/%s#", "/%s?", "/%s?/../../open", "/%s/%%2e%%2e/open",
	"http://a/%s", "http://a/open/../%s", "http://a//%s", "http://a/open/..%%2f%s", "HTTP://a/open/%%2e%%2e/%s", "http://a?/%s", "http://u:p@a/%s",
	"/open?/../%s", "/open/x#/../%s", "/open..%%2f%s", "/open../%s", "/open./%s", "/open/.../../%s", "/open/x/../../%s", "/open/x/%%2e%%2e/%%2e%%2e/%s",
	"/../%s", "/../../../%s", "/open/../../%s", "../%s", "%s", "*", "/*", "", "?", "/%%", "/%%2", "/%%zz/%s", "/open/%%", "/open/%%e0/../%s",
	"/rx/../%s", "/rx/%%2e%%2e/%s", "/rx//../%s", "/rx/..%%2f%s", "/rx/.", "/rx/..", "/rx/%s", "/strip../%s", "/strip./%s", "/strip/../%s", "/strip//%s", "/strip..", "/strip%%2e./%s", "/strip..%%2f%s",
}

// readings are how programs behind a gateway are known to read a path: as it
// is, with its escapes undone once or several times, with backslashes for
// slashes, without parameters, up to NUL.
func readings(target string) []string {
	p, _, _ := strings.Cut(target, "?")
	out := []string{p}
	for range 3 {
		p = strings.Map(func(r rune) rune {
			if r == '\\' {
				return '/'
			}
			return r
		}, unescape(p))
		segments := strings.Split(p, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		bare := strings.Join(segments, "/")
		before, _, _ := strings.Cut(bare, "\x00")
		out = append(out, p, bare, before)
	}
	for i := range out {
		out[i] = path.Clean("/" + out[i])
	}
	return out
}

func unescape(p string) string {
	if u, err := url.PathUnescape(p); err == nil {
		return u
	}
	return p
}

// pathGateways are the same routes in both dialects: open ones, and two that
// ask for a token, one of them below an open one.
func pathGateways(o *origin) string {
	guard := "{type: ExtensionRef, extensionRef: {group: gateway.solo.io, kind: RouteOption, name: guard}}"
	jwt := "jwtProvidersStaged: {afterExtAuth: " + asks() + "}"
	regex := `regexRewrite: {pattern: {regex: "^/rx/(.*)$"}, substitution: "/open/\\1"}`
	return o.yaml("up") +
		virtualService("", route("/guarded", "up", jwt), route("/open/admin", "up", jwt), route("/rx/", "up", regex),
			route("/strip", "up", "prefixRewrite: /open/"), route("/open", "up", "")) +
		httpGateway("gw", 8081) + optionOf("RouteOption", "guard", "", jwt) + optionOf("RouteOption", "rx", "", regex) +
		httpRoute("paths", "gw", rule("/guarded", "up", guard), rule("/open/admin", "up", guard), rule("/open", "up", ""),
			rule("/rx", "up", "{type: ExtensionRef, extensionRef: {group: gateway.solo.io, kind: RouteOption, name: rx}}"),
			rule("/strip", "up", "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /open}}}"))
}

// TestSecurityRow02Paths: whatever a path is written like, without a token no
// request reaches the upstream that it, or any program behind it, could read
// as one for a guarded place; and what reaches it is in normal form.
func TestSecurityRow02Paths(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0"}, pathGateways(o))
	for dialect, port := range map[string]string{"VirtualService": "8080", "HTTPRoute": "8081"} {
		addr := p.addr(port)
		for _, place := range []string{"guarded", "open/admin", "guarded/x", "open/admin/"} {
			for _, form := range pathForms {
				target := form
				if strings.Contains(form, "%s") {
					target = fmt.Sprintf(form, place)
				} else {
					target = strings.ReplaceAll(form, "%%", "%")
				}
				got := sendRaw(t, addr, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
				seen := o.requests()
				switch got.status {
				case 400, 401, 404:
					if len(seen) != 0 {
						t.Errorf("%s: %q: answered %d, and the upstream saw %q", dialect, target, got.status, seen[0].target)
					}
				case 200:
					if len(seen) != 1 {
						t.Fatalf("%s: %q: the upstream saw %d requests", dialect, target, len(seen))
					}
					expectOpen(t, dialect+": "+target, seen[0].target)
				default:
					t.Errorf("%s: %q: %v", dialect, target, got)
				}
			}
		}
	}
}

func expectOpen(t *testing.T, name, target string) {
	t.Helper()
	for _, p := range readings(target) {
		if p == "/guarded" || strings.HasPrefix(p, "/guarded/") || p == "/open/admin" || strings.HasPrefix(p, "/open/admin/") {
			t.Errorf("%s: the upstream saw %q, which can be read as %q", name, target, p)
		}
	}
	own, _, _ := strings.Cut(target, "?")
	if clean := path.Clean(own); clean != own && clean+"/" != own || strings.ContainsAny(own, "\\; \x00") {
		t.Errorf("%s: the upstream saw %q, which is not in normal form", name, target)
	}
}

// TestSecurityRow02GuardedWithToken: for the caller who may, what a policy
// judged is what the upstream gets.
func TestSecurityRow02GuardedWithToken(t *testing.T) {
	o := serveOrigin(t, nil)
	rules := "rbac: {policies: {a: {principals: [{jwtPrincipal: {claims: {sub: ann}}}], permissions: {pathPrefix: /v1/mine, methods: [GET]}}}}"
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(), route("/", "up", rules)))
	token := caller("")
	for _, tc := range []struct {
		target, upstream string
		status           int
	}{
		{"/v1/mine", "/v1/mine", 200},
		{"/v1/./mine/x", "/v1/mine/x", 200},
		{"/v1/x/../mine", "/v1/mine", 200},
		{"/v1//mine", "/v1/mine", 200},
		{"/v1/%6dine", "/v1/mine", 200},
		{"/v1/mine/%c3%a4?a=%2f..%2f&b", "/v1/mine/%C3%A4?a=%2f..%2f&b", 200},
		{"/v1/mine/../other", "", 403},
		{"/v1/mine/%2e%2e/other", "", 400},
		{"/v1/mine/..//other", "", 403},
		{"/v1/MINE", "", 403},
		{"/v1/mine/..%2fother", "", 400},
		{"/v1/mine%2f..%2fother", "", 400},
		{"/v1/mine/..;/other", "", 400},
		{"/v1/mine%00/other", "", 400},
		{"/v1/mine/%252e%252e/other", "", 400},
		{"/v1/mine\\..\\other", "", 400},
	} {
		got := sendRaw(t, p.addr("8080"), "GET "+tc.target+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		seen := o.requests()
		if got.status != tc.status {
			t.Errorf("%s: %v, want %d", tc.target, got, tc.status)
		}
		if tc.status != 200 && len(seen) != 0 || tc.status == 200 && (len(seen) != 1 || seen[0].target != tc.upstream) {
			t.Errorf("%s: the upstream saw %v, want %q", tc.target, seen, tc.upstream)
		}
	}
	for _, method := range []string{"POST", "get", "Get", "HEAD", "OPTIONS", "TRACE", "GET\t", "X-GET"} {
		got := sendRaw(t, p.addr("8080"), method+" /v1/mine HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+token+"\r\nX-Http-Method-Override: GET\r\nX-Http-Method: GET\r\n\r\n")
		if seen := o.requests(); got.status != 403 && got.status != 400 || len(seen) != 0 {
			t.Errorf("%s: %v, %d requests upstream", method, got, len(seen))
		}
	}
}

// TestSecurityRow02AmbiguousOverHTTP2: a path in HTTP/2 is no request line, and
// could hold what that cannot.
func TestSecurityRow02AmbiguousOverHTTP2(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0"}, pathGateways(o))
	for _, target := range []string{
		"/open/../guarded", "/open/..%2fguarded", "/open\\..\\guarded", "/open/x y", "/open/\x00", "/open/a\r\nX-Admin: 1",
		"//guarded", "guarded", "http://a/guarded", "", "*", "/open#/../guarded", "/open?a b", "/open?\r\nX-Admin: 1", "/open/\xff\xfe",
	} {
		h2 := newH2(t, dialRaw(t, p.addr("8080")))
		id, err := h2.request(":method", "GET", ":scheme", "http", ":path", target, ":authority", "a")
		if err != nil {
			t.Fatal(err)
		}
		status := h2.status(id)
		seen := o.requests()
		switch {
		case status == "200" && len(seen) == 1:
			expectOpen(t, "h2 "+target, seen[0].target)
			if strings.ContainsAny(seen[0].target, " \r\n#") || seen[0].header.Get("X-Admin") != "" {
				t.Errorf("h2 %q: the upstream saw %q %v", target, seen[0].target, seen[0].header)
			}
		case status != "" && status != "400" && status != "401" && status != "404" || len(seen) != 0:
			t.Errorf("h2 %q: status %s, %d requests upstream", target, status, len(seen))
		}
	}
}
