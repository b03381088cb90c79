// Package parent binds routes of any kind to the listeners of Gateways, as the
// Gateway API says (https://gateway-api.sigs.k8s.io): parentRefs,
// allowedRoutes, hostnames, reference grants, and the precedence of matches.
// It is no dialect, imports none, and knows no route kind: whoever has one
// hands in its references and hostnames.
//
//	Gateway ──Listeners──► []*Listener ──────────────┐
//	ListenerSet ──SetOf──► Set ──Listeners──► ... ───┤
//	route's parentRefs, hostnames ───────────────────┴─Attach──► []Parent {hosts, or why not}
package parent

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Group is the Gateway API's group.
const Group = gatewayv1.GroupName

// Controller is the controllerName of the GatewayClasses that are ours.
const Controller = "postern.dev/gateway-controller"

// The kinds that decide what attaches where, and those that a listener for HTTP
// allows where it names none: HTTPRoute, by which listeners speak of everything
// that is routed by HTTP, and GRPCRoute.
var (
	GatewayClassKind   = resource.GroupKind{Group: Group, Kind: "GatewayClass"}
	GatewayKind        = resource.GroupKind{Group: Group, Kind: "Gateway"}
	ReferenceGrantKind = resource.GroupKind{Group: Group, Kind: "ReferenceGrant"}
	HTTPRouteKind      = resource.GroupKind{Group: Group, Kind: "HTTPRoute"}
	GRPCRouteKind      = resource.GroupKind{Group: Group, Kind: "GRPCRoute"}
)

// GatewayClass is the spec of a GatewayClass object.
type GatewayClass struct {
	Spec gatewayv1.GatewayClassSpec `json:"spec"`
}

// Gateway is the spec of a Gateway object.
type Gateway struct {
	Spec gatewayv1.GatewaySpec `json:"spec"`
}

// ReferenceGrant is the spec of a ReferenceGrant object.
type ReferenceGrant struct {
	Spec gatewayv1.ReferenceGrantSpec `json:"spec"`
}

// Kinds describes the kinds above to a decoder, the routes apart.
func Kinds() []resource.Kind {
	return []resource.Kind{
		{GroupKind: GatewayClassKind, Versions: []string{"v1", "v1beta1"}, Plural: "gatewayclasses", Cluster: true, New: func() any { return new(GatewayClass) }},
		{GroupKind: GatewayKind, Versions: []string{"v1", "v1beta1"}, Plural: "gateways", New: func() any { return new(Gateway) }},
		Grants(),
		{GroupKind: ListenerSetKind, Versions: []string{"v1"}, Plural: "listenersets", New: func() any { return new(ListenerSet) }},
	}
}

// Grants describes ReferenceGrant, which every family of resources reads where
// a credential is in another namespace.
func Grants() resource.Kind {
	return resource.Kind{GroupKind: ReferenceGrantKind, Versions: []string{"v1beta1", "v1", "v1alpha2"}, Plural: "referencegrants", New: func() any { return new(ReferenceGrant) }}
}

// Ours reports whether we serve a Gateway: every one out of a file, whatever
// its class, and those of an API server whose class names our controller.
func Ours(v *resource.View, gw *resource.Object) bool {
	if gw.File != "" {
		return true
	}
	class := string(gw.Spec.(*Gateway).Spec.GatewayClassName)
	_, c := resource.Spec[GatewayClass](v, GatewayClassKind, "", class)
	return c != nil && c.Spec.ControllerName == Controller
}

// Fault is one thing wrong with an object, in the form that its status and
// its report share.
type Fault struct {
	// Condition that the fault concerns, and the reason it gets there.
	Condition, Reason string
	// Object that the fault is written in; nil: the one that suffers from it.
	Object *resource.Object
	// Field of the object, as people write it.
	Field        string
	What, Remedy string
	// Partial says that the rest of the object is served all the same.
	Partial bool
}

// origin returns where the fault is written, where o suffers from it.
func (f Fault) origin(o *resource.Object) ir.Origin {
	if f.Object != nil {
		o = f.Object
	}
	return o.Origin(f.Field)
}

// Problem returns the fault as an error of o.
func (f Fault) Problem(o *resource.Object) status.Problem {
	p := status.Errorf(f.origin(o), "%s", f.What)
	p.Remedy = f.Remedy
	return p
}

// Closed returns the fault as a reason to answer with an error.
func (f Fault) Closed(o *resource.Object) *ir.Closed {
	return &ir.Closed{Reason: f.What, Origin: f.origin(o)}
}

// Or returns *p, or a default where p is nil or empty.
func Or[T ~string](p *T, otherwise string) string {
	if p == nil || *p == "" {
		return otherwise
	}
	return string(*p)
}

// names joins kinds for people.
func names(kinds []resource.GroupKind) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = k.Kind
	}
	return strings.Join(out, ", ")
}
