package dataplane

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// rehearsed is a socket with one route of the given stages.
func rehearsed(t *testing.T, stages ...Stage) *Socket {
	t.Helper()
	router, err := match.NewRouter([]*match.Entry[*Route]{{Value: &Route{Name: "r", Stages: stages}}})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := match.NewHosts([]match.HostEntry[*VirtualHost]{{Value: &VirtualHost{Router: router}}})
	if err != nil {
		t.Fatal(err)
	}
	l := &Listener{Name: "l", Hosts: hosts, Limits: Limits{Headers: 100, BodyBytes: 1 << 20}}
	listeners, err := match.NewHosts([]match.HostEntry[*Listener]{{Value: l}})
	if err != nil {
		t.Fatal(err)
	}
	return &Socket{Port: 80, Hosts: listeners, Listeners: []*Listener{l}}
}

func rehearsal() *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "http://h/x", nil)
	r.RequestURI, r.RemoteAddr = "/x", "127.0.0.1:4000"
	return r
}

func TestRehearseTellsOfSteps(t *testing.T) {
	step := &ir.Step{Slot: "test/step", Origin: ir.Origin{Kind: "Policy", Name: "p"}}
	writes := StageFunc(func(_ context.Context, e *Exchange) *Answer {
		e.SetHeader("X-Team", "a")
		e.Inject(SecretHeader{Name: "Authorization"})
		e.Trace().Note("looked")
		return nil
	})
	refuses := StageFunc(func(_ context.Context, e *Exchange) *Answer {
		e.Trace().Rule(TracedRule{Rule: "one", Why: "no"})
		return Refuse(http.StatusForbidden, "no", "test/refuses", ir.Origin{}, "because")
	})
	r, err := Rehearse(t.Context(), rehearsed(t, Traced(writes, "writes", step), Traced(refuses, "refuses", step)), rehearsal(), Given{Changes: true}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if r.Record.Verdict != Denied || r.Answer.Status != 403 || r.Route.Name != "r" || len(r.Trace.Steps) != 2 {
		t.Fatalf("got %+v, %+v", r.Record, r.Trace)
	}
	first, second := r.Trace.Steps[0], r.Trace.Steps[1]
	if len(first.Notes) != 1 || first.Answer != nil || len(first.Changes) != 2 || first.Changes[0] != (TracedChange{"header X-Team", "a"}) || first.Changes[1].What != "credential Authorization" {
		t.Errorf("first step: %+v", first)
	}
	if len(second.Rules) != 1 || second.Answer != r.Answer || second.Kind != "refuses" {
		t.Errorf("second step: %+v", second)
	}
}

func TestRehearseSurvivesAPanic(t *testing.T) {
	_, err := Rehearse(t.Context(), rehearsed(t, StageFunc(func(context.Context, *Exchange) *Answer { panic("oh") })), rehearsal(), Given{}, time.Unix(0, 0))
	if err == nil || !strings.Contains(err.Error(), "would have panicked") {
		t.Errorf("got %v", err)
	}
}

// TestServingHasNoTrace holds that a stage that is asked in earnest gets none.
func TestServingHasNoTrace(t *testing.T) {
	if tr := new(Exchange).Trace(); tr != nil {
		t.Error(tr)
	}
}

// told is what a stage may tell in one request.
func told(e *Exchange) {
	e.Trace().Rule(TracedRule{})
	e.Trace().Note("n")
	e.Trace().Doubtful()
	e.Trace().Copy("u")
	e.trace.carried("X")
	e.trace.meet(e)
	if e.Trace().Claims() != nil || e.trace.peer() != "" {
		panic("claims out of nowhere")
	}
}

func TestNoTraceAllocatesNothing(t *testing.T) {
	e := new(Exchange)
	if n := testing.AllocsPerRun(100, func() { told(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNoTrace(b *testing.B) {
	e := new(Exchange)
	for b.Loop() {
		told(e)
	}
}
