package gloo

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// virtualHostOption is gateway.solo.io/v1 VirtualHostOption.
type virtualHostOption struct {
	Spec virtualHostOptionSpec `json:"spec"`
}

type virtualHostOptionSpec struct {
	targeted
	Options *hostOptions `json:"options"`
}

// routeOption is gateway.solo.io/v1 RouteOption.
type routeOption struct {
	Spec routeOptionSpec `json:"spec"`
}

type routeOptionSpec struct {
	targeted
	Options *routeOptions `json:"options"`
}

// targeted are the fields of every option resource besides its options. The
// betas of 1.17 had one TargetRef in place of the list.
type targeted struct {
	NamespacedStatuses raw         `json:"namespacedStatuses"`
	TargetRef          *targetRef  `json:"targetRef"`
	TargetRefs         []targetRef `json:"targetRefs"`
}

type targetRef struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	Namespace   string `json:"namespace"`
	SectionName string `json:"sectionName"`
}

// commonOptions are what VirtualHostOptions and RouteOptions share.
type commonOptions struct {
	BufferPerRoute          *bufferPerRoute        `json:"bufferPerRoute"`
	CORS                    *cors                  `json:"cors"`
	CSRF                    raw                    `json:"csrf"`
	DLP                     raw                    `json:"dlp"`
	ExtProc                 raw                    `json:"extProc"`
	ExtProcEarly            raw                    `json:"extProcEarly"`
	ExtProcLate             raw                    `json:"extProcLate"`
	ExtAuth                 *extAuth               `json:"extauth"`
	Extensions              raw                    `json:"extensions"`
	HeaderManipulation      *headerManipulation    `json:"headerManipulation"`
	RateLimitConfigs        raw                    `json:"rateLimitConfigs"`
	RateLimitEarlyConfigs   raw                    `json:"rateLimitEarlyConfigs"`
	RateLimitRegularConfigs raw                    `json:"rateLimitRegularConfigs"`
	RateLimit               raw                    `json:"ratelimit"`
	RateLimitEarly          raw                    `json:"ratelimitEarly"`
	RateLimitRegular        raw                    `json:"ratelimitRegular"`
	RateLimitBasic          raw                    `json:"ratelimitBasic"`
	RBAC                    *rbac                  `json:"rbac"`
	Retries                 *retries               `json:"retries"`
	StagedTransformations   *stagedTransformations `json:"stagedTransformations"`
	Transformations         *transformations       `json:"transformations"`
	WAF                     raw                    `json:"waf"`
}

// hostOptions is VirtualHostOptions.
type hostOptions struct {
	commonOptions
	CORSPolicyMergeSettings       raw        `json:"corsPolicyMergeSettings"`
	IncludeAttemptCountInResponse raw        `json:"includeAttemptCountInResponse"`
	IncludeRequestAttemptCount    raw        `json:"includeRequestAttemptCount"`
	JWT                           *jwt       `json:"jwt"`
	JWTStaged                     *jwtStages `json:"jwtStaged"`
	Stats                         raw        `json:"stats"`
}

// routeOptions is RouteOptions.
type routeOptions struct {
	commonOptions
	AI                   *aiOptions         `json:"ai"`
	AppendXForwardedHost *bool              `json:"appendXForwardedHost"`
	AutoHostRewrite      *bool              `json:"autoHostRewrite"`
	EnvoyMetadata        raw                `json:"envoyMetadata"`
	Faults               *faults            `json:"faults"`
	HostRewrite          *string            `json:"hostRewrite"`
	HostRewriteHeader    *string            `json:"hostRewriteHeader"`
	HostRewritePathRegex *regexRewrite      `json:"hostRewritePathRegex"`
	IdleTimeout          resource.Duration  `json:"idleTimeout"`
	JWT                  *jwtSwitch         `json:"jwt"`
	JWTProvidersStaged   *jwtStages         `json:"jwtProvidersStaged"`
	JWTStaged            *jwtSwitches       `json:"jwtStaged"`
	LBHash               raw                `json:"lbHash"`
	MaxStreamDuration    *maxStreamDuration `json:"maxStreamDuration"`
	PrefixRewrite        *string            `json:"prefixRewrite"`
	RegexRewrite         *regexRewrite      `json:"regexRewrite"`
	Shadowing            *shadowing         `json:"shadowing"`
	Timeout              resource.Duration  `json:"timeout"`
	Tracing              raw                `json:"tracing"`
	Upgrades             []upgrade          `json:"upgrades"`
}

// destinationOptions are the options of one weighted destination.
type destinationOptions struct {
	BufferPerRoute        *bufferPerRoute        `json:"bufferPerRoute"`
	CSRF                  raw                    `json:"csrf"`
	ExtAuth               *extAuth               `json:"extauth"`
	Extensions            raw                    `json:"extensions"`
	HeaderManipulation    *headerManipulation    `json:"headerManipulation"`
	StagedTransformations *stagedTransformations `json:"stagedTransformations"`
	Transformations       *transformations       `json:"transformations"`
}

type bufferPerRoute struct {
	Buffer *struct {
		MaxRequestBytes *int64 `json:"maxRequestBytes"`
	} `json:"buffer"`
	Disabled bool `json:"disabled"`
}

type cors struct {
	AllowCredentials bool     `json:"allowCredentials"`
	AllowHeaders     []string `json:"allowHeaders"`
	AllowMethods     []string `json:"allowMethods"`
	AllowOrigin      []string `json:"allowOrigin"`
	AllowOriginRegex []string `json:"allowOriginRegex"`
	DisableForRoute  bool     `json:"disableForRoute"`
	ExposeHeaders    []string `json:"exposeHeaders"`
	MaxAge           string   `json:"maxAge"`
}

type extAuth struct {
	ConfigRef  *ref `json:"configRef"`
	CustomAuth raw  `json:"customAuth"`
	Disable    bool `json:"disable"`
}

type headerManipulation struct {
	RequestHeadersToAdd     []headerToAdd `json:"requestHeadersToAdd"`
	RequestHeadersToRemove  []string      `json:"requestHeadersToRemove"`
	ResponseHeadersToAdd    []headerToAdd `json:"responseHeadersToAdd"`
	ResponseHeadersToRemove []string      `json:"responseHeadersToRemove"`
}

// headerToAdd adds a header, or all that a Secret holds. Append is true
// unless written.
type headerToAdd struct {
	Append          *bool   `json:"append"`
	Header          *header `json:"header"`
	HeaderSecretRef *ref    `json:"headerSecretRef"`
}

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// jwt is the JWT filter of a virtual host, or of one stage.
type jwt struct {
	AllowMissingOrFailedJWT bool                   `json:"allowMissingOrFailedJwt"`
	Providers               map[string]jwtProvider `json:"providers"`
	ValidationPolicy        validationPolicy       `json:"validationPolicy"`
}

type validationPolicy int

// The validation policies.
const (
	requireValid validationPolicy = iota
	allowMissing
	allowMissingOrFailed
)

// UnmarshalJSON reads the enum ValidationPolicy.
func (e *validationPolicy) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "REQUIRE_VALID", "ALLOW_MISSING", "ALLOW_MISSING_OR_FAILED")
}

type jwtStages struct {
	AfterExtAuth  *jwt `json:"afterExtAuth"`
	BeforeExtAuth *jwt `json:"beforeExtAuth"`
}

// jwtSwitch is what a route says of its virtual host's JWT filter.
type jwtSwitch struct {
	Disable bool `json:"disable"`
}

type jwtSwitches struct {
	AfterExtAuth  *jwtSwitch `json:"afterExtAuth"`
	BeforeExtAuth *jwtSwitch `json:"beforeExtAuth"`
}

type jwtProvider struct {
	AttachFailedStatusToMetadata string          `json:"attachFailedStatusToMetadata"`
	Audiences                    []string        `json:"audiences"`
	ClaimsToHeaders              []claimToHeader `json:"claimsToHeaders"`
	ClockSkewSeconds             *int            `json:"clockSkewSeconds"`
	Issuer                       string          `json:"issuer"`
	JWKS                         *jwks           `json:"jwks"`
	KeepToken                    bool            `json:"keepToken"`
	TokenSource                  *tokenSource    `json:"tokenSource"`
}

type claimToHeader struct {
	Append bool   `json:"append"`
	Claim  string `json:"claim"`
	Header string `json:"header"`
}

type jwks struct {
	Local *struct {
		Key string `json:"key"`
	} `json:"local"`
	Remote *remoteJWKS `json:"remote"`
}

type remoteJWKS struct {
	AsyncFetch    raw               `json:"asyncFetch"`
	CacheDuration resource.Duration `json:"cacheDuration"`
	UpstreamRef   *ref              `json:"upstreamRef"`
	URL           string            `json:"url"`
}

type tokenSource struct {
	Headers []struct {
		Header string `json:"header"`
		Prefix string `json:"prefix"`
	} `json:"headers"`
	QueryParams []string `json:"queryParams"`
}

type rbac struct {
	Disable  bool                  `json:"disable"`
	Policies map[string]rbacPolicy `json:"policies"`
}

type rbacPolicy struct {
	NestedClaimDelimiter string          `json:"nestedClaimDelimiter"`
	Permissions          permissions     `json:"permissions"`
	Principals           []rbacPrincipal `json:"principals"`
}

type permissions struct {
	Methods    []string `json:"methods"`
	PathPrefix string   `json:"pathPrefix"`
}

type rbacPrincipal struct {
	JWTPrincipal *jwtPrincipal `json:"jwtPrincipal"`
}

type jwtPrincipal struct {
	Claims   map[string]string `json:"claims"`
	Matcher  claimMatcher      `json:"matcher"`
	Provider string            `json:"provider"`
}

type claimMatcher int

// UnmarshalJSON reads the enum ClaimMatcher.
func (e *claimMatcher) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "EXACT_STRING", "BOOLEAN", "LIST_CONTAINS", "REGEX_MATCH")
}

type retries struct {
	NumRetries         int               `json:"numRetries"`
	PerTryTimeout      resource.Duration `json:"perTryTimeout"`
	PreviousPriorities *struct {
		UpdateFrequency *int `json:"updateFrequency"`
	} `json:"previousPriorities"`
	RateLimitedRetryBackOff raw   `json:"rateLimitedRetryBackOff"`
	RetriableStatusCodes    []int `json:"retriableStatusCodes"`
	RetryBackOff            *struct {
		BaseInterval resource.Duration `json:"baseInterval"`
		MaxInterval  resource.Duration `json:"maxInterval"`
	} `json:"retryBackOff"`
	RetryOn string `json:"retryOn"`
}

type faults struct {
	Abort *struct {
		HTTPStatus int     `json:"httpStatus"`
		Percentage float64 `json:"percentage"`
	} `json:"abort"`
	Delay *struct {
		FixedDelay resource.Duration `json:"fixedDelay"`
		Percentage float64           `json:"percentage"`
	} `json:"delay"`
}

type maxStreamDuration struct {
	GRPCTimeoutHeaderMax    raw               `json:"grpcTimeoutHeaderMax"`
	GRPCTimeoutHeaderOffset raw               `json:"grpcTimeoutHeaderOffset"`
	MaxStreamDuration       resource.Duration `json:"maxStreamDuration"`
}

type shadowing struct {
	DisableShadowHostSuffixAppend bool    `json:"disableShadowHostSuffixAppend"`
	HostRewriteLiteral            string  `json:"hostRewriteLiteral"`
	Percentage                    float64 `json:"percentage"`
	Upstream                      *ref    `json:"upstream"`
}

type upgrade struct {
	Connect          *upgradeSwitch `json:"connect"`
	ConnectTerminate *upgradeSwitch `json:"connectTerminate"`
	WebSocket        *upgradeSwitch `json:"websocket"`
}

type upgradeSwitch struct {
	Enabled *bool `json:"enabled"`
}

// on reports whether the upgrade is asked for; unless written, it is.
func (u *upgradeSwitch) on() bool { return u != nil && (u.Enabled == nil || *u.Enabled) }
