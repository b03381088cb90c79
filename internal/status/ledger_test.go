package status

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-gateway/postern/internal/ir"
)

func originOf(name string) ir.Origin {
	return ir.Origin{Kind: "HTTPRoute", Namespace: "ns", Name: name, Field: "spec"}
}

func routeOf(name string) Object {
	return Object{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Namespace: "ns", Name: name}
}

func said(name, condition string, ok bool, reason string) Outcome {
	return Outcome{Object: routeOf(name), Condition: condition, OK: ok, Reason: reason}
}

func problems(list ...Problem) Report { return Report{Problems: list} }

func outcomes(list ...Outcome) Report { return Report{Outcomes: list} }

// put is a call of Put.
type put struct {
	pass   Pass
	key    string
	report Report
}

func ledgerOf(puts []put) *Ledger {
	l := new(Ledger)
	for _, p := range puts {
		l.Put(p.pass, p.key, p.report)
	}
	return l
}

// anyOrder compares News, most of which have no order, and treats nil as empty.
var anyOrder = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b Object) bool { return a.String() < b.String() }),
	cmpopts.SortSlices(func(a, b string) bool { return a < b }),
}

var (
	wrong   = Errorf(originOf("a"), "wrong")
	doubted = Warningf(originOf("a"), "doubtful")
	noted   = Notef(originOf("b"), "so it was read")
	urgent  = Errorf(originOf("b"), "open to all").Alerting(ExposedCredential)
)

func TestLedgerReport(t *testing.T) {
	at := []Address{{Type: "IPAddress", Value: "192.0.2.1"}}
	for _, c := range []struct {
		name   string
		puts   []put
		want   Report
		totals Totals
	}{
		{"nothing", nil, Report{}, Totals{}},
		{"an empty part", []put{{PassRead, "k", Report{}}}, Report{}, Totals{}},
		{
			"problems, sorted, each once", []put{{PassCompile, "2", problems(doubted, wrong)}, {PassRead, "1", problems(noted, wrong)}},
			problems(wrong, doubted, noted), Totals{Errors: 1, Warnings: 1},
		},
		{"a problem twice in one part", []put{{PassRead, "1", problems(wrong, wrong)}}, problems(wrong), Totals{Errors: 1}},
		{"what replaces a part", []put{{PassRead, "1", problems(wrong)}, {PassRead, "1", problems(doubted)}}, problems(doubted), Totals{Warnings: 1}},
		{"a part that is taken back", []put{{PassRead, "1", problems(wrong, wrong)}, {PassRead, "1", Report{}}}, Report{}, Totals{}},
		{
			"a problem of two parts, one of which is taken back",
			[]put{{PassRead, "1", problems(wrong)}, {PassRead, "2", problems(wrong)}, {PassRead, "1", Report{}}}, problems(wrong), Totals{Errors: 1},
		},
		{
			"a bad outcome stands, whichever pass found it",
			[]put{{PassServe, "3", outcomes(said("a", "Accepted", true, "Yes"))}, {PassCompile, "2", outcomes(said("a", "Accepted", false, "No"))}, {PassRead, "1", outcomes(said("a", "Accepted", true, "Yes"))}},
			outcomes(said("a", "Accepted", false, "No")), Totals{},
		},
		{
			"of two bad ones the earlier pass's",
			[]put{{PassServe, "2", outcomes(said("a", "Accepted", false, "Late"))}, {PassMerge, "1", outcomes(said("a", "Accepted", false, "Soon"))}},
			outcomes(said("a", "Accepted", false, "Soon")), Totals{},
		},
		{
			"a condition that is named for a fault is bad when it holds",
			[]put{{PassRead, "1", outcomes(said("a", "Conflicted", false, "NoConflicts"))}, {PassServe, "2", outcomes(said("a", "Conflicted", true, "HostnameConflict"))}},
			outcomes(said("a", "Conflicted", true, "HostnameConflict")), Totals{},
		},
		{
			"of several in one part the first bad one",
			[]put{{PassRead, "1", outcomes(said("a", "Accepted", true, "Yes"), said("a", "Accepted", false, "No"), said("a", "Accepted", false, "Never"))}},
			outcomes(said("a", "Accepted", false, "No")), Totals{},
		},
		{
			"an object is unbound once, as long as anybody says so",
			[]put{
				{PassMerge, "1", outcomes(said("a", "Attached", false, "NoTarget"), said("b", "Attached", true, "Attached"))},
				{PassMerge, "2", outcomes(said("a", "Attached", false, "NoTarget"))}, {PassMerge, "1", Report{}},
			},
			outcomes(said("a", "Attached", false, "NoTarget")), Totals{Unbound: 1},
		},
		{
			"routes at a listener add up",
			[]put{{PassMerge, "1", Report{Attached: map[string]int{"l": 2, "m": 1}}}, {PassMerge, "2", Report{Attached: map[string]int{"l": 3}}}, {PassMerge, "1", Report{Attached: map[string]int{"l": 1}}}},
			Report{Attached: map[string]int{"l": 4}}, Totals{},
		},
		{
			"addresses, replaced and taken back",
			[]put{
				{PassServe, "1", Report{Addresses: map[string][]Address{"ns/a": nil, "ns/b": at}}},
				{PassServe, "1", Report{Addresses: map[string][]Address{"ns/a": at}}},
			},
			Report{Addresses: map[string][]Address{"ns/a": at}}, Totals{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := ledgerOf(c.puts)
			if diff := cmp.Diff(c.want, l.Report(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if got := l.Totals(); got != c.totals {
				t.Errorf("totals %+v, want %+v", got, c.totals)
			}
			attached, addresses := l.Gateways()
			if diff := cmp.Diff(Report{Attached: attached, Addresses: addresses}, Report{Attached: c.want.Attached, Addresses: c.want.Addresses}); diff != "" {
				t.Errorf("gateways:\n%s", diff)
			}
		})
	}
}

func TestLedgerNews(t *testing.T) {
	blamedA := []Object{{Kind: "HTTPRoute", Namespace: "ns", Name: "a"}}
	accepted := outcomes(said("a", "Accepted", true, "Yes"))
	for _, c := range []struct {
		name         string
		before, puts []put
		want         News
	}{
		{name: "nothing"},
		{name: "a new problem", puts: []put{{PassRead, "1", problems(wrong)}}, want: News{Problems: []Problem{wrong}, Blamed: blamedA}},
		{
			name: "several, sorted", puts: []put{{PassRead, "1", problems(noted)}, {PassRead, "2", problems(doubted, wrong)}},
			want: News{Problems: []Problem{wrong, doubted, noted}, Blamed: append(blamedA, Object{Kind: "HTTPRoute", Namespace: "ns", Name: "b"})},
		},
		{name: "the same part again", before: []put{{PassRead, "1", problems(wrong)}}, puts: []put{{PassRead, "1", problems(wrong)}}},
		{name: "another part that tells of a known problem", before: []put{{PassRead, "1", problems(wrong)}}, puts: []put{{PassRead, "2", problems(wrong)}}},
		{
			name: "a problem that moves to another part", before: []put{{PassRead, "1", problems(wrong)}},
			puts: []put{{PassRead, "1", Report{}}, {PassRead, "2", problems(wrong)}}, want: News{Blamed: blamedA},
		},
		{name: "a problem that is gone", before: []put{{PassRead, "1", problems(wrong)}}, puts: []put{{PassRead, "1", Report{}}}, want: News{Blamed: blamedA}},
		{name: "a problem that came and went", puts: []put{{PassRead, "1", problems(wrong)}, {PassRead, "1", Report{}}}, want: News{Blamed: blamedA}},
		{name: "an outcome", puts: []put{{PassRead, "1", accepted}}, want: News{Objects: []Object{routeOf("a")}}},
		{name: "an outcome that is gone", before: []put{{PassRead, "1", accepted}}, puts: []put{{PassRead, "1", Report{}}}, want: News{Objects: []Object{routeOf("a")}}},
		{name: "the same outcome", before: []put{{PassRead, "1", accepted}}, puts: []put{{PassRead, "1", outcomes(accepted.Outcomes...)}}},
		{
			name: "counts and addresses", before: []put{{PassMerge, "1", Report{Attached: map[string]int{"l": 1}}}},
			puts: []put{{PassMerge, "1", Report{Attached: map[string]int{"l": 2}}}, {PassServe, "2", Report{Addresses: map[string][]Address{"ns/a": {{Value: "x"}}}}}},
			want: News{Moved: []string{"l", "ns/a"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := ledgerOf(c.before)
			l.Take()
			for _, p := range c.puts {
				l.Put(p.pass, p.key, p.report)
			}
			if diff := cmp.Diff(c.want, l.Take(), anyOrder); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(News{}, l.Take(), anyOrder); diff != "" {
				t.Errorf("told twice:\n%s", diff)
			}
		})
	}
}

// TestLedgerOfAnObject asks for one object among others.
func TestLedgerOfAnObject(t *testing.T) {
	l := ledgerOf([]put{
		{PassTranslate, "1", Report{Problems: []Problem{doubted, wrong}, Outcomes: []Outcome{said("a", "ResolvedRefs", true, "Yes"), said("a", "Accepted", true, "Yes"), said("b", "Accepted", true, "Yes")}}},
		{PassServe, "2", Report{Problems: []Problem{urgent, noted}, Outcomes: []Outcome{said("a", "Accepted", false, "No")}}},
	})
	for _, c := range []struct {
		of       string
		outcomes []Outcome
		problems []Problem
	}{
		{"a", []Outcome{said("a", "Accepted", false, "No"), said("a", "ResolvedRefs", true, "Yes")}, []Problem{wrong, doubted}},
		{"b", []Outcome{said("b", "Accepted", true, "Yes")}, []Problem{urgent, noted}},
		{"none", nil, nil},
	} {
		if diff := cmp.Diff(c.outcomes, l.Outcomes(routeOf(c.of))); diff != "" {
			t.Errorf("outcomes of %s (-want +got):\n%s", c.of, diff)
		}
		if diff := cmp.Diff(c.problems, l.Problems(routeOf(c.of)), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("problems of %s (-want +got):\n%s", c.of, diff)
		}
	}
	if diff := cmp.Diff([]Problem{urgent}, l.Alerts()); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	l.Put(PassServe, "2", Report{})
	if diff := cmp.Diff([]Outcome{said("a", "Accepted", true, "Yes"), said("a", "ResolvedRefs", true, "Yes")}, l.Outcomes(routeOf("a"))); diff != "" {
		t.Errorf("the fault is gone (-want +got):\n%s", diff)
	}
	if got := append(l.Problems(routeOf("b")), l.Alerts()...); len(got) > 0 {
		t.Errorf("problems of a part that is gone: %v", got)
	}
}

// TestLedgerIsItsParts puts, changes and takes back parts at random: the ledger
// says what a Report of those that are left says, and holds nothing more.
func TestLedgerIsItsParts(t *testing.T) {
	const seed = 20
	random := rand.New(rand.NewPCG(seed, seed))
	l, parts := new(Ledger), map[string]put{}
	for step := range 2000 {
		pass := Pass(random.IntN(3))
		key := fmt.Sprint(pass, " ", random.IntN(6))
		r := randomReport(random, key)
		l.Put(pass, key, r)
		parts[key] = put{pass, key, r}
		if step%20 > 0 {
			continue
		}
		var all, want Report
		for _, k := range slices.Sorted(maps.Keys(parts)) {
			all.Join(parts[k].report)
		}
		want.Join(all)
		want.Sort()
		if diff := cmp.Diff(want, l.Report(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("step %d (-want +got):\n%s", step, diff)
		}
		totals := Totals{Errors: want.Errors(), Warnings: want.Warnings(), Unbound: unboundOf(all)}
		if got := l.Totals(); got != totals {
			t.Fatalf("step %d: totals %+v, want %+v", step, got, totals)
		}
	}
	for key, p := range parts {
		l.Put(p.pass, key, Report{})
	}
	if n := len(l.parts) + len(l.objects) + len(l.problems) + len(l.blamed) + len(l.unbound) + len(l.attached) + len(l.addresses); n > 0 || l.Totals() != (Totals{}) {
		t.Errorf("without parts it holds %d things, totals %+v", n, l.Totals())
	}
}

// unboundOf counts the objects of which anybody says that they are not attached.
func unboundOf(r Report) int {
	seen := map[string]bool{}
	for _, o := range r.Outcomes {
		if o.Condition == "Attached" && !o.OK {
			seen[o.Object.Name] = true
		}
	}
	for _, p := range r.Problems {
		if p.Alert == TargetNotFound {
			seen[p.Origin.Name] = true
		}
	}
	return len(seen)
}

// randomReport returns a part in which some things are said twice, or that is
// empty. Addresses of a Gateway are one part's.
func randomReport(random *rand.Rand, key string) Report {
	var r Report
	if random.IntN(5) == 0 {
		return r
	}
	for range random.IntN(4) {
		severity := []Severity{Error, Warning, Note}[random.IntN(3)]
		alert := []string{"", "", TargetNotFound}[random.IntN(3)]
		r.Add(Problem{Severity: severity, Origin: originOf(fmt.Sprint(random.IntN(3))), What: alert + fmt.Sprint(random.IntN(3)), Alert: alert})
	}
	for range random.IntN(5) {
		condition := []string{"Accepted", "Attached", "Conflicted"}[random.IntN(3)]
		r.Outcome(said(fmt.Sprint(random.IntN(3)), condition, random.IntN(2) == 0, key))
	}
	if random.IntN(2) == 0 {
		r.Attached = map[string]int{fmt.Sprint("listener ", random.IntN(2)): 1 + random.IntN(3)}
		r.Addresses = map[string][]Address{"ns/" + key: {{Type: "IPAddress", Value: fmt.Sprint(random.IntN(3))}}}
	}
	return r
}

// TestLedgerHold has readers see a change of two parts whole or not at all.
func TestLedgerHold(t *testing.T) {
	l := new(Ledger)
	change := func(n int) {
		defer l.Hold()()
		for _, key := range []string{"a", "b"} {
			l.Put(PassServe, key, Report{
				Problems: []Problem{Errorf(originOf("same"), "%s %d", key, n).Alerting(ExposedCredential)},
				Outcomes: []Outcome{{Object: routeOf("same"), About: key, Condition: "Accepted", Reason: fmt.Sprint(n)}},
				Attached: map[string]int{key: n}, Addresses: map[string][]Address{"ns/" + key: {{Value: fmt.Sprint(n)}}},
			})
		}
	}
	change(1)
	look := func() {
		attached, addresses := l.Gateways()
		if attached["a"] != attached["b"] || addresses["ns/a"][0] != addresses["ns/b"][0] {
			t.Errorf("half of a change: %v, %v", attached, addresses)
		}
		if o := l.Outcomes(routeOf("same")); len(o) != 2 || o[0].Reason != o[1].Reason {
			t.Errorf("half of a change: %v", o)
		}
		for _, list := range [][]Problem{l.Problems(routeOf("same")), l.Alerts(), l.Report().Problems} {
			if len(list) != 2 || list[0].What[1:] != list[1].What[1:] {
				t.Errorf("half of a change: %v", list)
			}
		}
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 200 {
				look()
			}
		})
	}
	done := make(chan struct{})
	go func() { readers.Wait(); close(done) }()
	for n := 2; ; n++ {
		select {
		case <-done:
			return
		default:
			change(n)
		}
	}
}
