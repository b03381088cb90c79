package envoyai

// backendSecurityPolicy is the spec of a BackendSecurityPolicy, in all its
// forms.
type backendSecurityPolicy struct {
	Spec backendSecurityPolicySpec `json:"spec"`
}

type backendSecurityPolicySpec struct {
	Type            string            `json:"type"`
	TargetRefs      []targetRef       `json:"targetRefs"`
	APIKey          *secretKey        `json:"apiKey"`
	AzureAPIKey     *secretKey        `json:"azureAPIKey"`
	AnthropicAPIKey *secretKey        `json:"anthropicAPIKey"`
	AWS             *awsCredentials   `json:"awsCredentials"`
	Azure           *azureCredentials `json:"azureCredentials"`
	GCP             *gcpCredentials   `json:"gcpCredentials"`

	CredentialOverride *credentialOverride `json:"credentialOverride"`
}

// secretKey is a key in a Secret.
type secretKey struct {
	SecretRef *objectRef `json:"secretRef"`
}

type awsCredentials struct {
	Region            string        `json:"region"`
	CredentialsFile   *awsFile      `json:"credentialsFile"`
	OIDCExchangeToken *oidcExchange `json:"oidcExchangeToken"`
}

type awsFile struct {
	SecretRef *objectRef `json:"secretRef"`
	Profile   string     `json:"profile"`
}

// oidcExchange is how an OIDC token is got, and in AWS's case for which role.
type oidcExchange struct {
	OIDC       *oidc  `json:"oidc"`
	GrantType  string `json:"grantType"`
	Aud        string `json:"aud"`
	AWSRoleARN string `json:"awsRoleArn"`
}

// oidc is Envoy Gateway's OIDC client. What it has for browsers means nothing
// here.
type oidc struct {
	Provider     *oidcProvider `json:"provider"`
	ClientID     string        `json:"clientID"`
	ClientIDRef  *objectRef    `json:"clientIDRef"`
	ClientSecret *objectRef    `json:"clientSecret"`
	Scopes       []string      `json:"scopes"`
	Resources    []string      `json:"resources"`

	CookieConfig           present `json:"cookieConfig"`
	CookieDomain           present `json:"cookieDomain"`
	CookieNames            present `json:"cookieNames"`
	CSRFTokenTTL           present `json:"csrfTokenTTL"`
	DefaultRefreshTokenTTL present `json:"defaultRefreshTokenTTL"`
	DefaultTokenTTL        present `json:"defaultTokenTTL"`
	DenyRedirect           present `json:"denyRedirect"`
	DisableTokenEncryption present `json:"disableTokenEncryption"`
	ForwardAccessToken     present `json:"forwardAccessToken"`
	ForwardIDToken         present `json:"forwardIDToken"`
	LogoutPath             present `json:"logoutPath"`
	PassThroughAuthHeader  present `json:"passThroughAuthHeader"`
	RedirectURL            present `json:"redirectURL"`
	RefreshToken           present `json:"refreshToken"`
}

type oidcProvider struct {
	Issuer                string  `json:"issuer"`
	TokenEndpoint         string  `json:"tokenEndpoint"`
	AuthorizationEndpoint present `json:"authorizationEndpoint"`
	EndSessionEndpoint    present `json:"endSessionEndpoint"`
	BackendRef            present `json:"backendRef"`
	BackendRefs           present `json:"backendRefs"`
	BackendSettings       present `json:"backendSettings"`
}

type azureCredentials struct {
	ClientID          string        `json:"clientID"`
	TenantID          string        `json:"tenantID"`
	ClientSecretRef   *objectRef    `json:"clientSecretRef"`
	OIDCExchangeToken *oidcExchange `json:"oidcExchangeToken"`
}

type gcpCredentials struct {
	ProjectName     string         `json:"projectName"`
	Region          string         `json:"region"`
	CredentialsFile *secretKey     `json:"credentialsFile"`
	Federation      *gcpFederation `json:"workloadIdentityFederationConfig"`
}

type gcpFederation struct {
	ProjectID                    string        `json:"projectID"`
	WorkloadIdentityPoolName     string        `json:"workloadIdentityPoolName"`
	WorkloadIdentityProviderName string        `json:"workloadIdentityProviderName"`
	OIDCExchangeToken            *oidcExchange `json:"oidcExchangeToken"`
	ServiceAccountImpersonation  *struct {
		ServiceAccountName string `json:"serviceAccountName"`
	} `json:"serviceAccountImpersonation"`
}

type credentialOverride struct {
	FromRequestHeaders  *overrideSource `json:"fromRequestHeaders"`
	FromDynamicMetadata *overrideSource `json:"fromDynamicMetadata"`
}

// overrideSource is where a request's own credential is: a header, or metadata.
type overrideSource struct {
	Header               string `json:"header"`
	Namespace            string `json:"namespace"`
	Key                  string `json:"key"`
	FallbackToConfigured *bool  `json:"fallbackToConfigured"`
}
