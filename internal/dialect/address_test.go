package dialect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// given hands out what a test says, and keeps what was wanted.
type given struct {
	grants map[string]AddressGrant
	wanted []AddressWish
}

func (g *given) Assign(wanted []AddressWish) map[string]AddressGrant {
	g.wanted = wanted
	return g.grants
}

// listens is a fragment of one listener of a Gateway, or of what adds to it.
func listens(owner, gateway, section string, edit func(*Listener)) *Fragment {
	target := TargetOf(key(gatewayGK, owner))
	target.Section = section
	l := &Listener{
		Listener: ir.Listener{Name: "ns/" + owner + "/" + section, Gateway: "ns/" + gateway, Port: 80, Hostname: section},
		Targets:  []Target{target, TargetOf(key(gatewayGK, owner))}, Owner: key(gatewayGK, owner),
	}
	if edit != nil {
		edit(l)
	}
	return &Fragment{Listeners: []*Listener{l}}
}

// told writes the outcomes of a report: "gw[section] Condition=status Reason".
func told(r status.Report) []string {
	r.Sort()
	var out []string
	for _, o := range r.Outcomes {
		about := ""
		if o.About != "" {
			about = "[" + o.About + "]"
		}
		out = append(out, fmt.Sprintf("%s%s %s=%v %s", o.Object.Name, about, o.Condition, o.OK, o.Reason))
	}
	return out
}

func TestMergePlacesListeners(t *testing.T) {
	names := func(addresses ...string) func(*Listener) {
		return func(l *Listener) { l.Addresses = addresses }
	}
	for _, tc := range []struct {
		name      string
		fragments []*Fragment
		grants    map[string]AddressGrant
		want      []string // listener@addresses
		told      []string
	}{
		{
			name:      "one port and hostname, an address each",
			fragments: []*Fragment{listens("a", "a", "http", nil), listens("b", "b", "http", nil)},
			grants:    map[string]AddressGrant{"ns/a": {Chosen: "10.0.0.1"}, "ns/b": {Chosen: "10.0.0.2"}},
			want:      []string{"ns/a/http@10.0.0.1", "ns/b/http@10.0.0.2"},
		},
		{
			name:      "one of two addresses can be had",
			fragments: []*Fragment{listens("a", "a", "http", names("10.0.0.7", "10.9.0.0"))},
			grants:    map[string]AddressGrant{"ns/a": {Refused: map[string]string{"10.9.0.0": "is no good"}}},
			want:      []string{"ns/a/http@10.0.0.7"},
			told:      []string{"a Programmed=false AddressNotUsable"},
		},
		{
			name:      "no address can be had",
			fragments: []*Fragment{listens("a", "a", "http", names("10.9.0.0")), listens("b", "b", "http", nil)},
			grants:    map[string]AddressGrant{"ns/a": {Refused: map[string]string{"10.9.0.0": "is no good"}}, "ns/b": {Chosen: "10.0.0.1"}},
			want:      []string{"ns/b/http@10.0.0.1"},
			told:      []string{"a Programmed=false AddressNotUsable", "a[http] Programmed=false Pending"},
		},
		{
			name:      "none is left",
			fragments: []*Fragment{listens("a", "a", "http", nil)},
			told:      []string{"a Programmed=false AddressNotAssigned", "a[http] Programmed=false Pending"},
		},
		{
			name: "what adds listeners is at the Gateway's address, which is the Gateway's to want",
			fragments: []*Fragment{
				listens("adds", "gw", "more", func(l *Listener) { l.Addressing.Of = key(gatewayGK, "gw") }),
				listens("gw", "gw", "http", nil),
			},
			told: []string{
				"adds Programmed=false Pending", "adds[more] Programmed=false Pending",
				"gw Programmed=false AddressNotAssigned", "gw[http] Programmed=false Pending",
			},
		},
		{
			name: "named and chosen",
			fragments: []*Fragment{listens("a", "a", "http", func(l *Listener) {
				l.Addresses, l.Addressing.Any = []string{"10.0.0.7"}, true
			})},
			grants: map[string]AddressGrant{"ns/a": {Chosen: "10.0.0.1"}},
			want:   []string{"ns/a/http@10.0.0.7,10.0.0.1"},
		},
	} {
		m := &Merger{Addresses: &given{grants: tc.grants}}
		config, report := m.Merge(tc.fragments)
		var got []string
		for _, l := range config.Listeners {
			got = append(got, l.Name+"@"+strings.Join(l.Addresses, ","))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: listeners (-want +got):\n%s", tc.name, diff)
		}
		if diff := cmp.Diff(tc.told, told(report)); diff != "" {
			t.Errorf("%s: outcomes (-want +got):\n%s", tc.name, diff)
		}
		if len(tc.told) > 0 != (len(report.Problems) > 0) {
			t.Errorf("%s: problems: %v", tc.name, report.Problems)
		}
	}
}

// TestRefusedAfterMerge takes back listeners that were merged, one by one.
func TestRefusedAfterMerge(t *testing.T) {
	m := new(Merger)
	f := listens("gw", "gw", "a", nil)
	f.Listeners = append(f.Listeners, listens("gw", "gw", "b", nil).Listeners...)
	for _, l := range f.Listeners {
		l.Addresses = []string{"10.0.0.7"}
	}
	adds := listens("adds", "gw", "more", func(l *Listener) { l.Addressing.Of = key(gatewayGK, "gw") })
	if _, report := m.Merge([]*Fragment{f, adds}); len(report.Outcomes) > 0 {
		t.Fatal(report.Outcomes)
	}
	port := func(section string) Refusal {
		return Refusal{Listener: "ns/gw/" + section, Condition: "Accepted", Reason: "PortUnavailable", Message: "taken"}
	}
	address := func(section, address string, partly bool) Refusal {
		return Refusal{Listener: "ns/gw/" + section, Address: address, Message: "lost", Partly: partly}
	}
	more := func(condition, reason string, partly bool) Refusal {
		return Refusal{Listener: "ns/adds/more", Condition: condition, Reason: reason, Message: "taken", Partly: partly}
	}
	one := []string{"gw Accepted=true ListenersNotValid", "gw[a] Accepted=false PortUnavailable", "gw[a] Programmed=false Invalid"}
	for _, tc := range []struct {
		name     string
		refusals []Refusal
		want     []string
	}{
		{"nothing", nil, nil},
		{"one of two", []Refusal{port("a")}, one},
		{"both", []Refusal{port("a"), port("b")}, slices.Concat(
			[]string{"gw Accepted=false ListenersNotValid", "gw Programmed=false Invalid"}, one[1:], []string{"gw[b] Accepted=false PortUnavailable", "gw[b] Programmed=false Invalid"})},
		{"in part", []Refusal{{Listener: "ns/gw/a", Condition: "ResolvedRefs", Reason: "R", Partly: true}}, []string{"gw ResolvedRefs=false ListenersNotResolved", "gw[a] ResolvedRefs=false R"}},
		{"an address that it names", []Refusal{address("a", "10.0.0.7", true)}, []string{"gw Programmed=false AddressNotUsable"}},
		{"an address that it was given", []Refusal{address("a", "10.0.0.8", false), address("b", "10.0.0.8", false)}, []string{
			"gw Programmed=false AddressNotAssigned", "gw[a] Programmed=false Pending", "gw[b] Programmed=false Pending"}},
		{"what adds to it", []Refusal{more("Accepted", "PortUnavailable", false)}, []string{"adds Accepted=false ListenersNotValid", "adds Programmed=false ListenersNotValid",
			"adds[more] Accepted=false PortUnavailable", "adds[more] Programmed=false Invalid", "gw[Gateway ns/adds] Attached=false ListenersNotValid"}},
		{"a certificate of what adds to it", []Refusal{more("ResolvedRefs", "R", true)}, []string{"adds[more] ResolvedRefs=false R"}},
		{"one that is not there", []Refusal{port("c")}, nil},
		{"one of two, again", []Refusal{port("a")}, one},
	} {
		if diff := cmp.Diff(tc.want, told(m.Refused(tc.refusals))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
