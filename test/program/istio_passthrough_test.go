package program

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/internal/explain"
	"github.com/postern-gateway/postern/internal/simulate"
)

const passthroughGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - hosts: ['*']
    port: {name: tls, number: 8443, protocol: TLS}
    tls: {mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: openai, namespace: istio-system}
spec:
  hosts: [api.openai.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: openai, namespace: istio-system}
spec:
  hosts: [api.openai.com]
  gateways: [gw]
  tls:
  - match: [{port: 8443, sniHosts: [api.openai.com]}]
    route: [{destination: {host: api.openai.com, port: {number: 443}}}]
`

// carriedBy returns a client whose connections all go to addr.
func carriedBy(t *testing.T, addr string, roots *x509.CertPool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// TestIstioPassthrough asks a provider through the gateway, with a key of the
// client's own, and verifies the provider's certificate.
func TestIstioPassthrough(t *testing.T) {
	all, flags := providers(t, func(*simulate.Config) {})
	p := run(t, map[string]string{"gw.yaml": passthroughGateway}, settings{args: flags})
	addr := p.addr("8443")
	c := carriedBy(t, addr, all.CA().Pool())
	r, err := http.NewRequest("POST", "https://api.openai.com/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+openAIKey)
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || !strings.Contains(string(body), "chat.completion") || resp.Header.Get("X-Postern-Decision") != "" {
		t.Errorf("%d %s %v", resp.StatusCode, body, resp.Header)
	}
	if n := len(all.Requests()); n != 1 {
		t.Errorf("the provider saw %d requests", n)
	}
	c.CloseIdleConnections()
	line := p.lastLog("the connection", func(m map[string]any) bool { return m["authority"] == "api.openai.com" })
	if line["verdict"] != "allow" || line["protocol"] != "TLS" || line["route"] != "VirtualService istio-system/openai/tls[0]" ||
		line["endpoint"] != "api.openai.com:443" || line["bytes_in"] == nil || line["bytes_out"] == nil || line["client"] != "127.0.0.1" {
		t.Errorf("access log: %v", line)
	}
	if _, err := carriedBy(t, addr, all.CA().Pool()).Get("https://other.example/"); err == nil {
		t.Error("an unknown server name is carried")
	}
	p.await("line about the unknown server name", func() bool {
		return strings.Contains(p.err.String(), "no route carries the server name") && strings.Contains(p.err.String(), "other.example")
	})
}

// passthroughPolicy keeps one network, and everyone who has not asked for the
// provider, away.
const passthroughPolicy = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec:
  action: DENY
  rules: [{from: [{source: {ipBlocks: [127.0.0.2]}}]}]
`

// TestExplainPassthrough compares what explain says of connections whose TLS
// is passed through with what becomes of them.
func TestExplainPassthrough(t *testing.T) {
	all, flags := providers(t, func(*simulate.Config) {})
	files := map[string]string{"gw.yaml": passthroughGateway + passthroughPolicy}
	p := run(t, files, settings{args: flags})
	dir := t.TempDir()
	writeAll(t, dir, files)
	for _, tc := range []struct {
		name, host, source string
		want               explain.Explanation
	}{
		{"carried", "api.openai.com", "127.0.0.1", explain.Explanation{
			Decision: explain.Allow, Verdict: "allow",
			Upstream: &explain.Upstream{Endpoint: "api.openai.com:443", Host: "api.openai.com"},
		}},
		{"refused by a policy", "api.openai.com", "127.0.0.2", explain.Explanation{
			Decision: explain.Deny, Verdict: "deny", Decided: &explain.Decided{Policy: "istio-system/deny"},
		}},
		{"of no route", "other.example", "127.0.0.1", explain.Explanation{Decision: explain.Deny, Verdict: "no-route"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			args := []string{"explain", "-f", dir, "-o", "json", "GET", "https://" + tc.host + ":8443/", "--source-ip", tc.source}
			cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: io.Discard, Env: func(string) (string, bool) { return "", false }})
			var got explain.Explanation
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, out.String())
			}
			if got.Decision != tc.want.Decision || got.Verdict != tc.want.Verdict || got.Status != 0 ||
				(got.Upstream != nil) != (tc.want.Upstream != nil) || (got.Decided != nil) != (tc.want.Decided != nil) {
				t.Fatalf("got %s", out.String())
			}
			if u := got.Upstream; u != nil && (u.Endpoint != tc.want.Upstream.Endpoint || u.Host != tc.want.Upstream.Host) {
				t.Errorf("upstream %+v", u)
			}
			if d := got.Decided; d != nil && d.Policy != tc.want.Decided.Policy {
				t.Errorf("decided by %+v", d)
			}
			from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tc.source)}}
			c, err := from.DialContext(t.Context(), "tcp", p.addr("8443"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			err = tls.Client(c, &tls.Config{RootCAs: all.CA().Pool(), ServerName: tc.host}).HandshakeContext(t.Context())
			if (err == nil) != (got.Decision == explain.Allow) {
				t.Errorf("explain says %s; the handshake ended with %v", got.Decision, err)
			}
		})
	}
}
