package reading

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

func object() *resource.Object {
	return &resource.Object{Key: resource.Key{GroupKind: resource.GroupKind{Kind: "Thing"}, Namespace: "ns", Name: "one"}}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name, at string
		read     func(p *Place)
		want     string
	}{
		{"error", "spec", func(p *Place) { p.Fail("a", "do so", "%d is wrong", 1) }, "error spec.a: 1 is wrong (do so)"},
		{"warning", "spec", func(p *Place) { p.Warn("[0].a", "do so", "odd") }, "warning spec[0].a: odd (do so)"},
		{"note", "", func(p *Place) { p.Note("a", "do so", "odd") }, "note a: odd (do so)"},
		{"the part itself", "spec.a", func(p *Place) { p.Fail("", "do so", "odd") }, "error spec.a: odd (do so)"},
		{"ignored", "spec", func(p *Place) { p.Ignore("a.b", true) }, "warning spec.a.b: b is not supported and has no effect (remove it)"},
		{"refused", "spec", func(p *Place) { p.Refuse("a.b", true) }, "error spec.a.b: b is not supported; what depends on it is closed (remove it)"},
		{"needed", "spec", func(p *Place) { p.Need("a.b", "") }, "error spec.a.b: b is missing (write it)"},
		{"not there", "spec", func(p *Place) { p.Ignore("a", false); p.Refuse("a", false); p.Need("a", "x") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &Place{Object: object(), At: c.at, Report: &status.Report{}}
			c.read(p)
			got := ""
			for _, pr := range p.Report.Problems {
				got += string(pr.Severity) + " " + pr.Told()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestSince: the first error after the mark closes, no warning does.
func TestSince(t *testing.T) {
	p := &Place{Object: object(), Report: &status.Report{}}
	p.Fail("a", "", "before")
	mark := p.Mark()
	p.Warn("b", "", "odd")
	if got := p.Since(mark); got != nil {
		t.Errorf("closed by a warning: %v", got)
	}
	p.Fail("c", "", "first")
	p.Fail("d", "", "second")
	want := &ir.Closed{Reason: "first", Origin: p.Origin("c")}
	if diff := cmp.Diff(want, p.Since(mark)); diff != "" {
		t.Error(diff)
	}
}

func TestPresent(t *testing.T) {
	var s struct{ A, B, C Present }
	if err := json.Unmarshal([]byte(`{"A": {"secret": [1]}, "B": null}`), &s); err != nil {
		t.Fatal(err)
	}
	if !s.A || s.B || s.C {
		t.Errorf("got %+v, want A alone", s)
	}
}

// TestAccept: an object's own problems and faults decide, an error before a
// warning, and the first of them.
func TestAccept(t *testing.T) {
	o := object()
	other := &resource.Object{Key: resource.Key{GroupKind: o.GroupKind, Namespace: "ns", Name: "two"}}
	for _, c := range []struct {
		name     string
		problems []status.Problem
		faults   []status.Problem
		want     status.Outcome
	}{
		{"none", nil, nil, status.Outcome{OK: true, Reason: "Accepted"}},
		{"another's", []status.Problem{status.Errorf(other.Origin(""), "odd")}, nil, status.Outcome{OK: true, Reason: "Accepted"}},
		{"warnings", []status.Problem{status.Warningf(o.Origin(""), "odd"), status.Warningf(o.Origin(""), "odder")}, nil,
			status.Outcome{OK: true, Reason: "Warning", Message: "odd"}},
		{"error", []status.Problem{status.Warningf(o.Origin(""), "odd"), status.Errorf(o.Origin(""), "wrong"), status.Errorf(o.Origin(""), "more")}, nil,
			status.Outcome{Reason: "Bad", Message: "wrong"}},
		{"fault", []status.Problem{status.Warningf(o.Origin(""), "odd")}, []status.Problem{status.Errorf(o.Origin(""), "unread")},
			status.Outcome{Reason: "Bad", Message: "unread"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.Faults = c.faults
			report := &status.Report{Problems: c.problems}
			Accept(o, report, "Bad")
			c.want.Object, c.want.Condition = o.Key.Status(), "Accepted"
			if diff := cmp.Diff([]status.Outcome{c.want}, report.Outcomes); diff != "" {
				t.Error(diff)
			}
		})
	}
}
