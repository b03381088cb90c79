package gloo

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// The orders of steps inside a phase, where the product's filter chain shows.
const (
	// Around ext auth, which has order 0.
	orderBeforeExtAuth = -10
	orderAfterExtAuth  = 10
	// Header edits run from the narrowest level to the widest, so that the
	// widest overwrites last; hosts and paths are rewritten after them, as
	// Envoy's router does.
	orderRouteHeaders = 1
	orderHostHeaders  = 2
	orderHostRewrite  = 10
	orderPathRewrite  = 11
	orderForward      = 20
)

// setting is what one field of an options object asks for. Without steps it
// takes its slot and does nothing.
type setting struct {
	slot     string
	steps    []ir.Step
	listener *ir.HTTPSettings
	closed   *ir.Closed
	combine  dialect.Combine
	origin   ir.Origin
}

// options reads one options object into settings.
type options struct {
	reading.Place
	t    *translation
	list []setting
}

func (t *translation) options(o *resource.Object, at string) *options {
	return &options{Place: reading.Place{Object: o, At: at, Report: &t.report}, t: t}
}

// put records steps for a slot, which is named for the field.
func (p *options) put(field string, steps ...ir.Step) { p.slot(field, field, steps...) }

// slot records steps for a slot that is not named for its field.
func (p *options) slot(slot, field string, steps ...ir.Step) {
	slot = name + "/" + slot
	origin := p.Origin(field)
	for i := range steps {
		steps[i].Slot, steps[i].Origin = slot, origin
	}
	p.list = append(p.list, setting{slot: slot, steps: steps, origin: origin})
}

// close reports that a field cannot be built, and keeps its slot closed.
func (p *options) close(slot, field, remedy, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	p.Fail(field, remedy, "%s", what)
	p.keepClosed(slot, field, what)
}

// keepClosed closes a slot for a reason that is already reported.
func (p *options) keepClosed(slot, field, what string) {
	origin := p.Origin(field)
	p.list = append(p.list, setting{slot: name + "/" + slot, origin: origin, closed: &ir.Closed{Reason: what, Origin: origin}})
}

// broken closes a slot if there are errors since there were before problems.
func (p *options) broken(slot, field string, before int) bool {
	closed := p.Since(before)
	if closed != nil {
		p.keepClosed(slot, field, closed.Reason)
	}
	return closed != nil
}

// guard closes the slot of a field that guards something and is not built.
func (p *options) guard(slot, field string, value raw) {
	switch {
	case !value.set():
	case value.disabled():
		p.slot(slot, field)
	default:
		p.close(slot, field, "remove it to serve these routes without it", "%s is not supported; what it would guard is closed", field)
	}
}

// ignore reports a field that guards nothing and is not built.
func (p *options) ignore(field string, value raw) {
	if value.set() {
		p.Warn(field, "remove it", "%s is not supported and has no effect", field)
	}
}

// faulty closes all that an object with undecoded fields asks for: what such
// an object meant to protect is not known.
func (p *options) faulty() []setting {
	if len(p.Object.Faults) == 0 {
		return p.list
	}
	what := reading.Unread(p.Object).Reason
	for i := range p.list {
		p.list[i].steps, p.list[i].listener = nil, nil
		p.list[i].closed = &ir.Closed{Reason: what, Origin: p.list[i].origin}
	}
	p.keepClosed("faulty", "", what)
	p.list[len(p.list)-1].combine = dialect.All // none of them hides another
	return p.list
}

// attach binds settings to a target.
func (t *translation) attach(target dialect.Target, rank []int, owner *resource.Object, list []setting) {
	for _, s := range list {
		t.f.Attachments = append(t.f.Attachments, &dialect.Attachment{
			Target: target, Slot: s.slot, Rank: rank, Combine: s.combine, Owner: owner.Key, Age: owner.Created,
			Steps: s.steps, Listener: s.listener, Closed: s.closed, Origin: s.origin,
		})
	}
}
