package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// virtualService is gateway.solo.io/v1 VirtualService.
type virtualService struct {
	Spec virtualServiceSpec `json:"spec"`
}

type virtualServiceSpec struct {
	DisplayName        string       `json:"displayName"`
	NamespacedStatuses raw          `json:"namespacedStatuses"`
	SSLConfig          *sslConfig   `json:"sslConfig"`
	VirtualHost        *virtualHost `json:"virtualHost"`
}

type virtualHost struct {
	Domains           []string           `json:"domains"`
	Options           *hostOptions       `json:"options"`
	OptionsConfigRefs *optionsConfigRefs `json:"optionsConfigRefs"`
	Routes            []route            `json:"routes"`
}

type optionsConfigRefs struct {
	DelegateOptions []ref `json:"delegateOptions"`
}

// routeTable is gateway.solo.io/v1 RouteTable.
type routeTable struct {
	Spec routeTableSpec `json:"spec"`
}

type routeTableSpec struct {
	NamespacedStatuses raw     `json:"namespacedStatuses"`
	Routes             []route `json:"routes"`
	// Weight orders tables that one selector picks; the smallest is first.
	Weight *int `json:"weight"`
}

type route struct {
	Name                    string             `json:"name"`
	Matchers                []matcher          `json:"matchers"`
	InheritableMatchers     *bool              `json:"inheritableMatchers"`
	InheritablePathMatchers *bool              `json:"inheritablePathMatchers"`
	Options                 *routeOptions      `json:"options"`
	OptionsConfigRefs       *optionsConfigRefs `json:"optionsConfigRefs"`
	RouteAction             *routeAction       `json:"routeAction"`
	RedirectAction          *redirectAction    `json:"redirectAction"`
	DirectResponseAction    *directAction      `json:"directResponseAction"`
	DelegateAction          *delegateAction    `json:"delegateAction"`
	GraphqlAPIRef           raw                `json:"graphqlApiRef"`
}

type matcher struct {
	CaseSensitive   *bool          `json:"caseSensitive"`
	ConnectMatcher  raw            `json:"connectMatcher"`
	Exact           *string        `json:"exact"`
	Prefix          *string        `json:"prefix"`
	Regex           *string        `json:"regex"`
	Headers         []valueMatcher `json:"headers"`
	QueryParameters []valueMatcher `json:"queryParameters"`
	Methods         []string       `json:"methods"`
}

// valueMatcher compares a header or a query parameter; without a value, it
// must only be there. InvertMatch is for headers.
type valueMatcher struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Regex       bool   `json:"regex"`
	InvertMatch bool   `json:"invertMatch"`
}

type routeAction struct {
	ClusterHeader       string       `json:"clusterHeader"`
	DynamicForwardProxy raw          `json:"dynamicForwardProxy"`
	Multi               *multiAction `json:"multi"`
	Single              *destination `json:"single"`
	UpstreamGroup       *ref         `json:"upstreamGroup"`
}

type multiAction struct {
	Destinations []weightedDestination `json:"destinations"`
}

type weightedDestination struct {
	Destination destination         `json:"destination"`
	Options     *destinationOptions `json:"options"`
	Weight      *int                `json:"weight"`
}

type destination struct {
	Consul          raw              `json:"consul"`
	DestinationSpec raw              `json:"destinationSpec"`
	Kube            *kubeDestination `json:"kube"`
	Subset          raw              `json:"subset"`
	Upstream        *ref             `json:"upstream"`
}

type kubeDestination struct {
	Ref  ref `json:"ref"`
	Port int `json:"port"`
}

type redirectAction struct {
	HostRedirect  string        `json:"hostRedirect"`
	HTTPSRedirect bool          `json:"httpsRedirect"`
	PathRedirect  *string       `json:"pathRedirect"`
	PortRedirect  *int          `json:"portRedirect"`
	PrefixRewrite *string       `json:"prefixRewrite"`
	RegexRewrite  *regexRewrite `json:"regexRewrite"`
	ResponseCode  redirectCode  `json:"responseCode"`
	StripQuery    bool          `json:"stripQuery"`
}

type redirectCode int

// UnmarshalJSON reads the enum RedirectResponseCode.
func (e *redirectCode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT")
}

type directAction struct {
	Body   string `json:"body"`
	Status int    `json:"status"`
}

// delegateAction hands a route's requests to RouteTables. Name and Namespace
// are the deprecated form of Ref.
type delegateAction struct {
	Name      string         `json:"name"`
	Namespace string         `json:"namespace"`
	Ref       *ref           `json:"ref"`
	Selector  *tableSelector `json:"selector"`
}

type tableSelector struct {
	Namespaces  []string          `json:"namespaces"`
	Labels      map[string]string `json:"labels"`
	Expressions []expression      `json:"expressions"`
}

type expression struct {
	Key      string             `json:"key"`
	Operator expressionOperator `json:"operator"`
	Values   []string           `json:"values"`
}

type expressionOperator int

// The operators of an expression.
const (
	opEquals expressionOperator = iota
	opDoubleEquals
	opNotEquals
	opIn
	opNotIn
	opExists
	opDoesNotExist
	opGreaterThan
	opLessThan
)

// UnmarshalJSON reads the enum Operator.
func (e *expressionOperator) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "Equals", "DoubleEquals", "NotEquals", "In", "NotIn", "Exists", "DoesNotExist", "GreaterThan", "LessThan")
}

// regexRewrite is used by several fields.
type regexRewrite struct {
	Pattern      regexPattern `json:"pattern"`
	Substitution string       `json:"substitution"`
}

type regexPattern struct {
	GoogleRe2 raw    `json:"googleRe2"`
	Regex     string `json:"regex"`
}

// gateway is gateway.solo.io/v1 Gateway.
type gateway struct {
	Spec gatewaySpec `json:"spec"`
}

type gatewaySpec struct {
	BindAddress        string               `json:"bindAddress"`
	BindPort           int                  `json:"bindPort"`
	HTTPGateway        *httpGateway         `json:"httpGateway"`
	HybridGateway      raw                  `json:"hybridGateway"`
	TCPGateway         raw                  `json:"tcpGateway"`
	NamespacedStatuses raw                  `json:"namespacedStatuses"`
	Options            *listenerOptions     `json:"options"`
	ProxyNames         []string             `json:"proxyNames"`
	RouteOptions       *gatewayRouteOptions `json:"routeOptions"`
	SSL                bool                 `json:"ssl"`
	UseProxyProto      bool                 `json:"useProxyProto"`
}

type gatewayRouteOptions struct {
	MaxDirectResponseBodySizeBytes  raw  `json:"maxDirectResponseBodySizeBytes"`
	MostSpecificHeaderMutationsWins bool `json:"mostSpecificHeaderMutationsWins"`
}

type httpGateway struct {
	Options                   *httpListenerOptions `json:"options"`
	VirtualServices           []ref                `json:"virtualServices"`
	VirtualServiceSelector    map[string]string    `json:"virtualServiceSelector"`
	VirtualServiceExpressions *struct {
		Expressions []expression `json:"expressions"`
	} `json:"virtualServiceExpressions"`
	VirtualServiceNamespaces []string `json:"virtualServiceNamespaces"`
}

// sslConfig is what a VirtualService shows to its clients.
type sslConfig struct {
	sslCommon
	ALPNProtocols                 []string          `json:"alpnProtocols"`
	DisableTLSSessionResumption   *bool             `json:"disableTlsSessionResumption"`
	OCSPStaplePolicy              raw               `json:"ocspStaplePolicy"`
	SNIDomains                    []string          `json:"sniDomains"`
	TransportSocketConnectTimeout resource.Duration `json:"transportSocketConnectTimeout"`
}

// sslCommon are the fields that both sides of TLS have.
type sslCommon struct {
	OneWayTLS            *bool          `json:"oneWayTls"`
	Parameters           *sslParameters `json:"parameters"`
	SDS                  raw            `json:"sds"`
	SecretRef            *ref           `json:"secretRef"`
	SSLFiles             *sslFiles      `json:"sslFiles"`
	VerifySubjectAltName []string       `json:"verifySubjectAltName"`
}

type sslFiles struct {
	OCSPStaple string `json:"ocspStaple"`
	RootCA     string `json:"rootCa"`
	TLSCert    string `json:"tlsCert"`
	TLSKey     string `json:"tlsKey"`
}

type sslParameters struct {
	CipherSuites           []string         `json:"cipherSuites"`
	ECDHCurves             []string         `json:"ecdhCurves"`
	MaximumProtocolVersion envoy.TLSVersion `json:"maximumProtocolVersion"`
	MinimumProtocolVersion envoy.TLSVersion `json:"minimumProtocolVersion"`
}
