package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// What Gloo Gateway adds to the Gateway API, so that an HTTPRoute can hand a
// prefix to other HTTPRoutes
// (https://docs.solo.io/gateway/latest/traffic-management/route-delegation/).
// A backendRef of kind HTTPRoute names a child, or with "*" every HTTPRoute of
// a namespace; one of kind label selects them by a label's value.
const (
	delegationGroup = "delegation.gateway.solo.io"
	labelKind       = "label"
	// childLabel of an HTTPRoute is what a label reference looks for.
	childLabel = delegationGroup + "/label"
	// inheritAnnotation on a child: its paths continue the parent's prefix.
	inheritAnnotation = delegationGroup + "/inherit-parent-matcher"
	// overridesAnnotation on a parent: the policies in which children come
	// first, by the names of their fields; "*": all.
	overridesAnnotation = delegationGroup + "/enable-policy-overrides"
	// everyNamespace is the namespace of a label reference that selects in all.
	everyNamespace = "all"
)

// selection is what a backendRef of a delegating rule asks for.
type selection struct {
	namespace string
	name      string // "*": every one
	label     string // if set, the name does not matter
}

// selects returns the HTTPRoutes that a backendRef asks for; ok is false where
// it is a backend like any other.
func selects(ref gatewayv1.BackendObjectReference, namespace string) (s selection, ok bool) {
	s = selection{namespace: parent.Or(ref.Namespace, namespace), name: string(ref.Name)}
	switch (resource.GroupKind{Group: parent.Or(ref.Group, ""), Kind: parent.Or(ref.Kind, "Service")}) {
	case parent.HTTPRouteKind:
		return s, true
	case resource.GroupKind{Group: delegationGroup, Kind: labelKind}:
		s.label = s.name
		return s, true
	}
	return selection{}, false
}

func (s selection) byName() bool { return s.label == "" && s.name != "*" }

// everywhere reports whether s reaches into all namespaces.
func (s selection) everywhere() bool { return s.label != "" && s.namespace == everyNamespace }

// find returns the children of a route that s selects and that agree.
func (s selection) find(v *resource.View, from resource.Key) []*resource.Object {
	if s.byName() {
		if o := v.Get(parent.HTTPRouteKind, s.namespace, s.name); o != nil && agrees(o, from) {
			return []*resource.Object{o}
		}
		return nil
	}
	all := v.In(parent.HTTPRouteKind, s.namespace)
	if s.everywhere() {
		all = v.All(parent.HTTPRouteKind)
	}
	var out []*resource.Object
	for _, o := range all {
		if o.Key != from && agrees(o, from) && (s.label == "" || o.Labels[childLabel] == s.label) {
			out = append(out, o)
		}
	}
	return out
}

// agrees reports whether a route lets another one delegate to it: whoever has
// parentRefs serves under these alone, and whoever has none, under anyone.
func agrees(o *resource.Object, from resource.Key) bool {
	refs := o.Spec.(*HTTPRoute).Spec.ParentRefs
	return len(refs) == 0 || slices.ContainsFunc(refs, func(ref gatewayv1.ParentReference) bool {
		return ofRoute(ref) && namesWhole(ref) && routeParent(ref, o.Namespace) == from
	})
}

// ofRoute reports whether a parentRef names an HTTPRoute.
func ofRoute(ref gatewayv1.ParentReference) bool {
	return parent.Or(ref.Kind, "Gateway") == parent.HTTPRouteKind.Kind && (ref.Group == nil || string(*ref.Group) == parent.Group)
}

// namesWhole reports whether a parentRef names an object and no part of it.
func namesWhole(ref gatewayv1.ParentReference) bool {
	return parent.Or(ref.SectionName, "") == "" && ref.Port == nil
}

func routeParent(ref gatewayv1.ParentReference, namespace string) resource.Key {
	return resource.Key{GroupKind: parent.HTTPRouteKind, Namespace: parent.Or(ref.Namespace, namespace), Name: string(ref.Name)}
}

// delegates reports whether the rule hands its requests to other HTTPRoutes,
// and says what is wrong with how it does.
func (r *rule) delegates() bool {
	if r.grpc != nil { // backends of kind HTTPRoute are told like others that cannot be
		return false
	}
	n := 0
	for i := range r.spec.BackendRefs {
		ref := &r.spec.BackendRefs[i]
		if _, ok := selects(ref.BackendObjectReference, r.obj.Namespace); ok {
			n++
			r.delegateRef(ref, fmt.Sprintf(".backendRefs[%d]", i))
		}
	}
	if n == 0 {
		return false
	}
	if n < len(r.spec.BackendRefs) {
		r.bad("UnsupportedValue", ".backendRefs", "make two rules of it", "a rule delegates to HTTPRoutes or has backends of its own, not both")
	}
	if !r.prefixed {
		r.bad("UnsupportedValue", ".matches", "match by PathPrefix", "a rule that delegates can only match paths by PathPrefix")
	}
	return true
}

// delegateRef checks what a delegating backendRef says besides whom it means.
func (r *rule) delegateRef(ref *gatewayv1.HTTPBackendRef, at string) {
	switch w := ref.Weight; {
	case w == nil:
	case *w < 0 || *w > maxWeight:
		r.bad("UnsupportedValue", at+".weight", "use 0 to 1000000", "%d is no weight", *w)
	case *w > 1:
		r.ignore(at+".weight", "requests are not shared out among HTTPRoutes by weight", "remove the weight")
	}
	if ref.Port != nil {
		r.ignore(at+".port", "an HTTPRoute has no ports", "remove the port")
	}
	if len(ref.Filters) > 0 {
		r.bad("UnsupportedValue", at+".filters", "put them under the rule's filters", "an HTTPRoute that is delegated to has no filters of its own here")
	}
}

// chosen is one HTTPRoute that a rule delegates to.
type chosen struct {
	obj    *resource.Object
	at     string
	byName bool
}

// choose returns the HTTPRoutes that the rule delegates to, the oldest first.
// closed is set where some of them are not to be had.
func (r *rule) choose() (out []chosen, closed *ir.Closed) {
	weighty := false
	for i := range r.spec.BackendRefs {
		ref := &r.spec.BackendRefs[i]
		s, ok := selects(ref.BackendObjectReference, r.obj.Namespace)
		if !ok || (ref.Weight != nil && *ref.Weight == 0) {
			continue
		}
		weighty = true
		at := fmt.Sprintf(".backendRefs[%d]", i)
		found, f := r.find(s, at)
		if f != nil {
			r.unresolved(*f)
			if closed == nil {
				closed = f.Closed(r.obj)
			}
		}
		for _, o := range found {
			if !slices.ContainsFunc(out, func(c chosen) bool { return c.obj == o }) {
				out = append(out, chosen{o, at, s.byName()})
			}
		}
	}
	if !weighty {
		closed = &ir.Closed{Reason: "the rule has no backend with a weight", Origin: r.obj.Origin(r.field)}
	}
	slices.SortStableFunc(out, func(a, b chosen) int {
		switch {
		case a.obj.Older(b.obj):
			return -1
		case b.obj.Older(a.obj):
			return 1
		}
		return 0
	})
	return out, closed
}

// find returns what a selection yields, or why there is nothing to be had.
func (r *rule) find(s selection, at string) ([]*resource.Object, *parent.Fault) {
	fault := func(reason, remedy, format string, args ...any) *parent.Fault {
		return &parent.Fault{
			Condition: "ResolvedRefs", Reason: reason, Field: r.field + at,
			What: fmt.Sprintf(format, args...) + "; requests for it get 500", Remedy: remedy,
		}
	}
	if s.everywhere() && r.v.Get(resource.NamespaceKind, "", everyNamespace) != nil {
		return nil, fault("RefNotPermitted", "rename the namespace, or name the namespaces one by one",
			"%q stands for every namespace, and there is one of that name", everyNamespace)
	}
	found := s.find(r.v, r.obj.Key)
	key := resource.Key{GroupKind: parent.HTTPRouteKind, Namespace: s.namespace, Name: s.name}
	switch {
	case len(found) > 0:
		return found, nil
	case !s.byName() && s.label != "":
		return nil, fault("BackendNotFound", "label one with "+childLabel, "no HTTPRoute in %s that can be delegated to is labelled %q", s.namespace, s.label)
	case !s.byName():
		return nil, fault("BackendNotFound", "create one without parentRefs, or with this one as parent", "no HTTPRoute in %s can be delegated to", s.namespace)
	case r.v.Get(key.GroupKind, key.Namespace, key.Name) == nil:
		remedy := ""
		if r.link == nil { // else nobody reads it, and it costs
			remedy = reading.Suggest(r.v, key.GroupKind, key.Namespace, key.Name)
		}
		return nil, fault("BackendNotFound", remedy, "no HTTPRoute %q in %s", s.name, s.namespace)
	}
	return nil, fault("RefNotPermitted", "name this route among them, or remove them", "%v has parentRefs, and this route is not among them", key)
}

// overrides returns the policies in which children come first.
func (h *httpRoute) overrides() []string {
	var out []string
	for name := range strings.SplitSeq(h.obj.Annotations[overridesAnnotation], ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// inherits reports whether the paths of the route continue its parents'
// prefixes. known is false where the annotation says neither yes nor no, which
// is a no.
func inherits(o *resource.Object) (yes, known bool) {
	switch strings.ToLower(o.Annotations[inheritAnnotation]) {
	case "true", "yes", "enabled":
		return true, true
	case "", "false", "no", "disabled":
		return false, true
	}
	return false, false
}
