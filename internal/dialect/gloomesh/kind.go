package gloomesh

import (
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// The groups of the dialect.
const (
	networking     = "networking.gloo.solo.io"
	security       = "security.policy.gloo.solo.io"
	trafficControl = "trafficcontrol.policy.gloo.solo.io"
	resilience     = "resilience.policy.gloo.solo.io"
	admin          = "admin.gloo.solo.io"
	infrastructure = "infrastructure.gloo.solo.io"
)

// Kinds that others refer to.
var (
	virtualGatewayKind     = resource.GroupKind{Group: networking, Kind: "VirtualGateway"}
	routeTableKind         = resource.GroupKind{Group: networking, Kind: "RouteTable"}
	externalServiceKind    = resource.GroupKind{Group: networking, Kind: "ExternalService"}
	virtualDestinationKind = resource.GroupKind{Group: networking, Kind: "VirtualDestination"}
	extAuthPolicyKind      = resource.GroupKind{Group: security, Kind: "ExtAuthPolicy"}
	workspaceKind          = resource.GroupKind{Group: admin, Kind: "Workspace"}
	extAuthServerKind      = resource.GroupKind{Group: admin, Kind: "ExtAuthServer"}
)

// notBuilt is the spec of a kind that is known by name only and guards no
// route: nothing of its fields is kept.
type notBuilt struct{}

// kinds lists what is read. Kinds whose config is not kept are open there.
func kinds() []resource.Kind {
	kind := func(group, kind, plural string, spec func() any, open ...string) resource.Kind {
		return resource.Kind{
			GroupKind: resource.GroupKind{Group: group, Kind: kind}, Versions: []string{"v2"}, Plural: plural,
			New: spec, ProtoJSON: true, Open: open,
		}
	}
	named := func(group, k, plural string) resource.Kind {
		return kind(group, k, plural, func() any { return new(notBuilt) }, "")
	}
	guard := func(group, k, plural string) resource.Kind {
		return kind(group, k, plural, func() any { return new(guardPolicy) }, "spec")
	}
	list := []resource.Kind{
		kind(networking, "VirtualGateway", "virtualgateways", func() any { return new(virtualGateway) }),
		kind(networking, "RouteTable", "routetables", func() any { return new(routeTable) }),
		kind(networking, "ExternalService", "externalservices", func() any { return new(externalService) }),
		kind(networking, "VirtualDestination", "virtualdestinations", func() any { return new(virtualDestination) }),
		named(networking, "ExternalEndpoint", "externalendpoints"),
		named(networking, "ExternalWorkload", "externalworkloads"),

		kind(security, "ExtAuthPolicy", "extauthpolicies", func() any { return new(extAuthPolicy) }),
		kind(security, "JWTPolicy", "jwtpolicies", func() any { return new(jwtPolicy) }),
		kind(security, "CORSPolicy", "corspolicies", func() any { return new(corsPolicy) }),
		guard(security, "AccessPolicy", "accesspolicies"),
		guard(security, "ClientTLSPolicy", "clienttlspolicies"),
		guard(security, "CSRFPolicy", "csrfpolicies"),
		guard(security, "DLPPolicy", "dlppolicies"),
		guard(security, "WAFPolicy", "wafpolicies"),

		kind(trafficControl, "TransformationPolicy", "transformationpolicies", func() any { return new(transformationPolicy) }),
		kind(trafficControl, "HeaderManipulationPolicy", "headermanipulationpolicies", func() any { return new(headerPolicy) }),
		guard(trafficControl, "RateLimitPolicy", "ratelimitpolicies"),
		guard(trafficControl, "HTTPBufferPolicy", "httpbufferpolicies"),
		named(trafficControl, "RateLimitClientConfig", "ratelimitclientconfigs"),
		named(trafficControl, "MirrorPolicy", "mirrorpolicies"),
		named(trafficControl, "LoadBalancerPolicy", "loadbalancerpolicies"),

		kind(resilience, "RetryTimeoutPolicy", "retrytimeoutpolicies", func() any { return new(retryTimeoutPolicy) }),
		named(resilience, "ActiveHealthCheckPolicy", "activehealthcheckpolicies"),
		named(resilience, "ConnectionPolicy", "connectionpolicies"),
		named(resilience, "FailoverPolicy", "failoverpolicies"),
		named(resilience, "FaultInjectionPolicy", "faultinjectionpolicies"),
		named(resilience, "OutlierDetectionPolicy", "outlierdetectionpolicies"),

		kind(admin, "Workspace", "workspaces", func() any { return new(workspace) }, "spec"),
		kind(admin, "WorkspaceSettings", "workspacesettings", func() any { return new(workspaceSettings) }, ""),
		kind(admin, "ExtAuthServer", "extauthservers", func() any { return new(extAuthServer) }),
		named(admin, "KubernetesCluster", "kubernetesclusters"),
		named(admin, "RateLimitServerConfig", "ratelimitserverconfigs"),
		named(admin, "RateLimitServerSettings", "ratelimitserversettings"),
		named(admin, "RootTrustPolicy", "roottrustpolicies"),
		named(infrastructure, "CloudProvider", "cloudproviders"),
	}
	for i := range list {
		if strings.Contains(list[i].Group, ".policy.") {
			list[i].Vital = []string{"applyToRoutes", "applyToDestinations", "applyToRouteDestinations"}
		}
		if list[i].GroupKind == extAuthPolicyKind {
			list[i].SecretFields = glooauth.SecretFields("spec.config.glooAuth")
		}
	}
	return list
}

// present is a field of which only counts whether it is there.
type present = reading.Present

// objectRef names an object; without a namespace, in the referrer's. The
// cluster is always ours.
type objectRef struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Cluster   string `json:"cluster"`
}

// in returns r with the namespace filled in.
func (r objectRef) in(namespace string) objectRef {
	if r.Namespace == "" {
		r.Namespace = namespace
	}
	return r
}

func (r objectRef) String() string { return r.Namespace + "/" + r.Name }

// portRef names a port by number or name.
type portRef struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
}

// selector picks objects; what is not written fits all.
type selector struct {
	Labels    map[string]string `json:"labels"`
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Cluster   string            `json:"cluster"`
	Workspace string            `json:"workspace"`
}
