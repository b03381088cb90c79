package main

import (
	"slices"

	"github.com/postern-gateway/postern/internal/resource"
)

// fact is what a kind's product says of it that reading it does not need.
type fact struct {
	short      []string
	deprecated []string // versions
	columns    []column // before those of the group
	status     []column // in place of those of the group
	// fields of each version whose type, or presence, is sure; see schema.
	fields map[string][]string
}

// The groups that the facts are of.
const (
	gatewaySolo    = "gateway.solo.io"
	glooSolo       = "gloo.solo.io"
	enterpriseSolo = "enterprise.gloo.solo.io"
	meshNetworking = "networking.gloo.solo.io"
	envoyAI        = "aigateway.envoyproxy.io"
	envoyGateway   = "gateway.envoyproxy.io"
	istioNet       = "networking.istio.io"
	istioSecurity  = "security.istio.io"
	asm            = "istio.alibabacloud.com"
)

var age = column{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"}

// told returns the columns of a status with conditions: whether one of them
// holds, why, and with -o wide in words.
func told(conditions, typ string) []column {
	at := conditions + `[?(@.type=="` + typ + `")]`
	return []column{
		{Name: typ, Type: "string", JSONPath: at + ".status"},
		{Name: "Reason", Type: "string", JSONPath: at + ".reason"},
		{Name: "Message", Type: "string", JSONPath: at + ".message", Priority: 1},
		age,
	}
}

// worded returns the columns of a status that is one word.
func worded(state, message string) []column {
	return []column{
		{Name: "State", Type: "string", JSONPath: state},
		{Name: "Message", Type: "string", JSONPath: message, Priority: 1},
		age,
	}
}

// columns of a group's kinds show what became of an object, in the shape in
// which the group's product writes it.
var columns = map[string][]column{
	gatewaySolo: glooColumns, glooSolo: glooColumns, enterpriseSolo: glooColumns, "ratelimit.solo.io": worded(".status.state", ".status.message"),

	meshNetworking: meshColumns, "security.policy.gloo.solo.io": meshColumns, "trafficcontrol.policy.gloo.solo.io": meshColumns,
	"resilience.policy.gloo.solo.io": meshColumns, "admin.gloo.solo.io": meshColumns, "infrastructure.gloo.solo.io": meshColumns,

	// One condition, whose type is the news.
	envoyAI: {
		{Name: "Status", Type: "string", JSONPath: ".status.conditions[-1:].type"},
		{Name: "Message", Type: "string", JSONPath: ".status.conditions[-1:].message", Priority: 1},
		age,
	},
	envoyGateway: told(".status.ancestors[0].conditions", "Accepted"),

	istioNet: istioColumns, istioSecurity: istioColumns, "extensions.istio.io": istioColumns, asm: worded(".status.status", ".status.message"),
}

var (
	glooColumns  = worded(".status.statuses.*.state", ".status.statuses.*.reason")
	meshColumns  = worded(".status.common.State.approval", ".status.common.State.message")
	istioColumns = told(".status.conditions", "Reconciled")
)

// of returns the same fields for several versions.
func of(fields []string, versions ...string) map[string][]string {
	out := map[string][]string{}
	for _, v := range versions {
		out[v] = fields
	}
	return out
}

// targets are the fields by which the policies of Envoy Gateway say what they
// are for.
var targets = []string{
	"spec! object",
	"spec.targetRef.group! string", "spec.targetRef.kind! string", "spec.targetRef.name! string",
	"spec.targetRefs[].group! string", "spec.targetRefs[].kind! string", "spec.targetRefs[].name! string",
	"spec.targetSelectors[].kind! string",
}

// optionTargets are those of Gloo's options.
var optionTargets = []string{
	"spec.targetRefs[].group string", "spec.targetRefs[].kind string", "spec.targetRefs[].name string", "spec.targetRefs[].namespace string",
}

// workloads are the fields by which Istio's policies say what they are for.
var workloads = []string{
	"spec.targetRef.kind! string", "spec.targetRef.name! string",
	"spec.targetRefs[].kind! string", "spec.targetRefs[].name! string",
}

var istioVersions = []string{"v1", "v1beta1", "v1alpha3"}

// facts of the kinds, computed from what their products publish. Gloo's
// definitions take a number for any enum, and those of Gloo Mesh are not
// published: neither demands much.
var facts = map[resource.GroupKind]fact{
	{Group: gatewaySolo, Kind: "VirtualService"}: {short: []string{"vs", "gvs"}, columns: domains(".spec.virtualHost.domains"), fields: of([]string{
		"spec.virtualHost.domains[] string", "spec.virtualHost.routes[] object",
	}, "v1")},
	{Group: gatewaySolo, Kind: "RouteTable"}:         {short: []string{"rt", "grt"}, fields: of([]string{"spec.routes[] object"}, "v1")},
	{Group: gatewaySolo, Kind: "RouteOption"}:        {short: []string{"rto", "rtopts", "grto"}, fields: of(append([]string{"spec.options object"}, optionTargets...), "v1")},
	{Group: gatewaySolo, Kind: "VirtualHostOption"}:  {short: []string{"vho", "vhopts", "gvho"}, fields: of(append([]string{"spec.options object"}, optionTargets...), "v1")},
	{Group: gatewaySolo, Kind: "ListenerOption"}:     {short: []string{"lisopts", "glisopts"}, fields: of(append([]string{"spec.options object"}, optionTargets...), "v1")},
	{Group: gatewaySolo, Kind: "HttpListenerOption"}: {short: []string{"hlisopts", "ghlisopts"}, fields: of(append([]string{"spec.options object"}, optionTargets...), "v1")},
	{Group: gatewaySolo, Kind: "Gateway"}: {short: []string{"gw", "ggw"}, columns: []column{{Name: "Port", Type: "integer", JSONPath: ".spec.bindPort"}}, fields: of([]string{
		"spec.bindAddress string", "spec.bindPort integer", "spec.ssl boolean", "spec.proxyNames[] string",
	}, "v1")},
	{Group: glooSolo, Kind: "Upstream"}:         {short: []string{"us", "gus"}},
	{Group: glooSolo, Kind: "UpstreamGroup"}:    {short: []string{"ug", "gug"}, fields: of([]string{"spec.destinations[] object"}, "v1")},
	{Group: glooSolo, Kind: "Settings"}:         {short: []string{"st"}},
	{Group: enterpriseSolo, Kind: "AuthConfig"}: {short: []string{"ac", "gac"}, fields: of([]string{"spec.configs[] object"}, "v1")},

	{Group: meshNetworking, Kind: "VirtualGateway"}: {fields: of([]string{"spec.listeners[] object", "spec.workloads[] object"}, "v2")},
	{Group: meshNetworking, Kind: "RouteTable"}: {columns: domains(".spec.hosts"), fields: of([]string{
		"spec.hosts[] string", "spec.http[] object", "spec.virtualGateways[] object",
	}, "v2")},
	{Group: meshNetworking, Kind: "ExternalService"}:    {columns: domains(".spec.hosts"), fields: of([]string{"spec.hosts[] string", "spec.ports[] object"}, "v2")},
	{Group: meshNetworking, Kind: "VirtualDestination"}: {columns: domains(".spec.hosts"), fields: of([]string{"spec.hosts[] string", "spec.ports[] object"}, "v2")},

	{Group: envoyAI, Kind: "AIGatewayRoute"}: {deprecated: alpha, fields: of([]string{
		"spec.rules![] object", "spec.rules[].backendRefs[].name! string", "spec.parentRefs[].name! string",
		"spec.rules[].matches[].headers[].name! string", "spec.rules[].matches[].headers[].value! string",
	}, "v1beta1")},
	{Group: envoyAI, Kind: "AIServiceBackend"}: {deprecated: alpha, fields: of([]string{
		"spec.schema! object", "spec.schema.name! OpenAI|Cohere|AWSBedrock|AzureOpenAI|GCPVertexAI|GCPAnthropic|Anthropic|AWSAnthropic",
		"spec.backendRef! object", "spec.backendRef.name! string",
	}, "v1beta1")},
	{Group: envoyAI, Kind: "BackendSecurityPolicy"}: {
		deprecated: alpha, columns: []column{{Name: "Type", Type: "string", JSONPath: ".spec.type"}},
		fields: of([]string{
			"spec.type! APIKey|AWSCredentials|AzureAPIKey|AzureCredentials|GCPCredentials|AnthropicAPIKey",
			"spec.targetRefs[].name! string",
		}, "v1beta1"),
	},
	{Group: envoyAI, Kind: "GatewayConfig"}: {short: []string{"gwconfig"}, deprecated: alpha},
	{Group: envoyAI, Kind: "MCPRoute"}:      {deprecated: alpha},
	{Group: envoyAI, Kind: "LLMRoute"}:      {fields: of([]string{"spec.rules[] object"}, "v1alpha1")},

	{Group: envoyGateway, Kind: "Backend"}: {short: []string{"be"}, status: told(".status.conditions", "Accepted"), fields: of([]string{
		"spec! object", "spec.type Endpoints|DynamicResolver",
		"spec.endpoints[].fqdn.hostname! string", "spec.endpoints[].fqdn.port! integer",
		"spec.endpoints[].ip.address! string", "spec.endpoints[].ip.port! integer",
	}, "v1alpha1")},
	{Group: envoyGateway, Kind: "SecurityPolicy"}:       {short: []string{"sp"}, fields: of(targets, "v1alpha1")},
	{Group: envoyGateway, Kind: "BackendTrafficPolicy"}: {short: []string{"btp"}, fields: of(targets, "v1alpha1")},
	{Group: envoyGateway, Kind: "ClientTrafficPolicy"}:  {short: []string{"ctp"}, fields: of(targets, "v1alpha1")},
	{Group: envoyGateway, Kind: "HTTPRouteFilter"}:      {short: []string{"hrf"}, status: []column{age}, fields: of([]string{"spec! object"}, "v1alpha1")},

	{Group: istioNet, Kind: "Gateway"}: {short: []string{"gw"}, fields: of([]string{
		"spec.servers[].hosts![] string", "spec.servers[].port! object", "spec.servers[].port.name! string",
		"spec.servers[].port.number! integer", "spec.servers[].port.protocol! string",
		"spec.servers[].tls.mode PASSTHROUGH|SIMPLE|MUTUAL|AUTO_PASSTHROUGH|ISTIO_MUTUAL|OPTIONAL_MUTUAL",
	}, istioVersions...)},
	{Group: istioNet, Kind: "VirtualService"}: {
		short: []string{"vs"}, columns: append([]column{{Name: "Gateways", Type: "string", JSONPath: ".spec.gateways"}}, hosts...),
		fields: of([]string{"spec.hosts[] string", "spec.gateways[] string", "spec.http[].route[].destination! object", "spec.http[].route[].destination.host! string"}, istioVersions...),
	},
	{Group: istioNet, Kind: "DestinationRule"}: {
		short: []string{"dr"}, columns: []column{{Name: "Host", Type: "string", JSONPath: ".spec.host"}},
		fields: of([]string{"spec.host! string", "spec.subsets[].name! string", "spec.trafficPolicy.tls.mode DISABLE|SIMPLE|MUTUAL|ISTIO_MUTUAL"}, istioVersions...),
	},
	{Group: istioNet, Kind: "ServiceEntry"}: {
		short: []string{"se"}, columns: hosts,
		fields: of([]string{
			"spec! object", "spec.hosts![] string", "spec.location MESH_EXTERNAL|MESH_INTERNAL",
			"spec.resolution NONE|STATIC|DNS|DNS_ROUND_ROBIN|DYNAMIC_DNS", "spec.ports[].name! string", "spec.ports[].number! integer",
		}, istioVersions...),
	},
	{Group: istioSecurity, Kind: "AuthorizationPolicy"}: {
		short: []string{"ap"}, columns: []column{{Name: "Action", Type: "string", JSONPath: ".spec.action"}},
		fields: of(append([]string{"spec.action ALLOW|DENY|AUDIT|CUSTOM", "spec.rules[].when[].key! string"}, workloads...), "v1", "v1beta1"),
	},
	{Group: istioSecurity, Kind: "RequestAuthentication"}: {short: []string{"ra"}, fields: of(append([]string{"spec.jwtRules[] object"}, workloads...), "v1", "v1beta1")},
	{Group: istioSecurity, Kind: "PeerAuthentication"}: {
		short: []string{"pa"}, columns: []column{{Name: "Mode", Type: "string", JSONPath: ".spec.mtls.mode"}},
		fields: of([]string{"spec.mtls.mode UNSET|DISABLE|PERMISSIVE|STRICT"}, "v1", "v1beta1"),
	},
}

var alpha = []string{"v1alpha1"}

// hosts and domains show what a kind is for.
var hosts = domains(".spec.hosts")

func domains(path string) []column {
	return slices.Clone([]column{{Name: "Hosts", Type: "string", JSONPath: path}})
}
