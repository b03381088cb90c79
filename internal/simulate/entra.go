package simulate

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// EntraAudience is that of a token that Entra trades for its own.
	EntraAudience = "api://AzureADTokenExchange"
	// azureResource is what Azure's AI services call themselves in tokens.
	azureResource = "https://cognitiveservices.azure.com"

	entraKeyID = "simulate-entra"
	entraJWT   = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// Entra simulates Microsoft's identity platform for programs: one directory
// with one application, which shows a client secret, or a token of the OIDC
// issuer that is verified for real. What it gives out is a signed JWT. See
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
type Entra struct {
	*Cloud
	hosts []string
}

// NewEntra makes an Entra of cfg.Cloud.
func NewEntra(cfg ProviderConfig) *Entra { return &Entra{Cloud: cfg.cloud(), hosts: cfg.Hosts} }

// Name is "entra".
func (e *Entra) Name() string { return "entra" }

// Hosts are the configured host names.
func (e *Entra) Hosts() []string { return e.hosts }

// Answer replies as Entra would.
func (e *Entra) Answer(r *Request) Answer { return e.dated(e.answer(r)) }

func (e *Entra) answer(r *Request) Answer {
	tenant, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if tenant != e.cfg.TenantID {
		return e.failed(http.StatusBadRequest, "invalid_request", "90002", "Tenant '"+quote(tenant)+"' not found.")
	}
	switch path {
	case "v2.0/.well-known/openid-configuration":
		base := "https://" + r.Host + "/" + tenant
		return jsonAnswer(http.StatusOK, struct {
			Token     string `json:"token_endpoint"`
			Keys      string `json:"jwks_uri"`
			Issuer    string `json:"issuer"`
			Authorize string `json:"authorization_endpoint"`
		}{base + "/oauth2/v2.0/token", base + "/discovery/v2.0/keys", base + "/v2.0", base + "/oauth2/v2.0/authorize"})
	case "discovery/v2.0/keys":
		return jsonAnswer(http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: e.key().Public(), KeyID: entraKeyID, Algorithm: "RS256", Use: "sig"}}})
	case "oauth2/v2.0/token":
		return e.token(r)
	}
	return Answer{Status: http.StatusNotFound, Header: http.Header{}}
}

// token is the client credentials grant.
func (e *Entra) token(r *Request) Answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, bad := url.ParseQuery(string(r.Payload))
	switch {
	case r.Method != http.MethodPost || err != nil || kind != "application/x-www-form-urlencoded" || bad != nil:
		return e.failed(http.StatusBadRequest, "invalid_request", "900144", "The request body is not a form.")
	case form.Get("grant_type") != "client_credentials":
		return e.failed(http.StatusBadRequest, "unsupported_grant_type", "70003", "The app requested an unsupported grant type.")
	case form.Get("client_id") != e.cfg.AzureClientID:
		return e.failed(http.StatusBadRequest, "unauthorized_client", "700016", "Application with identifier '"+quote(form.Get("client_id"))+"' was not found in the directory.")
	}
	if refused := e.client(form); refused != nil {
		return *refused
	}
	resource, ok := entraResource(form.Get("scope"))
	if !ok {
		return e.failed(http.StatusBadRequest, "invalid_scope", "1002012", "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.")
	}
	life := e.lifetime(0)
	jwt, err := e.EntraToken(resource, life)
	if err != nil {
		return e.failed(http.StatusInternalServerError, "server_error", "90033", "A transient error has occurred.")
	}
	a := jsonAnswer(http.StatusOK, struct {
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
		Ext     int    `json:"ext_expires_in"`
		Token   string `json:"access_token"`
	}{"Bearer", int(life / time.Second), int(life / time.Second), jwt})
	a.Header.Set("Cache-Control", "no-store, no-cache")
	return a
}

// entraResource takes the resource out of a scope: MSAL adds those of OpenID,
// which mean nothing to a program.
func entraResource(scope string) (resource string, ok bool) {
	for _, s := range strings.Fields(scope) {
		if found, is := strings.CutSuffix(s, "/.default"); is {
			return found, resource == ""
		}
	}
	return "", false
}

// client judges what the application shows.
func (e *Entra) client(form url.Values) *Answer {
	fail := func(code, text string) *Answer {
		a := e.failed(http.StatusUnauthorized, "invalid_client", code, text)
		return &a
	}
	if form.Has("client_assertion") {
		if form.Get("client_assertion_type") != entraJWT || form.Has("client_secret") {
			return fail("50027", "The client_assertion_type is not supported.")
		}
		subject, problem := e.identity(form.Get("client_assertion"), EntraAudience)
		switch {
		case problem == "ExpiredTokenException":
			return fail("700024", "Client assertion is not within its valid time range.")
		case problem != "":
			return fail("700211", "No matching federated identity record found for presented assertion issuer, or its audience or signature is wrong.")
		case subject != e.cfg.ClientID:
			return fail("700213", "No matching federated identity record found for presented assertion subject.")
		}
		return nil
	}
	got, want := sha256.Sum256([]byte(form.Get("client_secret"))), sha256.Sum256([]byte(e.cfg.AzureClientSecret))
	switch {
	case !form.Has("client_secret"):
		return fail("7000218", "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case subtle.ConstantTimeCompare(got[:], want[:]) != 1:
		return fail("7000215", "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.")
	}
	return nil
}

// entraClaims are those of an access token that matter.
type entraClaims struct {
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	Issued    int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	App       string `json:"appid"`
	Tenant    string `json:"tid"`
	ID        string `json:"uti"`
}

func (c *Cloud) entraIssuer() string { return "https://sts.windows.net/" + c.cfg.TenantID + "/" }

// EntraToken returns an access token of the application, for a resource, that
// ends after life.
func (c *Cloud) EntraToken(resource string, life time.Duration) (string, error) {
	now := c.now()
	claims, err := json.Marshal(entraClaims{
		Audience: resource, Issuer: c.entraIssuer(), Issued: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(life).Unix(),
		App: c.cfg.AzureClientID, Tenant: c.cfg.TenantID, ID: c.digest("uti", now.String())[:16],
	})
	if err != nil {
		return "", err
	}
	return sign(claims, jose.JSONWebKey{Key: c.key(), KeyID: entraKeyID}, jose.RS256)
}

// entraAllows reports whether a bearer token is one of the application's, for
// a resource, and has not ended.
func (c *Cloud) entraAllows(token, resource string) bool {
	var claims entraClaims
	return verified(token, c.key(), &claims) == nil && claims.Issuer == c.entraIssuer() &&
		claims.Audience == resource && c.now().Before(time.Unix(claims.Expires, 0))
}

// Failure is an error of Entra of that status.
func (e *Entra) Failure(status int) Answer {
	return e.failed(status, "temporarily_unavailable", "90033", "A transient error has occurred. Please try again.")
}

// failed is an error as Entra says it: with a code of its own, and what to
// quote to Microsoft's support.
func (e *Entra) failed(status int, kind, code, text string) Answer {
	const id = "00000000-0000-4000-8000-00000000000f"
	now := e.now().UTC().Format("2006-01-02 15:04:05Z")
	return jsonAnswer(status, struct {
		Error string            `json:"error"`
		Text  string            `json:"error_description"`
		Codes []json.RawMessage `json:"error_codes"`
		Time  string            `json:"timestamp"`
		Trace string            `json:"trace_id"`
		Corr  string            `json:"correlation_id"`
	}{
		kind, "AADSTS" + code + ": " + text + " Trace ID: " + id + " Correlation ID: " + id + " Timestamp: " + now,
		[]json.RawMessage{json.RawMessage(code)}, now, id, id,
	})
}
