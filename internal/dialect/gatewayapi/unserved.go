package gatewayapi

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// unserved is a root of its own, since only a look at all HTTPRoutes can tell
// whether one is delegated to. It yields nothing but a report: of routes that
// nobody leads to, and of parents that are HTTPRoutes and lead elsewhere.
var unserved = resource.Key{GroupKind: parent.HTTPRouteKind}

func translateUnserved(v *resource.View) (*dialect.Fragment, status.Report) {
	var report status.Report
	odd, above := kinships(v)
	reached := reachable(v, above)
	for _, o := range odd {
		spec := &o.Spec.(*HTTPRoute).Spec
		if len(spec.ParentRefs) == 0 && !reached[o.Key] && spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeAll {
			report.Add(status.Warningf(o.Origin("spec.parentRefs"), "the route has no parent, and is not served").
				Fix("name a Gateway, or delegate to it from another HTTPRoute"))
		}
		for i, ref := range spec.ParentRefs {
			if ofRoute(ref) {
				judgeParent(v, o, ref, fmt.Sprintf("spec.parentRefs[%d]", i), reached, &report)
			}
		}
	}
	return &dialect.Fragment{}, report
}

// kinship is what some HTTPRoutes have to do with others: those that have no
// parent, or an HTTPRoute as one, and those that have another parent and
// delegate.
type kinship struct{ odd, above []*resource.Object }

// kinships returns the kinship of all HTTPRoutes. Most have none, and after a
// change few are looked at again.
func kinships(v *resource.View) (odd, above []*resource.Object) {
	for _, g := range v.Groups(parent.HTTPRouteKind) {
		k := g.Derived(kinshipKey{}, func(list []*resource.Object) any { return kinshipOf(list) }).(kinship)
		odd, above = append(odd, k.odd...), append(above, k.above...)
	}
	return odd, above
}

// kinshipKey finds the kinship that was made of a group.
type kinshipKey struct{}

func kinshipOf(list []*resource.Object) kinship {
	var k kinship
	for _, o := range list {
		refs := o.Spec.(*HTTPRoute).Spec.ParentRefs
		if len(refs) == 0 || slices.ContainsFunc(refs, ofRoute) {
			k.odd = append(k.odd, o)
		}
		delegates := false
		eachSelection(o, func(selection) { delegates = true })
		if delegates && servedItself(o) {
			k.above = append(k.above, o)
		}
	}
	return k
}

// servedItself reports whether a route has a parent of another kind.
func servedItself(o *resource.Object) bool {
	return slices.ContainsFunc(o.Spec.(*HTTPRoute).Spec.ParentRefs, func(ref gatewayv1.ParentReference) bool { return !ofRoute(ref) })
}

// reachable returns the routes to which those above delegate, and so on.
func reachable(v *resource.View, above []*resource.Object) map[resource.Key]bool {
	reached := map[resource.Key]bool{}
	queue := slices.Clone(above)
	for len(queue) > 0 {
		o := queue[0]
		queue = queue[1:]
		eachSelection(o, func(s selection) {
			for _, c := range s.find(v, o.Key) {
				if !reached[c.Key] {
					reached[c.Key] = true
					queue = append(queue, c)
				}
			}
		})
	}
	return reached
}

// eachSelection calls f for each backendRef by which a route delegates.
func eachSelection(o *resource.Object, f func(selection)) {
	for _, rule := range o.Spec.(*HTTPRoute).Spec.Rules {
		for _, ref := range rule.BackendRefs {
			if s, ok := selects(ref.BackendObjectReference, o.Namespace); ok {
				f(s)
			}
		}
	}
}

// judgeParent reports a parent that does not lead to the route. Where it does,
// its own translation tells the outcome.
func judgeParent(v *resource.View, o *resource.Object, ref gatewayv1.ParentReference, field string, reached map[resource.Key]bool, report *status.Report) {
	key := routeParent(ref, o.Namespace)
	p := status.Errorf(o.Origin(field), "")
	from := v.Get(key.GroupKind, key.Namespace, key.Name)
	switch {
	case from == nil:
		p.What, p.Remedy = fmt.Sprintf("no HTTPRoute %q in %s", key.Name, key.Namespace), reading.Suggest(v, key.GroupKind, key.Namespace, key.Name)
	case !namesWhole(ref):
		p.What, p.Remedy = "a part of an HTTPRoute cannot be a parent", "remove sectionName and port"
	case !leads(v, from, o):
		p.What, p.Remedy = fmt.Sprintf("%v does not delegate to it", key), "name it there in a backendRef of kind HTTPRoute"
	case !reached[key] && !servedItself(from):
		p.Severity = status.Warning
		p.What, p.Remedy = fmt.Sprintf("%v is not served itself", key), "give that a Gateway as parent"
	default:
		return
	}
	p.What += "; the route is not served there"
	report.Add(p)
	if o.File != "" { // else another program may answer for it
		report.Outcome(status.Outcome{
			Object: o.Status(), About: parent.About(ref, o.Namespace), Condition: "Accepted", Reason: "NoMatchingParent", Message: p.What,
		})
	}
}

// leads reports whether a route delegates to another.
func leads(v *resource.View, from, to *resource.Object) bool {
	found := false
	eachSelection(from, func(s selection) {
		for _, o := range s.find(v, from.Key) {
			found = found || o == to
		}
	})
	return found
}
