package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// jwtPolicy is security.policy.gloo.solo.io/v2 JWTPolicy.
type jwtPolicy struct {
	Spec struct {
		applied
		Config jwtConfig `json:"config"`
	} `json:"spec"`
}

type jwtConfig struct {
	Providers            map[string]jwtProvider `json:"providers"`
	Phase                *phase                 `json:"phase"`
	AllowMissingOrFailed bool                   `json:"allowMissingOrFailed"`
	ClearRouteCache      clearRouteCache        `json:"clearRouteCache"`
	Claims               []claim                `json:"claims"`
	RequiredScopes       []string               `json:"requiredScopes"`
	ValidationPolicy     validationPolicy       `json:"validationPolicy"`
}

type clearRouteCache int

const clearAlways clearRouteCache = 2

// UnmarshalJSON reads the enum ClearRouteCache.
func (e *clearRouteCache) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "AUTO", "FALSE", "TRUE")
}

type validationPolicy int

// The validation policies besides REQUIRE_VALID.
const (
	allowMissing validationPolicy = iota + 1
	allowMissingOrFailed
)

// UnmarshalJSON reads the enum ValidationPolicy.
func (e *validationPolicy) UnmarshalJSON(b []byte) error {
	return reading.Enum(e, b, "REQUIRE_VALID", "ALLOW_MISSING", "ALLOW_MISSING_OR_FAILED")
}

type claim struct {
	Key                  string   `json:"key"`
	Values               []string `json:"values"`
	NotValues            []string `json:"notValues"`
	NestedClaimDelimiter string   `json:"nestedClaimDelimiter"`
}

type jwtProvider struct {
	Issuer      string   `json:"issuer"`
	Audiences   []string `json:"audiences"`
	TokenSource *struct {
		Headers []struct {
			Name   string `json:"name"`
			Prefix string `json:"prefix"`
		} `json:"headers"`
		QueryParams []string `json:"queryParams"`
	} `json:"tokenSource"`
	Local *struct {
		SecretRef present `json:"secretRef"`
		Inline    string  `json:"inline"`
	} `json:"local"`
	Remote          *remoteKeys `json:"remote"`
	ClaimsToHeaders []struct {
		Claim  string `json:"claim"`
		Header string `json:"header"`
		Append bool   `json:"append"`
	} `json:"claimsToHeaders"`
	KeepToken             bool   `json:"keepToken"`
	ClockSkewSeconds      *int   `json:"clockSkewSeconds"`
	OutputPayloadToHeader string `json:"outputPayloadToHeader"`
}

type remoteKeys struct {
	URL              string            `json:"url"`
	DestinationRef   *destination      `json:"destinationRef"`
	CacheDuration    resource.Duration `json:"cacheDuration"`
	Timeout          resource.Duration `json:"timeout"`
	EnableAsyncFetch bool              `json:"enableAsyncFetch"`
}
