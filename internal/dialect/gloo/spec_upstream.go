package gloo

import "github.com/postern-gateway/postern/internal/resource"

// upstream is gloo.solo.io/v1 Upstream.
type upstream struct {
	Spec upstreamSpec `json:"spec"`
}

type upstreamSpec struct {
	AI     *ai             `json:"ai"`
	Kube   *kubeUpstream   `json:"kube"`
	Static *staticUpstream `json:"static"`
	// Types that are known and not built.
	AWS    raw `json:"aws"`
	AWSEC2 raw `json:"awsEc2"`
	Azure  raw `json:"azure"`
	Consul raw `json:"consul"`
	GCP    raw `json:"gcp"`
	Pipe   raw `json:"pipe"`

	CircuitBreakers  *circuitBreakers  `json:"circuitBreakers"`
	ConnectionConfig *connectionConfig `json:"connectionConfig"`
	OutlierDetection *outlierDetection `json:"outlierDetection"`
	SSLConfig        *upstreamSSL      `json:"sslConfig"`
	UseHTTP2         *bool             `json:"useHttp2"`

	DisableIstioAutoMTLS                    raw `json:"disableIstioAutoMtls"`
	DiscoveryMetadata                       raw `json:"discoveryMetadata"`
	DNSRefreshRate                          raw `json:"dnsRefreshRate"`
	Failover                                raw `json:"failover"`
	HealthChecks                            raw `json:"healthChecks"`
	HTTPConnectHeaders                      raw `json:"httpConnectHeaders"`
	HTTPConnectSSLConfig                    raw `json:"httpConnectSslConfig"`
	HTTPProxyHostname                       raw `json:"httpProxyHostname"`
	IgnoreHealthOnHostRemoval               raw `json:"ignoreHealthOnHostRemoval"`
	InitialConnectionWindowSize             raw `json:"initialConnectionWindowSize"`
	InitialStreamWindowSize                 raw `json:"initialStreamWindowSize"`
	LoadBalancerConfig                      raw `json:"loadBalancerConfig"`
	MaxConcurrentStreams                    raw `json:"maxConcurrentStreams"`
	NamespacedStatuses                      raw `json:"namespacedStatuses"`
	OverrideStreamErrorOnInvalidHTTPMessage raw `json:"overrideStreamErrorOnInvalidHttpMessage"`
	PreconnectPolicy                        raw `json:"preconnectPolicy"`
	ProtocolSelection                       raw `json:"protocolSelection"`
	ProxyProtocolVersion                    raw `json:"proxyProtocolVersion"`
	RespectDNSTTL                           raw `json:"respectDnsTtl"`
}

type staticUpstream struct {
	AutoSNIRewrite *bool        `json:"autoSniRewrite"`
	Hosts          []staticHost `json:"hosts"`
	ServiceSpec    raw          `json:"serviceSpec"`
	UseTLS         *bool        `json:"useTls"`
}

type staticHost struct {
	Addr                string `json:"addr"`
	HealthCheckConfig   raw    `json:"healthCheckConfig"`
	LoadBalancingWeight *int   `json:"loadBalancingWeight"`
	Metadata            raw    `json:"metadata"`
	Port                int    `json:"port"`
	SNIAddr             string `json:"sniAddr"`
}

type kubeUpstream struct {
	Selector         map[string]string `json:"selector"`
	ServiceName      string            `json:"serviceName"`
	ServiceNamespace string            `json:"serviceNamespace"`
	ServicePort      int               `json:"servicePort"`
	ServiceSpec      raw               `json:"serviceSpec"`
	SubsetSpec       raw               `json:"subsetSpec"`
}

// upstreamSSL is UpstreamSslConfig.
type upstreamSSL struct {
	sslCommon
	ALPNProtocols      []string `json:"alpnProtocols"`
	AllowRenegotiation *bool    `json:"allowRenegotiation"`
	SNI                string   `json:"sni"`
}

type circuitBreakers struct {
	MaxConnections     *int `json:"maxConnections"`
	MaxPendingRequests *int `json:"maxPendingRequests"`
	MaxRequests        *int `json:"maxRequests"`
	MaxRetries         *int `json:"maxRetries"`
	TrackRemaining     bool `json:"trackRemaining"`
}

type connectionConfig struct {
	CommonHTTPProtocolOptions *struct {
		HeadersWithUnderscoresAction raw               `json:"headersWithUnderscoresAction"`
		IdleTimeout                  resource.Duration `json:"idleTimeout"`
		MaxHeadersCount              raw               `json:"maxHeadersCount"`
		MaxStreamDuration            raw               `json:"maxStreamDuration"`
	} `json:"commonHttpProtocolOptions"`
	ConnectTimeout                resource.Duration `json:"connectTimeout"`
	HTTP1ProtocolOptions          raw               `json:"http1ProtocolOptions"`
	MaxRequestsPerConnection      raw               `json:"maxRequestsPerConnection"`
	PerConnectionBufferLimitBytes raw               `json:"perConnectionBufferLimitBytes"`
	TCPKeepalive                  raw               `json:"tcpKeepalive"`
}

// outlierDetection is Envoy's message of that name.
type outlierDetection struct {
	Consecutive5xx     *int              `json:"consecutive5xx"`
	BaseEjectionTime   resource.Duration `json:"baseEjectionTime"`
	MaxEjectionPercent *int              `json:"maxEjectionPercent"`

	ConsecutiveGatewayFailure              raw `json:"consecutiveGatewayFailure"`
	ConsecutiveLocalOriginFailure          raw `json:"consecutiveLocalOriginFailure"`
	EnforcingConsecutive5xx                raw `json:"enforcingConsecutive5xx"`
	EnforcingConsecutiveGatewayFailure     raw `json:"enforcingConsecutiveGatewayFailure"`
	EnforcingConsecutiveLocalOriginFailure raw `json:"enforcingConsecutiveLocalOriginFailure"`
	EnforcingLocalOriginSuccessRate        raw `json:"enforcingLocalOriginSuccessRate"`
	EnforcingSuccessRate                   raw `json:"enforcingSuccessRate"`
	Interval                               raw `json:"interval"`
	SplitExternalLocalOriginErrors         raw `json:"splitExternalLocalOriginErrors"`
	SuccessRateMinimumHosts                raw `json:"successRateMinimumHosts"`
	SuccessRateRequestVolume               raw `json:"successRateRequestVolume"`
	SuccessRateStdevFactor                 raw `json:"successRateStdevFactor"`
}

// upstreamGroup is gloo.solo.io/v1 UpstreamGroup.
type upstreamGroup struct {
	Spec upstreamGroupSpec `json:"spec"`
}

type upstreamGroupSpec struct {
	Destinations       []weightedDestination `json:"destinations"`
	NamespacedStatuses raw                   `json:"namespacedStatuses"`
}
