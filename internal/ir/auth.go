package ir

import "time"

// JWT authenticates by a JSON Web Token (RFC 7519, 7515). Providers are
// alternatives.
type JWT struct {
	Providers []JWTProvider `json:"providers"`
	// Combine says which of the tokens that are found must be valid.
	Combine JWTCombine `json:"combine,omitempty"`
	// SkipPreflight lets CORS preflights pass, as nobody.
	SkipPreflight bool `json:"skipPreflight,omitempty"`
	// Missing says what becomes of a request without a token.
	Missing JWTPolicy `json:"missing,omitempty"`
	// Style is whose words the answers use; empty: Envoy's jwt_authn filter.
	Style string `json:"style,omitempty"`
}

// JWTCombine says which tokens must be valid.
type JWTCombine string

// The ways to combine.
const (
	// JWTEvery wants every token that is found to be valid for one of the
	// providers that look there: the zero value.
	JWTEvery JWTCombine = ""
	// JWTFirst takes the first provider that finds tokens in its places and all
	// of them valid; what others would find is not looked at.
	JWTFirst JWTCombine = "first"
)

// JWTPolicy says who passes.
type JWTPolicy string

// The policies of a JWT step.
const (
	// JWTRequired refuses a request without a valid token: the zero value.
	JWTRequired JWTPolicy = ""
	// JWTAllowMissing lets a request without a token pass, as nobody.
	JWTAllowMissing JWTPolicy = "allowMissing"
	// JWTAllowMissingOrFailed lets every request pass; a token that does not
	// verify proves nothing.
	JWTAllowMissingOrFailed JWTPolicy = "allowMissingOrFailed"
)

// JWTProvider is one issuer that is believed.
type JWTProvider struct {
	// Name is how rules refer to it.
	Name string `json:"name"`
	// Issuer that the iss claim must equal; empty: any.
	Issuer string `json:"issuer,omitempty"`
	// Audiences of which the aud claim must hold one; empty: not checked.
	Audiences []string  `json:"audiences,omitempty"`
	Keys      KeySource `json:"keys"`
	// Headers, QueryParams and Cookies hold the token; all empty: Authorization
	// with "Bearer ", then the parameter access_token.
	Headers     []TokenHeader `json:"headers,omitempty"`
	QueryParams []string      `json:"queryParams,omitempty"`
	Cookies     []string      `json:"cookies,omitempty"`
	// KeepToken forwards the token to the upstream; otherwise it is dropped.
	KeepToken      bool            `json:"keepToken,omitempty"`
	ClaimsToHeader []ClaimToHeader `json:"claimsToHeaders,omitempty"`
	// PayloadHeader gets the token's payload, still in base64url; empty: none
	// does.
	PayloadHeader string `json:"payloadHeader,omitempty"`
	// SpaceDelimited names claims whose text is a list, with spaces between;
	// policies see them as lists.
	SpaceDelimited []string `json:"spaceDelimited,omitempty"`
	// ClockSkew for exp and nbf.
	ClockSkew time.Duration `json:"clockSkew,omitempty"`
	Origin    Origin        `json:"origin,omitzero"`
}

// TokenHeader is a header that holds a token after a prefix.
type TokenHeader struct {
	Name   string `json:"name"`
	Prefix string `json:"prefix,omitempty"`
}

// ClaimToHeader copies a claim into a request header, which the client cannot
// set itself.
type ClaimToHeader struct {
	Claim string `json:"claim"`
	// Delimiter splits Claim into a path; empty: it is one name.
	Delimiter string `json:"delimiter,omitempty"`
	Header    string `json:"header"`
	// Append keeps what another claim put there; never a client's value.
	Append bool `json:"append,omitempty"`
}

// KeySource is where verification keys come from. Exactly one is set.
type KeySource struct {
	// Inline is a PEM public key or certificate, a JWK or a JWKS.
	Inline string      `json:"inline,omitempty"`
	Remote *RemoteKeys `json:"remote,omitempty"`
}

// RemoteKeys is a JWKS behind a URL.
type RemoteKeys struct {
	URL string `json:"url"`
	// Discover says that URL is an issuer, whose OpenID configuration tells
	// where the JWKS is (OpenID Connect Discovery 1.0).
	Discover bool `json:"discover,omitempty"`
	// Upstream carries the fetch, by name; empty: the URL's host is dialled.
	Upstream string `json:"upstream,omitempty"`
	// Refresh is how long fetched keys are used; 0: 5 min.
	Refresh time.Duration `json:"refresh,omitempty"`
	// Timeout of one fetch; 0: 5 s.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// ClaimRules allow a request by what its verified token claims; a request
// that no rule allows is refused.
type ClaimRules struct {
	Rules []ClaimRule `json:"rules"`
}

// ClaimRule allows when one of Principals holds, and path and method fit.
type ClaimRule struct {
	Name       string           `json:"name"`
	Principals []ClaimPrincipal `json:"principals"`
	// PathPrefix is a raw prefix of the path as the client sent it
	// (normalized); empty: any.
	PathPrefix string `json:"pathPrefix,omitempty"`
	// Methods; empty: any.
	Methods []string `json:"methods,omitempty"`
	Origin  Origin   `json:"origin,omitzero"`
}

// ClaimPrincipal holds when each of Claims matches.
type ClaimPrincipal struct {
	// Provider that must have verified the token; empty: any.
	Provider string       `json:"provider,omitempty"`
	Claims   []ClaimMatch `json:"claims"`
}

// ClaimMatcher is how a ClaimMatch compares.
type ClaimMatcher string

// The claim matchers.
const (
	// ClaimExact wants a JSON string equal to Value: the zero value.
	ClaimExact ClaimMatcher = ""
	// ClaimBoolean wants a JSON bool that prints as Value.
	ClaimBoolean ClaimMatcher = "boolean"
	// ClaimListContains wants a JSON array with the string Value in it.
	ClaimListContains ClaimMatcher = "listContains"
	// ClaimRegex wants a JSON string that the RE2 expression Value fully
	// matches.
	ClaimRegex ClaimMatcher = "regex"
)

// ClaimMatch compares one claim.
type ClaimMatch struct {
	// Path of member names, outermost first.
	Path    []string     `json:"path"`
	Matcher ClaimMatcher `json:"matcher,omitempty"`
	Value   string       `json:"value"`
}
