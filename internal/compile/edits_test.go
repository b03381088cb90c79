package compile

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// edited is a configuration that changes at random. Nothing of it is changed
// in place.
type edited struct {
	*rand.Rand
	ports     []int // of servers that tell theirs
	next      int   // numbers routes
	hosts     map[string][]*ir.Route
	upstreams map[string]*ir.Upstream
	config    *ir.Config
}

// newTellers returns the ports of servers that answer with theirs.
func newTellers(t *testing.T, n int) []int {
	var ports []int
	for range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Host+" at "+r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer).String())
		}))
		t.Cleanup(s.Close)
		u, _ := url.Parse(s.URL)
		port, _ := strconv.Atoi(u.Port())
		ports = append(ports, port)
	}
	return ports
}

func (e *edited) upstream(name string) *ir.Upstream {
	u := &ir.Upstream{Name: name, Endpoints: []ir.Endpoint{{Host: "127.0.0.1", Port: e.ports[e.IntN(len(e.ports))]}}}
	if name != "u0" { // whose endpoints come and go
		u.Discovered = "list of " + name
	}
	switch e.IntN(8) {
	case 0:
		u.Endpoints = nil
	case 1:
		u.Closed = &ir.Closed{Reason: "closed"}
	case 2:
		u.Host = "other.example.com"
	}
	return u
}

func (e *edited) name() string { return fmt.Sprint("u", e.IntN(4)) }

func (e *edited) path() string { return fmt.Sprintf("/p%d", e.IntN(40)) }

func (e *edited) route() *ir.Route {
	e.next++
	rt := &ir.Route{Name: fmt.Sprint("r", e.next), Origin: ir.Origin{Kind: "R", Name: fmt.Sprint(e.next)}}
	for range 1 + e.IntN(2) {
		rt.Matches = append(rt.Matches, prefix(e.path(), int64(e.IntN(20)))...)
	}
	switch e.IntN(30) {
	case 0:
		rt.Matches[0].Path = ir.PathMatch{Kind: ir.PathRegex, Value: e.path() + "("}
	case 1:
		rt.Matches[0].Path = ir.PathMatch{Kind: ir.PathRegex, Value: e.path() + ".*"}
	}
	e.act(rt)
	return rt
}

// act gives a route something to do.
func (e *edited) act(rt *ir.Route) {
	switch e.IntN(3) {
	case 0:
		rt.Action = ir.Action{Direct: &ir.Direct{Status: 200 + e.IntN(90), Body: rt.Name}}
	default:
		rt.Action = forwardTo(e.name())
	}
	if rt.Steps = nil; e.IntN(10) == 0 {
		rt.Steps = []ir.Step{{Phase: ir.PhaseAuthorize, Closed: &ir.Closed{Status: 403, Reason: rt.Name}}}
	}
}

// edit makes the next configuration.
func (e *edited) edit() *ir.Config {
	host := []string{"*", "a.example.com", "b.example.com"}[e.IntN(3)]
	routes := slices.Clone(e.hosts[host])
	if len(routes) == 0 {
		for range 250 {
			routes = append(routes, e.route())
		}
	}
	for range 1 + e.IntN(2) {
		at := e.IntN(len(routes))
		switch e.IntN(10) {
		case 0:
			routes = slices.Delete(routes, at, at+1)
		case 1, 2:
			routes = slices.Insert(routes, at, e.route())
		case 3:
			routes[at] = e.route()
		case 4, 5, 6:
			rt := *routes[at]
			e.act(&rt)
			routes[at] = &rt
		}
	}
	e.hosts[host] = routes
	if e.IntN(60) == 0 {
		delete(e.hosts, host)
	}
	if e.IntN(3) == 0 {
		next := map[string]*ir.Upstream{}
		for name, u := range e.upstreams {
			next[name] = u
		}
		name := e.name()
		if next[name] = e.upstream(name); e.IntN(10) == 0 {
			delete(next, name)
		}
		e.upstreams = next
	}
	e.config = e.configure()
	return e.config
}

// configure puts the parts together, with what is as it was.
func (e *edited) configure() *ir.Config {
	l := &ir.Listener{Name: "l", Port: 80}
	var before []*ir.VirtualHost
	if e.config != nil {
		before = e.config.Listeners[0].Hosts
	}
	for _, name := range []string{"*", "a.example.com", "b.example.com"} {
		h := &ir.VirtualHost{Hostname: name, Routes: e.hosts[name]}
		for _, was := range before {
			if was.Hostname == name && slices.Equal(was.Routes, h.Routes) {
				h = was
			}
		}
		if len(h.Routes) > 0 {
			l.Hosts = append(l.Hosts, h)
		}
	}
	return &ir.Config{Listeners: []*ir.Listener{l}, Upstreams: e.upstreams}
}

// answered returns what a snapshot answers to a request.
func answered(c *Compiled, host, path string) string {
	h := dataplane.NewHandler(discard{}, dataplane.NewBudget(1<<20), slog.New(slog.DiscardHandler), time.Now)
	h.Swap(c.Snapshot.Sockets[0])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://"+host+path, nil))
	body := w.Body.String()
	if w.Code >= 500 { // an id of its own is in it
		body = ""
	}
	return fmt.Sprint(host, path, ": ", w.Code, " ", body)
}

// TestEditsAreAsFromNothing: after any edits, requests get what a Compiler
// that never saw another configuration gives them, and the report is the same.
func TestEditsAreAsFromNothing(t *testing.T) {
	e := &edited{Rand: rand.New(rand.NewPCG(1, 9)), ports: newTellers(t, 3), hosts: map[string][]*ir.Route{}, upstreams: map[string]*ir.Upstream{}}
	b := newBench(t, ExposedWarn)
	var last *Compiled
	built, there, ok, refilled := 0, 0, 0, 0
	for n := range 150 {
		before := e.upstreams
		cfg := e.edit()
		c := b.Compile(cfg)
		for name, u := range cfg.Upstreams {
			if was := before[name]; was != nil && was != u && was.Discovered != "" && cmp.Equal(lasting(was), lasting(u)) {
				refilled++
			}
		}
		if last != nil {
			last.Snapshot.Release()
		}
		last = c
		built += c.Built
		for _, routes := range e.hosts {
			there += len(routes)
		}
		fresh := newBench(t, ExposedWarn)
		want := fresh.Compile(cfg)
		for range 12 {
			host, path := []string{"a.example.com", "b.example.com", "c.example.com"}[e.IntN(3)], e.path()+"/x"
			wants, got := answered(want, host, path), answered(c, host, path)
			if got != wants {
				t.Fatalf("edit %d: got %q, want %q", n, got, wants)
			}
			if strings.Contains(got, ": 2") {
				ok++
			}
		}
		if d := cmp.Diff(want.Report(), c.Report()); d != "" {
			t.Fatalf("edit %d: report (-from nothing +edited):\n%s", n, d)
		}
		if c.Exposed != want.Exposed {
			t.Fatalf("edit %d: %d exposed, want %d", n, c.Exposed, want.Exposed)
		}
		want.Snapshot.Release()
	}
	last.Snapshot.Release()
	if n := b.kept.Len(); n != 0 {
		t.Errorf("%d things are kept for nobody", n)
	}
	if refilled == 0 || ok < 300 || built > there/5 {
		t.Errorf("%d requests were served, %d of %d routes built, %d upstreams only refilled: this shows little", ok, built, there, refilled)
	}
}
