package envoyai

import (
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// targetKey returns the object that a target names.
func targetKey(t targetRef, namespace string) resource.Key {
	return resource.Key{GroupKind: resource.GroupKind{Group: t.Group, Kind: t.Kind}, Namespace: namespace, Name: t.Name}
}

// field is one field of a policy: what it comes to, and whether it is written.
type field struct {
	name   string
	set    bool
	steps  []ir.Step
	closed *ir.Closed
}

// slot is the name of a policy's field among all.
func (p *place) slot(field string) string { return name + "/" + p.Object.Kind + "." + field }

// build reads a field, if it is written; an error in it closes what it is
// attached to.
func (p *place) build(name string, set bool, read func(at *place) []ir.Step) field {
	f := field{name: name, set: set}
	if !set {
		return f
	}
	mark := p.Mark()
	f.steps = read(p.in("%s", name))
	for i := range f.steps {
		f.steps[i].Slot, f.steps[i].Origin = p.slot(name), p.Origin(name)
	}
	if f.closed = p.Since(mark); f.closed != nil {
		f.steps = nil
	}
	return f
}

// attach binds a policy's fields to its targets. Of several policies for one
// route the one for the narrower target takes all fields, also those that it
// leaves unset, unless it says that it is merged into what is wider: then those
// that it sets.
func (p *place) attach(s *targeting, kinds []string, fields []field) {
	mark := p.Mark()
	targets := p.targets(s, kinds)
	merged := p.mergeType(s)
	closed := faulty(p.Object)
	if closed == nil {
		closed = p.Since(mark)
	}
	for _, t := range targets {
		for _, f := range fields {
			if !f.set && merged && closed == nil {
				continue
			}
			a := &dialect.Attachment{
				Target: t, Slot: p.slot(f.name), Owner: p.Object.Key, Age: p.Object.Created,
				Steps: f.steps, Closed: f.closed, Origin: p.Origin(""),
			}
			if a.Implied = !f.set; f.set {
				a.Origin = p.Origin(f.name)
			}
			if closed != nil && a.Closed == nil {
				a.Steps, a.Closed = nil, closed
			}
			p.t.f.Attachments = append(p.t.f.Attachments, a)
		}
	}
}

// mergeType reports whether a policy is merged into those of wider targets.
func (p *place) mergeType(s *targeting) bool {
	switch s.MergeType {
	case "":
		return false
	case "StrategicMerge", "JSONMerge":
	default:
		p.Fail("mergeType", "write StrategicMerge or JSONMerge, or remove it", "%q is no way to merge", s.MergeType)
	}
	return true
}

// targets lists what a policy concerns. One that is not there is an error, and
// closes nothing.
func (p *place) targets(s *targeting, kinds []string) []dialect.Target {
	if s.TargetRef != nil && len(s.TargetRefs) > 0 || s.TargetRef == nil && len(s.TargetRefs) == 0 && len(s.TargetSelectors) == 0 {
		p.Fail("targetRefs", "write targetRefs", "either targetRef or targetRefs must be used")
	}
	var out []dialect.Target
	add := func(t dialect.Target) {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	one := func(at string, r targetRef) {
		if t, ok := p.in("%s", at).oneTarget(s, r, kinds); ok {
			add(t)
		}
	}
	if s.TargetRef != nil {
		one("targetRef", *s.TargetRef)
	}
	for i, r := range s.TargetRefs {
		one(fmt.Sprintf("targetRefs[%d]", i), r)
	}
	for i := range s.TargetSelectors {
		for _, t := range p.in("targetSelectors[%d]", i).selected(&s.TargetSelectors[i], kinds) {
			add(t)
		}
	}
	return out
}

// The kinds that policies are for.
const (
	gatewayKindName     = "Gateway"
	listenerSetKindName = "ListenerSet"
	routeKindName       = "HTTPRoute"
	grpcRouteKindName   = "GRPCRoute"
)

// targetKinds are the kinds of most policies' targets.
var targetKinds = []string{gatewayKindName, listenerSetKindName, routeKindName, grpcRouteKindName}

func (p *place) oneTarget(s *targeting, r targetRef, kinds []string) (dialect.Target, bool) {
	key := targetKey(r, p.Object.Namespace)
	t := dialect.Target{GroupKind: key.GroupKind, Namespace: key.Namespace, Name: key.Name, Section: r.SectionName}
	switch {
	case r.Group != parent.Group || !slices.Contains(kinds, r.Kind):
		remedy := "target one of the group " + parent.Group
		if key.GroupKind == aiGatewayRouteKind || key.GroupKind == llmRouteKind {
			remedy = "target the HTTPRoute of its name, which stands for it"
		}
		p.Fail("kind", remedy, "a target of kind %v is not served; nothing is attached there", key.GroupKind)
		return t, false
	case s.MergeType != "" && (r.Kind == gatewayKindName || r.Kind == listenerSetKindName):
		p.Fail("kind", "remove mergeType", "mergeType can only be used with routes as targets")
	case !p.exists(key):
		p.unresolved("name", p.suggest(p.near(key)), "no %s %q in %s; nothing is protected by it there", r.Kind, r.Name, p.Object.Namespace)
		p.Alert(status.TargetNotFound)
	}
	return t, true
}

// exists reports whether a target is there: a Gateway, an HTTPRoute, or a route
// that the product would make an HTTPRoute of.
func (p *place) exists(key resource.Key) bool {
	if p.t.v.Get(key.GroupKind, key.Namespace, key.Name) != nil {
		return true
	}
	return key.Kind == routeKindName && (p.t.v.Get(aiGatewayRouteKind, key.Namespace, key.Name) != nil ||
		p.t.v.Get(llmRouteKind, key.Namespace, key.Name) != nil)
}

// near returns a key among whose neighbours the name may be found that was
// meant.
func (p *place) near(key resource.Key) resource.Key {
	if key.Kind == routeKindName && len(p.t.v.In(aiGatewayRouteKind, key.Namespace)) > 0 {
		key.GroupKind = aiGatewayRouteKind
	}
	return key
}

// selected lists the targets that a selector picks, in the policy's namespace.
func (p *place) selected(s *targetSelector, kinds []string) []dialect.Target {
	if n := s.Namespaces; n != nil && n.From != "" && n.From != "Same" {
		p.Fail("namespaces.from", "write the policy into the other namespaces too", "targets in other namespaces are not supported")
	}
	if s.Group != nil && *s.Group != parent.Group || !slices.Contains(kinds, s.Kind) {
		p.Fail("kind", "target one of the group "+parent.Group, "a target of kind %s is not served; nothing is attached there", s.Kind)
		return nil
	}
	kindsOf := []resource.GroupKind{{Group: parent.Group, Kind: s.Kind}}
	if s.Kind == routeKindName {
		kindsOf = append(kindsOf, aiGatewayRouteKind, llmRouteKind)
	}
	var found []*resource.Object
	for _, gk := range kindsOf {
		found = append(slices.Clip(found), p.t.v.In(gk, p.Object.Namespace)...)
	}
	var out []dialect.Target
	for _, o := range found {
		if p.labelled(s, o.Labels) {
			gk := resource.GroupKind{Group: parent.Group, Kind: s.Kind}
			out = append(out, dialect.Target{GroupKind: gk, Namespace: o.Namespace, Name: o.Name})
		}
	}
	if len(out) == 0 {
		p.unresolved("", "label a "+s.Kind, "no %s in %s has the labels; nothing is protected by it there", s.Kind, p.Object.Namespace)
		p.Alert(status.TargetNotFound)
	}
	return out
}

// labelled reports whether labels satisfy a selector.
func (p *place) labelled(s *targetSelector, labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for i, e := range s.MatchExpressions {
		got, there := labels[e.Key]
		var ok bool
		switch e.Operator {
		case "In":
			ok = there && slices.Contains(e.Values, got)
		case "NotIn":
			ok = !there || !slices.Contains(e.Values, got)
		case "Exists":
			ok = there
		case "DoesNotExist":
			ok = !there
		default:
			p.Fail(fmt.Sprintf("matchExpressions[%d].operator", i), "write In, NotIn, Exists or DoesNotExist", "%q is no operator", e.Operator)
		}
		if !ok {
			return false
		}
	}
	return true
}
