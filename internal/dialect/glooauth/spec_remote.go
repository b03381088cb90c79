package glooauth

import "github.com/postern-gateway/postern/internal/resource"

// OAuth2 is authentication by OAuth 2.0. Of its forms only the validation of
// access tokens needs no browser.
type OAuth2 struct {
	AccessTokenValidation *AccessTokenValidation `json:"accessTokenValidation"`
	OAuth2                present                `json:"oauth2"`
	OIDCAuthorizationCode present                `json:"oidcAuthorizationCode"`
}

// AccessTokenValidation validates the bearer token of each request. One of
// JWT, Introspection and IntrospectionURL is set.
type AccessTokenValidation struct {
	JWT                       *AccessTokenJWT   `json:"jwt"`
	Introspection             *Introspection    `json:"introspection"`
	IntrospectionURL          string            `json:"introspectionUrl"`
	Azure                     present           `json:"azure"`
	CacheTimeout              resource.Duration `json:"cacheTimeout"`
	ClaimsToHeaders           []ClaimToHeader   `json:"claimsToHeaders"`
	Default                   present           `json:"default"`
	DynamicMetadataFromClaims present           `json:"dynamicMetadataFromClaims"`
	RequiredScopes            *struct {
		Scope []string `json:"scope"`
	} `json:"requiredScopes"`
	UserinfoURL present `json:"userinfoUrl"`
}

// AccessTokenJWT verifies tokens that are JWTs. One key set is given.
type AccessTokenJWT struct {
	Audiences []string `json:"audiences"`
	Issuer    string   `json:"issuer"`
	LocalJWKS *struct {
		InlineString string `json:"inlineString"`
	} `json:"localJwks"`
	RemoteJWKS *struct {
		RefreshInterval resource.Duration `json:"refreshInterval"`
		URL             string            `json:"url"`
	} `json:"remoteJwks"`
}

// Introspection asks an authorization server about a token (RFC 7662).
type Introspection struct {
	ClientID            string `json:"clientId"`
	ClientSecretRef     *Ref   `json:"clientSecretRef"`
	DisableClientSecret *bool  `json:"disableClientSecret"`
	IntrospectionURL    string `json:"introspectionUrl"`
	UserIDAttributeName string `json:"userIdAttributeName"`
}

// ClaimToHeader copies a claim into a request header.
type ClaimToHeader struct {
	Append bool   `json:"append"`
	Claim  string `json:"claim"`
	Header string `json:"header"`
}

// PassThroughAuth asks another server. One of GRPC and HTTP is set.
type PassThroughAuth struct {
	Config           present          `json:"config"`
	FailureModeAllow bool             `json:"failureModeAllow"`
	GRPC             *PassThroughGRPC `json:"grpc"`
	HTTP             *PassThroughHTTP `json:"http"`
}

// PassThroughGRPC is a server of Envoy's ext_authz protocol.
type PassThroughGRPC struct {
	Address           string            `json:"address"`
	ConnectionTimeout resource.Duration `json:"connectionTimeout"`
	RetryPolicy       *struct {
		NumRetries   *int    `json:"numRetries"`
		RetryBackOff present `json:"retryBackOff"`
	} `json:"retryPolicy"`
	TLSConfig *TLSConfig `json:"tlsConfig"`
}

// TLSConfig is how the server is verified. Without fields, by the system's
// roots.
type TLSConfig struct {
	SecretRef present `json:"secretRef"`
	SSLParams present `json:"sslParams"`
}

// PassThroughHTTP is a server that answers 2xx for yes.
type PassThroughHTTP struct {
	ConnectionPool    present           `json:"connectionPool"`
	ConnectionTimeout resource.Duration `json:"connectionTimeout"`
	Request           *struct {
		AllowedHeaders            []string          `json:"allowedHeaders"`
		HeadersToAdd              map[string]string `json:"headersToAdd"`
		PassThroughBody           bool              `json:"passThroughBody"`
		PassThroughFilterMetadata bool              `json:"passThroughFilterMetadata"`
		PassThroughState          bool              `json:"passThroughState"`
	} `json:"request"`
	Response *struct {
		AllowedClientHeadersOnDenied      []string `json:"allowedClientHeadersOnDenied"`
		AllowedClientHeadersOnSuccess     []string `json:"allowedClientHeadersOnSuccess"`
		AllowedUpstreamHeaders            []string `json:"allowedUpstreamHeaders"`
		AllowedUpstreamHeadersToOverwrite []string `json:"allowedUpstreamHeadersToOverwrite"`
		ReadStateFromResponse             bool     `json:"readStateFromResponse"`
	} `json:"response"`
	ResponseHeaderTimeout resource.Duration `json:"responseHeaderTimeout"`
	TLSConfig             *TLSConfig        `json:"tlsConfig"`
	URL                   string            `json:"url"`
}
