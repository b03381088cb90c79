package istio

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// Istio's security policies may also be for a Gateway of the Gateway API, which
// another dialect serves: one of a class of Istio's, one that a policy refers
// to, or the one that the workload is labelled with. It is then a workload like
// any other: the policies of its namespace and of the root namespace hold.

// gatewayLabel is on the pods of a Gateway API's Gateway.
const gatewayLabel = parent.Group + "/gateway-name"

// apiGateways are roots that stand for the Gateways of the Gateway API.
var apiGateways = resource.GroupKind{Group: "security.istio.io", Kind: "Gateway"}

// apiRoots lists the Gateways of the Gateway API.
func apiRoots(v *resource.View) []resource.Key {
	var out []resource.Key
	for _, o := range v.All(parent.GatewayKind) {
		out = append(out, resource.Key{GroupKind: apiGateways, Namespace: o.Namespace, Name: o.Name})
	}
	return out
}

// apiWorkload returns the workload that a Gateway of the Gateway API runs on;
// nil: it is none of Istio's.
func (t *translation) apiWorkload(namespace, name string) *Workload {
	o := t.v.Get(parent.GatewayKind, namespace, name)
	if o == nil || t.opts.Mesh != nil {
		return nil
	}
	w := t.rooted(Workload{Namespace: namespace, Labels: map[string]string{gatewayLabel: name}, gateway: name})
	if own := t.opts.Workload; own != nil && own.Namespace == namespace && own.Labels[gatewayLabel] == name {
		w.Labels = own.Labels
		return w
	}
	if spec, ok := o.Spec.(*parent.Gateway); ok && strings.HasPrefix(string(spec.Spec.GatewayClassName), "istio") {
		return w
	}
	for _, kind := range []resource.GroupKind{istioauth.AuthorizationPolicyKind, istioauth.RequestAuthenticationKind} {
		if slices.ContainsFunc(t.v.In(kind, namespace), func(o *resource.Object) bool { return refersTo(o, name) }) {
			return w
		}
	}
	return nil
}

// refersTo reports whether a policy names a Gateway of its namespace.
func refersTo(o *resource.Object, name string) bool {
	var s istioauth.Scope
	switch spec := o.Spec.(type) {
	case *istioauth.AuthorizationPolicy:
		s = spec.Spec.Scope
	case *istioauth.RequestAuthentication:
		s = spec.Spec.Scope
	}
	targets := s.TargetRefs
	if s.TargetRef != nil {
		targets = append(slices.Clip(targets), *s.TargetRef)
	}
	return slices.ContainsFunc(targets, func(r istioauth.TargetRef) bool {
		return r.Group == parent.GatewayKind.Group && r.Kind == parent.GatewayKind.Kind && r.Name == name
	})
}

// apiGateway puts the policies of a Gateway of the Gateway API on its routes.
func (t *translation) apiGateway(root resource.Key) {
	w := t.apiWorkload(root.Namespace, root.Name)
	if w == nil {
		return
	}
	mesh, _ := t.mesh()
	steps := istioauth.Translate(t.v, t.authEnv(mesh, w), w.forPolicies()).Steps
	if len(steps) == 0 {
		return
	}
	gateway := t.v.Get(parent.GatewayKind, root.Namespace, root.Name)
	t.f.Attachments = append(t.f.Attachments, &dialect.Attachment{
		Target: dialect.TargetOf(gateway.Key), Slot: name + "/security", Owner: gateway.Key, Age: gateway.Created,
		Steps: steps, Origin: origin(steps, gateway),
	})
}

// origin is where the first of the policies was written.
func origin(steps []ir.Step, gateway *resource.Object) ir.Origin {
	for _, s := range steps {
		if s.Origin.Kind != "" {
			return s.Origin
		}
	}
	return gateway.Origin("")
}

// policed returns every workload that policies can be for.
func (t *translation) policed() []*Workload {
	out := t.workloads()
	for _, o := range t.v.All(parent.GatewayKind) {
		if w := t.apiWorkload(o.Namespace, o.Name); w != nil {
			out = append(out, w)
		}
	}
	return out
}
