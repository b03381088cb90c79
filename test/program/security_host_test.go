package program

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// tlsSecret is a TLS Secret with a certificate for names.
func tlsSecret(t *testing.T, ca *simulate.CA, name string, names ...string) string {
	t.Helper()
	cert, err := ca.Issue(names...)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var chain strings.Builder
	for _, der := range cert.Certificate {
		chain.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: apps}\ntype: kubernetes.io/tls\nstringData: {tls.crt: %q, tls.key: %q}\n",
		name, chain.String(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// secureService is a VirtualService for one host, over TLS under its own name.
func secureService(host, options string) string {
	return fmt.Sprintf(`---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: apps}
spec:
  sslConfig: {secretRef: {name: tls-%[1]s, namespace: apps}, sniDomains: [%[1]s.example]}
  virtualHost:
    domains: [%[1]s.example]
    options: {%[2]s}
    routes: [{matchers: [{prefix: /}], routeAction: {single: {upstream: {name: up}}}}]
`, host, options)
}

// TestSecurityRow22HostAndSNI: on a connection made under one listener's
// certificate and rules, no request is served under another's.
func TestSecurityRow22HostAndSNI(t *testing.T) {
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), tlsSecret(t, ca, "tls-one", "one.example"), tlsSecret(t, ca, "tls-two", "two.example"),
		secureService("one", ""), secureService("two", "jwt: "+asks()))
	for _, h2 := range []bool{false, true} {
		for _, tc := range []struct {
			sni, host string
			status    int
		}{
			{"one.example", "one.example", 200},
			{"one.example", "ONE.example.:8443", 200},
			{"one.example", "two.example", 421},
			{"one.example", "TWO.EXAMPLE", 421},
			{"one.example", "two.example.", 421},
			{"one.example", "two.example:443", 421},
			{"two.example", "one.example", 421},
			{"two.example", "two.example", 401},
			{"two.example.", "two.example", 401},
			{"TWO.example", "two.example", 401},
			{"one.example", "three.example", 404},
		} {
			name := fmt.Sprintf("SNI %s, host %s, HTTP/2 %v", tc.sni, tc.host, h2)
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2)
			protocols.SetHTTP2(h2)
			tr := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: tc.sni, MinVersion: tls.VersionTLS12}}
			r, err := http.NewRequest("GET", "https://"+p.addr("8443")+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = tc.host
			resp, err := tr.RoundTrip(r)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = resp.Body.Close()
			tr.CloseIdleConnections()
			if n := len(o.requests()); resp.StatusCode != tc.status || (n == 1) != (tc.status == 200) {
				t.Errorf("%s: %d, want %d; %d requests upstream", name, resp.StatusCode, tc.status, n)
			}
		}
	}
	for _, sni := range []string{"", "three.example", "sub.one.example", "one.example.evil"} {
		c, err := tls.Dial("tcp", p.addr("8443"), &tls.Config{RootCAs: ca.Pool(), ServerName: sni, InsecureSkipVerify: sni == "", MinVersion: tls.VersionTLS12})
		if err == nil {
			_ = c.Close()
			t.Errorf("SNI %q: a certificate is shown", sni)
		}
	}
}

// TestSecurityRow22OneHost: every way to write a host finds the host's own
// policy, or is refused.
func TestSecurityRow22OneHost(t *testing.T) {
	o := serveOrigin(t, nil)
	guarded := strings.Replace(virtualService("jwt: "+asks(), route("/", "up", "")), `["*"]`, "[guarded.example]", 1)
	open := strings.Replace(strings.Replace(virtualService("", route("/", "up", "")), `["*"]`, "[open.example]", 1), "name: vs", "name: open", 1)
	p := runOne(t, nil, o.yaml("up"), guarded, open)
	for _, tc := range []struct {
		name, head string
		status     []int
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: guarded.example\r\n", []int{401}},
		{"upper case", "GET / HTTP/1.1\r\nHost: GUARDED.Example\r\n", []int{401}},
		{"trailing dot", "GET / HTTP/1.1\r\nHost: guarded.example.\r\n", []int{401}},
		{"port", "GET / HTTP/1.1\r\nHost: guarded.example:8080\r\n", []int{401}},
		{"dot and port", "GET / HTTP/1.1\r\nHost: guarded.example.:99\r\n", []int{401}},
		{"two dots", "GET / HTTP/1.1\r\nHost: guarded.example..\r\n", []int{400, 404}},
		{"user", "GET / HTTP/1.1\r\nHost: open.example@guarded.example\r\n", []int{400}},
		{"path", "GET / HTTP/1.1\r\nHost: open.example/guarded.example\r\n", []int{400}},
		{"port of letters", "GET / HTTP/1.1\r\nHost: open.example:guarded.example\r\n", []int{400}},
		{"port too large", "GET / HTTP/1.1\r\nHost: open.example:99999\r\n", []int{400}},
		{"comma", "GET / HTTP/1.1\r\nHost: open.example, guarded.example\r\n", []int{400}},
		{"space", "GET / HTTP/1.1\r\nHost: open.example guarded.example\r\n", []int{400}},
		{"NUL", "GET / HTTP/1.1\r\nHost: open.example\x00guarded.example\r\n", []int{400}},
		{"escape", "GET / HTTP/1.1\r\nHost: open%2eexample\r\n", []int{400}},
		{"letters that fold", "GET / HTTP/1.1\r\nHost: guar\u1e0bed.example\r\n", []int{400}},
		{"empty", "GET / HTTP/1.1\r\nHost:\r\n", []int{400}},
		{"none", "GET / HTTP/1.1\r\n", []int{400}},
		{"twice, open first", "GET / HTTP/1.1\r\nHost: open.example\r\nHost: guarded.example\r\n", []int{400}},
		{"twice, guarded first", "GET / HTTP/1.1\r\nHost: guarded.example\r\nHost: open.example\r\n", []int{400}},
		{"twice the same", "GET / HTTP/1.1\r\nHost: open.example\r\nHost: open.example\r\n", []int{400}},
		{"folded", "GET / HTTP/1.1\r\nHost: open.example\r\n\tguarded.example\r\n", []int{400}},
		{"absolute form, other Host", "GET http://guarded.example/ HTTP/1.1\r\nHost: open.example\r\n", []int{401, 400}},
		{"absolute form, open; guarded Host", "GET http://open.example/ HTTP/1.1\r\nHost: guarded.example\r\n", []int{200, 400}},
		{"absolute form, user", "GET http://open.example@guarded.example/ HTTP/1.1\r\nHost: open.example\r\n", []int{400}},
		{"absolute form, backslash", "GET http://open.example\\@guarded.example/ HTTP/1.1\r\nHost: open.example\r\n", []int{400}},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n", []int{400, 404}},
		{"X-Forwarded-Host", "GET / HTTP/1.1\r\nHost: guarded.example\r\nX-Forwarded-Host: open.example\r\nX-Host: open.example\r\nForwarded: host=open.example\r\n", []int{401}},
	} {
		got := sendRaw(t, p.addr("8080"), tc.head+"\r\n")
		seen := o.requests()
		ok := false
		for _, s := range tc.status {
			ok = ok || got.status == s
		}
		if !ok || len(seen) > 0 && got.status != 200 {
			t.Errorf("%s: %v, want %v; %d requests upstream", tc.name, got, tc.status, len(seen))
		}
		for _, s := range seen {
			if s.host != "open.example" {
				t.Errorf("%s: judged as open, sent as %q", tc.name, s.host)
			}
		}
	}
}

// TestSecurityRow22AuthorityAndHost: over HTTP/2 there can be an authority and
// a Host; they must agree (RFC 9113 8.3.1).
func TestSecurityRow22AuthorityAndHost(t *testing.T) {
	o := serveOrigin(t, nil)
	guarded := strings.Replace(virtualService("jwt: "+asks(), route("/", "up", "")), `["*"]`, "[guarded.example]", 1)
	open := strings.Replace(strings.Replace(virtualService("", route("/", "up", "")), `["*"]`, "[open.example]", 1), "name: vs", "name: open", 1)
	p := runOne(t, nil, o.yaml("up"), guarded, open)
	for _, tc := range []struct {
		name   string
		fields []string
	}{
		{"guarded authority, open Host", []string{":authority", "guarded.example", "host", "open.example"}},
		{"open authority, guarded Host", []string{":authority", "open.example", "host", "guarded.example"}},
		{"two Hosts", []string{":authority", "open.example", "host", "open.example", "host", "guarded.example"}},
		{"no authority, two Hosts", []string{"host", "open.example", "host", "guarded.example"}},
		{"guarded Host alone", []string{"host", "guarded.example"}},
		{"user", []string{":authority", "open.example@guarded.example"}},
		{"neither", nil},
	} {
		h2 := newH2(t, dialRaw(t, p.addr("8080")))
		id, err := h2.request(append([]string{":method", "GET", ":scheme", "http", ":path", "/"}, tc.fields...)...)
		if err != nil {
			t.Fatal(err)
		}
		status := h2.status(id)
		if n := len(o.requests()); status == "200" || n != 0 {
			t.Errorf("%s: status %s, %d requests upstream", tc.name, status, n)
		}
	}
}

// TestSecurityRow27Tunnels: neither CONNECT nor an upgrade leads past policy.
func TestSecurityRow27Tunnels(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/open", "up", ""),
		route("/", "up", "jwtProvidersStaged: {afterExtAuth: "+asks()+"}")))
	target := fmt.Sprintf("%s:%d", o.host, o.port)
	for _, tc := range []struct{ name, text string }{
		{"CONNECT to the upstream", "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"},
		{"CONNECT to the admin", "CONNECT " + p.admin + " HTTP/1.1\r\nHost: " + p.admin + "\r\n\r\n"},
		{"CONNECT with a path", "CONNECT /open HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"CONNECT as absolute form", "CONNECT http://a/open HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		if got := sendRaw(t, p.addr("8080"), tc.text); got.status < 400 || got.status >= 500 || len(o.requests()) != 0 {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	c := dialRaw(t, p.addr("8080"))
	_, _ = io.WriteString(c, "GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	got := readReply(t, bufio.NewReader(c), "GET")
	if s := o.one(t); got.status != 200 || s.header.Get("Upgrade") != "" || s.header.Get("Http2-Settings") != "" || s.header.Get("Connection") != "" {
		t.Errorf("h2c: %v; upstream %v", got, s.header)
	}
	for _, protocol := range []string{"h2c-x", "tcp", "HTTP/2.0"} {
		got := sendRaw(t, p.addr("8080"), "GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "+protocol+"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		if seen := o.requests(); got.status != 403 || len(seen) != 0 {
			t.Errorf("upgrade to %s: %v, %d requests upstream", protocol, got, len(seen))
		}
	}
	if got := sendRaw(t, p.addr("8080"), "GET /guarded HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); got.status != 401 || len(o.requests()) != 0 {
		t.Errorf("upgrade of a guarded route: %v", got)
	}
	h2 := newH2(t, dialRaw(t, p.addr("8080")))
	id, err := h2.request(":method", "CONNECT", ":authority", target)
	if err != nil {
		t.Fatal(err)
	}
	if status := h2.status(id); strings.HasPrefix(status, "2") || len(o.requests()) != 0 {
		t.Errorf("CONNECT over HTTP/2: %s", status)
	}
	h2 = newH2(t, dialRaw(t, p.addr("8080")))
	id, err = h2.request(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/open", ":authority", "a")
	if err != nil {
		t.Fatal(err)
	}
	if status := h2.status(id); strings.HasPrefix(status, "2") || len(o.requests()) != 0 {
		t.Errorf("extended CONNECT: %s", status)
	}
}

// TestSecurityRow27ForwardedFor: who the client is, the client does not say:
// not to the upstream, and not to the log.
func TestSecurityRow27ForwardedFor(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/", "up", "")))
	for _, v := range []string{"203.0.113.7", "203.0.113.7, 203.0.113.8", "::1", "127.0.0.1", "unknown", "203.0.113.7\r\nX-Forwarded-For: 203.0.113.8"} {
		if got := sendRaw(t, p.addr("8080"), "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "+v+"\r\n\r\n"); got.status != 200 {
			t.Errorf("%q: %v", v, got)
		}
		if got := o.one(t).header["X-Forwarded-For"]; len(got) != 1 || got[0] != "127.0.0.1" {
			t.Errorf("%q: the upstream is told %q", v, got)
		}
	}
	p.await("access log", func() bool { return strings.Count(p.out.String(), `"client":"127.0.0.1"`) == 6 })
	if strings.Contains(p.out.String(), "203.0.113") {
		t.Errorf("the log believes the client:\n%s", p.out)
	}
}
