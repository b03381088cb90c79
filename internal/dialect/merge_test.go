package dialect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

var (
	gatewayGK = resource.GroupKind{Group: "g", Kind: "Gateway"}
	routeGK   = resource.GroupKind{Group: "g", Kind: "Route"}
	policyGK  = resource.GroupKind{Group: "p", Kind: "Policy"}
)

func key(gk resource.GroupKind, name string) resource.Key {
	return resource.Key{GroupKind: gk, Namespace: "ns", Name: name}
}

// world is a listener with one route that forwards to one upstream.
func world() *Fragment {
	gw := TargetOf(key(gatewayGK, "gw"))
	section := gw
	section.Section = "http"
	rt := TargetOf(key(routeGK, "r"))
	return &Fragment{
		Listeners: []*Listener{{
			Listener: ir.Listener{Name: "ns/gw/http", Gateway: "ns/gw", Port: 80},
			Targets:  []Target{section, gw}, Owner: key(gatewayGK, "gw"),
		}},
		Hosts: []*VirtualHost{{
			Listeners: []string{"ns/gw/http"}, Hostnames: []string{"*"}, Owner: key(routeGK, "r"),
			Routes: []*Route{{
				Route: ir.Route{
					Name: "r", Matches: []ir.Match{{}},
					Action: ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{{Upstream: "u", Weight: 1}}}},
				},
				Targets: []Target{rt}, Owner: key(routeGK, "r"),
			}},
		}},
		Upstreams: []*ir.Upstream{{Name: "u"}},
	}
}

// attach returns an attachment whose step is named for its owner.
func attach(owner string, target Target, edit func(*Attachment)) *Attachment {
	a := &Attachment{
		Target: target, Slot: "p/auth", Owner: key(policyGK, owner), Origin: ir.Origin{Kind: "Policy", Name: owner},
		Steps: []ir.Step{{Phase: ir.PhaseAuthorize, Slot: owner, Closed: &ir.Closed{Reason: owner}}},
	}
	if edit != nil {
		edit(a)
	}
	return a
}

func TestMergeDecidesWhoHoldsASlot(t *testing.T) {
	gw := TargetOf(key(gatewayGK, "gw"))
	section := gw
	section.Section = "http"
	rt := TargetOf(key(routeGK, "r"))
	named := TargetOf(key(policyGK, "named"))
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	age := func(days int) func(*Attachment) {
		return func(a *Attachment) { a.Age = day.AddDate(0, 0, days) }
	}
	for _, tc := range []struct {
		name        string
		attachments []*Attachment
		refers      bool
		want        []string // slots of the route's steps
		shadowed    []string
	}{
		{name: "nothing attached"},
		{name: "one on the gateway", attachments: []*Attachment{attach("a", gw, nil)}, want: []string{"a"}},
		{
			name:        "the route before the gateway",
			attachments: []*Attachment{attach("wide", gw, nil), attach("narrow", rt, nil)},
			want:        []string{"narrow"}, shadowed: []string{"wide"},
		},
		{
			name:        "the section before the gateway",
			attachments: []*Attachment{attach("a", gw, nil), attach("b", section, nil)},
			want:        []string{"b"}, shadowed: []string{"a"},
		},
		{
			name:        "a reference before everything",
			attachments: []*Attachment{attach("a", rt, nil), attach("named", named, nil)},
			refers:      true, want: []string{"named"}, shadowed: []string{"a"},
		},
		{
			name:        "the rank before the age",
			attachments: []*Attachment{attach("old", rt, func(a *Attachment) { a.Rank = []int{1} }), attach("ranked", rt, func(a *Attachment) { age(9)(a); a.Rank = []int{0} })},
			want:        []string{"ranked"}, shadowed: []string{"old"},
		},
		{
			name:        "the older before the younger",
			attachments: []*Attachment{attach("a", rt, age(2)), attach("b", rt, age(1))},
			want:        []string{"b"}, shadowed: []string{"a"},
		},
		{
			name:        "the name where all are of one age",
			attachments: []*Attachment{attach("b", rt, nil), attach("a", rt, nil)},
			want:        []string{"a"}, shadowed: []string{"b"},
		},
		{
			name:        "different slots never override one another",
			attachments: []*Attachment{attach("a", gw, nil), attach("b", rt, func(a *Attachment) { a.Slot = "q/auth" })},
			want:        []string{"b", "a"},
		},
		{
			name: "all of them, the narrowest first",
			attachments: []*Attachment{
				attach("wide", gw, func(a *Attachment) { a.Combine = All }),
				attach("narrow", rt, func(a *Attachment) { a.Combine = All }),
			},
			want: []string{"narrow", "wide"},
		},
		{
			name:        "nothing can take a slot",
			attachments: []*Attachment{attach("a", gw, nil), attach("off", rt, func(a *Attachment) { a.Steps = nil })},
			shadowed:    []string{"a"},
		},
		{
			name:        "steps run by phase and order",
			attachments: []*Attachment{attach("late", rt, nil), attach("early", gw, func(a *Attachment) { a.Slot = "x"; a.Steps[0].Phase = ir.PhaseAuthenticate })},
			want:        []string{"early", "late"},
		},
	} {
		f := world()
		f.Attachments = tc.attachments
		f.Referable = []Target{named}
		if tc.refers {
			f.Hosts[0].Routes[0].References = []Reference{{Target: named}}
		}
		config, report := new(Merger).Merge([]*Fragment{f})
		var got []string
		for _, s := range onlyRoute(config).Steps {
			got = append(got, s.Slot)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: steps (-want +got):\n%s", tc.name, diff)
		}
		var shadowed []string
		for _, p := range report.Problems {
			if strings.Contains(p.What, "has no effect") {
				shadowed = append(shadowed, p.Origin.Name)
			}
		}
		if diff := cmp.Diff(tc.shadowed, shadowed); diff != "" {
			t.Errorf("%s: shadowed (-want +got):\n%s", tc.name, diff)
		}
	}
}

func onlyRoute(c *ir.Config) *ir.Route { return c.Listeners[0].Hosts[0].Routes[0] }

func TestMergeClosesWhatIsBroken(t *testing.T) {
	rt := TargetOf(key(routeGK, "r"))
	gw := TargetOf(key(gatewayGK, "gw"))
	for _, tc := range []struct {
		name   string
		spoil  func(*Fragment)
		closed string // reason, of the route or its backend
		report string
	}{
		{
			name: "a policy that could not be built keeps its slot",
			spoil: func(f *Fragment) {
				broken := attach("broken", rt, func(a *Attachment) { a.Steps = nil; a.Closed = &ir.Closed{Reason: "no key"} })
				f.Attachments = []*Attachment{broken, attach("good", gw, nil)}
			},
			closed: "no key",
		},
		{
			name: "a reference that leads nowhere",
			spoil: func(f *Fragment) {
				f.Referable = []Target{TargetOf(key(policyGK, "open-ai"))}
				f.Hosts[0].Routes[0].References = []Reference{{Target: TargetOf(key(policyGK, "openai"))}}
			},
			closed: "Policy ns/openai does not exist", report: `did you mean "open-ai"?`,
		},
		{
			name:   "a backend that is not there",
			spoil:  func(f *Fragment) { f.Upstreams[0].Name = "v" },
			closed: "backend u does not exist", report: "backend u does not exist",
		},
	} {
		f := world()
		tc.spoil(f)
		config, report := new(Merger).Merge([]*Fragment{f})
		closed := onlyRoute(config).Action.Closed
		if fw := onlyRoute(config).Action.Forward; closed == nil && fw != nil {
			closed = fw.Backends[0].Closed
		}
		if closed == nil || closed.Reason != tc.closed {
			t.Errorf("%s: closed = %+v, want %q", tc.name, closed, tc.closed)
		}
		if !strings.Contains(fmt.Sprint(report.Problems), tc.report) {
			t.Errorf("%s: report %v lacks %q", tc.name, report.Problems, tc.report)
		}
	}
}

func TestMergeRefusesTheLaterOfTwoClaims(t *testing.T) {
	second := func(edit func(*Listener)) *Fragment {
		f := world()
		f.Hosts = nil
		f.Listeners[0].Name, f.Listeners[0].Owner = "ns/other/http", key(gatewayGK, "other")
		edit(f.Listeners[0])
		return f
	}
	for _, tc := range []struct {
		name   string
		second *Fragment
		count  int
		reason string
	}{
		{"same port, same hostname", second(func(*Listener) {}), 1, "HostnameConflict"},
		{"same port, other hostname", second(func(l *Listener) { l.Hostname = "a.b" }), 2, ""},
		{"same port, other protocol", second(func(l *Listener) { l.Hostname = "a.b"; l.TLS = &ir.ServerTLS{} }), 1, "ProtocolConflict"},
		{"other port", second(func(l *Listener) { l.Port = 81 }), 2, ""},
		{"other address", second(func(l *Listener) { l.Addresses = []string{"127.0.0.9"} }), 2, ""},
	} {
		config, report := new(Merger).Merge([]*Fragment{world(), tc.second})
		if len(config.Listeners) != tc.count {
			t.Errorf("%s: %d listeners, want %d", tc.name, len(config.Listeners), tc.count)
		}
		i := slices.IndexFunc(report.Outcomes, func(o status.Outcome) bool { return o.Condition == "Conflicted" })
		if (i >= 0) != (tc.reason != "") || i >= 0 && report.Outcomes[i].Reason != tc.reason {
			t.Errorf("%s: outcomes %+v, want %q", tc.name, report.Outcomes, tc.reason)
		}
	}
	exclusive := world()
	exclusive.Listeners = nil
	exclusive.Hosts[0].Owner, exclusive.Hosts[0].Exclusive = key(routeGK, "s"), true
	config, report := new(Merger).Merge([]*Fragment{world(), exclusive})
	if n := len(config.Listeners[0].Hosts[0].Routes); n != 1 || !strings.Contains(fmt.Sprint(report.Problems), `host "*" is taken by Route ns/r`) {
		t.Errorf("exclusive host: %d routes, %v", n, report.Problems)
	}
}

// TestMergeIsTheSameFromNothing merges random fragments step by step, and
// holds each result against that of a new Merger; what did not change must be
// the same pointer.
func TestMergeIsTheSameFromNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kept := new(Merger)
	policies := &Fragment{}
	w := world()
	for step := range 200 {
		fragment := &Fragment{}
		*fragment = *policies
		target := w.Hosts[0].Routes[0].Targets[0]
		if rng.IntN(2) == 0 {
			target = w.Listeners[0].Targets[rng.IntN(2)]
		}
		if len(fragment.Attachments) < 5 || rng.IntN(2) == 0 {
			fragment.Attachments = append(slices.Clone(fragment.Attachments), attach(fmt.Sprint("p", rng.IntN(4)), target, nil))
		} else {
			fragment.Attachments = slices.Delete(slices.Clone(fragment.Attachments), 0, 1)
		}
		policies = fragment
		before, _ := kept.Merge([]*Fragment{w, policies})
		got, gotReport := kept.Merge([]*Fragment{w, policies})
		want, wantReport := new(Merger).Merge([]*Fragment{w, policies})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("step %d: (-new +kept):\n%s", step, diff)
		}
		if diff := cmp.Diff(wantReport, gotReport); diff != "" {
			t.Fatalf("step %d: report (-new +kept):\n%s", step, diff)
		}
		if onlyRoute(before) != onlyRoute(got) {
			t.Fatalf("step %d: an unchanged route is another pointer", step)
		}
	}
}

// TestMergeDelegators holds that what is attached to a delegating rule comes
// before what is attached below it, but for the slots that it yields.
func TestMergeDelegators(t *testing.T) {
	rt := TargetOf(key(routeGK, "r"))
	outer, inner := TargetOf(key(routeGK, "outer")), TargetOf(key(routeGK, "inner"))
	gw := TargetOf(key(gatewayGK, "gw"))
	named := TargetOf(key(policyGK, "named"))
	slot := func(s string) func(*Attachment) { return func(a *Attachment) { a.Slot = s } }
	three := []*Attachment{attach("own", rt, nil), attach("inner", inner, nil), attach("outer", outer, nil), attach("gateway", gw, nil)}
	every := func() (out []*Attachment) {
		for _, a := range three {
			c := *a
			c.Combine = All
			out = append(out, &c)
		}
		return out
	}()
	for _, tc := range []struct {
		name         string
		attachments  []*Attachment
		outer, inner []string // what they yield
		refers       bool
		want         []string
	}{
		{name: "the outermost", attachments: three, want: []string{"outer"}},
		{name: "what is below it", attachments: three[:2], want: []string{"inner"}},
		{name: "what it leaves unset", attachments: []*Attachment{attach("outer", outer, slot("p/rbac")), attach("own", rt, nil)}, want: []string{"outer", "own"}},
		{name: "a reference from below", attachments: []*Attachment{attach("named", named, nil), attach("outer", outer, nil)}, refers: true, want: []string{"outer"}},
		{name: "the outer one yields", attachments: three, outer: []string{"auth"}, want: []string{"inner"}},
		{name: "the inner one yields", attachments: three, inner: []string{"auth"}, want: []string{"outer"}},
		{name: "both yield", attachments: three, outer: []string{"auth"}, inner: []string{"auth"}, want: []string{"own"}},
		{name: "both yield everything", attachments: three, outer: []string{"*"}, inner: []string{"*"}, want: []string{"own"}},
		{name: "it yields to a reference", attachments: []*Attachment{attach("named", named, nil), attach("outer", outer, nil)}, outer: []string{"auth"}, refers: true, want: []string{"named"}},
		{name: "it yields another slot", attachments: three, outer: []string{"rbac", "aut", "p/auth"}, want: []string{"outer"}},
		{
			name:        "a part of a slot's name",
			attachments: []*Attachment{attach("own", rt, slot("p/jwt.late")), attach("outer", outer, slot("p/jwt.late"))},
			outer:       []string{"jwt"}, want: []string{"own"},
		},
		{name: "the Gateway stays the widest", attachments: []*Attachment{three[0], three[3]}, outer: []string{"*"}, want: []string{"own"}},
		{name: "all of them, the outermost first", attachments: every, want: []string{"outer", "inner", "own", "gateway"}},
		{name: "all of them, the yielding last", attachments: every, outer: []string{"*"}, want: []string{"inner", "own", "outer", "gateway"}},
	} {
		f := world()
		f.Attachments = tc.attachments
		f.Referable = []Target{named}
		route := f.Hosts[0].Routes[0]
		route.Delegators = []Delegator{{Targets: []Target{outer}, Overrides: tc.outer}, {Targets: []Target{inner}, Overrides: tc.inner}}
		if tc.refers {
			route.References = []Reference{{Target: named}}
		}
		config, _ := new(Merger).Merge([]*Fragment{f})
		var got []string
		for _, s := range onlyRoute(config).Steps {
			got = append(got, s.Slot)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: steps (-want +got):\n%s", tc.name, diff)
		}
	}
}

// TestMergeDelegatorsReference holds that a reference of a delegating rule
// that leads nowhere closes what is below, and is told of the one who wrote it.
func TestMergeDelegatorsReference(t *testing.T) {
	f := world()
	f.Hosts[0].Routes[0].Delegators = []Delegator{{
		References: []Reference{{Target: TargetOf(key(policyGK, "gone"))}}, Owner: key(routeGK, "outer"), Parent: "Gateway ns/gw",
	}}
	config, report := new(Merger).Merge([]*Fragment{f})
	if onlyRoute(config).Action.Closed == nil {
		t.Error("the route is open")
	}
	want := []status.Outcome{{
		Object: key(routeGK, "outer").Status(), About: "Gateway ns/gw", Condition: "ResolvedRefs",
		Reason: "BackendNotFound", Message: "Policy ns/gone does not exist",
	}}
	if diff := cmp.Diff(want, report.Outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// TestMergeCountsAttachedRoutes holds that each object counts once on a
// listener, also on one that is refused.
func TestMergeCountsAttachedRoutes(t *testing.T) {
	one, two, again := world(), world(), world()
	two.Listeners, again.Listeners = nil, nil
	two.Hosts[0].Owner = key(routeGK, "s")
	two.Hosts[0].Listeners = []string{"ns/gw/http", "ns/gw/gone"}
	again.Hosts[0].Hostnames = []string{"a.b"}
	_, report := new(Merger).Merge([]*Fragment{one, two, again})
	if diff := cmp.Diff(map[string]int{"ns/gw/http": 2, "ns/gw/gone": 1}, report.Attached); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
