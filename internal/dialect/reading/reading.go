// Package reading is how every family's objects are read: field by field, with
// what is wrong reported at the field, and what depends on it closed.
//
//	Place ─Fail, Warn, Ignore ...─► status.Report
//	  └───── Since a mark ────────► ir.Closed, of the first error
//
// A family embeds Place in its own reader. It is no dialect and imports none;
// what fields mean is the family's.
package reading

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Place is a part of an object that is being read; what is wrong there is
// reported by fields below it. A field may be a path; empty, it is the part
// itself.
type Place struct {
	Object *resource.Object
	// At is the path of the part: "spec", "spec.http[0]"; empty: the object.
	At     string
	Report *status.Report
}

// Join returns the path of a field below another.
func Join(at, field string) string {
	switch {
	case at == "":
		return field
	case field == "" || field[0] == '[':
		return at + field
	}
	return at + "." + field
}

// In returns the place of a field.
func (p *Place) In(field string) Place {
	return Place{Object: p.Object, At: Join(p.At, field), Report: p.Report}
}

// Origin returns where a field is.
func (p *Place) Origin(field string) ir.Origin { return p.Object.Origin(Join(p.At, field)) }

// Fail reports an error; the caller closes what depends on it.
func (p *Place) Fail(field, remedy, format string, args ...any) {
	p.Report.Add(status.Errorf(p.Origin(field), format, args...).Fix("%s", remedy))
}

// Warn reports what is in force and deserves a second look, or guards nothing.
func (p *Place) Warn(field, remedy, format string, args ...any) {
	p.Report.Add(status.Warningf(p.Origin(field), format, args...).Fix("%s", remedy))
}

// Note reports something that is worth knowing, and wrong with nothing.
func (p *Place) Note(field, remedy, format string, args ...any) {
	p.Report.Add(status.Notef(p.Origin(field), format, args...).Fix("%s", remedy))
}

// Alert has the problem that was reported last be an alert.
func (p *Place) Alert(alert string) {
	last := len(p.Report.Problems) - 1
	p.Report.Problems[last] = p.Report.Problems[last].Alerting(alert)
}

// Ignore reports a field that guards nothing and has no effect here.
func (p *Place) Ignore(field string, there Present) {
	if there {
		p.Warn(field, "remove it", "%s is not supported and has no effect", Last(field))
	}
}

// Refuse reports a field without which what is written means something else.
func (p *Place) Refuse(field string, there Present) {
	if there {
		p.Fail(field, "remove it", "%s is not supported; what depends on it is closed", Last(field))
	}
}

// Need reports a field that must not be empty.
func (p *Place) Need(field, value string) {
	if value == "" {
		p.Fail(field, "write it", "%s is missing", Last(field))
	}
}

// Last returns the name of the field at a path.
func Last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// Mark remembers how many problems there are.
func (p *Place) Mark() int { return len(p.Report.Problems) }

// Since returns what the first error since a mark closes, or nil.
func (p *Place) Since(mark int) *ir.Closed {
	for _, pr := range p.Report.Problems[mark:] {
		if pr.Severity == status.Error {
			return &ir.Closed{Reason: pr.What, Origin: pr.Origin}
		}
	}
	return nil
}

// Present is a field of which only counts whether it is there: what it holds,
// which may be a secret, is forgotten.
type Present bool

// UnmarshalJSON forgets b.
func (p *Present) UnmarshalJSON(b []byte) error {
	*p = string(b) != "null"
	return nil
}

// Enum reads an enum that is given by name or number, for UnmarshalJSON.
func Enum[T ~int](e *T, b []byte, names ...string) error {
	n, err := resource.ParseEnum(b, names)
	*e = T(n)
	return err
}

// Unread closes what an object carries of which not all fields could be read.
func Unread(o *resource.Object) *ir.Closed {
	return &ir.Closed{Reason: fmt.Sprintf("%v has fields that could not be read", o.Key), Origin: o.Origin("")}
}

// Suggest returns a remedy for the name of an object that is not there.
func Suggest(v *resource.View, gk resource.GroupKind, namespace, want string) string {
	var names []string
	for _, o := range v.In(gk, namespace) {
		names = append(names, o.Name)
	}
	return cmp.Or(dialect.Suggest(want, names), "create it, or correct the name")
}

// Accept adds to a report what became of an object by the problems there that
// are its own: Accepted, Warning, or what its family calls a failure.
func Accept(o *resource.Object, report *status.Report, failed string) {
	out := status.Outcome{Object: o.Key.Status(), Condition: "Accepted", OK: true, Reason: "Accepted"}
	problems := append(append([]status.Problem(nil), report.Problems...), o.Faults...)
	for _, p := range problems {
		at := p.Origin
		if at.Kind != o.Kind || at.Namespace != o.Namespace || at.Name != o.Name {
			continue
		}
		if p.Severity == status.Error && out.OK {
			out.OK, out.Reason, out.Message = false, failed, p.What
		}
		if p.Severity == status.Warning && out.OK && out.Message == "" {
			out.Reason, out.Message = "Warning", p.What
		}
	}
	report.Outcome(out)
}
