package dialect

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// TestVerdict draws one word from outcomes and problems.
func TestVerdict(t *testing.T) {
	accepted := status.Outcome{Condition: "Accepted", OK: true, Reason: "Accepted"}
	unresolved := status.Outcome{Condition: "ResolvedRefs", Reason: "BackendNotFound", Message: "none such"}
	at := ir.Origin{Field: "spec.a"}
	many := make([]status.Problem, 50)
	for i := range many {
		many[i] = status.Errorf(at, "wrong")
	}
	for _, tc := range []struct {
		name     string
		outcomes []status.Outcome
		problems []status.Problem
		want     Verdict
		why      string
	}{
		{"nothing", nil, []status.Problem{status.Errorf(at, "x")}, Unknown, ""},
		{"good", []status.Outcome{accepted}, []status.Problem{status.Notef(at, "x")}, Accepted, ""},
		{"refused", []status.Outcome{{Condition: "Accepted", Reason: "Rejected", Message: "bad host"}}, nil, Rejected, "bad host"},
		{"warned", []status.Outcome{{Condition: "Accepted", OK: true, Reason: "Warning", Message: "m"}}, []status.Problem{status.Warningf(at, "w").Fix("f")}, Warned, "spec.a: w (f)"},
		{"an error of a later pass", []status.Outcome{accepted}, []status.Problem{status.Warningf(at, "w"), status.Errorf(at, "no secret")}, Rejected, "spec.a: no secret"},
		{"a reference that leads nowhere", []status.Outcome{accepted, unresolved}, []status.Problem{status.Errorf(at, "none such")}, Warned, "spec.a: none such"},
		{"overridden", []status.Outcome{accepted, {Condition: "Attached", Reason: "Overridden", Message: "by a"}}, nil, Warned, "by a"},
		{"not ready", []status.Outcome{accepted, {Condition: "Ready", Reason: "NotReady", Message: "no key"}}, nil, Rejected, "no key"},
		{"very many", []status.Outcome{accepted}, many, Rejected, strings.TrimSuffix(strings.Repeat("spec.a: wrong; ", mostTold), "; ")},
	} {
		s := Standing{Outcomes: tc.outcomes, Problems: tc.problems}
		if got, why := s.Verdict(); got != tc.want || why != tc.why {
			t.Errorf("%s: %v, %q", tc.name, got, why)
		}
	}
}
