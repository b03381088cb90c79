package forward

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// authority issues certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue returns a certificate for DNS names, URIs and IP addresses, and its
// key, both PEM.
func (a *authority) issue(names ...string) (cert, key []byte) {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, n := range names {
		if strings.Contains(n, "://") {
			u, err := url.Parse(n)
			must(a.t, err)
			tmpl.URIs = append(tmpl.URIs, u)
		} else if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	must(a.t, err)
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	must(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb})
}

// serveTLS starts an upstream whose answer is the protocol, the SNI and the
// client's certificate; its certificate has names.
func serveTLS(a *authority, h2 bool, edit func(*tls.Config), names ...string) string {
	pair, err := tls.X509KeyPair(a.issue(names...))
	must(a.t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %d", r.Proto, r.TLS.ServerName, len(r.TLS.PeerCertificates))
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.EnableHTTP2 = h2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if edit != nil {
		edit(s.TLS)
	}
	s.StartTLS()
	a.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

func TestUpstreamTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	good := serveTLS(a, true, nil, "api.example", "spiffe://td/ns/a/sa/b", "*.wild.example")
	byIP := serveTLS(a, false, nil, "127.0.0.1")
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	inline := func(a *authority) []ir.Bytes { return []ir.Bytes{{Inline: string(a.pem)}} }
	for _, tc := range []struct {
		name, addr string
		tls        ir.ClientTLS
		edit       func(*ir.Upstream)
		want       string // the answer, or part of the cause of a 503
		status     int
	}{
		{"SNI", good, ir.ClientTLS{SNI: "api.example", CAs: inline(a)}, nil, "HTTP/1.1 api.example 0", 200},
		{"HTTP/2", good, ir.ClientTLS{SNI: "api.example", CAs: inline(a)}, func(u *ir.Upstream) { u.Protocol = ir.ProtocolHTTP2 }, "HTTP/2.0 api.example 0", 200},
		{"HTTP/2 not spoken", byIP, ir.ClientTLS{CAs: inline(a)}, func(u *ir.Upstream) { u.Protocol = ir.ProtocolHTTP2 }, "", 503},
		{"endpoint's address", byIP, ir.ClientTLS{CAs: inline(a)}, nil, "HTTP/1.1  0", 200},
		{"endpoint's SNI wins", good, ir.ClientTLS{SNI: "wrong.example", CAs: inline(a)}, func(u *ir.Upstream) { u.Endpoints[0].SNI = "api.example" }, "HTTP/1.1 api.example 0", 200},
		{"auto SNI", good, ir.ClientTLS{AutoSNI: true, CAs: inline(a)}, func(u *ir.Upstream) { u.Host = "x.wild.example:443" }, "HTTP/1.1 x.wild.example 0", 200},
		{"auto SNI, HTTP/2", good, ir.ClientTLS{AutoSNI: true, CAs: inline(a)}, func(u *ir.Upstream) { u.Host, u.Protocol = "x.wild.example:443", ir.ProtocolHTTP2 }, "HTTP/2.0 x.wild.example 0", 200},
		{"subject name", good, ir.ClientTLS{SNI: "wrong.example", SubjectAltNames: []string{"no", "spiffe://td/ns/a/sa/b"}, CAs: inline(a)}, nil, "HTTP/1.1 wrong.example 0", 200},
		{"wrong subject name", good, ir.ClientTLS{SNI: "api.example", SubjectAltNames: []string{"spiffe://td/ns/a/sa/c"}, CAs: inline(a)}, nil, "holds none of the names", 503},
		{"subject name, wrong CA", good, ir.ClientTLS{SNI: "api.example", SubjectAltNames: []string{"api.example"}, CAs: inline(other)}, nil, "unknown authority", 503},
		{"wrong name", good, ir.ClientTLS{SNI: "wrong.example", CAs: inline(a)}, nil, "not wrong.example", 503},
		{"wrong CA", good, ir.ClientTLS{SNI: "api.example", CAs: inline(other)}, nil, "unknown authority", 503},
		{"system's roots", good, ir.ClientTLS{SNI: "api.example"}, nil, "unknown authority", 503},
		{"not verified", good, ir.ClientTLS{SNI: "wrong.example", InsecureSkipVerify: true}, nil, "HTTP/1.1 wrong.example 0", 200},
		{"plain text", plain, ir.ClientTLS{CAs: inline(a)}, nil, "does not look like a TLS handshake", 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := upstream(t, Deps{}, func(c *ir.Upstream) {
				c.TLS = &tc.tls
				if tc.edit != nil {
					tc.edit(c)
				}
			}, tc.addr)
			g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
			for range 2 { // the second on a pooled connection or session
				resp, body := g.get("/")
				if resp.StatusCode != tc.status || tc.status == 200 && body != tc.want {
					t.Errorf("got %s %q", resp.Status, body)
				}
				if strings.Contains(body, "authority") {
					t.Errorf("the client is told %q", body)
				}
			}
			if r := g.last(2); tc.status != 200 && (!strings.Contains(r.Cause, tc.want) || strings.Contains(r.Cause, "BEGIN")) {
				t.Errorf("cause %q", r.Cause)
			}
		})
	}
}

// TestUpstreamTLSFollowsItsSecrets: CA, certificate and key come from the
// store, and a change of them is used.
func TestUpstreamTLSFollowsItsSecrets(t *testing.T) {
	a := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	addr := serveTLS(a, false, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients }, "127.0.0.1")
	store := secret.NewStore()
	ca, crt, key := secret.Ref{Name: "ca"}, secret.Ref{Name: "crt"}, secret.Ref{Name: "key"}
	cfg := &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{endpointOf(t, addr)},
		TLS: &ir.ClientTLS{CAs: []ir.Bytes{{Ref: ca}}, Certificate: &ir.KeyPair{Certificate: crt, Key: key}}}
	u, err := NewUpstream(cfg, Deps{Store: store})
	if u == nil || err == nil {
		t.Fatal(u, err)
	}
	t.Cleanup(u.Close)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	if resp, _ := g.get("/"); resp.StatusCode != 503 {
		t.Error(resp.Status)
	}
	store.Put(map[secret.Ref]secret.Value{ca: secret.NewValue([]byte("MARKER")), crt: secret.NewValue([]byte("MARKER")), key: secret.NewValue([]byte("MARKER"))})
	if err := u.Check(); err == nil || strings.Contains(err.Error(), "MARKER") {
		t.Error(err)
	}
	c, k := a.issue("client")
	store.Put(map[secret.Ref]secret.Value{ca: secret.NewValue(a.pem), crt: secret.NewValue(c), key: secret.NewValue(k)})
	must(t, u.Check())
	if resp, body := g.get("/"); resp.StatusCode != 200 || !strings.HasSuffix(body, " 1") {
		t.Error(resp.Status, body)
	}
	store.Drop([]secret.Ref{key}) // what was made with it serves nobody either
	if resp, _ := g.get("/"); resp.StatusCode != 503 {
		t.Error(resp.Status)
	}
}

func TestUpstreamIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  ir.Upstream
	}{
		{"CA bundle", ir.Upstream{TLS: &ir.ClientTLS{CAs: []ir.Bytes{{Inline: "MARKER"}}}}},
		{"version", ir.Upstream{TLS: &ir.ClientTLS{MinVersion: "1.0"}}},
		{"cipher suite", ir.Upstream{TLS: &ir.ClientTLS{CipherSuites: []string{"TLS_RSA_WITH_RC4_128_SHA"}}}},
		{"credential", ir.Upstream{Credential: &ir.Credential{}}},
	} {
		u, err := NewUpstream(&tc.cfg, Deps{Store: secret.NewStore()})
		if u != nil || err == nil || strings.Contains(err.Error(), "MARKER") {
			t.Errorf("%s: %v, %v", tc.name, u, err)
		}
	}
}

func TestH2C(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = fmt.Fprintf(w, "%s %s %q %s", r.Proto, r.Host, r.UserAgent(), b)
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	u := upstream(t, Deps{}, func(c *ir.Upstream) { c.Protocol, c.Host = ir.ProtocolHTTP2, "x.example" }, s.Listener.Addr().String())
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}), withHTTP2)
	for _, body := range []io.Reader{strings.NewReader("abc"), io.MultiReader(strings.NewReader("abc"))} {
		r := g.request("POST", "/", body)
		r.Header.Set("User-Agent", "")
		resp, got := g.do(r)
		if got != `HTTP/2.0 x.example "" abc` || resp.Trailer.Get("Grpc-Status") != "0" || resp.ProtoMajor != 2 {
			t.Errorf("got %s %q %v", resp.Status, got, resp.Trailer)
		}
	}
}

// TestDial: the function that is given carries every connection.
func TestDial(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	var asked string
	deps := Deps{Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
		asked = to
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	cfg := &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{{Host: "api.example", Port: 443}}}
	u, err := NewUpstream(cfg, deps)
	must(t, err)
	t.Cleanup(u.Close)
	g := newGate(t, stageTo(t, u, Settings{}, deps))
	if resp, _ := g.get("/"); resp.StatusCode != 200 || asked != "api.example:443" {
		t.Error(resp.Status, asked)
	}
}

func TestHostOfTheUpstream(t *testing.T) {
	seen := make(chan string, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Host })
	deps := Deps{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	for _, tc := range []struct {
		name, endpoint, host, want string
		out                        dataplane.Outbound
	}{
		{"the client's", "e.example", "", "client.example:80", dataplane.Outbound{}},
		{"the upstream's", "e.example", "u.example", "u.example", dataplane.Outbound{}},
		{"rewritten", "e.example", "u.example", "r.example", dataplane.Outbound{Host: "r.example", AutoHost: true}},
		{"the endpoint's", "e.example", "u.example", "e.example", dataplane.Outbound{AutoHost: true}},
		{"an address is no name", "10.0.0.1", "u.example", "u.example", dataplane.Outbound{AutoHost: true}},
	} {
		u, err := NewUpstream(&ir.Upstream{Name: "u", Host: tc.host, Endpoints: []ir.Endpoint{{Host: tc.endpoint, Port: 80}}}, deps)
		must(t, err)
		t.Cleanup(u.Close)
		set := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer { e.Outbound = tc.out; return nil })
		g := newGate(t, stageTo(t, u, Settings{}, deps), withStages(set))
		r := g.request("GET", "/", nil)
		r.Host = "client.example:80"
		g.do(r)
		if got := <-seen; got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*ir.Upstream)
	}{
		{"requests", func(u *ir.Upstream) { u.MaxRequests = 2 }},
		{"connections", func(u *ir.Upstream) { u.MaxConnections = 2 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			arrived, release := make(chan struct{}), make(chan struct{})
			addr := serve(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release })
			g := newGate(t, stageTo(t, upstream(t, Deps{}, tc.edit, addr), Settings{}, Deps{}))
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if resp, _ := g.get("/"); resp.StatusCode != 200 {
						t.Error(resp.Status)
					}
				})
				<-arrived
			}
			if resp, body := g.get("/"); resp.StatusCode != 503 || !strings.HasSuffix(body, "overflow") {
				t.Errorf("got %s %q", resp.Status, body)
			}
			close(release)
			wg.Wait()
			go func() { <-arrived }()
			if resp, _ := g.get("/"); resp.StatusCode != 200 {
				t.Errorf("afterwards %s", resp.Status)
			}
		})
	}
}

// TestDeadPooledConnection: one that the upstream has closed is noticed, and
// costs no request.
func TestDeadPooledConnection(t *testing.T) {
	closed := make(chan struct{}, 100)
	addr := rawServe(t, func(c net.Conn, _ int) {
		if _, _, err := readRequest(c); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = c.(*net.TCPConn).Close()
		closed <- struct{}{}
	})
	g := simple(t, addr, Settings{})
	for range 50 {
		if resp, body := g.do(g.request("POST", "/", strings.NewReader("{}"))); resp.StatusCode != 200 {
			t.Fatal(resp.Status, body)
		}
		<-closed
	}
}

// TestWrittenPostIsNotRepeated: a pooled connection that breaks after a POST
// was written to it fails the request, whatever its headers say; a GET is sent
// once more.
func TestWrittenPostIsNotRepeated(t *testing.T) {
	for _, tc := range []struct {
		method   string
		status   int
		requests int32
	}{{"POST", 503, 1}, {"GET", 200, 2}} {
		var requests atomic.Int32
		addr := rawServe(t, func(c net.Conn, n int) {
			br := bufio.NewReader(c)
			for i := 0; ; i++ {
				if _, _, err := readRequestFrom(br); err != nil {
					return
				}
				requests.Add(1)
				if n == 0 && i == 1 {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		g := simple(t, addr, Settings{})
		g.get("/")
		requests.Store(0)
		r := g.request(tc.method, "/", nil)
		r.Header.Set("Idempotency-Key", "k")
		if resp, _ := g.do(r); resp.StatusCode != tc.status || requests.Load() != tc.requests {
			t.Errorf("%s: %s after %d requests", tc.method, resp.Status, requests.Load())
		}
	}
}

// TestCloseLeavesNothing: an Upstream that is closed while an exchange is
// under way lets it end, and keeps no connection after it.
func TestCloseLeavesNothing(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "ok")
	})
	u := upstream(t, Deps{}, nil, addr)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	done := make(chan string)
	go func() { _, body := g.get("/"); done <- body }()
	<-arrived
	u.Close()
	close(release)
	if body := <-done; body != "ok" {
		t.Error(body)
	}
	g.last(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.conns) != 0 {
		t.Errorf("%d connections are left", len(u.conns))
	}
}

func TestBackendsShareByWeight(t *testing.T) {
	var deps Deps
	var draw uint64
	deps.Rand = func() uint64 { draw++; return draw }
	var backends []Backend
	for i, w := range []int{3, 0, 1} {
		addr := serve(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(rw, i) })
		backends = append(backends, Backend{Name: fmt.Sprint(i), Weight: w, Upstream: upstream(t, deps, nil, addr)})
	}
	backends = append(backends, Backend{Name: "closed", Weight: 1, Closed: &ir.Closed{Reason: "broken"}})
	st, err := New(backends, Settings{}, deps)
	must(t, err)
	g := newGate(t, st)
	got := map[string]int{}
	for range 50 {
		resp, body := g.get("/")
		if resp.StatusCode == 500 {
			body = "closed"
		}
		got[body]++
	}
	if d := cmp.Diff(map[string]int{"0": 30, "2": 10, "closed": 10}, got); d != "" {
		t.Error(d)
	}
}

func TestNobodyToSendTo(t *testing.T) {
	for _, backends := range [][]Backend{
		nil,
		{{Weight: 0, Upstream: upstream(t, Deps{}, nil, "127.0.0.1:1")}},
		{{Weight: 1, Upstream: upstream(t, Deps{}, nil)}},
		{{Weight: 1, Tiers: [][]*Upstream{{}, {}}}},
	} {
		st, err := New(backends, Settings{}, Deps{})
		must(t, err)
		g := newGate(t, st)
		if resp, body := g.get("/"); resp.StatusCode != 503 || body != "no healthy upstream" {
			t.Errorf("got %s %q", resp.Status, body)
		}
	}
}
