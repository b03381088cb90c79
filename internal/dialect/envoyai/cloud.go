package envoyai

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// The data keys of Secrets with credentials of clouds.
const (
	awsFileData      = "credentials"
	clientSecretData = "client-secret"
	gcpKeyData       = "service_account.json"
)

// awsService is what requests are signed for.
const awsService = "bedrock"

var awsRegion = regexp.MustCompile(`^[a-z0-9-]+$`)

// aws reads awsCredentials. Where a file and an exchange are both written, the
// exchange wins; without a role it is not ready, which the original form lets
// be.
func (p *place) aws(s *awsCredentials, g generation) (*ir.Credential, *ir.Closed) {
	var notReady *ir.Closed
	out := &ir.AWSCredential{Region: s.Region, Service: awsService}
	if !awsRegion.MatchString(s.Region) {
		p.Fail("region", "write one such as us-east-1", "region is missing, or none")
	}
	if s.CredentialsFile != nil && s.OIDCExchangeToken != nil {
		p.Warn("credentialsFile", "remove it", "oidcExchangeToken is used, and credentialsFile beside it is not")
	}
	switch {
	case s.OIDCExchangeToken != nil:
		x := s.OIDCExchangeToken
		at := p.in("oidcExchangeToken")
		client := at.client(x)
		switch {
		case x.AWSRoleARN != "":
		case g == original:
			notReady = at.notReady("awsRoleArn", "write the role's ARN", "awsRoleArn is missing: the policy is not ready, and what needs it is closed")
		default:
			at.Need("awsRoleArn", "")
		}
		out.Keys.Exchange = &ir.AWSExchange{
			Subject: ir.SubjectToken{Client: client},
			Role:    ir.AWSRole{ARN: x.AWSRoleARN, SessionName: sessionName(p.Object.Name)},
		}
	case s.CredentialsFile != nil:
		ref := p.secretKey("credentialsFile.secretRef", s.CredentialsFile.SecretRef, awsFileData)
		out.Keys.File = &ir.AWSFile{Contents: ref, Profile: s.CredentialsFile.Profile}
	default:
		out.Keys.Default = true
	}
	return &ir.Credential{AWS: out}, notReady
}

// sessionName is how a session of a policy is called at AWS, which takes 64
// characters.
func sessionName(policy string) string {
	n := "ai-gateway-" + policy
	return n[:min(len(n), 64)]
}

// client reads how an OIDC token is got.
func (p *place) client(x *oidcExchange) *ir.OAuthClient {
	s := x.OIDC
	if s == nil {
		p.Fail("oidc", "write it", "oidc is missing")
		return nil
	}
	p = p.in("oidc")
	out := &ir.OAuthClient{
		ClientID: s.ClientID, Scopes: s.Scopes, Resources: s.Resources,
		Audience: x.Aud, GrantType: x.GrantType, Origin: p.Origin(""),
	}
	if s.Provider == nil {
		p.Fail("provider", "write provider.issuer", "provider is missing")
	} else {
		p.in("provider").provider(s.Provider, out)
	}
	switch {
	case s.ClientIDRef != nil && s.ClientID != "":
		p.Fail("clientIDRef", "remove it", "only one of clientID or clientIDRef must be set")
	case s.ClientIDRef != nil:
		p.Fail("clientIDRef", "write clientID: it is no secret", "a client's name out of a Secret is not supported")
	default:
		p.Need("clientID", s.ClientID)
	}
	out.ClientSecret = p.secretKey("clientSecret", s.ClientSecret, clientSecretData)
	if n := s.forBrowsers(); n != "" {
		p.Warn(n, "remove it", "%s is for browsers, and has no effect here", n)
	}
	return out
}

// provider reads an authorization server.
func (p *place) provider(s *oidcProvider, out *ir.OAuthClient) {
	out.Issuer, out.TokenURL = s.Issuer, s.TokenEndpoint
	p.Need("issuer", s.Issuer)
	for _, f := range []struct{ field, value string }{{"issuer", s.Issuer}, {"tokenEndpoint", s.TokenEndpoint}} {
		if u, err := url.Parse(f.value); f.value != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			p.Fail(f.field, "write an https URL", "%s is no URL", f.field)
		}
	}
	p.Refuse("backendRef", s.BackendRef)
	p.Refuse("backendRefs", s.BackendRefs)
	p.Ignore("backendSettings", s.BackendSettings)
}

// forBrowsers names the first field that is set for browsers; "": none is.
func (s *oidc) forBrowsers() string {
	for _, f := range []struct {
		name string
		set  present
	}{
		{"cookieConfig", s.CookieConfig},
		{"cookieDomain", s.CookieDomain},
		{"cookieNames", s.CookieNames},
		{"csrfTokenTTL", s.CSRFTokenTTL},
		{"defaultRefreshTokenTTL", s.DefaultRefreshTokenTTL},
		{"defaultTokenTTL", s.DefaultTokenTTL},
		{"denyRedirect", s.DenyRedirect},
		{"disableTokenEncryption", s.DisableTokenEncryption},
		{"forwardAccessToken", s.ForwardAccessToken},
		{"forwardIDToken", s.ForwardIDToken},
		{"logoutPath", s.LogoutPath},
		{"passThroughAuthHeader", s.PassThroughAuthHeader},
		{"redirectURL", s.RedirectURL},
		{"refreshToken", s.RefreshToken},
	} {
		if f.set {
			return f.name
		}
	}
	return ""
}

// azure reads azureCredentials.
func (p *place) azure(s *azureCredentials) *ir.Credential {
	p.Need("clientID", s.ClientID)
	p.Need("tenantID", s.TenantID)
	out := &ir.AzureToken{TenantID: s.TenantID, ClientID: s.ClientID}
	switch {
	case (s.ClientSecretRef != nil) == (s.OIDCExchangeToken != nil):
		p.Fail("", "write one of clientSecretRef and oidcExchangeToken", "exactly one of clientSecretRef or oidcExchangeToken must be specified")
	case s.ClientSecretRef != nil:
		out.ClientSecret = p.secretKey("clientSecretRef", s.ClientSecretRef, clientSecretData)
	default:
		out.Federated = &ir.SubjectToken{Client: p.in("oidcExchangeToken").client(s.OIDCExchangeToken)}
	}
	return &ir.Credential{Token: &ir.TokenCredential{Source: ir.TokenSource{Azure: out}}}
}

// gcp reads gcpCredentials. Without a body, v1beta1 means the credentials of
// the machine.
func (p *place) gcp(s *gcpCredentials) *ir.Credential {
	for _, f := range []struct{ field, value string }{{"projectName", s.ProjectName}, {"region", s.Region}} {
		if !gcpName.MatchString(f.value) {
			p.Fail(f.field, "write it in lower case", "%s is missing, or none", f.field)
		}
	}
	out := &ir.GCPToken{}
	switch {
	case s.CredentialsFile != nil && s.Federation != nil:
		p.Fail("", "keep one of them", "at most one of credentialsFile or workloadIdentityFederationConfig may be specified")
	case s.CredentialsFile != nil:
		out.KeyFile = p.secretKey("credentialsFile.secretRef", s.CredentialsFile.SecretRef, gcpKeyData)
	case s.Federation != nil:
		out.Federation = p.in("workloadIdentityFederationConfig").federation(s.Federation, s.ProjectName)
	case p.Object.Version == versionStable:
		out.Default = true
	default:
		p.Fail("", "write one, or use "+versionStable, "exactly one of workloadIdentityFederationConfig or credentialsFile must be specified")
	}
	return &ir.Credential{Token: &ir.TokenCredential{Source: ir.TokenSource{GCP: out}}}
}

func (p *place) federation(s *gcpFederation, project string) *ir.GCPFederation {
	for _, f := range []struct{ field, value string }{
		{"projectID", s.ProjectID},
		{"workloadIdentityPoolName", s.WorkloadIdentityPoolName},
		{"workloadIdentityProviderName", s.WorkloadIdentityProviderName},
	} {
		if f.value == "" || strings.Contains(f.value, "/") {
			p.Fail(f.field, "write the name alone", "%s is missing, or no name", f.field)
		}
	}
	out := &ir.GCPFederation{Audience: fmt.Sprintf("//iam.googleapis.com/projects/%s/locations/global/workloadIdentityPools/%s/providers/%s",
		s.ProjectID, s.WorkloadIdentityPoolName, s.WorkloadIdentityProviderName)}
	if s.OIDCExchangeToken == nil {
		p.Fail("oidcExchangeToken", "write it", "oidcExchangeToken is missing")
	} else {
		out.Subject.Client = p.in("oidcExchangeToken").client(s.OIDCExchangeToken)
	}
	if i := s.ServiceAccountImpersonation; i != nil {
		p.Need("serviceAccountImpersonation.serviceAccountName", i.ServiceAccountName)
		out.ServiceAccount = i.ServiceAccountName + "@" + project + ".iam.gserviceaccount.com"
	}
	return out
}
