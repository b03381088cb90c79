// Package gatewayapi is the dialect of the Kubernetes Gateway API
// (https://gateway-api.sigs.k8s.io, v1.6): GatewayClass, Gateway,
// ListenerSet, HTTPRoute, GRPCRoute, ReferenceGrant and BackendTLSPolicy.
//
//	Gateway, ListenerSet ─► listeners (sections of it are targets for policies)
//	HTTPRoute, GRPCRoute ─parent─► virtual hosts with routes
//	     │ filters ──► steps; ExtensionRef ──► a reference that Merger follows
//	     ├ backends ─service─► upstreams, with TLS by BackendTLSPolicy
//	     └ HTTPRoutes ──► their rules, within its own (Gloo Gateway's delegation)
//
// What an API server would refuse is refused here too, since files have none
// in front of them. A rule that cannot be understood answers 500; its
// neighbours stand.
package gatewayapi

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/backendtls"
	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Name of the dialect, for --dialects and in the names of its upstreams.
const Name = "gatewayapi"

// HTTPRoute is the spec of an HTTPRoute object.
type HTTPRoute struct {
	Spec gatewayv1.HTTPRouteSpec `json:"spec"`
}

// New returns the dialect.
func New() dialect.Dialect {
	return dialect.Dialect{Name: Name, Kinds: kinds(), Roots: roots, Translate: translate, Shared: []dialect.Dialect{service.Lists()}, Status: objectStatus}
}

func kinds() []resource.Kind {
	return append(parent.Kinds(),
		resource.Kind{GroupKind: parent.HTTPRouteKind, Versions: []string{"v1", "v1beta1"}, Plural: "httproutes", New: func() any { return new(HTTPRoute) }},
		resource.Kind{GroupKind: parent.GRPCRouteKind, Versions: []string{"v1", "v1alpha2"}, Plural: "grpcroutes", New: func() any { return new(GRPCRoute) }},
		backendtls.Described(),
		infrastructure.Kind(),
	)
}

// roots lists what is translated one by one; grants are only read.
func roots(v *resource.View) []resource.Key {
	var out []resource.Key
	for _, gk := range []resource.GroupKind{parent.GatewayClassKind, parent.GatewayKind, parent.ListenerSetKind, parent.HTTPRouteKind, parent.GRPCRouteKind, backendtls.Kind} {
		out = append(out, v.Keys(gk)...)
	}
	if len(v.Keys(parent.HTTPRouteKind)) > 0 {
		out = append(out, unserved)
	}
	return out
}

func translate(v *resource.View, root resource.Key) (*dialect.Fragment, status.Report) {
	if root == unserved {
		return translateUnserved(v)
	}
	obj := v.Get(root.GroupKind, root.Namespace, root.Name)
	if obj == nil {
		return &dialect.Fragment{}, status.Report{}
	}
	switch root.GroupKind {
	case parent.GatewayKind:
		return translateGateway(v, obj)
	case parent.ListenerSetKind:
		return translateListenerSet(v, obj)
	case parent.HTTPRouteKind:
		return translateHTTPRoute(v, obj)
	case parent.GRPCRouteKind:
		return translateGRPCRoute(v, obj)
	case backendtls.Kind:
		return translatePolicy(v, obj)
	}
	return translateClass(v, obj)
}

// translateClass accepts the classes that are ours: those that name our
// controller, and every one out of a file.
func translateClass(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	var report status.Report
	spec := obj.Spec.(*parent.GatewayClass).Spec
	ours := spec.ControllerName == parent.Controller
	if !ours && obj.File == "" {
		return &dialect.Fragment{}, report
	}
	accepted := status.Outcome{Object: obj.Status(), Condition: "Accepted", OK: true, Reason: "Accepted"}
	if ours {
		if f := infrastructure.OfClass(v, obj); f != nil {
			report.Add(f.Problem(obj))
			accepted.OK, accepted.Reason, accepted.Message = false, f.Reason, f.What
		}
	}
	report.Outcome(accepted)
	return &dialect.Fragment{}, report
}
