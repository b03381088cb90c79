package program

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// TestBackendClientCertificate shows a Gateway's certificate to a backend that
// asks for one: also to one of another dialect's kind, and another certificate
// after it was replaced, without a restart. Where it is gone, the backend is
// not asked.
func TestBackendClientCertificate(t *testing.T) {
	ca := newCA(t)
	server, err := ca.Issue("up.example.com")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].URIs[0].String())
	}))
	up.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	up.StartTLS()
	t.Cleanup(up.Close)
	host, port := splitAddr(t, up.Listener.Addr().String())
	certificate := func(uri string) string {
		return serverCert(t, *workload(t, ca, simulate.Workload{URIs: []string{uri}}))
	}
	gateway := strings.Replace(grpcGateway, "gatewayClassName: any", "gatewayClassName: any\n  tls: {backend: {clientCertificateRef: {name: cert}}}", 1)
	p := run(t, map[string]string{
		"gw.yaml":  gateway + strings.NewReplacer("name: gw", "name: bare", "8080", "8443").Replace(grpcGateway),
		"cas.yaml": clientCAs(ca.PEM()), "cert.yaml": certificate("spiffe://x/one"),
		"service.yaml": service("up", up.Listener.Addr().String(), ""),
		"routes.yaml": httpRoute("r", "gw", "{backendRefs: [{name: up, port: 80}]}", "{matches: [{path: {value: /backend}}], backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: up}]}") +
			httpRoute("s", "bare", "{backendRefs: [{name: up, port: 80}]}"),
		"backend.yaml": "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {name: up, namespace: apps}\nspec: {endpoints: [{ip: {address: " + host + ", port: " + strconv.Itoa(port) + "}}]}\n",
		"policy.yaml": `apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: up, namespace: apps}
spec:
  targetRefs: [{group: "", kind: Service, name: up}, {group: gateway.envoyproxy.io, kind: Backend, name: up}]
  validation: {hostname: up.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}
`,
	}, settings{})
	get := func(port, path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + p.addr(port) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for _, path := range []string{"/", "/backend"} {
		if status, got := get("8080", path); status != 200 || got != "spiffe://x/one" {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
	if status, got := get("8443", "/"); status != 503 {
		t.Errorf("of a Gateway without a certificate: %d %s", status, got)
	}
	p.write("cert.yaml", certificate("spiffe://x/two"))
	for _, path := range []string{"/", "/backend"} {
		p.await("the new certificate at "+path, func() bool { status, got := get("8080", path); return status == 200 && got == "spiffe://x/two" })
	}
	p.remove("cert.yaml")
	for _, path := range []string{"/", "/backend"} {
		p.await("closed at "+path, func() bool { status, _ := get("8080", path); return status == 500 })
	}
	p.write("cert.yaml", certificate("spiffe://x/three"))
	p.await("open again", func() bool { status, got := get("8080", "/"); return status == 200 && got == "spiffe://x/three" })
}
