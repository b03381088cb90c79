package gloo

import (
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect/glootemplate"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// transformSlot is the one slot of all stages: a narrower level replaces them
// together, also those that it does not write.
const transformSlot = "stagedTransformations"

// The places of the stages: the early one before anybody is asked who they
// are, the regular one after rbac, the last when host and path are rewritten.
const (
	orderEarly       = 10
	orderRegular     = -10
	orderPostRouting = 15
)

// transforms reads the stages of templates. The deprecated form is one rule
// of the regular stage.
func (p *options) transforms(s *stagedTransformations, old *transformations) {
	switch {
	case s == nil && old == nil:
		return
	case s != nil && old != nil:
		p.close(transformSlot, "transformations", "keep stagedTransformations", "transformations and stagedTransformations exclude each other")
		return
	}
	before := p.Mark()
	r := &stages{p: p}
	if s == nil {
		rule := requestTransform{
			ClearRouteCache: old.ClearRouteCache, RequestTransformation: old.RequestTransformation, ResponseTransformation: old.ResponseTransformation,
		}
		r.steps = []ir.Step{{Phase: ir.PhaseFilter, Order: orderRegular, Transform: &ir.Transform{
			Rules: []ir.TransformRule{r.rule("transformations", &rule)},
		}}}
		if !p.broken(transformSlot, "transformations", before) {
			p.slot(transformSlot, "transformations", r.steps...)
		}
		return
	}
	r.escape = s.EscapeCharacters != nil && *s.EscapeCharacters
	p.ignore(transformSlot+".logRequestResponseInfo", s.LogRequestResponseInfo)
	r.stage("early", s.Early, ir.Step{Phase: ir.PhasePre, Order: orderEarly})
	r.stage("regular", s.Regular, ir.Step{Phase: ir.PhaseFilter, Order: orderRegular})
	r.stage("postRouting", s.PostRouting, ir.Step{Phase: ir.PhaseForward, Order: orderPostRouting})
	if s.InheritTransformation {
		r.inherit()
	}
	if !p.broken(transformSlot, transformSlot, before) {
		p.put(transformSlot, r.steps...)
	}
}

// stages is the work on one stagedTransformations.
type stages struct {
	p      *options
	escape bool
	steps  []ir.Step
}

// stage adds the step of one stage.
func (r *stages) stage(name string, s *stage, step ir.Step) {
	if s == nil || len(s.RequestTransforms)+len(s.ResponseTransforms) == 0 {
		return
	}
	at := transformSlot + "." + name
	step.Transform = &ir.Transform{}
	for i := range s.RequestTransforms {
		here := fmt.Sprintf("%s.requestTransforms[%d]", at, i)
		step.Transform.Rules = append(step.Transform.Rules, r.rule(here, &s.RequestTransforms[i]))
	}
	for i := range s.ResponseTransforms {
		here := fmt.Sprintf("%s.responseTransforms[%d]", at, i)
		step.Transform.Responses = append(step.Transform.Responses, r.response(here, &s.ResponseTransforms[i]))
	}
	r.steps = append(r.steps, step)
}

func (r *stages) rule(at string, s *requestTransform) ir.TransformRule {
	rule := ir.TransformRule{Rematch: s.ClearRouteCache, Origin: r.p.Origin(at)}
	if s.Matcher != nil {
		m, problem := matchOf(s.Matcher)
		if problem != "" {
			r.p.Fail(at+".matcher", "match by path, method, header or query parameter", "%s", problem)
		}
		rule.Match = &m
	}
	rule.Request = r.template(at+".requestTransformation", s.RequestTransformation)
	rule.Response = r.template(at+".responseTransformation", s.ResponseTransformation)
	if s.RequestTransformation == nil && s.ResponseTransformation == nil && !s.ClearRouteCache {
		r.p.Warn(at, "write requestTransformation", "the rule changes nothing, and no rule after it is tried where it matches")
	}
	return rule
}

func (r *stages) response(at string, s *responseTransform) ir.ResponseRule {
	rule := ir.ResponseRule{Origin: r.p.Origin(at), Response: r.template(at+".responseTransformation", s.ResponseTransformation)}
	for _, m := range s.Matchers {
		rule.Headers = append(rule.Headers, stringMatch(m))
	}
	if s.ResponseCodeDetails != "" {
		r.p.Fail(at+".responseCodeDetails", "match by headers", "responseCodeDetails is not supported")
	}
	if rule.Response == nil {
		r.p.Fail(at, "write responseTransformation", "the rule changes nothing")
		rule.Response = &ir.Template{}
	}
	return rule
}

// template reads one transformation; nil: there is none.
func (r *stages) template(at string, s *transformation) *ir.Template {
	if s == nil {
		return nil
	}
	r.p.ignore(at+".logRequestResponseInfo", s.LogRequestResponseInfo)
	switch {
	case s.HeaderBodyTransform.set():
		r.p.Fail(at+".headerBodyTransform", "write a transformationTemplate", "headerBodyTransform is not supported; its routes are closed")
		return nil
	case s.TransformationTemplate == nil:
		r.p.Fail(at, "write a transformationTemplate", "the transformation is of no kind")
		return nil
	}
	return glootemplate.Translate(r.p.In(at+".transformationTemplate"), r.escape, s.TransformationTemplate)
}

// inherit puts the rules of the level above after those of this one, stage by
// stage: in each the first that matches holds, so a narrower one comes first.
// What attaches to routes of the Gateway API does not know what is above it.
func (r *stages) inherit() {
	if r.p.t.above == nil {
		if r.p.Object.Kind == routeOptionKind.Kind && r.p.t.hostsTransform() {
			r.p.Fail(transformSlot+".inheritTransformation", "repeat the VirtualHostOption's transformations here", "inheritTransformation is supported below VirtualServices only")
		}
		return
	}
	w := winner(r.p.t.above, name+"/"+transformSlot)
	if w == nil {
		return
	}
	if w.closed != nil {
		r.p.Fail(transformSlot+".inheritTransformation", "correct what it inherits", "what it inherits is closed: %s", w.closed.Reason)
		return
	}
	for _, s := range w.steps {
		i := slices.IndexFunc(r.steps, func(own ir.Step) bool { return own.Phase == s.Phase })
		if i < 0 {
			r.steps = append(r.steps, s)
			continue
		}
		t := r.steps[i].Transform
		t.Rules = slices.Concat(t.Rules, s.Transform.Rules)
		t.Responses = slices.Concat(t.Responses, s.Transform.Responses)
	}
}

// hostsTransform reports whether any VirtualHostOption has transformations.
func (t *translation) hostsTransform() bool {
	return slices.ContainsFunc(t.v.All(virtualHostOptionKind), func(o *resource.Object) bool {
		opts := o.Spec.(*virtualHostOption).Spec.Options
		return opts != nil && (opts.StagedTransformations != nil || opts.Transformations != nil)
	})
}
