package filter

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// sent is what the upstream would have been sent.
type sent struct {
	Path, Query, Host string
	Auto              bool
	Header            http.Header
	Body              string
}

// gateway is a Handler with one route, whose last stage answers with what it
// would have sent.
type gateway struct {
	*httptest.Server
	mu      sync.Mutex
	written *sync.Cond // of mu
	asked   int        // requests that were sent
	records []dataplane.Record
}

func (g *gateway) Record(r *dataplane.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records = append(g.records, *r)
	g.written.Broadcast()
}

// last returns the record of the request that was sent last. A client can have
// its answer before the gateway has written the record.
func (g *gateway) last() dataplane.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.records) < g.asked {
		g.written.Wait()
	}
	return g.records[len(g.records)-1]
}

// forwarded is the last stage: it applies what the stages gathered in the
// order in which the forwarder does.
func forwarded(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	h := e.Header.Clone()
	e.DropConsumed(h)
	for _, s := range e.Outbound.Secrets {
		for name := range h {
			if dataplane.IsCredentialHeader(name) {
				delete(h, name)
			}
		}
		_ = s
	}
	e.Outbound.WriteSecretHeaders(h)
	for _, s := range e.Outbound.Secrets {
		v, err := s.Value()
		if err != nil {
			return &dataplane.Answer{Status: 500, Verdict: dataplane.Broken, Cause: err.Error()}
		}
		h[s.Name] = []string{v}
	}
	body, ok := e.Collected()
	if !ok {
		var err error
		if body, err = io.ReadAll(e.Body); err != nil {
			return dataplane.BodyAnswer(err)
		}
	}
	host := e.Outbound.Host
	if host == "" {
		host = e.Authority
	}
	text, _ := json.Marshal(sent{Path: e.OutPath(), Query: e.OutQuery(), Host: host, Auto: e.Outbound.AutoHost, Header: h, Body: string(body)})
	return &dataplane.Answer{Status: 200, Body: string(text), Verdict: dataplane.Allowed, Header: http.Header{"X-From": {"upstream"}}}
}

func serve(t testing.TB, m ir.PathMatch, stages ...dataplane.Stage) *gateway {
	t.Helper()
	route := &dataplane.Route{Name: "r", Stages: append(stages, dataplane.StageFunc(forwarded))}
	router, err := match.NewRouter([]*match.Entry[*dataplane.Route]{{Match: ir.Match{Path: m}, Value: route}})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := match.NewHosts([]match.HostEntry[*dataplane.VirtualHost]{{Pattern: "*", Value: &dataplane.VirtualHost{Router: router}}})
	if err != nil {
		t.Fatal(err)
	}
	listener := &dataplane.Listener{Name: "l", ServerName: "envoy", Hosts: hosts, Port: 8080, Limits: dataplane.Limits{Headers: 100, BodyBytes: 1 << 20}}
	listeners, err := match.NewHosts([]match.HostEntry[*dataplane.Listener]{{Pattern: "*", Value: listener}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	g.written = sync.NewCond(&g.mu)
	clock := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC) }
	h := dataplane.NewHandler(g, dataplane.NewBudget(1<<20), slog.New(slog.DiscardHandler), clock)
	h.Swap(&dataplane.Socket{Hosts: listeners, Port: 8080})
	g.Server = httptest.NewServer(h)
	t.Cleanup(g.Close)
	return g
}

// do sends a request: "METHOD target", then "Name: value" lines.
func (g *gateway) do(t testing.TB, line string, header ...string) *http.Response {
	t.Helper()
	return g.send(t, line, "", header...)
}

func (g *gateway) send(t testing.TB, line, body string, header ...string) *http.Response {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	req, err := http.NewRequest(method, g.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "gw.test"
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	g.mu.Lock()
	g.asked++
	g.mu.Unlock()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// upstream returns what the upstream was sent.
func upstream(t testing.TB, res *http.Response) sent {
	t.Helper()
	var s sent
	text := bodyOf(t, res)
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%d %q: %v", res.StatusCode, text, err)
	}
	return s
}

func bodyOf(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func must(t testing.TB) func(dataplane.Stage, error) dataplane.Stage {
	return func(s dataplane.Stage, err error) dataplane.Stage {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// anonymous is an exchange that no server made.
func anonymous(path string) *dataplane.Exchange {
	return &dataplane.Exchange{
		Method: "POST", Scheme: "http", Host: "gw.test", Authority: "gw.test", Path: path, Header: http.Header{},
		Record: dataplane.Record{Start: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), Protocol: "HTTP/1.1"},
	}
}

func alice() authn.Identity {
	return authn.Identity{
		Provider: "idp", Method: authn.MethodJWT, Issuer: "https://idp", Subject: "alice",
		Claims: map[string]any{"sub": "alice", "team": map[string]any{"name": "red", "size": json.Number("3")}, "admin": true, "groups": []any{"a", "b"}},
	}
}
