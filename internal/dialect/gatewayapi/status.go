package gatewayapi

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/backendtls"
	"github.com/postern-gateway/postern/internal/dialect/condition"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// mostAncestors bounds a PolicyAncestorStatus, and mostParents a route's.
const (
	mostAncestors = 16
	mostParents   = 32
)

// ownConditions are the condition types of GatewayClasses and Gateways that
// are ours alone to write: without an outcome they go. Others may be anybody's.
var ownConditions = [...]string{"Accepted", "Programmed", "ResolvedRefs", "InsecureFrontendValidationMode"}

func foreign(conditionType string) bool { return !slices.Contains(ownConditions[:], conditionType) }

// objectStatus renders the statuses of the Gateway API's kinds.
func objectStatus(live map[string]any, s dialect.Standing) map[string]any {
	switch s.Object.GroupKind {
	case parent.GatewayClassKind:
		return classStatus(live, &s)
	case parent.GatewayKind:
		return gatewayStatus(live, &s)
	case parent.ListenerSetKind:
		return setStatus(live, &s)
	case backendtls.Kind:
		return policyStatus(live, &s)
	}
	if refs, isRoute := parentRefs(s.Object); isRoute {
		return routeStatus(live, &s, refs)
	}
	return live
}

// parentRefs returns the references of a route of any kind.
func parentRefs(o *resource.Object) ([]gatewayv1.ParentReference, bool) {
	switch spec := o.Spec.(type) {
	case *HTTPRoute:
		return spec.Spec.ParentRefs, true
	case *GRPCRoute:
		return spec.Spec.ParentRefs, true
	}
	return nil, false
}

func merging(s *dialect.Standing) condition.Merging {
	return condition.Merging{Generation: s.Object.Generation, Now: s.Now}
}

// with returns live with members put in; those that are nil go.
func with(live map[string]any, members map[string]any) map[string]any {
	out := maps.Clone(live)
	if out == nil {
		out = map[string]any{}
	}
	for name, v := range members {
		if v == nil {
			delete(out, name)
			continue
		}
		out[name] = v
	}
	return out
}

// classStatus is written for the classes that name our controller.
func classStatus(live map[string]any, s *dialect.Standing) map[string]any {
	if len(s.Outcomes) == 0 {
		return live
	}
	m := merging(s)
	m.Foreign = foreign
	var list []any
	for _, f := range features() {
		list = append(list, map[string]any{"name": f})
	}
	return with(live, map[string]any{"conditions": m.Merge(live["conditions"], s.About("")), "supportedFeatures": list})
}

// gatewayStatus is written for the Gateways of our classes.
func gatewayStatus(live map[string]any, s *dialect.Standing) map[string]any {
	if len(s.Outcomes) == 0 {
		return live
	}
	m := merging(s)
	m.Foreign = foreign
	members := map[string]any{
		"conditions": m.Merge(live["conditions"], s.About("")),
		"listeners":  listenerStatuses(live["listeners"], s, parent.Listeners(s.View, s.Object)),
		"addresses":  nil,
		// Also where there is none: it says that we look.
		"attachedListenerSets": attachedSets(s),
	}
	var addresses []any
	for _, a := range s.Addresses[s.Object.Namespace+"/"+s.Object.Name] {
		addresses = append(addresses, map[string]any{"type": a.Type, "value": a.Value})
	}
	if addresses != nil {
		members["addresses"] = addresses
	}
	return with(live, members)
}

// attachedSets counts the ListenerSets of which the Gateway serves listeners.
func attachedSets(s *dialect.Standing) int64 {
	n := int64(0)
	for _, o := range s.Outcomes {
		if k, ok := namedIn(o.About); ok && k.GroupKind == parent.ListenerSetKind && o.Condition == "Attached" && o.OK {
			n++
		}
	}
	return n
}

// setStatus is written for the ListenerSets whose parents are Gateways of ours.
func setStatus(live map[string]any, s *dialect.Standing) map[string]any {
	if len(s.Outcomes) == 0 {
		return live
	}
	m := merging(s)
	m.Foreign = foreign
	listeners := parent.SetOf(s.View, s.Object).Listeners(s.View)
	return with(live, map[string]any{
		"conditions": m.Merge(live["conditions"], s.About("")),
		"listeners":  listenerStatuses(live["listeners"], s, listeners),
	})
}

// listenerStatuses returns the listeners' part of a status.
func listenerStatuses(live any, s *dialect.Standing, listeners []*parent.Listener) []any {
	before := map[string]map[string]any{}
	list, _ := live.([]any)
	for _, l := range list {
		if l, ok := l.(map[string]any); ok {
			before[condition.Text(l, "name")] = l
		}
	}
	m := merging(s)
	out := []any{}
	for _, l := range listeners {
		name := string(l.Spec.Name)
		kinds := []any{}
		for _, k := range l.Kinds {
			kinds = append(kinds, map[string]any{"group": k.Group, "kind": k.Kind})
		}
		out = append(out, map[string]any{
			"name": name, "supportedKinds": kinds, "attachedRoutes": int64(s.Attached[l.Name]),
			"conditions": m.Merge(before[name]["conditions"], s.About(name)),
		})
	}
	return out
}

// routeStatus has an entry for each parent that is ours; those of other
// controllers stay, and so do all where we never had one.
func routeStatus(live map[string]any, s *dialect.Standing, refs []gatewayv1.ParentReference) map[string]any {
	var ours []condition.Entry
	seen := map[string]bool{}
	add := func(about string, ref map[string]any) {
		if list := s.About(about); len(list) > 0 && !seen[about] {
			seen[about] = true
			ours = append(ours, condition.Entry{Ref: ref, Outcomes: conditions(list)})
		}
	}
	for i := range refs {
		if ref, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&refs[i]); err == nil {
			add(parent.About(refs[i], s.Object.Namespace), ref)
		}
	}
	for _, about := range s.Respects() { // routes that delegate to it without its asking
		if k, ok := namedIn(about); ok && k.GroupKind == parent.HTTPRouteKind {
			add(about, reference(k))
		}
	}
	e := condition.Entries{Merging: merging(s), Field: "parentRef", Controller: parent.Controller, Most: mostParents}
	return withEntries(live, "parents", e, ours)
}

// conditions leaves out the outcomes that no condition of a route has: what is
// bound to it says so itself.
func conditions(list []status.Outcome) []status.Outcome {
	return slices.DeleteFunc(list, func(o status.Outcome) bool { return o.Condition == "Attached" })
}

// targeted reports whether k is a target of a policy that another dialect
// serves, and gives it the target's group.
func targeted(policy *resource.Object, k *resource.Key) bool {
	for _, t := range policy.Spec.(*backendtls.Policy).Spec.TargetRefs {
		if string(t.Kind) == k.Kind && string(t.Name) == k.Name && policy.Namespace == k.Namespace {
			k.Group = string(t.Group)
			return true
		}
	}
	return false
}

// policyStatus has an entry for each Gateway through which the policy works,
// and for each target that is no Service.
func policyStatus(live map[string]any, s *dialect.Standing) map[string]any {
	var ours []condition.Entry
	for _, about := range s.Respects() {
		k, ok := namedIn(about)
		if ok && (k.GroupKind == parent.GatewayKind || targeted(s.Object, &k)) {
			ours = append(ours, condition.Entry{Ref: reference(k), Outcomes: conditions(s.About(about))})
		}
	}
	e := condition.Entries{Merging: merging(s), Field: "ancestorRef", Controller: parent.Controller, Most: mostAncestors}
	return withEntries(live, "ancestors", e, ours)
}

// withEntries leaves a status that says nothing as it is, if nothing is due.
func withEntries(live map[string]any, member string, e condition.Entries, ours []condition.Entry) map[string]any {
	list := e.Merge(live[member], ours)
	if len(list) == 0 && live[member] == nil {
		return live
	}
	return with(live, map[string]any{member: list})
}

// namedIn returns the object that an outcome's About names as "Kind ns/name".
func namedIn(about string) (resource.Key, bool) {
	kind, rest, _ := strings.Cut(about, " ")
	namespace, name, ok := strings.Cut(rest, "/")
	return resource.Key{GroupKind: resource.GroupKind{Group: parent.Group, Kind: kind}, Namespace: namespace, Name: name},
		ok && !strings.ContainsAny(name, "/:")
}

// reference returns a reference to an object, as decoded.
func reference(k resource.Key) map[string]any {
	return map[string]any{"group": k.Group, "kind": k.Kind, "namespace": k.Namespace, "name": k.Name}
}
