package forward

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// only lets callers use the models that it lists.
type only []string

func (o only) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if _, _, a := e.ReadModel(); a != nil {
		return a
	}
	if !o.AllowsModel(e, e.Model) {
		return dataplane.Refuse(http.StatusForbidden, "", "only", ir.Origin{}, "")
	}
	return nil
}

func (o only) AllowsModel(_ *dataplane.Exchange, model string) bool {
	return contains(o, model)
}

// TestSecurityRow11FailoverKeepsToAllowedModels: an attempt behind the first
// tier that would go to a model which a policy forbids is not made.
func TestSecurityRow11FailoverKeepsToAllowedModels(t *testing.T) {
	var calls []string
	vendor := func(name string, status int) *Upstream {
		addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			calls = append(calls, name+" "+string(body))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, name)
		})
		return upstream(t, Deps{}, func(u *ir.Upstream) {
			u.Name, u.LLM = name, &ir.LLM{Schema: "openai", Path: "/chat", Model: name}
		}, addr)
	}
	for _, tc := range []struct {
		name   string
		tiers  [][]*Upstream
		guards []dataplane.Stage
		status int
		body   string
		calls  int
	}{
		{"allowed", [][]*Upstream{{vendor("big", 429)}, {vendor("small", 200)}}, []dataplane.Stage{only{"mine", "small"}}, 200, "small", 2},
		{"forbidden: the last answer", [][]*Upstream{{vendor("big", 429)}, {vendor("small", 200)}}, []dataplane.Stage{only{"mine"}}, 429, "big", 1},
		{"one of two policies forbids", [][]*Upstream{{vendor("big", 429)}, {vendor("small", 200)}}, []dataplane.Stage{only{"mine", "small"}, only{"mine", "big"}}, 429, "big", 1},
		{"the first tier stands for the name", [][]*Upstream{{vendor("big", 200)}, {vendor("small", 200)}}, []dataplane.Stage{only{"mine"}}, 200, "big", 1},
		{"the same model elsewhere", [][]*Upstream{{vendor("big", 503)}, {vendor("mine", 200)}}, []dataplane.Stage{only{"mine"}}, 200, "mine", 2},
		{"the next but one", [][]*Upstream{{vendor("big", 503)}, {vendor("small", 200)}, {vendor("tiny", 200)}}, []dataplane.Stage{only{"mine", "tiny"}}, 200, "tiny", 2},
		{"another of the tier", [][]*Upstream{{vendor("big", 503)}, {vendor("small", 200), vendor("tiny", 200)}}, []dataplane.Stage{only{"mine", "tiny"}}, 200, "tiny", 2},
		{"no first tier", [][]*Upstream{{upstream(t, Deps{}, nil)}, {vendor("small", 200)}}, []dataplane.Stage{only{"mine"}}, 503, "no healthy upstream", 0},
		{"no policy about models", [][]*Upstream{{vendor("big", 503)}, {vendor("small", 200)}}, nil, 200, "small", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls = nil
			st, err := New([]Backend{{Weight: 1, Tiers: tc.tiers}}, Settings{}, Deps{})
			must(t, err)
			g := newGate(t, st, withStages(tc.guards...))
			resp, body := g.do(g.request("POST", "/", strings.NewReader(`{"model":"mine"}`)))
			if resp.StatusCode != tc.status || body != tc.body || len(calls) != tc.calls {
				t.Errorf("%s %q after %q", resp.Status, body, calls)
			}
			for _, c := range calls {
				if name, sent, _ := strings.Cut(c, " "); sent != fmt.Sprintf(`{"model":%q}`, name) {
					t.Errorf("%s was sent %s", name, sent)
				}
			}
			if tc.body == "no healthy upstream" && !strings.Contains(g.last(1).Cause, `may not use model "small"`) {
				t.Errorf("cause %q", g.last(1).Cause)
			}
		})
	}
}

// TestTierWeights: the members of a tier share its requests by weight.
func TestTierWeights(t *testing.T) {
	n := map[string]int{}
	vendor := func(name string) *Upstream {
		return upstream(t, Deps{}, nil, serve(t, func(_ http.ResponseWriter, r *http.Request) { n[name]++ }))
	}
	draws := uint64(0)
	deps := Deps{Rand: func() uint64 { draws++; return draws }}
	st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{vendor("a"), vendor("b"), vendor("c")}}, Weights: [][]int{{3, 0, 1}}}}, Settings{}, deps)
	must(t, err)
	g := newGate(t, st)
	for range 50 {
		g.get("/")
	}
	if n["a"] != 30 || n["b"] != 10 || n["c"] != 10 {
		t.Errorf("%v, want 30, 10 and 10", n)
	}
}

// TestOverflowGoesToTheNextTier: an upstream that is full is as good as down.
func TestOverflowGoesToTheNextTier(t *testing.T) {
	full := upstream(t, Deps{}, func(u *ir.Upstream) { u.MaxRequests = 1 }, refused)
	full.enter()
	defer full.leave()
	good := upstream(t, Deps{}, nil, serve(t, func(http.ResponseWriter, *http.Request) {}))
	st, err := New([]Backend{{Weight: 1, Tiers: [][]*Upstream{{full}, {good}}}}, Settings{}, Deps{})
	must(t, err)
	if resp, body := newGate(t, st).get("/"); resp.StatusCode != 200 {
		t.Error(resp.Status, body)
	}
}
