package forward

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestRetry(t *testing.T) {
	broken := func(c net.Conn, _ int) { _, _, _ = readRequest(c) }
	silent := answering("", wait)
	status := func(n int) func(net.Conn, int) {
		return answering(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno", n), nil)
	}
	good := answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", nil)
	chunked := func() io.Reader { return io.MultiReader(strings.NewReader("{}")) }
	for _, tc := range []struct {
		name     string
		first    func(net.Conn, int) // nil: nobody listens
		retry    *ir.Retry
		body     func() io.Reader
		status   int
		attempts int
	}{
		{"nothing said: each tier once", broken, nil, nil, 200, 2},
		{"nothing said, overloaded", status(429), nil, nil, 200, 2},
		{"nothing said, streamed body", status(503), nil, chunked, 200, 2},
		{"nothing said, refused", status(403), nil, nil, 403, 1},
		{"none asked for", broken, &ir.Retry{}, nil, 503, 1},
		{"connect", nil, &ir.Retry{OnConnect: true}, nil, 200, 2},
		{"connect, streamed body", nil, &ir.Retry{OnConnect: true}, chunked, 200, 2},
		{"connect, not asked for", nil, &ir.Retry{OnReset: true}, nil, 503, 1},
		{"reset", broken, &ir.Retry{OnReset: true}, nil, 200, 2},
		{"reset, streamed body", broken, &ir.Retry{OnReset: true}, chunked, 503, 1},
		{"reset, not asked for", broken, &ir.Retry{On5xx: true}, nil, 503, 1},
		{"time-out", silent, &ir.Retry{OnTimeout: true}, nil, 200, 2},
		{"time-out, not asked for", silent, &ir.Retry{OnReset: true}, nil, 504, 1},
		{"5xx", status(502), &ir.Retry{On5xx: true}, nil, 200, 2},
		{"4xx is not 5xx", status(429), &ir.Retry{On5xx: true}, nil, 429, 1},
		{"status", status(429), &ir.Retry{Statuses: []int{409, 429}}, nil, 200, 2},
		{"another status", status(500), &ir.Retry{Statuses: []int{409, 429}}, nil, 500, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.retry != nil {
					tc.retry.BackoffBase, tc.retry.NextTier = 1, 1
				}
				s := Settings{Retry: tc.retry, Timeouts: []ir.Timeouts{{Attempt: 100 * time.Millisecond}}}
				st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{piped(t, tc.first)}, {piped(t, good)}}}}, s, Deps{})
				must(t, err)
				g := newGate(t, st, withPipes)
				var body io.Reader = strings.NewReader("{}")
				if tc.body != nil {
					body = tc.body()
				}
				resp, text := g.do(g.request("POST", "/", body))
				if resp.StatusCode != tc.status || tc.status == 200 && text != "ok" {
					t.Errorf("got %s %q", resp.Status, text)
				}
				if r := g.last(1); r.Attempts != tc.attempts {
					t.Errorf("%d attempts", r.Attempts)
				}
			})
		})
	}
}

// TestRetriesEnd: after the configured number, with the last answer.
func TestRetriesEnd(t *testing.T) {
	var n atomic.Int32
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = fmt.Fprint(w, n.Add(1))
	})
	for _, tc := range []struct{ configured, want int }{{0, 2}, {1, 2}, {3, 4}} {
		n.Store(0)
		g := simple(t, addr, Settings{Retry: &ir.Retry{Attempts: tc.configured, On5xx: true, BackoffBase: 1}})
		if resp, body := g.get("/"); resp.StatusCode != 500 || body != fmt.Sprint(tc.want) {
			t.Errorf("%d: %s %q", tc.configured, resp.Status, body)
		}
	}
}

// TestNextTier: a tier is left after as many attempts as configured.
func TestNextTier(t *testing.T) {
	var order []string
	tier := func(name string) []*Upstream {
		addr := serve(t, func(w http.ResponseWriter, _ *http.Request) { order = append(order, name); w.WriteHeader(500) })
		return []*Upstream{upstream(t, Deps{}, nil, addr)}
	}
	for _, tc := range []struct {
		every int
		want  string
	}{{1, "abcc"}, {2, "aabb"}, {0, "aaaa"}} {
		order = nil
		st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{tier("a"), tier("b"), tier("c")}}},
			Settings{Retry: &ir.Retry{Attempts: 3, On5xx: true, NextTier: tc.every, BackoffBase: 1}}, Deps{})
		must(t, err)
		g := newGate(t, st)
		g.get("/")
		if got := strings.Join(order, ""); got != tc.want {
			t.Errorf("every %d: %s, want %s", tc.every, got, tc.want)
		}
	}
}

// TestEjection: an endpoint that fails in a row is left out, and comes back.
func TestEjection(t *testing.T) {
	c := &clock{now: time.Unix(1e9, 0)}
	var failing atomic.Bool
	failing.Store(true)
	bad := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, "a")
	})
	good := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "b") })
	u := upstream(t, Deps{Clock: c.Now}, func(u *ir.Upstream) { u.Outlier = &ir.Outlier{Consecutive: 3, Ejection: time.Minute} }, bad, good)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{Clock: c.Now}))
	count := func() (a int) {
		for range 60 {
			if _, body := g.get("/"); body == "a" {
				a++
			}
		}
		return a
	}
	if n := count(); n != 3 {
		t.Errorf("%d requests to the failing endpoint, want 3", n)
	}
	h := u.Health()
	if h[0].Healthy || !h[1].Healthy || h[0].Until != c.now.Add(time.Minute) || h[0].Address != bad {
		t.Errorf("health %+v", h)
	}
	c.move(time.Minute)
	if n := count(); n != 3 {
		t.Errorf("%d requests when it is back, want 3", n)
	}
	if h := u.Health(); h[0].Until != c.now.Add(2*time.Minute) {
		t.Errorf("the second ejection ends at %v", h[0].Until)
	}
	failing.Store(false)
	c.move(2 * time.Minute)
	if n := count(); n == 0 {
		t.Error("it never came back")
	}
	if h := u.Health(); !h[0].Healthy {
		t.Errorf("health %+v", h)
	}
}

// TestLastEndpointIsNeverEjected: better a failing one than none; and where
// there is a next tier, that one.
func TestLastEndpointIsNeverEjected(t *testing.T) {
	bad := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = io.WriteString(w, "bad") })
	good := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") })
	alone := upstream(t, Deps{}, nil, bad, refused)
	g := newGate(t, stageTo(t, alone, Settings{}, Deps{}))
	for range 40 {
		if resp, _ := g.get("/"); resp.StatusCode < 500 {
			t.Error(resp.Status)
		}
	}
	a, b := upstream(t, Deps{}, nil, bad), upstream(t, Deps{}, nil, good)
	st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{a}, {b}}}}, Settings{Retry: &ir.Retry{}}, Deps{})
	must(t, err)
	g = newGate(t, st)
	for i := range 10 {
		want := "bad"
		if i >= 5 {
			want = "good"
		}
		if _, body := g.get("/"); body != want {
			t.Errorf("request %d: %s", i, body)
		}
	}
}

func TestMaxPercent(t *testing.T) {
	for _, tc := range []struct {
		endpoints int
		outlier   *ir.Outlier
		want      int
	}{
		{1, nil, 1}, {2, nil, 1}, {10, nil, 9},
		{1, &ir.Outlier{}, 1}, {2, &ir.Outlier{}, 1}, {30, &ir.Outlier{}, 3}, {10, &ir.Outlier{MaxPercent: 50}, 5}, {10, &ir.Outlier{MaxPercent: 100}, 9},
	} {
		u := &Upstream{cfg: &ir.Upstream{Outlier: tc.outlier}}
		u.members.Store(&members{endpoints: make([]*endpoint, tc.endpoints)})
		if got := u.mayBeOut(); got != tc.want {
			t.Errorf("%d endpoints, %+v: %d, want %d", tc.endpoints, tc.outlier, got, tc.want)
		}
	}
}

// TestWeights: endpoints are drawn by weight, less busy ones first.
func TestWeights(t *testing.T) {
	u := upstream(t, Deps{}, func(u *ir.Upstream) {
		u.Endpoints = []ir.Endpoint{{Host: "a", Port: 1, Weight: 3}, {Host: "b", Port: 1}}
	})
	n := map[string]int{}
	for range 4000 {
		n[u.members.Load().drawAny(u.deps.Rand).host]++
	}
	if n["a"] < 2800 || n["a"] > 3200 {
		t.Errorf("drawn %v", n)
	}
	u.members.Load().endpoints[0].active.Store(1000)
	clear(n)
	for range 1000 {
		n[u.pick(nil).host]++
	}
	if n["b"] < 300 { // whenever one of two draws is b
		t.Errorf("picked %v", n)
	}
}
