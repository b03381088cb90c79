package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// listenerOption is gateway.solo.io/v1 ListenerOption.
type listenerOption struct {
	Spec listenerOptionSpec `json:"spec"`
}

type listenerOptionSpec struct {
	targeted
	Options *listenerOptions `json:"options"`
}

// httpListenerOption is gateway.solo.io/v1 HttpListenerOption.
type httpListenerOption struct {
	Spec httpListenerOptionSpec `json:"spec"`
}

type httpListenerOptionSpec struct {
	targeted
	Options *httpListenerOptions `json:"options"`
}

type listenerOptions struct {
	AccessLoggingService          raw `json:"accessLoggingService"`
	ConnectionBalanceConfig       raw `json:"connectionBalanceConfig"`
	Extensions                    raw `json:"extensions"`
	ListenerAccessLoggingService  raw `json:"listenerAccessLoggingService"`
	PerConnectionBufferLimitBytes raw `json:"perConnectionBufferLimitBytes"`
	ProxyProtocol                 raw `json:"proxyProtocol"`
	SocketOptions                 raw `json:"socketOptions"`
	TCPStats                      raw `json:"tcpStats"`
}

type httpListenerOptions struct {
	Buffer *struct {
		MaxRequestBytes *int64 `json:"maxRequestBytes"`
	} `json:"buffer"`
	HTTPConnectionManagerSettings *connectionManager `json:"httpConnectionManagerSettings"`
	ExtAuth                       *authServer        `json:"extauth"`

	Caching                  raw `json:"caching"`
	ConnectionLimit          raw `json:"connectionLimit"`
	CSRF                     raw `json:"csrf"`
	DisableExtProc           raw `json:"disableExtProc"`
	DisableExtProcEarly      raw `json:"disableExtProcEarly"`
	DisableExtProcLate       raw `json:"disableExtProcLate"`
	DLP                      raw `json:"dlp"`
	DynamicForwardProxy      raw `json:"dynamicForwardProxy"`
	ExtProc                  raw `json:"extProc"`
	ExtProcEarly             raw `json:"extProcEarly"`
	ExtProcLate              raw `json:"extProcLate"`
	Extensions               raw `json:"extensions"`
	GRPCJSONTranscoder       raw `json:"grpcJsonTranscoder"`
	GRPCWeb                  raw `json:"grpcWeb"`
	Gzip                     raw `json:"gzip"`
	HeaderValidationSettings raw `json:"headerValidationSettings"`
	HealthCheck              raw `json:"healthCheck"`
	HTTPLocalRateLimit       raw `json:"httpLocalRatelimit"`
	LeftmostXFFAddress       raw `json:"leftmostXffAddress"`
	NetworkLocalRateLimit    raw `json:"networkLocalRatelimit"`
	ProxyLatency             raw `json:"proxyLatency"`
	RateLimitServer          raw `json:"ratelimitServer"`
	Router                   raw `json:"router"`
	SanitizeClusterHeader    raw `json:"sanitizeClusterHeader"`
	StatefulSession          raw `json:"statefulSession"`
	Tap                      raw `json:"tap"`
	WAF                      raw `json:"waf"`
	WASM                     raw `json:"wasm"`
}

// connectionManager is HttpConnectionManagerSettings.
type connectionManager struct {
	AppendXForwardedPort    *bool `json:"appendXForwardedPort"`
	EarlyHeaderManipulation *struct {
		HeadersToAdd    []headerToAdd `json:"headersToAdd"`
		HeadersToRemove []string      `json:"headersToRemove"`
	} `json:"earlyHeaderManipulation"`
	ForwardClientCertDetails     clientCertDetails `json:"forwardClientCertDetails"`
	GenerateRequestID            *bool             `json:"generateRequestId"`
	HeadersWithUnderscoresAction underscoreAction  `json:"headersWithUnderscoresAction"`
	HTTP2ProtocolOptions         *struct {
		InitialConnectionWindowSize             raw  `json:"initialConnectionWindowSize"`
		InitialStreamWindowSize                 raw  `json:"initialStreamWindowSize"`
		MaxConcurrentStreams                    *int `json:"maxConcurrentStreams"`
		OverrideStreamErrorOnInvalidHTTPMessage raw  `json:"overrideStreamErrorOnInvalidHttpMessage"`
	} `json:"http2ProtocolOptions"`
	IdleTimeout                resource.Duration          `json:"idleTimeout"`
	MaxHeadersCount            *int                       `json:"maxHeadersCount"`
	MaxRequestHeadersKb        *int                       `json:"maxRequestHeadersKb"`
	MaxStreamDuration          resource.Duration          `json:"maxStreamDuration"`
	MergeSlashes               *bool                      `json:"mergeSlashes"`
	NormalizePath              *bool                      `json:"normalizePath"`
	PreserveExternalRequestID  *bool                      `json:"preserveExternalRequestId"`
	RequestHeadersTimeout      resource.Duration          `json:"requestHeadersTimeout"`
	RequestTimeout             resource.Duration          `json:"requestTimeout"`
	ServerHeaderTransformation serverHeaderTransformation `json:"serverHeaderTransformation"`
	ServerName                 *string                    `json:"serverName"`
	SkipXFFAppend              *bool                      `json:"skipXffAppend"`
	StreamIdleTimeout          resource.Duration          `json:"streamIdleTimeout"`
	Upgrades                   []upgrade                  `json:"upgrades"`
	UseRemoteAddress           *bool                      `json:"useRemoteAddress"`
	Via                        *string                    `json:"via"`
	XFFNumTrustedHops          *int                       `json:"xffNumTrustedHops"`

	AcceptHTTP10                 raw `json:"acceptHttp10"`
	AllowChunkedLength           raw `json:"allowChunkedLength"`
	CodecType                    raw `json:"codecType"`
	DefaultHostForHTTP10         raw `json:"defaultHostForHttp10"`
	DelayedCloseTimeout          raw `json:"delayedCloseTimeout"`
	DrainTimeout                 raw `json:"drainTimeout"`
	EnableTrailers               raw `json:"enableTrailers"`
	InternalAddressConfig        raw `json:"internalAddressConfig"`
	MaxConnectionDuration        raw `json:"maxConnectionDuration"`
	MaxRequestsPerConnection     raw `json:"maxRequestsPerConnection"`
	PathWithEscapedSlashesAction raw `json:"pathWithEscapedSlashesAction"`
	PreserveCaseHeaderKeyFormat  raw `json:"preserveCaseHeaderKeyFormat"`
	ProperCaseHeaderKeyFormat    raw `json:"properCaseHeaderKeyFormat"`
	Proxy100Continue             raw `json:"proxy100Continue"`
	SetCurrentClientCertDetails  raw `json:"setCurrentClientCertDetails"`
	StripAnyHostPort             raw `json:"stripAnyHostPort"`
	Tracing                      raw `json:"tracing"`
	UUIDRequestIDConfig          raw `json:"uuidRequestIdConfig"`
}

type clientCertDetails int

// UnmarshalJSON reads the enum ForwardClientCertDetails.
func (e *clientCertDetails) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")
}

type underscoreAction int

// UnmarshalJSON reads the enum HeadersWithUnderscoresActionNumber.
func (e *underscoreAction) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "ALLOW", "REJECT_CLIENT_REQUEST", "DROP_HEADER")
}

type serverHeaderTransformation int

// UnmarshalJSON reads the enum ServerHeaderTransformation.
func (e *serverHeaderTransformation) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH")
}
