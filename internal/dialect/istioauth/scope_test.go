package istioauth_test

import (
	"testing"

	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestApplies holds references to Gateways to what they name; selectors are
// among the policy tests.
func TestApplies(t *testing.T) {
	gateway := func(name string) istioauth.TargetRef {
		return istioauth.TargetRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: name}
	}
	other := gateway("g")
	other.Namespace = "ns2"
	labelled := istioauth.Workload{Namespace: "ns1", Labels: map[string]string{"gateway.networking.k8s.io/gateway-name": "g"}}
	for _, tc := range []struct {
		name      string
		namespace string
		targets   []istioauth.TargetRef
		workload  istioauth.Workload
		want      bool
	}{
		{"by label", "ns1", []istioauth.TargetRef{gateway("g")}, labelled, true},
		{"by name", "ns1", []istioauth.TargetRef{gateway("g")}, istioauth.Workload{Namespace: "ns1", Gateway: "g"}, true},
		{"another gateway", "ns1", []istioauth.TargetRef{gateway("h")}, labelled, false},
		{"one of two", "ns1", []istioauth.TargetRef{gateway("h"), gateway("g")}, labelled, true},
		{"a workload that is no Gateway's", "ns1", []istioauth.TargetRef{gateway("g")}, istioauth.Workload{Namespace: "ns1"}, false},
		{"the root namespace names its own Gateways", "istio-system", []istioauth.TargetRef{gateway("g")}, labelled, false},
		{"a Service", "ns1", []istioauth.TargetRef{{Kind: "Service", Name: "g"}}, labelled, false},
		{"another group", "ns1", []istioauth.TargetRef{{Group: "networking.istio.io", Kind: "Gateway", Name: "g"}}, labelled, false},
		{"in doubt", "ns1", []istioauth.TargetRef{other}, labelled, true},
		{"in doubt, for everybody", "ns1", []istioauth.TargetRef{other}, istioauth.Workload{Namespace: "ns1"}, true},
	} {
		spec := &istioauth.AuthorizationPolicy{}
		spec.Spec.TargetRefs = tc.targets
		o := &resource.Object{Key: resource.Key{GroupKind: istioauth.AuthorizationPolicyKind, Namespace: tc.namespace, Name: "p"}, Spec: spec}
		if got := istioauth.Applies(o, tc.workload); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
