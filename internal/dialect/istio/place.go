package istio

import (
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
func (p *place) in(field string) *place { return &place{p.In(field), p.t} }
