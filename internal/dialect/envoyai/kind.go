package envoyai

import (
	"github.com/postern-gateway/postern/internal/dialect/backendtls"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// The groups of the dialect.
const (
	aiGroup    = "aigateway.envoyproxy.io"
	envoyGroup = "gateway.envoyproxy.io"
)

// Versions of the AI kinds.
const (
	versionStable = "v1beta1"
	versionAlpha  = "v1alpha1"
)

// Kinds that others refer to.
var (
	aiGatewayRouteKind        = resource.GroupKind{Group: aiGroup, Kind: "AIGatewayRoute"}
	llmRouteKind              = resource.GroupKind{Group: aiGroup, Kind: "LLMRoute"}
	aiServiceBackendKind      = resource.GroupKind{Group: aiGroup, Kind: "AIServiceBackend"}
	llmBackendKind            = resource.GroupKind{Group: aiGroup, Kind: "LLMBackend"}
	backendSecurityPolicyKind = resource.GroupKind{Group: aiGroup, Kind: "BackendSecurityPolicy"}
	securityPolicyKind        = resource.GroupKind{Group: envoyGroup, Kind: "SecurityPolicy"}
	quotaPolicyKind           = resource.GroupKind{Group: aiGroup, Kind: "QuotaPolicy"}
	backendTrafficPolicyKind  = resource.GroupKind{Group: envoyGroup, Kind: "BackendTrafficPolicy"}
	backendKind               = resource.GroupKind{Group: envoyGroup, Kind: "Backend"}
)

// notBuilt is the spec of a kind that is known by name only and guards no
// route: nothing of its fields is kept.
type notBuilt struct{}

// kinds lists what the dialect reads, those of the Gateway API included.
func kinds() []resource.Kind {
	return append(append(parent.Kinds(), backendtls.Described()), ownKinds()...)
}

// ownKinds lists the kinds of the dialect's groups. Kinds whose spec is not
// kept are open there.
func ownKinds() []resource.Kind {
	kind := func(group, kind, plural string, spec func() any, versions ...string) resource.Kind {
		return resource.Kind{GroupKind: resource.GroupKind{Group: group, Kind: kind}, Versions: versions, Plural: plural, New: spec}
	}
	ai := func(k, plural string, spec func() any) resource.Kind {
		return kind(aiGroup, k, plural, spec, versionStable, versionAlpha)
	}
	envoy := func(k, plural string, spec func() any) resource.Kind {
		return kind(envoyGroup, k, plural, spec, versionAlpha)
	}
	named := func(k resource.Kind) resource.Kind {
		k.New, k.Open = func() any { return new(notBuilt) }, []string{""}
		return k
	}
	open := func(k resource.Kind) resource.Kind {
		k.Open = []string{"spec"}
		return k
	}
	policy := func(k resource.Kind, vital ...string) resource.Kind {
		k.Vital = vital
		return k
	}
	targeted := func(k resource.Kind) resource.Kind { return policy(k, "targetRef", "targetRefs", "targetSelectors") }
	return []resource.Kind{
		ai("AIGatewayRoute", "aigatewayroutes", func() any { return new(aiGatewayRoute) }),
		kind(aiGroup, "LLMRoute", "llmroutes", func() any { return new(llmRoute) }, versionAlpha),
		ai("AIServiceBackend", "aiservicebackends", func() any { return new(aiServiceBackend) }),
		kind(aiGroup, "LLMBackend", "llmbackends", func() any { return new(llmBackend) }, versionAlpha),
		policy(ai("BackendSecurityPolicy", "backendsecuritypolicies", func() any { return new(backendSecurityPolicy) }), "targetRefs"),
		open(policy(kind(aiGroup, "QuotaPolicy", "quotapolicies", func() any { return new(quotaPolicy) }, versionAlpha), "targetRefs")),
		named(ai("GatewayConfig", "gatewayconfigs", nil)),
		named(ai("MCPRoute", "mcproutes", nil)),

		envoy("Backend", "backends", func() any { return new(egBackend) }),
		targeted(envoy("SecurityPolicy", "securitypolicies", func() any { return new(securityPolicy) })),
		targeted(envoy("BackendTrafficPolicy", "backendtrafficpolicies", func() any { return new(backendTrafficPolicy) })),
		targeted(envoy("ClientTrafficPolicy", "clienttrafficpolicies", func() any { return new(clientTrafficPolicy) })),
		envoy("HTTPRouteFilter", "httproutefilters", func() any { return new(httpRouteFilter) }),
		open(targeted(envoy("EnvoyExtensionPolicy", "envoyextensionpolicies", func() any { return new(guardPolicy) }))),
		named(envoy("EnvoyProxy", "envoyproxies", nil)),
		named(envoy("EnvoyPatchPolicy", "envoypatchpolicies", nil)),
	}
}

// present is a field of which only counts whether it is there.
type present = reading.Present
