package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect/glootemplate"
	"github.com/postern-gateway/postern/internal/ir"
)

// transformation changes requests and answers by templates: after ext auth,
// unless the phase is preAuthz. Of each phase the oldest policy holds, whatever
// the priorities.
func (p *place) transformation(s *transformationPolicy) {
	c := &s.Spec.Config
	mark := p.Mark()
	at := p.in("config")
	step := ir.Step{Phase: ir.PhaseFilter, Order: orderPostAuthz}
	slot := "TransformationPolicy.postAuthz"
	if c.Phase != nil && c.Phase.PreAuthz != nil {
		step.Phase, step.Order, slot = ir.PhasePre, orderPreAuthz, "TransformationPolicy.preAuthz"
		if c.Phase.PostAuthz != nil {
			at.Fail("phase", "keep one of them", "preAuthz and postAuthz exclude each other")
		}
	}
	rule := ir.TransformRule{Origin: at.Origin("")}
	if q := c.Request; q != nil {
		rule.Rematch = q.RecalculateRoutingDestination
		rule.Request = at.template("request.injaTemplate", q.InjaTemplate)
	}
	if c.Response != nil {
		rule.Response = at.template("response.injaTemplate", c.Response.InjaTemplate)
	}
	if rule.Request == nil && rule.Response == nil && !rule.Rematch {
		at.Warn("", "write request.injaTemplate", "the policy changes nothing")
	}
	step.Transform = &ir.Transform{Rules: []ir.TransformRule{rule}}
	sel := selection{routes: s.Spec.ApplyToRoutes}
	targets := p.selected(sel)
	p.bound(targets, sel, false)
	p.attach(slot, targets, []ir.Step{step}, p.Since(mark))
}

// template reads one template; nil: there is none.
func (p *place) template(field string, s *glootemplate.Template) *ir.Template {
	if s == nil {
		return nil
	}
	return glootemplate.Translate(p.In(field), false, s)
}
