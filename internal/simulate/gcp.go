package simulate

import (
	"bytes"
	"crypto/hmac"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	gcpTokenURL = "https://oauth2.googleapis.com/token"
	gcpScope    = "https://www.googleapis.com/auth/cloud-platform"
	gcpIAMScope = "https://www.googleapis.com/auth/iam"
	gcpGrant    = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	gcpExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	gcpKeyID    = "simulated0key0id"
	gcpIAMPath  = "/v1/projects/-/serviceAccounts/"
	gcpAccess   = "urn:ietf:params:oauth:token-type:access_token"
)

// GCP simulates what gives out Google's access tokens: the token endpoint,
// which verifies a service account's assertion; the security token service,
// which verifies a token of the OIDC issuer; and IAM, which lets a service
// account be impersonated. See https://cloud.google.com/iam/docs/reference.
type GCP struct {
	*Cloud
	hosts []string
}

// NewGCP makes a GCP of cfg.Cloud.
func NewGCP(cfg ProviderConfig) *GCP { return &GCP{Cloud: cfg.cloud(), hosts: cfg.Hosts} }

// Name is "gcp".
func (g *GCP) Name() string { return "gcp" }

// Hosts are the configured host names.
func (g *GCP) Hosts() []string { return g.hosts }

// Answer replies as the service of the path would.
func (g *GCP) Answer(r *Request) Answer { return g.dated(g.answer(r)) }

func (g *GCP) answer(r *Request) Answer {
	if account, ok := strings.CutPrefix(r.URL.Path, gcpIAMPath); ok {
		return g.generate(r, account)
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, bad := url.ParseQuery(string(r.Payload))
	switch {
	case r.URL.Path != "/token" && r.URL.Path != "/v1/token":
		return googleError(http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	case r.Method != http.MethodPost || err != nil || kind != "application/x-www-form-urlencoded" || bad != nil:
		return googleGrantError("invalid_request", "Could not parse the request body.")
	case r.URL.Path == "/token":
		return g.byAssertion(form)
	}
	return g.exchange(form)
}

// byAssertion is the grant of RFC 7523.
func (g *GCP) byAssertion(form url.Values) Answer {
	if form.Get("grant_type") != gcpGrant {
		return googleGrantError("unsupported_grant_type", "Invalid grant_type: "+quote(form.Get("grant_type")))
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	now := g.now()
	issued := time.Unix(0, 0)
	err := verified(form.Get("assertion"), g.account(), &claims)
	if err == nil {
		issued = time.Unix(claims.Issued, 0)
	}
	switch {
	case err != nil:
		return googleGrantError("invalid_grant", "Invalid JWT Signature.")
	case claims.Issuer != g.cfg.ServiceAccount:
		return googleGrantError("invalid_grant", "Invalid grant: account not found")
	case claims.Audience != gcpTokenURL:
		return googleGrantError("invalid_grant", "Failed audience check.")
	case claims.Expires-claims.Issued > 3600 || now.Sub(issued).Abs() > 5*time.Minute || !now.Before(time.Unix(claims.Expires, 0)):
		return googleGrantError("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
	case claims.Scope == "":
		return googleGrantError("invalid_scope", "Empty or missing scope not allowed.")
	}
	return g.give(GoogleAccess{Account: claims.Issuer, Scope: claims.Scope}, "")
}

// exchange is the grant of RFC 8693.
func (g *GCP) exchange(form url.Values) Answer {
	switch kind := form.Get("subject_token_type"); {
	case form.Get("grant_type") != gcpExchange || form.Get("requested_token_type") != gcpAccess:
		return googleGrantError("invalid_request", "Invalid grant_type or requested_token_type.")
	case kind != "urn:ietf:params:oauth:token-type:jwt" && kind != "urn:ietf:params:oauth:token-type:id_token":
		return googleGrantError("invalid_request", "Invalid subject_token_type.")
	case form.Get("audience") != g.cfg.GCPProvider:
		return googleGrantError("invalid_target", "The target service indicated by the \"audience\" parameters is invalid.")
	case form.Get("scope") == "":
		return googleGrantError("invalid_scope", "The scope is missing.")
	}
	subject, problem := g.identity(form.Get("subject_token"), "https:"+g.cfg.GCPProvider)
	switch problem {
	case "":
	case "ExpiredTokenException":
		return googleGrantError("invalid_grant", "ID Token is stale to sign-in.")
	default:
		return googleGrantError("invalid_grant", "The signature, the issuer or the audience of the ID Token is not that of the provider.")
	}
	return g.give(GoogleAccess{Account: "principal:" + g.cfg.GCPProvider + "/subject/" + subject, Scope: form.Get("scope")}, gcpAccess)
}

func (g *GCP) give(a GoogleAccess, issued string) Answer {
	life := g.lifetime(0)
	a.Expires = g.now().Add(life)
	return jsonAnswer(http.StatusOK, struct {
		Token   string `json:"access_token"`
		Issued  string `json:"issued_token_type,omitempty"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
	}{g.GoogleToken(a), issued, "Bearer", int(life / time.Second)})
}

// generate is generateAccessToken of the IAM credentials API.
func (g *GCP) generate(r *Request, account string) Answer {
	by, ok := g.googleAccess(r.Header)
	account, is := strings.CutSuffix(account, ":generateAccessToken")
	var body struct {
		Scope    []string `json:"scope"`
		Lifetime string   `json:"lifetime"`
	}
	switch {
	case r.Method != http.MethodPost || !is:
		return googleError(http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	case !ok:
		return googleError(http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
	case !by.has(gcpScope) && !by.has(gcpIAMScope):
		return googleError(http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
	case account != g.cfg.ServiceAccount:
		return googleError(http.StatusForbidden, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
	case json.Unmarshal(r.Payload, &body) != nil || len(body.Scope) == 0:
		return googleError(http.StatusBadRequest, "INVALID_ARGUMENT", "Request contains an invalid argument.")
	}
	wanted, err := time.ParseDuration(body.Lifetime)
	if body.Lifetime != "" && (err != nil || wanted <= 0 || wanted > time.Hour) {
		return googleError(http.StatusBadRequest, "INVALID_ARGUMENT", "The lifetime is invalid.")
	}
	ends := g.now().Add(g.lifetime(wanted)).UTC().Truncate(time.Second)
	return jsonAnswer(http.StatusOK, struct {
		Token   string `json:"accessToken"`
		Expires string `json:"expireTime"`
	}{g.GoogleToken(GoogleAccess{Account: account, Scope: strings.Join(body.Scope, " "), Expires: ends}), ends.Format(time.RFC3339)})
}

// GoogleAccess is what an access token of Google's stands for.
type GoogleAccess struct {
	// Account is a service account, or a federated principal.
	Account string `json:"account"`
	// Scope has blanks between scopes.
	Scope   string    `json:"scope"`
	Expires time.Time `json:"exp"`
}

func (a GoogleAccess) has(scope string) bool {
	for _, s := range strings.Fields(a.Scope) {
		if s == scope {
			return true
		}
	}
	return false
}

// GoogleToken returns an access token, which is opaque to everybody else.
func (c *Cloud) GoogleToken(a GoogleAccess) string {
	text := base64.RawURLEncoding.EncodeToString(encode(a))
	return "ya29." + text + "." + c.digest("google", text)[:32]
}

// googleAccess reads the one bearer token of a request, if it is good now.
func (c *Cloud) googleAccess(h http.Header) (GoogleAccess, bool) {
	token, ok := bearer(h.Values("Authorization"))
	token, is := strings.CutPrefix(token, "ya29.")
	text, seal, _ := strings.Cut(token, ".")
	if !ok || !is || !hmac.Equal([]byte(seal), []byte(c.digest("google", text)[:32])) {
		return GoogleAccess{}, false
	}
	var a GoogleAccess
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(b, &a) != nil {
		return GoogleAccess{}, false
	}
	return a, c.now().Before(a.Expires)
}

// ServiceAccountKey returns the JSON key of the service account, as Google
// gives it to download.
func (c *Cloud) ServiceAccountKey() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(c.account())
	if err != nil {
		panic("simulate: service account key: " + err.Error()) // an RSA key can be written
	}
	return bytes.TrimSpace(encode(struct {
		Type     string `json:"type"`
		Project  string `json:"project_id"`
		KeyID    string `json:"private_key_id"`
		Private  string `json:"private_key"`
		Email    string `json:"client_email"`
		TokenURI string `json:"token_uri"`
		Universe string `json:"universe_domain"`
	}{
		"service_account", "simulated", gcpKeyID, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		c.cfg.ServiceAccount, gcpTokenURL, "googleapis.com",
	}))
}

// Failure is an error of Google's APIs of that status.
func (g *GCP) Failure(status int) Answer {
	return googleError(status, googleStatus(status), http.StatusText(status))
}

func googleGrantError(code, text string) Answer {
	return jsonAnswer(http.StatusBadRequest, struct {
		Error string `json:"error"`
		Text  string `json:"error_description"`
	}{code, text})
}

// googleError is an error as all of Google's APIs say it.
func googleError(status int, code, message string) Answer {
	var body struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message, body.Error.Status = status, message, code
	return jsonAnswer(status, body)
}

// googleStatus is the code of google.rpc that goes with a status.
func googleStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	}
	if status < 500 {
		return "INVALID_ARGUMENT"
	}
	return "INTERNAL"
}
