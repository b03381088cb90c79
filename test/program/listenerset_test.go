package program

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
)

// TestListenerSet serves a Gateway's listeners beside those that another
// namespace adds to it, each with its own routes and certificate.
func TestListenerSet(t *testing.T) {
	ca := newCA(t)
	front, err := ca.Issue("more.example.com")
	if err != nil {
		t.Fatal(err)
	}
	o := serveOrigin(t, nil)
	gateway := strings.Replace(grpcGateway, "gatewayClassName: any", "gatewayClassName: any\n  allowedListeners: {namespaces: {from: Same}}", 1)
	gateway = strings.Replace(gateway, "port: 8080", "port: 8080, hostname: gw.example.com", 1)
	const set = `apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: apps}
spec:
  parentRef: {name: gw}
  listeners:
  - {name: http, protocol: HTTP, port: 8080, hostname: more.example.com}
  - {name: https, protocol: HTTPS, port: 8443, hostname: more.example.com, tls: {certificateRefs: [{name: cert}]}}
`
	ofSet := strings.Replace(httpRoute("on-set", "more", rule("/set", "up", "")), "{name: more}", "{kind: ListenerSet, name: more}", 1)
	p := run(t, map[string]string{
		"gw.yaml": gateway, "set.yaml": set, "cert.yaml": serverCert(t, front),
		"routes.yaml": httpRoute("on-gateway", "gw", rule("/gw", "up", "")) + ofSet + o.yaml("up"),
	}, settings{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "more.example.com"}}}
	t.Cleanup(secure.CloseIdleConnections)
	get := func(c *http.Client, base, host, path string) int {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	plain, over := "http://"+p.addr("8080"), "https://"+p.addr("8443")
	for _, tc := range []struct {
		name, base, host, path string
		client                 *http.Client
		want                   int
	}{
		{"the Gateway's route", plain, "gw.example.com", "/gw", http.DefaultClient, 200},
		{"the set's route", plain, "more.example.com", "/set", http.DefaultClient, 200},
		{"over TLS", over, "more.example.com", "/set", secure, 200},
		{"the Gateway's route on the set", plain, "more.example.com", "/gw", http.DefaultClient, 404},
		{"the set's route on the Gateway", plain, "gw.example.com", "/set", http.DefaultClient, 404},
	} {
		if got := get(tc.client, tc.base, tc.host, tc.path); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
	p.write("gw.yaml", strings.Replace(gateway, "from: Same", "from: None", 1))
	p.await("the set gone", func() bool { return get(http.DefaultClient, plain, "more.example.com", "/set") == 404 })
	if got := get(http.DefaultClient, plain, "gw.example.com", "/gw"); got != 200 {
		t.Errorf("the Gateway's own: %d", got)
	}
}
