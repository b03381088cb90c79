package compile

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

func transformStep(text string) ir.Step {
	return ir.Step{Phase: ir.PhaseFilter, Slot: "t/transform", Transform: &ir.Transform{Rules: []ir.TransformRule{{
		Request: &ir.Template{Set: []ir.HeaderTemplate{{Name: "x-out", Text: text}}},
	}}}}
}

func TestCompileTransform(t *testing.T) {
	b := newBench(t, ExposedWarn)
	jwt := ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{Providers: []ir.JWTProvider{{Name: "p", Keys: ir.KeySource{Inline: publicKey}}}}}
	early := transformStep("v")
	early.Phase = ir.PhasePre
	u := provider(t)
	attempt := &ir.Upstream{Name: "attempt", Endpoints: u.Endpoints, Steps: []ir.Step{transformStep("v")}}
	cfg := config(u,
		&ir.Route{Name: "good", Matches: prefix("/good", 1), Action: forwardTo("u"), Steps: []ir.Step{transformStep("v")}},
		&ir.Route{Name: "bad", Matches: prefix("/bad", 2), Action: forwardTo("u"), Steps: []ir.Step{transformStep("{{ f( }}")}},
		&ir.Route{Name: "guarded", Matches: prefix("/guarded", 3), Action: forwardTo("u"), Steps: []ir.Step{early, jwt, transformStep("v")}},
		&ir.Route{Name: "attempt", Matches: prefix("/attempt", 4), Action: forwardTo("attempt")},
	)
	cfg.Upstreams["attempt"] = attempt
	c := b.Compile(cfg)
	for path, want := range map[string]int{"/good": 200, "/bad": 500, "/guarded": 401, "/attempt": 500} {
		if got := get(t, c, path); got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	said := ""
	for _, p := range c.Report().Problems {
		said += p.What + "\n"
	}
	for _, want := range []string{"template of header x-out: 1:7: expected a value", "cannot run for each attempt"} {
		if !strings.Contains(said, want) {
			t.Errorf("the report does not say %q:\n%s", want, said)
		}
	}
	for _, s := range b.routes {
		if s.route.Name == "guarded" && !slices.Equal(s.route.Guards, []bool{false, true, false}) {
			t.Errorf("guards %v", s.route.Guards)
		}
	}
}
