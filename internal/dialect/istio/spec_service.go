package istio

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// destinationRule is networking.istio.io DestinationRule.
type destinationRule struct {
	Spec destinationRuleSpec `json:"spec"`
}

type destinationRuleSpec struct {
	Host             string         `json:"host"`
	TrafficPolicy    *trafficPolicy `json:"trafficPolicy"`
	Subsets          []subset       `json:"subsets"`
	ExportTo         []string       `json:"exportTo"`
	WorkloadSelector *labelSelector `json:"workloadSelector"`
}

type subset struct {
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels"`
	TrafficPolicy *trafficPolicy    `json:"trafficPolicy"`
}

type trafficPolicy struct {
	portPolicy
	PortLevelSettings []struct {
		portPolicy
		Port *struct {
			Number int `json:"number"`
		} `json:"port"`
	} `json:"portLevelSettings"`
	Tunnel        present `json:"tunnel"`
	ProxyProtocol present `json:"proxyProtocol"`
	RetryBudget   present `json:"retryBudget"`
}

// portPolicy is what can be said of one port too.
type portPolicy struct {
	LoadBalancer     *loadBalancer     `json:"loadBalancer"`
	ConnectionPool   *connectionPool   `json:"connectionPool"`
	OutlierDetection *outlierDetection `json:"outlierDetection"`
	TLS              *clientTLS        `json:"tls"`
}

type loadBalancer struct {
	Simple             balancing `json:"simple"`
	ConsistentHash     present   `json:"consistentHash"`
	BackendUtilization present   `json:"backendUtilization"`
	LocalityLBSetting  present   `json:"localityLbSetting"`
	ZoneAwareLBSetting present   `json:"zoneAwareLbSetting"`
	WarmupDurationSecs present   `json:"warmupDurationSecs"`
	Warmup             present   `json:"warmup"`
}

type balancing int

const balancePassthrough balancing = 3

// UnmarshalJSON reads the enum SimpleLB.
func (e *balancing) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST")
}

type connectionPool struct {
	TCP *struct {
		MaxConnections        int               `json:"maxConnections"`
		ConnectTimeout        resource.Duration `json:"connectTimeout"`
		TCPKeepalive          present           `json:"tcpKeepalive"`
		MaxConnectionDuration present           `json:"maxConnectionDuration"`
		IdleTimeout           resource.Duration `json:"idleTimeout"`
	} `json:"tcp"`
	HTTP *struct {
		HTTP1MaxPendingRequests  int               `json:"http1MaxPendingRequests"`
		HTTP2MaxRequests         int               `json:"http2MaxRequests"`
		MaxRequestsPerConnection int               `json:"maxRequestsPerConnection"`
		MaxRetries               int               `json:"maxRetries"`
		IdleTimeout              resource.Duration `json:"idleTimeout"`
		H2UpgradePolicy          h2Upgrade         `json:"h2UpgradePolicy"`
		UseClientProtocol        bool              `json:"useClientProtocol"`
		MaxConcurrentStreams     int               `json:"maxConcurrentStreams"`
		HTTP2KeepAlive           present           `json:"http2KeepAlive"`
	} `json:"http"`
}

type h2Upgrade int

const upgradeToH2 h2Upgrade = 2

// UnmarshalJSON reads the enum H2UpgradePolicy.
func (e *h2Upgrade) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "DEFAULT", "DO_NOT_UPGRADE", "UPGRADE")
}

type outlierDetection struct {
	ConsecutiveErrors              int               `json:"consecutiveErrors"`
	SplitExternalLocalOriginErrors bool              `json:"splitExternalLocalOriginErrors"`
	ConsecutiveLocalOriginFailures *int              `json:"consecutiveLocalOriginFailures"`
	ConsecutiveGatewayErrors       *int              `json:"consecutiveGatewayErrors"`
	Consecutive5xxErrors           *int              `json:"consecutive5xxErrors"`
	Interval                       resource.Duration `json:"interval"`
	BaseEjectionTime               resource.Duration `json:"baseEjectionTime"`
	MaxEjectionPercent             int               `json:"maxEjectionPercent"`
	MinHealthPercent               int               `json:"minHealthPercent"`
	OutlierDetectionHTTPErrorCodes []int             `json:"outlierDetectionHttpErrorCodes"`
}

type clientTLS struct {
	Mode               clientMode `json:"mode"`
	ClientCertificate  string     `json:"clientCertificate"`
	PrivateKey         string     `json:"privateKey"`
	CACertificates     string     `json:"caCertificates"`
	CACRL              string     `json:"caCrl"`
	CredentialName     string     `json:"credentialName"`
	SubjectAltNames    []string   `json:"subjectAltNames"`
	SNI                string     `json:"sni"`
	InsecureSkipVerify *bool      `json:"insecureSkipVerify"`
}

type clientMode int

// The modes. The zero value is DISABLE.
const (
	clientDisable clientMode = iota
	clientSimple
	clientMutual
	clientIstioMutual
)

// UnmarshalJSON reads the enum ClientTLSSettings.TLSmode.
func (e *clientMode) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
}

// serviceEntry is networking.istio.io ServiceEntry.
type serviceEntry struct {
	Spec serviceEntrySpec `json:"spec"`
}

type serviceEntrySpec struct {
	Hosts            []string        `json:"hosts"`
	Addresses        []string        `json:"addresses"`
	Ports            []servicePort   `json:"ports"`
	Location         location        `json:"location"`
	Resolution       resolution      `json:"resolution"`
	Endpoints        []entryEndpoint `json:"endpoints"`
	WorkloadSelector present         `json:"workloadSelector"`
	ExportTo         []string        `json:"exportTo"`
	SubjectAltNames  []string        `json:"subjectAltNames"`
}

type servicePort struct {
	Number     int    `json:"number"`
	Protocol   string `json:"protocol"`
	Name       string `json:"name"`
	TargetPort int    `json:"targetPort"`
}

type entryEndpoint struct {
	Address        string            `json:"address"`
	Ports          map[string]int    `json:"ports"`
	Labels         map[string]string `json:"labels"`
	Network        string            `json:"network"`
	Locality       string            `json:"locality"`
	Weight         int               `json:"weight"`
	ServiceAccount string            `json:"serviceAccount"`
}

type location int

const meshInternal location = 1

// UnmarshalJSON reads the enum Location.
func (e *location) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "MESH_EXTERNAL", "MESH_INTERNAL")
}

type resolution int

// The ways to find a ServiceEntry's endpoints.
const (
	resolveNone resolution = iota
	resolveStatic
	resolveDNS
	resolveRoundRobin
	resolveDynamic
)

// UnmarshalJSON reads the enum Resolution.
func (e *resolution) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS")
}
