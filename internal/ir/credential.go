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

// Secret says what a credential is made of, for people: the name of its secret,
// or the identity that it is fetched for. It is empty where the caller brings
// the credential.
func (c *Credential) Secret() string {
	switch {
	case c == nil || c.Passthrough != nil || c.Override != nil && c.Override.Required:
		return ""
	case c.Header != nil && c.Header.Secret.IsZero(): // missing: it closes its upstream
		return ""
	case c.Header != nil:
		return c.Header.Secret.String()
	case c.AWS != nil:
		return c.AWS.Keys.words()
	case c.Token != nil:
		return c.Token.Source.words()
	}
	return ""
}

func (s *AWSKeySource) words() string {
	text := "the gateway's own AWS identity"
	switch {
	case s.Static != nil:
		text = s.Static.SecretAccessKey.String()
	case s.File != nil:
		text = s.File.Contents.String()
		if s.File.Profile != "" {
			text += " profile " + s.File.Profile
		}
	case s.Exchange != nil:
		text = s.Exchange.Role.ARN + " by " + s.Exchange.Subject.words()
	}
	if s.Role != nil {
		text = s.Role.ARN + " by " + text
	}
	return text
}

func (s *TokenSource) words() string {
	switch {
	case s.Client != nil:
		return s.Client.words()
	case s.Azure != nil:
		return s.Azure.words()
	case s.GCP != nil:
		return s.GCP.words()
	}
	return "a token"
}

func (s *SubjectToken) words() string {
	switch {
	case s.Client != nil:
		return s.Client.words()
	case s.SPIFFE != nil:
		return "the gateway's SPIFFE token"
	}
	return "the token in " + s.File
}

func (c *OAuthClient) words() string {
	if c.ClientSecret.IsZero() {
		return "client " + c.ClientID
	}
	return "client " + c.ClientID + " with " + c.ClientSecret.String()
}

func (a *AzureToken) words() string {
	text := "Azure client " + a.ClientID
	switch {
	case a.ManagedIdentity:
		return "the machine's Azure identity"
	case a.Federated != nil:
		return text + " by " + a.Federated.words()
	}
	return text + " with " + a.ClientSecret.String()
}

func (g *GCPToken) words() string {
	switch {
	case g.Federation != nil && g.Federation.ServiceAccount != "":
		return g.Federation.ServiceAccount + " by " + g.Federation.Subject.words()
	case g.Federation != nil:
		return g.Federation.Audience + " by " + g.Federation.Subject.words()
	case g.Default:
		return "the machine's Google identity"
	}
	return g.KeyFile.String()
}

// set lists the alternatives of the union, for Validate.
func (c Credential) set() []bool {
	return []bool{c.Header != nil, c.Passthrough != nil, c.AWS != nil, c.Token != nil}
}

func (s AWSKeySource) set() []bool {
	return []bool{s.Static != nil, s.File != nil, s.Exchange != nil, s.Default}
}

func (s TokenSource) set() []bool { return []bool{s.Client != nil, s.Azure != nil, s.GCP != nil} }

func (s SubjectToken) set() []bool { return []bool{s.Client != nil, s.File != "", s.SPIFFE != nil} }

func (a AzureToken) set() []bool {
	return []bool{!a.ClientSecret.IsZero(), a.Federated != nil, a.ManagedIdentity}
}

func (g GCPToken) set() []bool { return []bool{!g.KeyFile.IsZero(), g.Federation != nil, g.Default} }

func (o CredentialOverride) set() []bool { return []bool{o.Header != "", o.Metadata != nil} }

// credential checks the unions of a credential.
func (v *validator) credential(owner string, c *Credential) {
	at := func(what string) place { return place{owner: owner, what: "credential: " + what} }
	v.one(at("kind"), c.set()...)
	if c.Override != nil {
		v.one(at("override"), c.Override.set()...)
	}
	if c.AWS != nil {
		v.one(at("keys"), c.AWS.Keys.set()...)
		if e := c.AWS.Keys.Exchange; e != nil {
			v.one(at("subject token"), e.Subject.set()...)
		}
	}
	if c.Token == nil {
		return
	}
	v.one(at("token source"), c.Token.Source.set()...)
	if a := c.Token.Source.Azure; a != nil {
		v.one(at("azure"), a.set()...)
		if a.Federated != nil {
			v.one(at("subject token"), a.Federated.set()...)
		}
	}
	if g := c.Token.Source.GCP; g != nil {
		v.one(at("gcp"), g.set()...)
		if g.Federation != nil {
			v.one(at("subject token"), g.Federation.Subject.set()...)
		}
	}
}

// MetadataKey names a value that a step left for later ones.
type MetadataKey struct {
	Namespace string `json:"namespace"`
	Key       string `json:"key"`
}
