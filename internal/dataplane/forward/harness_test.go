package forward

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what takes milliseconds.
const patience = time.Minute

// refused is an address where nobody listens.
const refused = "127.0.0.1:1"

// gate is a whole gateway with one route, whose last stage is the forwarder.
type gate struct {
	t      testing.TB
	srv    *httptest.Server
	client *http.Client
	stages []dataplane.Stage
	bodies *dataplane.Budget

	mu      sync.Mutex
	records []dataplane.Record
	more    chan struct{}
}

// Record keeps a copy of r.
func (g *gate) Record(r *dataplane.Record) {
	g.mu.Lock()
	g.records = append(g.records, *r)
	g.mu.Unlock()
	select {
	case g.more <- struct{}{}:
	default:
	}
}

// last waits for n records and returns the last of them.
func (g *gate) last(n int) dataplane.Record {
	g.t.Helper()
	late := time.After(patience)
	for {
		g.mu.Lock()
		if len(g.records) >= n {
			r := g.records[n-1]
			g.mu.Unlock()
			return r
		}
		g.mu.Unlock()
		select {
		case <-g.more:
		case <-late:
			g.t.Fatalf("no record %d", n)
		}
	}
}

type gateOption func(*gate, *dataplane.Listener, *httptest.Server)

func withIdle(d time.Duration) gateOption {
	return func(_ *gate, l *dataplane.Listener, _ *httptest.Server) { l.Limits.StreamIdle = d }
}

func withHTTP2(_ *gate, _ *dataplane.Listener, s *httptest.Server) { s.EnableHTTP2 = true }

func withStages(s ...dataplane.Stage) gateOption {
	return func(g *gate, _ *dataplane.Listener, _ *httptest.Server) { g.stages = append(g.stages, s...) }
}

// newGate serves stage.
func newGate(t testing.TB, stage dataplane.Stage, options ...gateOption) *gate {
	t.Helper()
	g := &gate{t: t, more: make(chan struct{}, 1), bodies: dataplane.NewBudget(1 << 30)}
	h := dataplane.NewHandler(g, g.bodies, slog.New(slog.DiscardHandler), time.Now)
	g.srv = httptest.NewUnstartedServer(h)
	g.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	l := &dataplane.Listener{Name: "l", ServerName: "envoy", Limits: dataplane.Limits{HeaderBytes: 64 << 10, Headers: 100, BodyBytes: 32 << 20}}
	for _, o := range options {
		o(g, l, g.srv)
	}
	route := &dataplane.Route{Name: "r", Stages: append(g.stages, stage)}
	router, err := match.NewRouter([]*match.Entry[*dataplane.Route]{{Match: ir.Match{}, Value: route}})
	must(t, err)
	hosts, err := match.NewHosts([]match.HostEntry[*dataplane.VirtualHost]{{Pattern: "*", Value: &dataplane.VirtualHost{Router: router}}})
	must(t, err)
	l.Hosts = hosts
	listeners, err := match.NewHosts([]match.HostEntry[*dataplane.Listener]{{Pattern: "*", Value: l}})
	must(t, err)
	h.Swap(&dataplane.Socket{Hosts: listeners})
	if g.srv.EnableHTTP2 {
		g.srv.StartTLS()
	} else {
		g.srv.Start()
	}
	g.client = g.srv.Client()
	tr := g.client.Transport.(*http.Transport)
	tr.DisableCompression = true
	if p, ok := g.srv.Listener.(*pipes); ok {
		tr.DialContext = p.dial
	}
	g.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		g.srv.CloseClientConnections()
		g.srv.Close()
	})
	return g
}

// dial opens a connection to the gate.
func (g *gate) dial() net.Conn {
	g.t.Helper()
	dial := (&net.Dialer{}).DialContext
	if p, ok := g.srv.Listener.(*pipes); ok {
		dial = p.dial
	}
	c, err := dial(context.Background(), "tcp", g.srv.Listener.Addr().String())
	must(g.t, err)
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// do sends a request and returns the status, header and body of the answer.
func (g *gate) do(r *http.Request) (*http.Response, string) {
	g.t.Helper()
	resp, err := g.client.Do(r)
	must(g.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(g.t, err)
	return resp, string(b)
}

func (g *gate) request(method, path string, body io.Reader) *http.Request {
	g.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, g.srv.URL+path, body)
	must(g.t, err)
	return r
}

func (g *gate) get(path string) (*http.Response, string) {
	g.t.Helper()
	return g.do(g.request("GET", path, nil))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// endpointOf returns the endpoint of an address.
func endpointOf(t testing.TB, addr string) ir.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	return ir.Endpoint{Host: host, Port: n}
}

// serve starts an upstream.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

// upstream makes an Upstream of addresses, changed by edit.
func upstream(t testing.TB, deps Deps, edit func(*ir.Upstream), addrs ...string) *Upstream {
	t.Helper()
	cfg := &ir.Upstream{Name: "u"}
	for _, a := range addrs {
		cfg.Endpoints = append(cfg.Endpoints, endpointOf(t, a))
	}
	if edit != nil {
		edit(cfg)
	}
	u, err := NewUpstream(cfg, deps)
	must(t, err)
	t.Cleanup(u.Close)
	return u
}

// stageTo returns the stage that forwards to u alone.
func stageTo(t testing.TB, u *Upstream, s Settings, deps Deps) dataplane.Stage {
	t.Helper()
	st, err := New([]Backend{{Name: "b", Weight: 1, Upstream: u}}, s, deps)
	must(t, err)
	return st
}

// simple is a gate before one upstream with one endpoint.
func simple(t testing.TB, addr string, s Settings, options ...gateOption) *gate {
	t.Helper()
	return newGate(t, stageTo(t, upstream(t, Deps{}, nil, addr), s, Deps{}), options...)
}

// keys returns a store with one secret, and its reference.
func keys(name, value string) (*secret.Store, secret.Ref) {
	s := secret.NewStore()
	ref := secret.Ref{Kind: "Secret", Namespace: "n", Name: name, Key: "k"}
	s.Put(map[secret.Ref]secret.Value{ref: secret.NewValue([]byte(value))})
	return s, ref
}
