package program

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// clientRoot signs client certificates.
type clientRoot struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClientRoot(t *testing.T, name string) *clientRoot {
	t.Helper()
	a := &clientRoot{}
	a.cert, a.key = certify(t, name, nil)
	return a
}

// certify makes a certificate: a root, or a client's that a signed.
func certify(t *testing.T, name string, a *clientRoot) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a == nil, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// client returns a certificate that the clientRoot vouches for.
func (a *clientRoot) client(t *testing.T) tls.Certificate {
	cert, key := certify(t, "client", a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *clientRoot) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// mutual is a service that asks clients for certificates of some roots.
func mutual(t *testing.T, ca *simulate.CA, roots ...*clientRoot) string {
	bundle := ""
	for _, a := range roots {
		bundle += a.pem()
	}
	secret := tlsSecret(t, ca, "mutual", "mutual.example")
	return strings.Replace(secret, "stringData: {", fmt.Sprintf("stringData: {ca.crt: %q, ", bundle), 1) + `---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: mutual, namespace: apps}
spec:
  sslConfig: {secretRef: {name: mutual, namespace: apps}, sniDomains: [mutual.example]}
  virtualHost:
    domains: [mutual.example]
    routes:
    - directResponseAction: {status: 200, body: served}
`
}

// TestSecurityRow23RemovedRoots removes the root that vouches for a client:
// neither the connection that it has open nor a session that it resumes
// outlives that.
func TestSecurityRow23RemovedRoots(t *testing.T) {
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	old, next := newClientRoot(t, "old"), newClientRoot(t, "next")
	for _, h2 := range []bool{false, true} {
		p := run(t, map[string]string{"mutual.yaml": mutual(t, ca, old)}, settings{})
		client := func(a *clientRoot) *http.Transport {
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2)
			protocols.SetHTTP2(h2)
			tr := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{
				RootCAs: ca.Pool(), ServerName: "mutual.example", MinVersion: tls.VersionTLS12,
				ClientSessionCache: tls.NewLRUClientSessionCache(8),
			}}
			if a != nil {
				tr.TLSClientConfig.Certificates = []tls.Certificate{a.client(t)}
			}
			t.Cleanup(tr.CloseIdleConnections)
			return tr
		}
		ask := func(tr *http.Transport) string {
			r, err := http.NewRequest("GET", "https://"+p.addr("8443")+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "mutual.example"
			resp, err := tr.RoundTrip(r)
			if err != nil {
				return "refused"
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return fmt.Sprint(resp.StatusCode)
		}
		expect := func(what string, tr *http.Transport, want string) {
			t.Helper()
			if got := ask(tr); got != want {
				t.Errorf("%s, HTTP/2 %v: %s, want %s", what, h2, got, want)
			}
		}
		open := client(old)
		expect("trusted", open, "200")
		expect("trusted, the same connection", open, "200")
		expect("of another root", client(next), "refused")
		expect("no certificate", client(nil), "refused")

		p.write("mutual.yaml", mutual(t, ca, old, next))
		p.await("both roots", func() bool { return ask(client(next)) == "200" })
		expect("a root more cuts nobody", open, "200")

		p.write("mutual.yaml", mutual(t, ca, next))
		p.await("the old root's end", func() bool { return ask(client(old)) == "refused" })
		expect("the open connection", open, "421")
		expect("connected again, with a session to resume", open, "refused")
		expect("of the root that stays", client(next), "200")
	}
}
