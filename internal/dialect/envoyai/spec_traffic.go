package envoyai

// backendTrafficPolicy is the spec of a BackendTrafficPolicy.
type backendTrafficPolicy struct {
	Spec backendTrafficPolicySpec `json:"spec"`
}

type backendTrafficPolicySpec struct {
	targeting
	Retry          *retry          `json:"retry"`
	Timeout        *trafficTimeout `json:"timeout"`
	HealthCheck    *healthCheck    `json:"healthCheck"`
	CircuitBreaker *circuitBreaker `json:"circuitBreaker"`
	LoadBalancer   *struct {
		Type             string  `json:"type"`
		ConsistentHash   present `json:"consistentHash"`
		SlowStart        present `json:"slowStart"`
		ZoneAware        present `json:"zoneAware"`
		EndpointOverride present `json:"endpointOverride"`
	} `json:"loadBalancer"`
	RequestBuffer *struct {
		Limit *quantity `json:"limit"`
	} `json:"requestBuffer"`
	HTTPUpgrade []struct {
		Type    string  `json:"type"`
		Connect present `json:"connect"`
	} `json:"httpUpgrade"`

	// What guards, and is not there.
	RateLimit        present `json:"rateLimit"`
	AdmissionControl present `json:"admissionControl"`
	BandwidthLimit   present `json:"bandwidthLimit"`

	// What guards nothing, and has no effect.
	Compression       present `json:"compression"`
	Compressor        present `json:"compressor"`
	Connection        present `json:"connection"`
	DNS               present `json:"dns"`
	FaultInjection    present `json:"faultInjection"`
	HTTP2             present `json:"http2"`
	ProxyProtocol     present `json:"proxyProtocol"`
	ResponseOverride  present `json:"responseOverride"`
	RoutingType       present `json:"routingType"`
	TCPKeepalive      present `json:"tcpKeepalive"`
	Telemetry         present `json:"telemetry"`
	UseClientProtocol present `json:"useClientProtocol"`
}

type retry struct {
	NumRetries             *int `json:"numRetries"`
	NumAttemptsPerPriority int  `json:"numAttemptsPerPriority"`
	PerRetry               *struct {
		Timeout *string `json:"timeout"`
		BackOff *struct {
			BaseInterval *string `json:"baseInterval"`
			MaxInterval  *string `json:"maxInterval"`
		} `json:"backOff"`
	} `json:"perRetry"`
	RetryOn *struct {
		HTTPStatusCodes []int    `json:"httpStatusCodes"`
		Triggers        []string `json:"triggers"`
	} `json:"retryOn"`
}

type trafficTimeout struct {
	TCP *struct {
		ConnectTimeout *string `json:"connectTimeout"`
	} `json:"tcp"`
	HTTP *struct {
		RequestTimeout        *string `json:"requestTimeout"`
		StreamIdleTimeout     *string `json:"streamIdleTimeout"`
		MaxStreamDuration     *string `json:"maxStreamDuration"`
		ConnectionIdleTimeout *string `json:"connectionIdleTimeout"`
		MaxConnectionDuration present `json:"maxConnectionDuration"`
	} `json:"http"`
}

type healthCheck struct {
	Active         present  `json:"active"`
	PanicThreshold present  `json:"panicThreshold"`
	Passive        *passive `json:"passive"`
}

type passive struct {
	BaseEjectionTime               *string `json:"baseEjectionTime"`
	Consecutive5XXErrors           *int    `json:"consecutive5XxErrors"`
	ConsecutiveGatewayErrors       *int    `json:"consecutiveGatewayErrors"`
	MaxEjectionPercent             *int    `json:"maxEjectionPercent"`
	Interval                       present `json:"interval"`
	AlwaysEjectOneEndpoint         present `json:"alwaysEjectOneEndpoint"`
	ConsecutiveLocalOriginFailures present `json:"consecutiveLocalOriginFailures"`
	FailurePercentageThreshold     present `json:"failurePercentageThreshold"`
	SplitExternalLocalOriginErrors present `json:"splitExternalLocalOriginErrors"`
}

type circuitBreaker struct {
	MaxConnections           *int    `json:"maxConnections"`
	MaxParallelRequests      *int    `json:"maxParallelRequests"`
	MaxParallelRetries       present `json:"maxParallelRetries"`
	MaxPendingRequests       present `json:"maxPendingRequests"`
	MaxRequestsPerConnection present `json:"maxRequestsPerConnection"`
	PerEndpoint              present `json:"perEndpoint"`
	RetryBudget              present `json:"retryBudget"`
}

// clientTrafficPolicy is the spec of a ClientTrafficPolicy.
type clientTrafficPolicy struct {
	Spec clientTrafficPolicySpec `json:"spec"`
}

type clientTrafficPolicySpec struct {
	targeting
	ClientIPDetection *struct {
		XForwardedFor *struct {
			NumTrustedHops             *int     `json:"numTrustedHops"`
			TrustedCIDRs               []string `json:"trustedCIDRs"`
			DisableXForwardedForAppend present  `json:"disableXForwardedForAppend"`
		} `json:"xForwardedFor"`
		CustomHeader   present `json:"customHeader"`
		DirectSourceIP present `json:"directSourceIP"`
	} `json:"clientIPDetection"`
	Connection *struct {
		BufferLimit             present `json:"bufferLimit"`
		ConnectionLimit         present `json:"connectionLimit"`
		MaxAcceptPerSocketEvent present `json:"maxAcceptPerSocketEvent"`
		SocketBufferLimit       present `json:"socketBufferLimit"`
	} `json:"connection"`
	Headers *clientHeaders `json:"headers"`
	HTTP2   *struct {
		MaxConcurrentStreams        int     `json:"maxConcurrentStreams"`
		ConnectionKeepalive         present `json:"connectionKeepalive"`
		InitialConnectionWindowSize present `json:"initialConnectionWindowSize"`
		InitialStreamWindowSize     present `json:"initialStreamWindowSize"`
		OnInvalidMessage            present `json:"onInvalidMessage"`
	} `json:"http2"`
	Path *struct {
		DisableMergeSlashes  bool   `json:"disableMergeSlashes"`
		EscapedSlashesAction string `json:"escapedSlashesAction"`
	} `json:"path"`
	Timeout *struct {
		TCP  present `json:"tcp"`
		HTTP *struct {
			IdleTimeout                   *string `json:"idleTimeout"`
			RequestHeadersReceivedTimeout *string `json:"requestHeadersReceivedTimeout"`
			RequestReceivedTimeout        *string `json:"requestReceivedTimeout"`
			StreamIdleTimeout             *string `json:"streamIdleTimeout"`
		} `json:"http"`
	} `json:"timeout"`
	TLS *clientTLSSettings `json:"tls"`

	EnableProxyProtocol bool    `json:"enableProxyProtocol"`
	ProxyProtocol       present `json:"proxyProtocol"`
	GRPC                present `json:"grpc"`
	HealthCheck         present `json:"healthCheck"`
	HTTP1               present `json:"http1"`
	HTTP3               present `json:"http3"`
	Scheme              present `json:"scheme"`
	TCPKeepalive        present `json:"tcpKeepalive"`
}

type clientHeaders struct {
	MaxRequestHeaderLimit   *quantity     `json:"maxRequestHeaderLimit"`
	PreserveXRequestID      *bool         `json:"preserveXRequestID"`
	RequestID               string        `json:"requestID"`
	EarlyRequestHeaders     *headerEditor `json:"earlyRequestHeaders"`
	LateResponseHeaders     *headerEditor `json:"lateResponseHeaders"`
	WithUnderscoresAction   string        `json:"withUnderscoresAction"`
	DisableRateLimitHeaders present       `json:"disableRateLimitHeaders"`
	EnableEnvoyHeaders      present       `json:"enableEnvoyHeaders"`
	Host                    present       `json:"host"`
	XForwardedClientCert    present       `json:"xForwardedClientCert"`
}

type headerEditor struct {
	Set           []headerValue `json:"set"`
	Add           []headerValue `json:"add"`
	AddIfAbsent   present       `json:"addIfAbsent"`
	Remove        []string      `json:"remove"`
	RemoveOnMatch present       `json:"removeOnMatch"`
}

// clientTLSSettings is what a listener shows to clients and asks of them.
type clientTLSSettings struct {
	tlsVersions
	ClientValidation *clientValidation `json:"clientValidation"`
	Fingerprints     present           `json:"fingerprints"`
	Session          present           `json:"session"`
}

type clientValidation struct {
	CACertificateRefs       []objectRef `json:"caCertificateRefs"`
	Mode                    string      `json:"mode"`
	Optional                bool        `json:"optional"`
	AllowExpiredCertificate present     `json:"allowExpiredCertificate"`
	CertificateHashes       []string    `json:"certificateHashes"`
	SPKIHashes              []string    `json:"spkiHashes"`
	CRL                     *struct {
		OnlyVerifyLeafCertificate present     `json:"onlyVerifyLeafCertificate"`
		Refs                      []objectRef `json:"refs"`
	} `json:"crl"`
	SubjectAltNames *struct {
		DNSNames       []stringMatch `json:"dnsNames"`
		EmailAddresses []stringMatch `json:"emailAddresses"`
		IPAddresses    []stringMatch `json:"ipAddresses"`
		URIs           []stringMatch `json:"uris"`
		OtherNames     present       `json:"otherNames"`
	} `json:"subjectAltNames"`
}

type stringMatch struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// httpRouteFilter is the spec of an HTTPRouteFilter.
type httpRouteFilter struct {
	Spec httpRouteFilterSpec `json:"spec"`
}

type httpRouteFilterSpec struct {
	CredentialInjection *struct {
		Credential *struct {
			ValueRef *objectRef `json:"valueRef"`
		} `json:"credential"`
		Header    string `json:"header"`
		Overwrite *bool  `json:"overwrite"`
	} `json:"credentialInjection"`
	DirectResponse *directResponse `json:"directResponse"`
	Matches        present         `json:"matches"`
	URLRewrite     *struct {
		AppendXForwardedHost *bool        `json:"appendXForwardedHost"`
		Hostname             *hostRewrite `json:"hostname"`
		Path                 *struct {
			Type              string     `json:"type"`
			ReplaceRegexMatch *regexEdit `json:"replaceRegexMatch"`
		} `json:"path"`
	} `json:"urlRewrite"`
}

type hostRewrite struct {
	Type      string     `json:"type"`
	Header    string     `json:"header"`
	PathRegex *regexEdit `json:"pathRegex"`
}

type regexEdit struct {
	Pattern      string `json:"pattern"`
	Substitution string `json:"substitution"`
}

type directResponse struct {
	StatusCode  int           `json:"statusCode"`
	ContentType string        `json:"contentType"`
	Header      *headerEditor `json:"header"`
	Body        *struct {
		Type     string     `json:"type"`
		Inline   string     `json:"inline"`
		ValueRef *objectRef `json:"valueRef"`
	} `json:"body"`
}

// guardPolicy is a policy of a kind that we do not have, and that guards what
// it targets.
type guardPolicy struct {
	Spec struct {
		targeting
	} `json:"spec"`
}

// quotaPolicy is the spec of a QuotaPolicy, of which only its targets are kept.
type quotaPolicy struct {
	Spec struct {
		TargetRefs []targetRef `json:"targetRefs"`
	} `json:"spec"`
}
