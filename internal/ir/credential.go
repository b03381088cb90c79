package ir

import (
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

// Credential is what the gateway shows to a provider. Exactly one of the
// pointers before Override is set.
type Credential struct {
	Header      *HeaderCredential      `json:"header,omitempty"`
	Passthrough *PassthroughCredential `json:"passthrough,omitempty"`
	AWS         *AWSCredential         `json:"aws,omitempty"`
	Token       *TokenCredential       `json:"token,omitempty"`
	// Override lets a request bring a credential of its own; nil: none may.
	Override *CredentialOverride `json:"override,omitempty"`
	Origin   Origin              `json:"origin,omitzero"`
}

// HeaderCredential sets one header to Prefix and a secret. The secret may
// already begin with Prefix, in any case; it is then not doubled.
type HeaderCredential struct {
	Name   string     `json:"name"`
	Prefix string     `json:"prefix,omitempty"`
	Secret secret.Ref `json:"secret"`
}

// PassthroughCredential shows the provider the bearer token that the caller
// sent in Authorization, in the provider's own header. It needs no secret.
type PassthroughCredential struct {
	// Name and Prefix of the header that is sent.
	Name   string `json:"name"`
	Prefix string `json:"prefix,omitempty"`
}

// AWSCredential signs requests by AWS Signature Version 4.
type AWSCredential struct {
	Region  string `json:"region"`
	Service string `json:"service"`
	// Keys is where the keys come from.
	Keys AWSKeySource `json:"keys,omitzero"`
}

// AWSKeySource is where AWS keys come from. Exactly one of Static, File,
// Exchange and Default is set; Role is assumed with what they yield.
type AWSKeySource struct {
	Static *AWSStaticKeys `json:"static,omitempty"`
	File   *AWSFile       `json:"file,omitempty"`
	// Exchange trades an OIDC token for keys (AssumeRoleWithWebIdentity).
	Exchange *AWSExchange `json:"exchange,omitempty"`
	// Default is the SDK's chain: environment, web identity file, container
	// credentials (Pod Identity, ECS), instance metadata (IMDSv2).
	Default bool     `json:"default,omitempty"`
	Role    *AWSRole `json:"role,omitempty"`
}

// AWSStaticKeys are an account's keys; SessionToken may be zero.
type AWSStaticKeys struct {
	AccessKeyID     secret.Ref `json:"accessKeyID"`
	SecretAccessKey secret.Ref `json:"secretAccessKey"`
	SessionToken    secret.Ref `json:"sessionToken,omitzero"`
}

// AWSFile is a shared credentials file, as the AWS command line has it, in a
// secret. Its role_arn and source_profile are followed; what starts a program
// is refused.
type AWSFile struct {
	Contents secret.Ref `json:"contents"`
	// Profile of the file; empty: "default".
	Profile string `json:"profile,omitempty"`
}

// AWSExchange is AssumeRoleWithWebIdentity.
type AWSExchange struct {
	Subject SubjectToken `json:"subject"`
	Role    AWSRole      `json:"role"`
}

// AWSRole is a role to assume.
type AWSRole struct {
	ARN string `json:"arn"`
	// ExternalID and Tags go with AssumeRole alone.
	ExternalID string            `json:"externalID,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	// SessionName; empty: "postern".
	SessionName string `json:"sessionName,omitempty"`
	// Duration of the keys; 0: the role's default.
	Duration time.Duration `json:"duration,omitempty"`
	// Endpoint of STS; empty: that of the region.
	Endpoint string `json:"endpoint,omitempty"`
}

// TokenCredential sets one header to a token that is fetched and renewed.
type TokenCredential struct {
	// Name and Prefix of the header; both empty: Authorization and "Bearer ".
	Name   string      `json:"name,omitempty"`
	Prefix string      `json:"prefix,omitempty"`
	Source TokenSource `json:"source"`
}

// TokenSource is where an access token comes from. Exactly one is set.
type TokenSource struct {
	// Client is OAuth 2.0's client credentials grant (RFC 6749 4.4).
	Client *OAuthClient `json:"client,omitempty"`
	Azure  *AzureToken  `json:"azure,omitempty"`
	GCP    *GCPToken    `json:"gcp,omitempty"`
}

// SubjectToken is a token that is traded for another. Exactly one is set.
type SubjectToken struct {
	Client *OAuthClient `json:"client,omitempty"`
	// File holds the token, and is read again before each exchange: a
	// projected service-account token.
	File string `json:"file,omitempty"`
	// SPIFFE is a JWT-SVID of the Workload API.
	SPIFFE *SPIFFEToken `json:"spiffe,omitempty"`
}

// SPIFFEToken is a JWT-SVID.
type SPIFFEToken struct {
	// Socket of the Workload API; empty: SPIFFE_ENDPOINT_SOCKET.
	Socket   string `json:"socket,omitempty"`
	Audience string `json:"audience"`
}

// OAuthClient gets a token for itself at an authorization server.
type OAuthClient struct {
	// Issuer whose discovery document names the token endpoint, and must name
	// the same issuer; TokenURL is used as it is instead.
	Issuer       string     `json:"issuer,omitempty"`
	TokenURL     string     `json:"tokenURL,omitempty"`
	ClientID     string     `json:"clientID"`
	ClientSecret secret.Ref `json:"clientSecret,omitzero"`
	Scopes       []string   `json:"scopes,omitempty"`
	// Audience and Resources are sent if set (RFC 8707 for resource).
	Audience  string   `json:"audience,omitempty"`
	Resources []string `json:"resources,omitempty"`
	// GrantType; empty: client_credentials.
	GrantType string `json:"grantType,omitempty"`
	Origin    Origin `json:"origin,omitzero"`
}

// AzureToken is an Entra access token. Exactly one of ClientSecret, Federated
// and ManagedIdentity is set.
type AzureToken struct {
	TenantID     string        `json:"tenantID,omitempty"`
	ClientID     string        `json:"clientID,omitempty"`
	ClientSecret secret.Ref    `json:"clientSecret,omitzero"`
	Federated    *SubjectToken `json:"federated,omitempty"`
	// ManagedIdentity asks the machine's metadata server; ClientID names a
	// user-assigned one.
	ManagedIdentity bool `json:"managedIdentity,omitempty"`
	// Scope; empty: https://cognitiveservices.azure.com/.default.
	Scope string `json:"scope,omitempty"`
	// Authority; empty: https://login.microsoftonline.com.
	Authority string `json:"authority,omitempty"`
}

// GCPToken is a Google access token. Exactly one of KeyFile, Federation and
// Default is set.
type GCPToken struct {
	// KeyFile is a service account's key, as JSON.
	KeyFile    secret.Ref     `json:"keyFile,omitzero"`
	Federation *GCPFederation `json:"federation,omitempty"`
	// Default is Application Default Credentials: a file that the environment
	// names, or the metadata server.
	Default bool `json:"default,omitempty"`
	// Scopes; empty: cloud-platform.
	Scopes []string `json:"scopes,omitempty"`
}

// GCPFederation trades an outside token at Google's security token service.
type GCPFederation struct {
	// Audience names the provider: "//iam.googleapis.com/projects/…".
	Audience string       `json:"audience"`
	Subject  SubjectToken `json:"subject"`
	// ServiceAccount is impersonated with the result; empty: none.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// TokenURL; empty: https://sts.googleapis.com/v1/token.
	TokenURL string `json:"tokenURL,omitempty"`
}

// CredentialOverride takes a credential for one request from the request
// itself, or from what authentication found. Exactly one of Header and
// Metadata is set. What carries it never reaches the upstream; a part of a
// credential (one AWS key of three) is refused and never made whole from the
// configured one.
type CredentialOverride struct {
	// Header holds the credential; with AWS it is the beginning of the names
	// …access-key-id, …secret-access-key and …session-token.
	Header string `json:"header,omitempty"`
	// Metadata that an authentication method left.
	Metadata *MetadataKey `json:"metadata,omitempty"`
	// Required answers 401 without one; otherwise the configured credential
	// is used.
	Required bool `json:"required,omitempty"`
}

// MetadataKey names a value that a step left for later ones.
type MetadataKey struct {
	Namespace string `json:"namespace"`
	Key       string `json:"key"`
}
