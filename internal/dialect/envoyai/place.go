package envoyai

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// place is a part of an object that a translation reads.
type place struct {
	reading.Place
	t *translation
}

func (t *translation) place(o *resource.Object, at string) *place {
	return &place{reading.Place{Object: o, At: at, Report: &t.report}, t}
}

// in returns the place of a field.
func (p *place) in(format string, args ...any) *place {
	return &place{p.In(fmt.Sprintf(format, args...)), p.t}
}

// unresolved reports a reference that leads nowhere: the object is in order, and
// what it needs is not there.
func (p *place) unresolved(field, remedy, format string, args ...any) {
	if p.t.refs == nil {
		p.t.refs = map[int]bool{}
	}
	p.t.refs[p.Mark()] = true
	p.Fail(field, remedy, format, args...)
}

// suggest returns a remedy for the name of an object that is not there.
func (p *place) suggest(key resource.Key) string {
	return reading.Suggest(p.t.v, key.GroupKind, key.Namespace, key.Name)
}
