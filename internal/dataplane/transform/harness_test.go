package transform

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// marker is in every secret of the tests; no record may hold it.
const marker = "hf_MARKERsecret"

// sent is what the upstream got.
type sent struct {
	Method, Target, Body string
	Header               http.Header
}

// gateway is a whole gateway in front of an upstream that answers with what it
// got, or with what the test says.
type gateway struct {
	t       testing.TB
	srv     *httptest.Server
	bodies  *dataplane.Budget
	address string
	answer  http.HandlerFunc

	mu      sync.Mutex
	more    *sync.Cond
	records []dataplane.Record
	asked   int // how many requests were sent
}

func (g *gateway) Record(r *dataplane.Record) {
	if text := fmt.Sprintf("%+v", *r); strings.Contains(text, marker) {
		g.t.Errorf("the record holds a secret: %s", text)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records = append(g.records, *r)
	g.more.Broadcast()
}

// last waits for the record of the last request, which is written after its
// answer.
func (g *gateway) last() dataplane.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.records) < g.asked {
		g.more.Wait()
	}
	return g.records[len(g.records)-1]
}

func newGateway(t testing.TB) *gateway {
	t.Helper()
	g := &gateway{t: t, bodies: dataplane.NewBudget(256 << 20), answer: echo}
	g.more = sync.NewCond(&g.mu)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.answer(w, r) }))
	t.Cleanup(up.Close)
	g.address = up.Listener.Addr().String()
	return g
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(sent{r.Method, r.RequestURI, string(body), r.Header})
}

// forwarder is the last stage of a route.
func (g *gateway) forwarder() dataplane.Stage {
	g.t.Helper()
	host, port, _ := net.SplitHostPort(g.address)
	n, _ := strconv.Atoi(port)
	deps := forward.Deps{Store: secret.NewStore()}
	u, err := forward.NewUpstream(&ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{{Host: host, Port: n}}}, deps)
	if err != nil {
		g.t.Fatal(err)
	}
	s, err := forward.New([]forward.Backend{{Name: "u", Weight: 1, Upstream: u}}, forward.Settings{}, deps)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// entry is a route and what it takes.
type entry = *match.Entry[*dataplane.Route]

func prefixed(path string, r *dataplane.Route) entry {
	return &match.Entry[*dataplane.Route]{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathPrefix, Value: path}}, Value: r}
}

func (g *gateway) serve(routes ...entry) {
	g.t.Helper()
	router, err := match.NewRouter(routes)
	must(g.t, err)
	hosts, err := match.NewHosts([]match.HostEntry[*dataplane.VirtualHost]{{Pattern: "*", Value: &dataplane.VirtualHost{Router: router}}})
	must(g.t, err)
	l := &dataplane.Listener{Name: "l", ServerName: "envoy", Hosts: hosts, Limits: dataplane.Limits{HeaderBytes: 64 << 10, Headers: 100, BodyBytes: 32 << 20}}
	listeners, err := match.NewHosts([]match.HostEntry[*dataplane.Listener]{{Pattern: "*", Value: l}})
	must(g.t, err)
	h := dataplane.NewHandler(g, g.bodies, slog.New(slog.DiscardHandler), time.Now)
	h.Swap(&dataplane.Socket{Hosts: listeners})
	g.srv = httptest.NewUnstartedServer(h)
	g.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g.srv.Start()
	g.t.Cleanup(func() {
		g.srv.CloseClientConnections()
		g.srv.Close()
		if used := g.bodies.Used(); used != 0 {
			g.t.Errorf("%d bytes of bodies are still held", used)
		}
	})
}

// one serves a single route with stages before the forwarder.
func (g *gateway) one(sanitize []string, stages ...dataplane.Stage) *gateway {
	g.t.Helper()
	g.serve(prefixed("/", &dataplane.Route{Name: "r", Stages: append(stages, g.forwarder()), Sanitize: sanitize}))
	return g
}

// transforming serves a request's template.
func transforming(t testing.TB, cfg ir.Template) *gateway {
	t.Helper()
	return newGateway(t).one(nil, stage(t, &ir.Transform{Rules: []ir.TransformRule{{Request: &cfg}}}))
}

// answering serves an answer's template, to an upstream that answers so.
func answering(t testing.TB, cfg ir.Template, answer http.HandlerFunc) *gateway {
	t.Helper()
	g := newGateway(t)
	g.answer = answer
	return g.one(nil, stage(t, &ir.Transform{Rules: []ir.TransformRule{{Response: &cfg}}}))
}

var where = ir.Origin{Kind: "TransformationPolicy", Namespace: "ns", Name: "t"}

func stage(t testing.TB, cfg *ir.Transform) dataplane.Stage {
	t.Helper()
	s, err := New(cfg, "mesh/transform", where)
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send sends "METHOD target" with a body and "Name: value" lines.
func (g *gateway) send(line, body string, header ...string) (*http.Response, string) {
	g.t.Helper()
	method, target, _ := strings.Cut(line, " ")
	req, err := http.NewRequest(method, g.srv.URL+target, strings.NewReader(body))
	must(g.t, err)
	req.Host = "gw.test"
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	g.mu.Lock()
	g.asked++
	g.mu.Unlock()
	res, err := http.DefaultTransport.RoundTrip(req)
	must(g.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(g.t, err)
	return res, string(text)
}

// got sends a request and returns what the upstream got.
func (g *gateway) got(line, body string, header ...string) sent {
	g.t.Helper()
	res, text := g.send(line, body, header...)
	var s sent
	if err := json.Unmarshal([]byte(text), &s); err != nil || res.StatusCode != 200 {
		g.t.Fatalf("%d %q: %v", res.StatusCode, text, err)
	}
	return s
}

// keyed is an authentication by API key that puts a secret of the key's entry
// into X-Api-Key; the key "empty" has none.
func keyed(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	switch e.Header.Get("Api-Key") {
	case "mysecretkey":
		e.SetSecretHeader("x-api-key", secret.NewValue([]byte(marker)))
	case "empty":
	default:
		return dataplane.Refuse(401, "", "apikey", ir.Origin{}, "unknown key")
	}
	e.Consume([]authn.Location{{Header: "Api-Key"}})
	return nil
}

func text(s string) *string { return &s }

func header(name, value string) []ir.HeaderTemplate {
	return []ir.HeaderTemplate{{Name: name, Text: value}}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	must(t, err)
	return u
}
