package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
)

// TestSortKeepsTheBadOutcome holds that one outcome stands for each object,
// respect and condition, and that no later pass can make a fault good.
func TestSortKeepsTheBadOutcome(t *testing.T) {
	route := Object{Group: "g", Kind: "Route", Namespace: "ns", Name: "r"}
	other := route
	other.Group = "h"
	o := func(object Object, about, condition string, ok bool, reason string) Outcome {
		return Outcome{Object: object, About: about, Condition: condition, OK: ok, Reason: reason}
	}
	for _, tc := range []struct {
		name       string
		have, want []Outcome
	}{
		{
			"the false one", []Outcome{o(route, "a", "ResolvedRefs", true, "ResolvedRefs"), o(route, "a", "ResolvedRefs", false, "BackendNotFound")},
			[]Outcome{o(route, "a", "ResolvedRefs", false, "BackendNotFound")},
		},
		{
			"the false one, if it came first", []Outcome{o(route, "", "Accepted", false, "Conflicted"), o(route, "", "Accepted", true, "Accepted")},
			[]Outcome{o(route, "", "Accepted", false, "Conflicted")},
		},
		{
			"the true one of a condition named for a fault", []Outcome{o(route, "l", "Conflicted", false, "NoConflicts"), o(route, "l", "Conflicted", true, "HostnameConflict")},
			[]Outcome{o(route, "l", "Conflicted", true, "HostnameConflict")},
		},
		{
			"the first of two faults", []Outcome{o(route, "", "Accepted", false, "Z"), o(route, "", "Accepted", false, "A")},
			[]Outcome{o(route, "", "Accepted", false, "Z")},
		},
		{
			"each of what differs",
			[]Outcome{o(route, "b", "Accepted", true, "x"), o(route, "a", "Programmed", false, "x"), o(route, "a", "Accepted", false, "x"), o(other, "a", "Accepted", true, "x")},
			[]Outcome{o(route, "a", "Accepted", false, "x"), o(route, "a", "Programmed", false, "x"), o(route, "b", "Accepted", true, "x"), o(other, "a", "Accepted", true, "x")},
		},
	} {
		r := Report{Outcomes: tc.have}
		r.Sort()
		if diff := cmp.Diff(tc.want, r.Outcomes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// TestJoinAddsUp holds that a report joined to another loses nothing of it.
func TestJoinAddsUp(t *testing.T) {
	var r Report
	r.Join(Report{Attached: map[string]int{"a": 1}})
	r.Join(Report{Attached: map[string]int{"a": 2, "b": 1}})
	if diff := cmp.Diff(map[string]int{"a": 3, "b": 1}, r.Attached); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnbound counts policies once, whatever says that they are not in force.
func TestUnbound(t *testing.T) {
	policy := Object{Group: "g", Kind: "P", Namespace: "n", Name: "p"}
	lost := Errorf(ir.Origin{Kind: "P", Namespace: "n", Name: "p"}, "no such route").Alerting(TargetNotFound)
	shadowed := Outcome{Object: policy, About: "a", Condition: "Attached", Reason: "Overridden"}
	var l Ledger
	for _, q := range []struct {
		name     string
		problems []Problem
		outcomes []Outcome
		unbound  int
	}{
		{"in force", nil, []Outcome{{Object: policy, Condition: "Attached", OK: true}}, 0},
		{"its target is not there", []Problem{lost}, nil, 1},
		{"and another comes first", []Problem{lost}, []Outcome{shadowed}, 1},
		{"another comes first", nil, []Outcome{shadowed}, 1},
		{"an error of another sort", []Problem{Errorf(lost.Origin, "x")}, nil, 0},
		{"gone", nil, nil, 0},
	} {
		l.Put(PassMerge, "part", Report{Problems: q.problems, Outcomes: q.outcomes})
		if got := l.Totals().Unbound; got != q.unbound {
			t.Errorf("%s: %d, want %d", q.name, got, q.unbound)
		}
	}
}
