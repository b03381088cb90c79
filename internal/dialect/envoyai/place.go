package envoyai

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// place is a part of an object that is being read; what is wrong there is
// reported by fields below it.
type place struct {
	t  *translation
	o  *resource.Object
	at string
}

// in returns the place of a field.
func (p *place) in(format string, args ...any) *place {
	return &place{t: p.t, o: p.o, at: join(p.at, fmt.Sprintf(format, args...))}
}

func join(at, field string) string {
	switch {
	case at == "":
		return field
	case field == "" || field[0] == '[':
		return at + field
	}
	return at + "." + field
}

func (p *place) origin(field string) ir.Origin { return p.o.Origin(join(p.at, field)) }

// fail reports an error; the caller closes what depends on it.
func (p *place) fail(field, remedy, format string, args ...any) {
	p.t.report.Add(status.Errorf(p.origin(field), format, args...).Fix("%s", remedy))
}

// unresolved reports a reference that leads nowhere: the object is in order, and
// what it needs is not there.
func (p *place) unresolved(field, remedy, format string, args ...any) {
	if p.t.refs == nil {
		p.t.refs = map[int]bool{}
	}
	p.t.refs[len(p.t.report.Problems)] = true
	p.fail(field, remedy, format, args...)
}

func (p *place) warn(field, remedy, format string, args ...any) {
	p.t.report.Add(status.Warningf(p.origin(field), format, args...).Fix("%s", remedy))
}

// note reports something that is worth knowing, and wrong with nothing.
func (p *place) note(field, remedy, format string, args ...any) {
	p.t.report.Add(status.Notef(p.origin(field), format, args...).Fix("%s", remedy))
}

// ignore reports a field that guards nothing and has no effect here.
func (p *place) ignore(field string, there present) {
	if there {
		p.warn(field, "remove it", "%s is not supported and has no effect", last(field))
	}
}

// refuse reports a field without which what is written means something else.
func (p *place) refuse(field string, there present) {
	if there {
		p.fail(field, "remove it", "%s is not supported; what depends on it is closed", last(field))
	}
}

// last returns the name of the field at a path.
func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// need reports a field that must not be empty.
func (p *place) need(field, value string) {
	if value == "" {
		p.fail(field, "write it", "%s is missing", last(field))
	}
}

// mark remembers how many problems there are.
func (p *place) mark() int { return len(p.t.report.Problems) }

// since returns what the first error since a mark closes, or nil.
func (p *place) since(mark int) *ir.Closed {
	for _, pr := range p.t.report.Problems[mark:] {
		if pr.Severity == status.Error {
			return &ir.Closed{Reason: pr.What, Origin: pr.Origin}
		}
	}
	return nil
}

// suggest returns a remedy for a name that is not there.
func (t *translation) suggest(key resource.Key) string {
	var names []string
	for _, o := range t.v.In(key.GroupKind, key.Namespace) {
		names = append(names, o.Name)
	}
	return cmp.Or(dialect.Suggest(key.Name, names), "create it, or correct the name")
}
