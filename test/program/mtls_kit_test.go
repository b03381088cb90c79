package program

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

const sleeper = "spiffe://cluster.local/ns/default/sa/sleep"

func newCA(t testing.TB) *simulate.CA {
	t.Helper()
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// workload is a workload's certificate of a CA.
func workload(t testing.TB, ca *simulate.CA, w simulate.Workload) *tls.Certificate {
	t.Helper()
	cert, err := ca.IssueWorkload(w)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// sleep is the certificate of a good caller.
func sleep(t testing.TB, ca *simulate.CA) *tls.Certificate {
	return workload(t, ca, simulate.Workload{URIs: []string{sleeper}})
}

// indent is a text as the lines of a YAML block.
func indent(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// clientCAs is the ConfigMap that mutualGateway names.
func clientCAs(bundle []byte) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: clients, namespace: apps}\ndata:\n  ca.crt: |\n    " + indent(string(bundle)) + "\n"
}

// serverCert is a Secret of type kubernetes.io/tls.
func serverCert(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	chain, key, err := simulate.EncodePair(cert)
	if err != nil {
		t.Fatal(err)
	}
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: apps}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    " +
		indent(string(chain)) + "\n  tls.key: |\n    " + indent(string(key)) + "\n"
}

// mutualGateway is a Gateway whose listener on 8443 asks for client certificates; the
// validation has further fields in flow style.
func mutualGateway(more string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: apps}
spec:
  gatewayClassName: any
  tls:
    frontend: {default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]%s}}}
  listeners:
  - {name: https, protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: cert}]}}
`, more)
}

// mutually runs a gateway on port 8443 that asks for certificates of ca.
func mutually(t *testing.T, ca *simulate.CA, more string, s settings, o *origin) *program {
	t.Helper()
	server, err := ca.Issue("gw.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return run(t, map[string]string{
		"cas.yaml": clientCAs(ca.PEM()), "cert.yaml": serverCert(t, server), "gateway.yaml": mutualGateway(more),
		"routes.yaml": httpRoute("r", "gw", rule("/", "up", "")) + o.yaml("up"),
	}, s)
}

// mtlsClient shows a certificate, if it is not nil, and verifies the server by
// ca; each client has connections of its own.
func mtlsClient(t testing.TB, ca *simulate.CA, cert *tls.Certificate, edit func(*tls.Config)) *http.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: ca.Pool(), ServerName: "gw.example.com"}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	if edit != nil {
		edit(cfg)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: protocols, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// ask sends a request, and returns its status and text; 0 and the error if the
// connection is refused.
func ask(c *http.Client, addr, path string, header map[string]string) (int, string) {
	r, err := http.NewRequest("GET", "https://"+addr+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	r.Host = "gw.example.com"
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// lastLog waits for a line of the access log that fits, and returns it.
func (p *program) lastLog(what string, fits func(map[string]any) bool) map[string]any {
	p.t.Helper()
	var found map[string]any
	p.await("access log line with "+what, func() bool {
		for line := range strings.Lines(p.out.String()) {
			var m map[string]any
			if json.Unmarshal([]byte(line), &m) == nil && fits(m) {
				found = m
			}
		}
		return found != nil
	})
	return found
}
