package kube

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var routeKind = resource.GroupKind{Group: "g.example.com", Kind: "Route"}

func routeKey(name string) resource.Key {
	return resource.Key{GroupKind: routeKind, Namespace: "ns", Name: name}
}

// stateOf returns a state of routes that are all accepted.
func stateOf(n int) *state {
	s := &state{report: status.Report{Attached: map[string]int{"ns/r1/http": 1}}}
	var objects []*resource.Object
	for i := range n {
		k := routeKey(fmt.Sprint("r", i))
		objects = append(objects, &resource.Object{Key: k, Generation: 1})
		for _, c := range []string{"Accepted", "ResolvedRefs"} {
			s.report.Outcome(status.Outcome{Object: k.Status(), About: "Gateway ns/edge", Condition: c, OK: true, Reason: c})
		}
	}
	s.set = resource.NewSet(objects, nil)
	s.report.Sort()
	return s
}

// TestDiffering names the objects that want another status, and no others.
func TestDiffering(t *testing.T) {
	kinds := map[resource.GroupKind]*kind{routeKind: {}}
	origin := ir.Origin{Kind: "Route", Namespace: "ns", Name: "r3"}
	for _, tc := range []struct {
		name string
		edit func(s *state)
		want []string
	}{
		{"nothing", func(*state) {}, nil},
		{"another outcome", func(s *state) { s.report.Outcomes[2].OK = false }, []string{"r1"}},
		{"one outcome more", func(s *state) {
			s.report.Outcome(status.Outcome{Object: routeKey("r4").Status(), About: "Gateway ns/other", Condition: "Accepted"})
			s.report.Sort()
		}, []string{"r4"}},
		{"outcomes that are gone", func(s *state) { s.report.Outcomes = s.report.Outcomes[2:] }, []string{"r0"}},
		{"outcomes of the last that are gone", func(s *state) { s.report.Outcomes = s.report.Outcomes[:len(s.report.Outcomes)-2] }, []string{"r4"}},
		{"another generation", func(s *state) {
			s.set = s.set.With([]*resource.Object{{Key: routeKey("r2"), Generation: 2}}, nil)
		}, []string{"r2"}},
		{"a new object", func(s *state) {
			s.set = s.set.With([]*resource.Object{{Key: routeKey("new")}}, nil)
			s.report.Outcome(status.Outcome{Object: routeKey("new").Status(), Condition: "Accepted"})
			s.report.Sort()
		}, []string{"new"}},
		{"an object that is gone", func(s *state) {
			s.set = s.set.With(nil, []resource.Key{routeKey("r2")})
			s.report.Outcomes = slices.DeleteFunc(s.report.Outcomes, func(o status.Outcome) bool { return o.Object.Name == "r2" })
		}, nil},
		{"a problem", func(s *state) { s.report.Add(status.Errorf(origin, "x")) }, []string{"r3"}},
		{"a count of routes", func(s *state) { s.report.Attached = map[string]int{"ns/r1/http": 2} }, []string{"r1"}},
		{"a count that is gone", func(s *state) { s.report.Attached = nil }, []string{"r1"}},
		{"a count of a listener set", func(s *state) {
			s.report.Attached = map[string]int{"ns/r1/http": 1, "ListenerSet ns/r2/http": 1}
		}, []string{"r2"}},
		{"an address", func(s *state) {
			s.report.Addresses = map[string][]status.Address{"ns/r0": {{Type: "IPAddress", Value: "10.0.0.1"}}}
		}, []string{"r0"}},
		{"a kind that is not written", func(s *state) {
			s.report.Outcome(status.Outcome{Object: status.Object{Kind: "Other", Namespace: "ns", Name: "r1"}, Condition: "Accepted"})
			s.report.Sort()
		}, nil},
	} {
		before, after := stateOf(5), stateOf(5)
		after.set = before.set
		tc.edit(after)
		var got []string
		for k := range maps.Keys(differing(before, after, kinds)) {
			got = append(got, k.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// BenchmarkDiffering compares two reports of 20,000 routes, of which one has
// changed.
func BenchmarkDiffering(b *testing.B) {
	kinds := map[resource.GroupKind]*kind{routeKind: {}}
	before, after := stateOf(20_000), stateOf(20_000)
	after.set = before.set.With([]*resource.Object{{Key: routeKey("r2"), Generation: 2}}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if len(differing(before, after, kinds)) != 1 {
			b.Fatal("one differs")
		}
	}
}
