package kube

import (
	"fmt"
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

// accepted returns what is said of a route that is.
func accepted(name string) status.Report {
	var r status.Report
	for _, c := range []string{"Accepted", "ResolvedRefs"} {
		r.Outcome(status.Outcome{Object: routeKey(name).Status(), About: "Gateway ns/edge", Condition: c, OK: true, Reason: c})
	}
	return r
}

// stateOf returns a state of routes that are all accepted.
func stateOf(n int) *state {
	s := &state{ledger: new(status.Ledger)}
	var objects []*resource.Object
	for i := range n {
		name := fmt.Sprint("r", i)
		objects = append(objects, &resource.Object{Key: routeKey(name), Generation: 1, Spec: &name})
		s.ledger.Put(status.PassTranslate, name, accepted(name))
	}
	s.ledger.Put(status.PassMerge, "attached", status.Report{Attached: map[string]int{"ns/r1/http": 1}})
	s.set = resource.NewSet(objects, nil)
	return s
}

// TestDue names the objects that want another status, and no others.
func TestDue(t *testing.T) {
	kinds := map[resource.GroupKind]*kind{routeKind: {}}
	origin := ir.Origin{Kind: "Route", Namespace: "ns", Name: "r3"}
	put := func(key string, r status.Report) func(*state) {
		return func(s *state) { s.ledger.Put(status.PassTranslate, key, r) }
	}
	change := func(o ...*resource.Object) func(*state) {
		return func(s *state) { s.set = s.set.With(o, nil) }
	}
	bad := accepted("r1")
	bad.Outcomes[0].OK = false
	for _, tc := range []struct {
		name string
		edit []func(s *state)
		want []string
	}{
		{"nothing", nil, nil},
		{"the same again", []func(*state){put("r2", accepted("r2"))}, nil},
		{"another outcome", []func(*state){put("r1", bad)}, []string{"r1"}},
		{"one outcome more", []func(*state){put("more", accepted("r4"))}, []string{"r4"}},
		{"outcomes that are gone", []func(*state){put("r0", status.Report{})}, []string{"r0"}},
		{"another object", []func(*state){change(&resource.Object{Key: routeKey("r2")})}, []string{"r2"}},
		{"a new object", []func(*state){change(&resource.Object{Key: routeKey("new")}), put("new", accepted("new"))}, []string{"new"}},
		{"an object that is gone", []func(*state){func(s *state) { s.set = s.set.With(nil, []resource.Key{routeKey("r2")}) }, put("r2", status.Report{})}, nil},
		{"another generation, that says the same", []func(*state){func(s *state) {
			o := s.set.Get(routeKey("r2"))
			s.set = s.set.With([]*resource.Object{o.Renewed(&resource.Object{Key: o.Key, Generation: 2})}, nil)
		}}, []string{"r2"}},
		{"a problem", []func(*state){put("p", status.Report{Problems: []status.Problem{status.Errorf(origin, "x")}})}, []string{"r3"}},
		{"a count of routes", []func(*state){put("a", status.Report{Attached: map[string]int{"ns/r1/http": 2}})}, []string{"r1"}},
		{"a count of a listener set", []func(*state){put("a", status.Report{Attached: map[string]int{"ListenerSet ns/r2/http": 1}})}, []string{"r2"}},
		{"an address", []func(*state){put("a", status.Report{Addresses: map[string][]status.Address{"ns/r0": {{Type: "IPAddress", Value: "10.0.0.1"}}}})}, []string{"r0"}},
		{"a kind that is not written", []func(*state){put("o", status.Report{Outcomes: []status.Outcome{{Object: status.Object{Group: "other", Kind: "Other", Namespace: "ns", Name: "r1"}, Condition: "Accepted"}}})}, nil},
	} {
		before := stateOf(5)
		before.ledger.Take()
		after := &state{set: before.set, ledger: before.ledger}
		for _, edit := range tc.edit {
			edit(after)
		}
		d := due{}
		d.add(before, after, after.ledger.Take())
		var got []string
		for k := range d.of(after, kinds) {
			got = append(got, k.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
