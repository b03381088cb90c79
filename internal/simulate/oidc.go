package simulate

import (
	"crypto/rsa"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// oidcKeyID is the kid of the issuer's one key.
const oidcKeyID = "simulate"

// OIDC simulates an OpenID provider for programs: its discovery document, its
// key set, and the client credentials grant, which gives out signed JWTs. See
// https://openid.net/specs/openid-connect-discovery-1_0.html and RFC 6749 4.4.
type OIDC struct {
	*Cloud
	hosts []string
}

// NewOIDC makes an OIDC issuer; its client is cfg.Cloud's.
func NewOIDC(cfg ProviderConfig) *OIDC { return &OIDC{Cloud: cfg.cloud(), hosts: cfg.Hosts} }

// Name is "oidc".
func (o *OIDC) Name() string { return "oidc" }

// Hosts are the configured host names.
func (o *OIDC) Hosts() []string { return o.hosts }

// Answer replies as an OpenID provider would.
func (o *OIDC) Answer(r *Request) Answer { return o.dated(o.answer(r)) }

func (o *OIDC) answer(r *Request) Answer {
	switch base := o.path(); r.URL.Path {
	case base + "/.well-known/openid-configuration":
		return o.discovery()
	case base + "/jwks":
		return o.keySet()
	case base + "/token":
		return o.token(r)
	}
	return oauthError(http.StatusNotFound, "not_found")
}

// path of the issuer's URL.
func (o *OIDC) path() string {
	u, err := url.Parse(o.cfg.Issuer)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
}

func (o *OIDC) discovery() Answer {
	base := strings.TrimSuffix(o.cfg.Issuer, "/")
	return jsonAnswer(http.StatusOK, struct {
		Issuer  string   `json:"issuer"`
		Token   string   `json:"token_endpoint"`
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Grants  []string `json:"grant_types_supported"`
		Scopes  []string `json:"scopes_supported"`
		Algs    []string `json:"id_token_signing_alg_values_supported"`
	}{
		o.cfg.Issuer, base + "/token", base + "/jwks", []string{"client_secret_basic", "client_secret_post"},
		[]string{"client_credentials"}, []string{"openid", "profile", "offline_access", "admin"}, []string{"RS256"},
	})
}

func (o *OIDC) keySet() Answer {
	return jsonAnswer(http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.key().Public(), KeyID: oidcKeyID, Algorithm: "RS256", Use: "sig"}}})
}

// token is the client credentials grant.
func (o *OIDC) token(r *Request) Answer {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form, bad := url.ParseQuery(string(r.Payload))
	if r.Method != http.MethodPost || err != nil || kind != "application/x-www-form-urlencoded" || bad != nil {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	if !o.knows(r.Request, form) {
		return oauthError(http.StatusUnauthorized, "invalid_client")
	}
	if form.Get("grant_type") != "client_credentials" {
		return oauthError(http.StatusBadRequest, "unsupported_grant_type")
	}
	life := o.lifetime(0)
	jwt, err := o.SignToken(form.Get("audience"), form.Get("scope"), life)
	if err != nil {
		return oauthError(http.StatusInternalServerError, "server_error")
	}
	a := jsonAnswer(http.StatusOK, struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
		Scope   string `json:"scope,omitempty"`
	}{jwt, "Bearer", int(life / time.Second), form.Get("scope")})
	a.Header.Set("Cache-Control", "no-store")
	return a
}

// knows reports whether the client shows its secret, in one of the two ways.
func (o *OIDC) knows(r *http.Request, form url.Values) bool {
	id, key, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		key, _ = url.QueryUnescape(key)
		if form.Has("client_secret") {
			return false // one way at a time (RFC 6749 2.3)
		}
	} else {
		id, key = form.Get("client_id"), form.Get("client_secret")
	}
	return id == o.cfg.ClientID && newKeys([]string{o.cfg.ClientSecret}).check(http.Header{"Authorization": {"Bearer " + key}}) == keyRight
}

// SignToken returns a JWT of the issuer's client, for an audience (empty: the
// configured one), that ends after life.
func (c *Cloud) SignToken(audience, scope string, life time.Duration) (string, error) {
	if audience == "" {
		audience = c.cfg.Audience
	}
	now := c.now()
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
		Scope    string `json:"scope,omitempty"`
	}{c.cfg.Issuer, c.cfg.ClientID, audience, now.Unix(), now.Add(life).Unix(), scope})
	if err != nil {
		return "", err
	}
	return sign(claims, jose.JSONWebKey{Key: c.key(), KeyID: oidcKeyID}, jose.RS256)
}

// identity verifies a JWT of the issuer for an audience, and returns its
// subject; a problem is the code by which STS refuses it.
func (c *Cloud) identity(token, audience string) (subject, problem string) {
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	switch {
	case verified(token, c.key(), &claims) != nil:
		return "", "InvalidIdentityToken"
	case claims.Issuer != c.cfg.Issuer || claims.Audience != audience:
		return "", "InvalidIdentityToken"
	case !c.now().Before(time.Unix(claims.Expires, 0)):
		return "", "ExpiredTokenException"
	}
	return claims.Subject, ""
}

// verified reads the claims of a JWT that key signed.
func verified(token string, key *rsa.PrivateKey, claims any) error {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return err
	}
	payload, err := jws.Verify(key.Public())
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, claims)
}

// Failure is an OAuth error of that status.
func (o *OIDC) Failure(status int) Answer { return oauthError(status, "temporarily_unavailable") }

func oauthError(status int, code string) Answer {
	return jsonAnswer(status, struct {
		Error string `json:"error"`
	}{code})
}
