package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// The identities of the tests.
const (
	callerID = "spiffe://cluster.local/ns/default/sa/sleep"
	egressID = "spiffe://cluster.local/ns/istio-system/sa/egress"
)

// patience is how long a test waits for what takes milliseconds. Only a fault
// reaches it: a machine that is busy may take seconds for anything.
const patience = time.Minute

// text is a writer that is read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await polls until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// updates is a source of configurations: each makes the dialect say another.
type updates struct {
	next chan *ir.Config
	now  *ir.Config
	n    int
	// shown is the client certificate of every listener.
	shown *dialect.ClientCertificate
}

// Run delivers each configuration as a set that differs from the one before.
func (u *updates) Run(ctx context.Context, apply func(source.Update)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-u.next:
			u.now = c
			u.n++
			apply(source.Update{Set: resource.NewSet([]*resource.Object{{
				Key: resource.Key{GroupKind: rootKind, Namespace: "t", Name: "root"}, ResourceVersion: strings.Repeat("x", u.n), Spec: &struct{ N int }{u.n},
			}}, []resource.Kind{{GroupKind: rootKind, Versions: []string{"v1"}}})})
		}
	}
}

var rootKind = resource.GroupKind{Group: "test", Kind: "Root"}

// said is the dialect that says what the source's present configuration is.
func (u *updates) said() dialect.Dialect {
	return dialect.Dialect{
		Name:  "test",
		Kinds: []resource.Kind{{GroupKind: rootKind, Versions: []string{"v1"}}},
		Roots: func(v *resource.View) []resource.Key {
			var out []resource.Key
			for _, o := range v.All(rootKind) {
				out = append(out, o.Key)
			}
			return out
		},
		Translate: func(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
			v.Get(root.GroupKind, root.Namespace, root.Name)
			f := &dialect.Fragment{}
			for _, l := range u.now.Listeners {
				own := *l
				own.Hosts = nil
				f.Listeners = append(f.Listeners, &dialect.Listener{Listener: own, Owner: root, ClientCertificate: u.shown})
				if l.Passthrough != nil {
					for _, r := range l.Passthrough.Routes {
						f.SNIRoutes = append(f.SNIRoutes, &dialect.SNIRoute{SNIRoute: *r, Listeners: []string{l.Name}, Owner: root})
					}
				}
				for _, h := range l.Hosts {
					vh := &dialect.VirtualHost{Listeners: []string{l.Name}, Hostnames: []string{h.Hostname}, Owner: root}
					for _, r := range h.Routes {
						vh.Routes = append(vh.Routes, &dialect.Route{Route: *r, Owner: root})
					}
					f.Hosts = append(f.Hosts, vh)
				}
			}
			for _, up := range u.now.Upstreams {
				f.Upstreams = append(f.Upstreams, up)
			}
			return f, status.Report{}
		},
	}
}

// seen keeps the records of exchanges.
type seen struct {
	mu   sync.Mutex
	list []dataplane.Record
}

// Record keeps a copy.
func (s *seen) Record(r *dataplane.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, *r)
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

// last returns the last record.
func (s *seen) last() dataplane.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return dataplane.Record{}
	}
	return s.list[len(s.list)-1]
}

// node is a running gateway of one listener, on a port of loopback.
type node struct {
	*Gateway
	store *secret.Store
	log   *text
	seen  *seen
	up    *updates
	waits chan *waiting
}

// waiting is a time that the node waits for, until the test ends it.
type waiting struct {
	time.Duration
	over chan time.Time
}

// after is the node's clock.
func (n *node) after(d time.Duration) <-chan time.Time {
	w := &waiting{d, make(chan time.Time, 1)}
	n.waits <- w
	return w.over
}

const nodePort = 1443

// newNode serves cfg until the test ends; led leads its upstreams' addresses
// elsewhere, as --connect-to.
func newNode(t testing.TB, cfg *ir.Config, led ...string) *node {
	t.Helper()
	n := &node{store: secret.NewStore(), log: &text{}, seen: &seen{}, up: &updates{next: make(chan *ir.Config)}, waits: make(chan *waiting, 64)}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	dialer, err := NewDialer(led)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := ParsePorts("127.0.0.1", []string{"1443=0"})
	if err != nil {
		t.Fatal(err)
	}
	compiler := compile.New(compile.Deps{
		Store: n.store, Keep: new(keep.Keep), Tokens: authn.NewTokenCache(16), Clock: time.Now, Log: log, Identity: compile.IdentityGiven,
		Forward: forward.Deps{Store: n.store, Clock: time.Now, Log: log, Dial: dialer.Dial},
	})
	n.Gateway = New(Config{
		Source: n.up, Store: n.store, Pipeline: NewPipeline([]dialect.Dialect{n.up.said()}, compiler, ""),
		Ports: ports, Recorder: n.seen, BodyBudget: 1 << 20, DrainLimit: patience, Clock: time.Now, After: n.after, Log: log,
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	n.up.next <- cfg
	<-n.Ready()
	return n
}

// addr is where the node listens.
func (n *node) addr() string { return n.Listeners().Addr("", nodePort).String() }

// identify gives the node a workload certificate.
func (n *node) identify(t testing.TB, cert *tls.Certificate, roots []byte) {
	t.Helper()
	chain, key, err := simulate.EncodePair(*cert)
	if err != nil {
		t.Fatal(err)
	}
	n.store.Put(map[secret.Ref]secret.Value{
		ir.IdentityRef(ir.IdentityChain): secret.NewValue(chain),
		ir.IdentityRef(ir.IdentityKey):   secret.NewValue(key),
		ir.IdentityRef(ir.IdentityRoots): secret.NewValue(roots),
	})
	n.Refresh()
}

// refused reports whether the node told of a refused handshake with a reason.
func (n *node) refused(reason string) bool {
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, "handshake refused") && strings.Contains(line, reason) {
			return true
		}
	}
	return false
}

// forwarding is a configuration that sends everything to an upstream.
func forwarding(t *ir.ServerTLS, u *ir.Upstream) *ir.Config {
	return &ir.Config{
		Listeners: []*ir.Listener{{
			Name: "t/gw/l", Gateway: "t/gw", Port: nodePort, TLS: t,
			Hosts: []*ir.VirtualHost{{Hostname: "*", Routes: []*ir.Route{{
				Name: "r", Matches: []ir.Match{{Path: ir.PathMatch{Kind: ir.PathPrefix, Value: "/"}}},
				Action: ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: u.Name, Weight: 1}}}},
			}}}},
		}},
		Upstreams: map[string]*ir.Upstream{u.Name: u},
	}
}

// echo is an upstream that answers with what it saw.
func echo(t testing.TB) *ir.Upstream {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.Host+r.URL.RequestURI())
	}))
	t.Cleanup(s.Close)
	return &ir.Upstream{Name: "echo", Endpoints: []ir.Endpoint{endpoint(t, s.Listener.Addr().String())}}
}

func endpoint(t testing.TB, addr string) ir.Endpoint {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ir.Endpoint{Host: a.IP.String(), Port: a.Port}
}

func newCA(t testing.TB) *simulate.CA {
	t.Helper()
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t testing.TB, ca *simulate.CA, w simulate.Workload) *tls.Certificate {
	t.Helper()
	cert, err := ca.IssueWorkload(w)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// workload is a certificate with one identity.
func workload(t testing.TB, ca *simulate.CA, id string) *tls.Certificate {
	return issue(t, ca, simulate.Workload{URIs: []string{id}})
}

// dials is a client's TLS: it shows a certificate and demands that the server
// proves to be egressID by one of the roots.
func dials(t testing.TB, cert *tls.Certificate, roots ...*simulate.CA) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	for _, ca := range roots {
		pool.AppendCertsFromPEM(ca.PEM())
	}
	cfg := &tls.Config{
		ServerName: "outbound_.80_._.egress.istio-system.svc.cluster.local", MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // the identity is verified below
		VerifyConnection: func(s tls.ConnectionState) error {
			if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool}); err != nil {
				return err
			}
			if id, err := authn.SPIFFEID(s.PeerCertificates[0], true); err != nil || id != egressID {
				t.Errorf("the server is %q, %v", id, err)
			}
			return nil
		},
	}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return cfg
}

// client has connections of its own.
func client(t testing.TB, cfg *tls.Config) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: protocols, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// get returns the status and text of an answer; 0 and the error without one.
func get(c *http.Client, url string) (int, string) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}
