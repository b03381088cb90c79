package gloo

import (
	"encoding/json"

	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/resource"
)

// The groups of the dialect.
const (
	gatewayGroup    = "gateway.solo.io"
	glooGroup       = "gloo.solo.io"
	enterpriseGroup = "enterprise.gloo.solo.io"
	rateLimitGroup  = "ratelimit.solo.io"
)

// The kinds of the dialect.
var (
	virtualServiceKind       = resource.GroupKind{Group: gatewayGroup, Kind: "VirtualService"}
	routeTableKind           = resource.GroupKind{Group: gatewayGroup, Kind: "RouteTable"}
	gatewayKind              = resource.GroupKind{Group: gatewayGroup, Kind: "Gateway"}
	virtualHostOptionKind    = resource.GroupKind{Group: gatewayGroup, Kind: "VirtualHostOption"}
	routeOptionKind          = resource.GroupKind{Group: gatewayGroup, Kind: "RouteOption"}
	listenerOptionKind       = resource.GroupKind{Group: gatewayGroup, Kind: "ListenerOption"}
	httpListenerOptionKind   = resource.GroupKind{Group: gatewayGroup, Kind: "HttpListenerOption"}
	matchableHTTPGatewayKind = resource.GroupKind{Group: gatewayGroup, Kind: "MatchableHttpGateway"}
	matchableTCPGatewayKind  = resource.GroupKind{Group: gatewayGroup, Kind: "MatchableTcpGateway"}
	upstreamKind             = resource.GroupKind{Group: glooGroup, Kind: "Upstream"}
	upstreamGroupKind        = resource.GroupKind{Group: glooGroup, Kind: "UpstreamGroup"}
	settingsKind             = resource.GroupKind{Group: glooGroup, Kind: "Settings"}
	authConfigKind           = resource.GroupKind{Group: enterpriseGroup, Kind: "AuthConfig"}
	rateLimitConfigKind      = resource.GroupKind{Group: rateLimitGroup, Kind: "RateLimitConfig"}
)

// Kinds of Gateway API that options attach to.
var (
	apiGatewayKind   = resource.GroupKind{Group: "gateway.networking.k8s.io", Kind: "Gateway"}
	httpRouteKind    = resource.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}
	listenerSetKind  = resource.GroupKind{Group: "gateway.networking.k8s.io", Kind: "ListenerSet"}
	xListenerSetKind = resource.GroupKind{Group: "gateway.networking.x-k8s.io", Kind: "XListenerSet"}
)

// notBuilt is the spec of a kind that is known by name only; nothing of its
// fields is kept.
type notBuilt struct{}

func kinds() []resource.Kind {
	kind := func(gk resource.GroupKind, plural string, spec func() any) resource.Kind {
		return resource.Kind{GroupKind: gk, Versions: []string{"v1"}, Plural: plural, New: spec, ProtoJSON: true}
	}
	named := func(gk resource.GroupKind, plural, version string) resource.Kind {
		k := kind(gk, plural, func() any { return new(notBuilt) })
		k.Versions, k.Open = []string{version}, []string{""}
		return k
	}
	list := []resource.Kind{
		kind(virtualServiceKind, "virtualservices", func() any { return new(virtualService) }),
		kind(routeTableKind, "routetables", func() any { return new(routeTable) }),
		kind(gatewayKind, "gateways", func() any { return new(gateway) }),
		kind(virtualHostOptionKind, "virtualhostoptions", func() any { return new(virtualHostOption) }),
		kind(routeOptionKind, "routeoptions", func() any { return new(routeOption) }),
		kind(listenerOptionKind, "listeneroptions", func() any { return new(listenerOption) }),
		kind(httpListenerOptionKind, "httplisteneroptions", func() any { return new(httpListenerOption) }),
		kind(upstreamKind, "upstreams", func() any { return new(upstream) }),
		kind(upstreamGroupKind, "upstreamgroups", func() any { return new(upstreamGroup) }),
		named(matchableHTTPGatewayKind, "httpgateways", "v1"),
		named(matchableTCPGatewayKind, "tcpgateways", "v1"),
		kind(settingsKind, "settings", func() any { return new(settings) }),
		kind(authConfigKind, "authconfigs", func() any { return new(authConfig) }),
		named(rateLimitConfigKind, "ratelimitconfigs", "v1alpha1"),
	}
	for i := range list {
		list[i].SecretFields = secretFields(list[i].GroupKind)
		switch list[i].GroupKind {
		case settingsKind:
			list[i].Open = []string{""}
		case virtualHostOptionKind, routeOptionKind, listenerOptionKind, httpListenerOptionKind:
			list[i].Vital = []string{"targetRefs"}
		}
	}
	return list
}

// secretFields returns where a kind holds sensitive text.
func secretFields(gk resource.GroupKind) []string {
	switch gk {
	case authConfigKind:
		return glooauth.SecretFields("spec")
	case upstreamKind:
		return append(providerSecrets("spec.ai."), providerSecrets("spec.ai.multi.priorities.*.pool.*.")...)
	case routeOptionKind:
		return guardSecrets("spec.options.ai.")
	case virtualServiceKind:
		return guardSecrets("spec.virtualHost.routes.*.options.ai.")
	case routeTableKind:
		return guardSecrets("spec.routes.*.options.ai.")
	}
	return nil
}

func providerSecrets(at string) []string {
	var out []string
	for _, provider := range []string{"openai", "azureOpenai", "anthropic", "gemini", "vertexAi", "mistral"} {
		out = append(out, at+provider+".authToken.inline")
	}
	for _, field := range []string{"accessKeyId", "secretAccessKey", "sessionToken"} {
		out = append(out, at+"bedrock.credentialProvider.inline."+field)
	}
	return out
}

func guardSecrets(at string) []string {
	return []string{
		at + "promptGuard.request.moderation.openai.authToken.inline",
		at + "rag.embedding.openai.authToken.inline",
		at + "rag.embedding.azureOpenai.authToken.inline",
		at + "rag.datastore.postgres.connectionString",
		at + "semanticCache.embedding.openai.authToken.inline",
		at + "semanticCache.embedding.azureOpenai.authToken.inline",
		at + "semanticCache.datastore.redis.connectionString",
	}
}

// raw is a field that is known and not read: only whether it is there counts.
type raw json.RawMessage

// UnmarshalJSON keeps the text.
func (r *raw) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

// set reports whether the field was written.
func (r raw) set() bool { return len(r) > 0 && string(r) != "null" }

// disabled reports whether the field says only that its feature is off, as
// {disabled: true} does in waf and extProc.
func (r raw) disabled() bool {
	var s struct {
		Disabled bool `json:"disabled"`
	}
	return json.Unmarshal(r, &s) == nil && s.Disabled
}

// ref names a resource; without a namespace, in the referrer's.
type ref struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// in returns r with the namespace filled in.
func (r ref) in(namespace string) ref {
	if r.Namespace == "" {
		r.Namespace = namespace
	}
	return r
}

func (r ref) String() string { return r.Namespace + "/" + r.Name }
