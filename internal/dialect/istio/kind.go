package istio

import (
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// The groups of the dialect.
const (
	networking = "networking.istio.io"
	extensions = "extensions.istio.io"
	asm        = "istio.alibabacloud.com"
)

// Kinds that others refer to.
var (
	gatewayKind         = resource.GroupKind{Group: networking, Kind: "Gateway"}
	virtualServiceKind  = resource.GroupKind{Group: networking, Kind: "VirtualService"}
	destinationRuleKind = resource.GroupKind{Group: networking, Kind: "DestinationRule"}
	serviceEntryKind    = resource.GroupKind{Group: networking, Kind: "ServiceEntry"}
	envoyFilterKind     = resource.GroupKind{Group: networking, Kind: "EnvoyFilter"}
	wasmPluginKind      = resource.GroupKind{Group: extensions, Kind: "WasmPlugin"}
	llmProviderKind     = resource.GroupKind{Group: asm, Kind: "LLMProvider"}
	llmRouteKind        = resource.GroupKind{Group: asm, Kind: "LLMRoute"}
)

// notBuilt is the spec of a kind that is known by name only and guards
// nothing.
type notBuilt struct{}

// kinds lists what is read.
func (d *definition) kinds() []resource.Kind {
	three := []string{"v1", "v1beta1", "v1alpha3"}
	kind := func(gk resource.GroupKind, plural string, versions []string, spec func() any, open ...string) resource.Kind {
		return resource.Kind{GroupKind: gk, Versions: versions, Plural: plural, New: spec, ProtoJSON: true, Open: open}
	}
	named := func(k, plural string) resource.Kind {
		return kind(resource.GroupKind{Group: networking, Kind: k}, plural, three, func() any { return new(notBuilt) }, "")
	}
	provider := kind(llmProviderKind, "llmproviders", []string{"v1beta1"}, func() any { return new(llmProvider) })
	provider.SecretFields = []string{
		"spec.configs.defaultConfig.openAIConfig.apiKey",
		"spec.configs.routeSpecificConfigs.*.openAIConfig.apiKey",
	}
	if d.opts.Workload != nil {
		provider.KeepSecrets = d.keeps
	}
	return append(istioauth.Kinds(), []resource.Kind{
		kind(gatewayKind, "gateways", three, func() any { return new(gateway) }),
		kind(virtualServiceKind, "virtualservices", three, func() any { return new(virtualService) }),
		kind(destinationRuleKind, "destinationrules", three, func() any { return new(destinationRule) }),
		kind(serviceEntryKind, "serviceentries", three, func() any { return new(serviceEntry) }),
		kind(envoyFilterKind, "envoyfilters", []string{"v1alpha3"}, func() any { return new(extension) }, "spec"),
		kind(wasmPluginKind, "wasmplugins", []string{"v1alpha1"}, func() any { return new(extension) }, "spec"),
		named("Sidecar", "sidecars"),
		named("WorkloadEntry", "workloadentries"),
		named("WorkloadGroup", "workloadgroups"),
		named("ProxyConfig", "proxyconfigs"),
		kind(peerAuthenticationKind, "peerauthentications", []string{"v1", "v1beta1"}, func() any { return new(peerAuthentication) }),
		provider,
		kind(llmRouteKind, "llmroutes", []string{"v1beta1"}, func() any { return new(llmRoute) }),
	}...)
}

// present is a field of which only counts whether it is there.
type present = reading.Present

// stringMatch is networking.v1.StringMatch; with nothing written, presence.
type stringMatch struct {
	Exact  *string `json:"exact"`
	Prefix *string `json:"prefix"`
	Regex  *string `json:"regex"`
}

// forms counts the alternatives that are written.
func (m *stringMatch) forms() int {
	n := 0
	for _, v := range []*string{m.Exact, m.Prefix, m.Regex} {
		if v != nil {
			n++
		}
	}
	return n
}

// labelSelector is type.v1beta1.WorkloadSelector.
type labelSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}
