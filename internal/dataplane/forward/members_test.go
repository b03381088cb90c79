package forward

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// TestSetEndpoints: requests that come go to the new ones, those under way are
// finished by the old, of whose connections none is left then; who stays keeps
// his.
func TestSetEndpoints(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	say := func(name string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				close(begun)
				<-finish
			}
			_, _ = io.WriteString(w, name)
		})
	}
	a, b := say("a"), say("b")
	u := upstream(t, Deps{}, nil, a)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	if _, body := g.get("/"); body != "a" {
		t.Fatalf("answered by %q", body)
	}
	old := u.members.Load().endpoints[0]
	var slow sync.WaitGroup
	slow.Go(func() {
		if _, body := g.get("/slow"); body != "a" {
			t.Errorf("what was under way was answered by %q", body)
		}
	})
	<-begun
	u.SetEndpoints([]ir.Endpoint{endpointOf(t, b)})
	if _, body := g.get("/"); body != "b" {
		t.Errorf("answered by %q", body)
	}
	close(finish)
	slow.Wait()
	g.last(3)
	u.mu.Lock()
	open := len(u.conns)
	u.mu.Unlock()
	if open != 1 || old.active.Load() != 0 {
		t.Errorf("%d connections are open, %d requests count at who is gone", open, old.active.Load())
	}
	stays := u.members.Load().endpoints[0]
	u.SetEndpoints([]ir.Endpoint{endpointOf(t, a), endpointOf(t, b)})
	if m := u.members.Load(); m.endpoints[1] != stays || m.endpoints[0] == old || m.weights != 2 {
		t.Error("who stayed is not the same, or who comes again is")
	}
	u.SetEndpoints(nil)
	if r, _ := g.get("/"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without endpoints: %d, want 503", r.StatusCode)
	}
}

// TestSetEndpointsLosesNothing: endpoints come and go under load.
func TestSetEndpointsLosesNothing(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	a, b := serve(t, answer), serve(t, answer)
	u := upstream(t, Deps{}, nil, a)
	g := newGate(t, stageTo(t, u, Settings{}, Deps{}))
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !stop.Load() {
				if r, body := g.get("/"); r.StatusCode != http.StatusOK || body != "ok" {
					t.Errorf("%d %q", r.StatusCode, body)
					return
				}
			}
		})
	}
	for i := range 100 {
		g.last(5 * (i + 1))
		u.SetEndpoints([][]ir.Endpoint{{endpointOf(t, a)}, {endpointOf(t, b)}, {endpointOf(t, b), endpointOf(t, a)}}[i%3])
	}
	stop.Store(true)
	all.Wait()
}
