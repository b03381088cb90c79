package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
	"github.com/postern-gateway/postern/test/cluster"
)

// papers are the files that a kubeconfig names.
type papers struct {
	t   *testing.T
	dir string
}

// write puts a file in the place of the one of that name at once, as a kubelet does.
func (p papers) write(name string, b []byte) {
	p.t.Helper()
	next := filepath.Join(p.dir, name+".next")
	if err := os.WriteFile(next, b, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

// pair writes a certificate of a client and its key.
func (p papers) pair(ca *simulate.CA) {
	p.t.Helper()
	pair, err := ca.IssueWorkload(simulate.Workload{URIs: []string{"spiffe://cluster.local/ns/a/sa/postern"}})
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	p.write("crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
}

// config is the connection of a kubeconfig with a user who has these fields.
func (p papers) config(server, user string) *rest.Config {
	p.t.Helper()
	p.write("kubeconfig", fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: ca}}]
users: [{name: u, user: {%s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server, user))
	c, err := FromFile(filepath.Join(p.dir, "kubeconfig"), false)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// renewed changes what a source's connection is made with, which cuts it, and
// expects that it goes on by itself: what it held stays, and what changes is
// heard again.
func renewed(t *testing.T, p *tenant, client *rest.Config, within time.Duration, says string, change, renew func()) {
	t.Helper()
	p.Put(t, "a", sourcetest.WidgetYAML("a", "one"))
	w, h := p.watched(t, Config{Client: client, Namespaces: []string{"default"}})
	w.Await(t, "first", func(s sourcetest.State) bool { return s.Widget("a") == "one" })
	change()
	h.await(t, "cut off", func(err error) bool { return err != nil })
	if s := w.Await(t, "told", func(s sourcetest.State) bool { return s.Says(says) }); s.Widget("a") != "one" {
		t.Error("the object is gone with the connection")
	}
	renew()
	p.Put(t, "a", sourcetest.WidgetYAML("a", "two"))
	deadline := time.Now().Add(within)
	for w.State().Widget("a") != "two" || w.State().Says(says) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is heard with what was renewed: %v", w.State().Problems)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestTokenFileRenewed has the API server know another token alone.
func TestTokenFileRenewed(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	p := open(t, c)
	files := papers{t, t.TempDir()}
	ca, err := os.ReadFile(filepath.Join(c.Dir, "certs", "apiserver.crt"))
	if err != nil {
		t.Fatal(err)
	}
	files.write("ca", ca)
	files.write("token", []byte(c.Token))
	client := files.config(c.URL, "tokenFile: token")
	restart := func() {
		if err := c.Restart(context.Background(), "kube-apiserver"); err != nil {
			t.Fatal(err)
		}
		p.objects = c.Objects(t)
	}
	renewed(t, p, client, sourcetest.Deadline, "does not accept our credential", func() {
		c.Kill("kube-apiserver")
		c.Token = "MARKER-another"
		if err := os.WriteFile(filepath.Join(c.Dir, "tokens.csv"), []byte(c.Token+",admin,admin,system:masters\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		restart()
	}, func() { files.write("token", []byte(c.Token+"\n")) })
}

// front is an API server at another address, with certificates of our own.
type front struct {
	*httptest.Server
	tls atomic.Pointer[tls.Config]
}

// newFront stands before a cluster's API server.
func newFront(t *testing.T, c *cluster.Cluster, client *rest.Config) *front {
	t.Helper()
	through, err := rest.TransportFor(client)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{Transport: through, FlushInterval: -1, ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	f := &front{Server: httptest.NewUnstartedServer(proxy)}
	f.Config.ErrorLog = quiet
	f.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.tls.Load(), nil }}
	return f
}

// show makes a server's certificate of ca, and asks for one of clients, unless
// that is nil.
func (f *front) show(t *testing.T, ca, clients *simulate.CA) {
	t.Helper()
	pair, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients.Pool()
	}
	if f.tls.Store(c); f.URL == "" {
		f.StartTLS()
		t.Cleanup(f.Close)
	}
	f.CloseClientConnections()
}

func authorities(t *testing.T, n int) []*simulate.CA {
	t.Helper()
	var out []*simulate.CA
	for range n {
		ca, err := simulate.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ca)
	}
	return out
}

// TestClientCertificateRenewed has the API server believe in another authority
// of clients alone. The files are looked at every five minutes; here sooner.
func TestClientCertificateRenewed(t *testing.T) {
	p := open(t, shared.Cluster(t))
	transport.CertCallbackRefreshDuration = 500 * time.Millisecond
	t.Cleanup(func() { transport.CertCallbackRefreshDuration = 5 * time.Minute })
	ca := authorities(t, 3)
	f := newFront(t, shared.Cluster(t), p.client)
	f.show(t, ca[0], ca[1])
	files := papers{t, t.TempDir()}
	files.write("ca", ca[0].PEM())
	files.pair(ca[1])
	renewed(t, p, files.config(f.URL, "client-certificate: crt, client-key: key"), sourcetest.Deadline, "does not answer",
		func() { f.show(t, ca[0], ca[2]) }, func() { files.pair(ca[2]) })
}

// TestAuthoritiesRenewed has the API server show a certificate of another
// authority. The file is looked at every five minutes.
func TestAuthoritiesRenewed(t *testing.T) {
	if os.Getenv("POSTERN_SOAK") == "" {
		t.Skip("takes five minutes: POSTERN_SOAK=1")
	}
	p := open(t, shared.Cluster(t))
	ca := authorities(t, 2)
	f := newFront(t, shared.Cluster(t), p.client)
	f.show(t, ca[0], nil)
	files := papers{t, t.TempDir()}
	files.write("ca", ca[0].PEM())
	renewed(t, p, files.config(f.URL, "token: "+shared.Cluster(t).Token), 6*time.Minute, "does not answer",
		func() { f.show(t, ca[1], nil) }, func() { files.write("ca", ca[1].PEM()) })
}
