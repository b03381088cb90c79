package program

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestSecurityRow16Admin: the admin listener is on loopback, believes no name
// that a page could have chosen, serves no other site, and changes nothing.
func TestSecurityRow16Admin(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	if !strings.HasPrefix(p.admin, "127.0.0.1:") {
		t.Fatal(p.admin)
	}
	_, port := splitAddr(t, p.admin)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/status", "/config", "/"} {
		for host, want := range map[string]int{
			p.admin: 200, "localhost": 200, fmt.Sprintf("localhost:%d", port): 200, "[::1]:9901": 200,
			"evil.example": 403, fmt.Sprintf("evil.example:%d", port): 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "localhost.": 403, "127.1": 403, "0x7f.1": 403, "2130706433": 403,
		} {
			if got := sendRaw(t, p.admin, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); got.status != want {
				t.Errorf("%s, host %s: %d, want %d", path, host, got.status, want)
			}
		}
		for _, head := range []string{"Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: http://" + p.admin + ".evil.example"} {
			got := sendRaw(t, p.admin, "GET "+path+" HTTP/1.1\r\nHost: "+p.admin+"\r\n"+head+"\r\nConnection: close\r\n\r\n")
			if got.status != 403 || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s, %s: %v", path, head, got)
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"} {
			if got := sendRaw(t, p.admin, method+" "+path+" HTTP/1.1\r\nHost: "+p.admin+"\r\nConnection: close\r\n\r\n"); got.status != 405 {
				t.Errorf("%s %s: %d", method, path, got.status)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/quitquitquit", "/reload", "/config/../status/x", "//status", "/.git/config"} {
		if got := sendRaw(t, p.admin, "GET "+path+" HTTP/1.1\r\nHost: "+p.admin+"\r\nConnection: close\r\n\r\n"); got.status == 200 {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/status", "/config"} { // not where callers are
		if got := send(t, request{url: "http://" + p.addr("8080") + path}); got.status != 200 || o.one(t).target != path {
			t.Errorf("%s of the data plane: %v", path, got)
		}
	}
}

// TestSecurityRow26HostileResources: resources that would take memory or time
// without end are refused, while what was good before is served.
func TestSecurityRow26HostileResources(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	o := serveOrigin(t, nil)
	for name, text := range map[string]string{
		"alias bomb":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n" + bomb,
		"alias cycle":    "apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: bomb, labels: *m}\n",
		"deep":           "apiVersion: v1\nkind: ConfigMap\nmetadata: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "\n",
		"many documents": strings.Repeat("---\n{}\n", 200_000),
		"long":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: long}\ndata: {x: " + strings.Repeat("x", 40<<20) + "}\n",
		"binary":         "\x00\x01\x02\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			p := run(t, map[string]string{"good.yaml": o.yaml("up") + virtualService("", route("/", "up", ""))}, settings{})
			p.write("bad.yaml", text)
			if name != "many documents" { // these hold nothing, and hurt nobody
				p.await("word of it", func() bool { return strings.Contains(p.err.String(), "bad.yaml") })
			}
			if len(p.err.String()) > 64<<10 {
				t.Errorf("says %d bytes of it", len(p.err.String()))
			}
			if got := send(t, request{url: "http://" + p.addr("8080") + "/"}); got.status != 200 {
				t.Errorf("what was good: %v", got)
			}
		})
	}
}

// TestSecurityRow26HostileExpressions: an expression that would grow without
// end closes its route alone.
func TestSecurityRow26HostileExpressions(t *testing.T) {
	o := serveOrigin(t, nil)
	matching := func(expr string) string {
		return fmt.Sprintf("{matchers: [{regex: %q}], routeAction: {single: {upstream: {name: up}}}}", expr)
	}
	for name, expr := range map[string]string{
		"nested counts": "/x((a{1,100}){1,100}){1,100}", "long": "/x" + strings.Repeat("(a|b)", 50_000), "deep": "/x" + strings.Repeat("(", 5000) + strings.Repeat(")", 5000), "unclosed": "/x(",
	} {
		t.Run(name, func(t *testing.T) {
			p := runOne(t, nil, o.yaml("up"), virtualService("", matching(expr), route("/", "up", "")))
			if got := send(t, request{url: "http://" + p.addr("8080") + "/xab"}); got.status != 500 || len(o.requests()) != 0 {
				t.Errorf("what it may match: %v", got)
			}
			if got := send(t, request{url: "http://" + p.addr("8080") + "/other"}); got.status != 200 || len(o.requests()) != 1 {
				t.Errorf("the neighbour: %v", got)
			}
		})
	}
	p := runOne(t, nil, o.yaml("up"), virtualService("jwt: "+asks(), matching("/(a+)+$"), route("/", "up", "")))
	got := send(t, request{url: "http://" + p.addr("8080") + "/" + strings.Repeat("a", 30000) + "!", header: bearer(caller(""))})
	if got.status != http.StatusOK {
		t.Errorf("a path that makes others backtrack: %v", got)
	}
}
