package envoyai

// targeting is how Envoy Gateway's policies say what they concern.
type targeting struct {
	TargetRef       *targetRef       `json:"targetRef"`
	TargetRefs      []targetRef      `json:"targetRefs"`
	TargetSelectors []targetSelector `json:"targetSelectors"`
	MergeType       string           `json:"mergeType"`
}

// targetSelector picks targets by their labels.
type targetSelector struct {
	Group            *string           `json:"group"`
	Kind             string            `json:"kind"`
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []labelExpression `json:"matchExpressions"`
	Namespaces       *struct {
		From     string  `json:"from"`
		Selector present `json:"selector"`
	} `json:"namespaces"`
}

type labelExpression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// securityPolicy is the spec of a SecurityPolicy.
type securityPolicy struct {
	Spec securityPolicySpec `json:"spec"`
}

type securityPolicySpec struct {
	targeting
	APIKeyAuth    *apiKeyAuth    `json:"apiKeyAuth"`
	Authorization *authorization `json:"authorization"`
	BasicAuth     *basicAuth     `json:"basicAuth"`
	CORS          *cors          `json:"cors"`
	CSRF          present        `json:"csrf"`
	ExtAuth       *extAuth       `json:"extAuth"`
	JWT           *jwt           `json:"jwt"`
	OIDC          present        `json:"oidc"`
}

type apiKeyAuth struct {
	CredentialRefs        []objectRef   `json:"credentialRefs"`
	ExtractFrom           []extractFrom `json:"extractFrom"`
	ForwardClientIDHeader string        `json:"forwardClientIDHeader"`
	Sanitize              *bool         `json:"sanitize"`
}

type extractFrom struct {
	Headers []string `json:"headers"`
	Params  []string `json:"params"`
	Cookies []string `json:"cookies"`
}

type basicAuth struct {
	Users                 *objectRef `json:"users"`
	ForwardUsernameHeader string     `json:"forwardUsernameHeader"`
}

type cors struct {
	AllowOrigins     []string `json:"allowOrigins"`
	AllowMethods     []string `json:"allowMethods"`
	AllowHeaders     []string `json:"allowHeaders"`
	ExposeHeaders    []string `json:"exposeHeaders"`
	AllowCredentials bool     `json:"allowCredentials"`
	MaxAge           *string  `json:"maxAge"`
}

type jwt struct {
	Optional  bool          `json:"optional"`
	FailOpen  bool          `json:"failOpen"`
	Providers []jwtProvider `json:"providers"`
}

type jwtProvider struct {
	Name           string          `json:"name"`
	Issuer         string          `json:"issuer"`
	Audiences      []string        `json:"audiences"`
	RemoteJWKS     *remoteJWKS     `json:"remoteJWKS"`
	LocalJWKS      *localJWKS      `json:"localJWKS"`
	ClaimToHeaders []claimToHeader `json:"claimToHeaders"`
	RecomputeRoute bool            `json:"recomputeRoute"`
	ExtractFrom    *struct {
		Headers []struct {
			Name        string  `json:"name"`
			ValuePrefix *string `json:"valuePrefix"`
		} `json:"headers"`
		Params  []string `json:"params"`
		Cookies []string `json:"cookies"`
	} `json:"extractFrom"`
}

type remoteJWKS struct {
	URI                   string      `json:"uri"`
	CacheDuration         *string     `json:"cacheDuration"`
	FailedRefetchDuration present     `json:"failedRefetchDuration"`
	BackendRef            present     `json:"backendRef"`
	BackendRefs           []objectRef `json:"backendRefs"`
	BackendSettings       present     `json:"backendSettings"`
}

// localJWKS is a key set, written here or in a ConfigMap.
type localJWKS struct {
	Type     string     `json:"type"`
	Inline   string     `json:"inline"`
	ValueRef *objectRef `json:"valueRef"`
}

type claimToHeader struct {
	Claim  string `json:"claim"`
	Header string `json:"header"`
}

type extAuth struct {
	GRPC                 *extService        `json:"grpc"`
	HTTP                 *extService        `json:"http"`
	HeadersToExtAuth     []string           `json:"headersToExtAuth"`
	BodyToExtAuth        *bodyToExtAuth     `json:"bodyToExtAuth"`
	ContextExtensions    []contextExtension `json:"contextExtensions"`
	FailOpen             bool               `json:"failOpen"`
	IncludeRouteMetadata present            `json:"includeRouteMetadata"`
	RecomputeRoute       bool               `json:"recomputeRoute"`
	StatusOnError        int                `json:"statusOnError"`
	Timeout              *string            `json:"timeout"`
}

type bodyToExtAuth struct {
	MaxRequestBytes int64 `json:"maxRequestBytes"`
}

type contextExtension struct {
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Value    *string    `json:"value"`
	ValueRef *objectRef `json:"valueRef"`
}

// extService is a server that is asked over gRPC or HTTP; path, pathOverride
// and headersToBackend are HTTP's.
type extService struct {
	BackendRef       *objectRef  `json:"backendRef"`
	BackendRefs      []objectRef `json:"backendRefs"`
	BackendSettings  present     `json:"backendSettings"`
	Path             string      `json:"path"`
	PathOverride     string      `json:"pathOverride"`
	HeadersToBackend []string    `json:"headersToBackend"`
}

type authorization struct {
	DefaultAction string       `json:"defaultAction"`
	Rules         []accessRule `json:"rules"`
}

type accessRule struct {
	Name      string     `json:"name"`
	Action    string     `json:"action"`
	CEL       string     `json:"cel"`
	Principal *principal `json:"principal"`
	Operation *struct {
		Methods []string `json:"methods"`
		Path    *struct {
			Type   string  `json:"type"`
			Value  *string `json:"value"`
			Invert bool    `json:"invert"`
		} `json:"path"`
	} `json:"operation"`
}

type principal struct {
	ClientCIDRs          []string `json:"clientCIDRs"`
	ClientIPGeoLocations present  `json:"clientIPGeoLocations"`
	JWT                  *struct {
		Provider string        `json:"provider"`
		Claims   []accessClaim `json:"claims"`
		Scopes   []string      `json:"scopes"`
	} `json:"jwt"`
	Headers []struct {
		Name   string   `json:"name"`
		Values []string `json:"values"`
	} `json:"headers"`
}

type accessClaim struct {
	Name      string   `json:"name"`
	ValueType string   `json:"valueType"`
	Values    []string `json:"values"`
}
