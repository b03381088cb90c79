package credential

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

const (
	wellKnownPath = "/.well-known/openid-configuration"
	// unsaidLife is how long a token serves of which nobody says how long.
	unsaidLife = 5 * time.Minute
	// mostLife bounds what is believed of a lifetime.
	mostLife = 365 * 24 * time.Hour
)

// oauth gets tokens by the client credentials grant (RFC 6749 section 4.4).
type oauth struct {
	cfg    *ir.OAuthClient
	deps   Deps
	secret *secret.Derived[secret.Value] // nil: a client without one
	// inBody says that the server took the secret in the form and not in the
	// header, when it was found out.
	inBody atomic.Bool
}

// newOAuth says how a client's token is fetched.
func newOAuth(cfg *ir.OAuthClient, d Deps) (Renewable[secret.Value], error) {
	var none Renewable[secret.Value]
	switch {
	case cfg.ClientID == "":
		return none, errors.New("oauth: no client id is named")
	case cfg.TokenURL == "" && cfg.Issuer == "":
		return none, errors.New("oauth: neither an issuer nor a token endpoint is named")
	case cfg.TokenURL != "":
		if err := checkURL("oauth: token endpoint", cfg.TokenURL); err != nil {
			return none, err
		}
	default:
		if err := checkURL("oauth: issuer", cfg.Issuer); err != nil {
			return none, err
		}
	}
	o := &oauth{cfg: cfg, deps: d}
	what := Renewable[secret.Value]{Name: "oauth client " + cfg.ClientID + " at " + o.server(), Fetch: o.fetch}
	if !cfg.ClientSecret.IsZero() {
		what.Refs = []secret.Ref{cfg.ClientSecret}
		o.secret = secret.Derive(d.Store, what.Refs, func(v []secret.Value) (secret.Value, error) {
			b, err := clean(cfg.ClientSecret, v[0])
			return secret.NewValue(b), err
		})
		what.Check = func() error { _, err := o.secret.Get(); return err }
	}
	return what, nil
}

// server names the authorization server for people.
func (o *oauth) server() string {
	u, err := url.Parse(cmp.Or(o.cfg.Issuer, o.cfg.TokenURL))
	if err != nil {
		return "an unknown server"
	}
	return label(u)
}

// endpoint is where tokens are got, and how the client shows its secret.
type endpoint struct {
	url string
	// methods that the server takes a secret by; empty: it does not say.
	methods []string
}

// discover asks the issuer for its token endpoint (OpenID Connect Discovery
// 1.0 section 4). It is asked again for each token: tokens are rare.
func (o *oauth) discover(ctx context.Context) (endpoint, error) {
	if o.cfg.TokenURL != "" {
		return endpoint{url: o.cfg.TokenURL}, nil
	}
	var doc struct {
		Issuer   string   `json:"issuer"`
		TokenURL string   `json:"token_endpoint"`
		Methods  []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := o.deps.getJSON(ctx, strings.TrimSuffix(o.cfg.Issuer, "/")+wellKnownPath, &doc); err != nil {
		return endpoint{}, fmt.Errorf("discovery: %w", err)
	}
	if doc.Issuer != o.cfg.Issuer {
		return endpoint{}, fmt.Errorf("discovery: the document is of issuer %q and not of %q; write the issuer exactly as its document does", short(doc.Issuer), o.cfg.Issuer)
	}
	if err := checkURL("discovery: token endpoint", doc.TokenURL); err != nil {
		return endpoint{}, err
	}
	if strings.HasPrefix(o.cfg.Issuer, "https:") && !strings.HasPrefix(doc.TokenURL, "https:") {
		return endpoint{}, errors.New("discovery: the issuer is https and its token endpoint is not")
	}
	return endpoint{doc.TokenURL, doc.Methods}, nil
}

// short returns what a server said, quotable in one line.
func short(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

// fetch gets a token.
func (o *oauth) fetch(ctx context.Context) (secret.Value, time.Time, error) {
	e, err := o.discover(ctx)
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	var key secret.Value
	if o.secret != nil {
		if key, err = o.secret.Get(); err != nil {
			return secret.Value{}, time.Time{}, err
		}
	}
	inBody := o.inBody.Load()
	if len(e.methods) > 0 {
		inBody = !slices.Contains(e.methods, "client_secret_basic")
	}
	a, err := o.ask(ctx, e.url, key, inBody)
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	if len(e.methods) == 0 && !key.IsZero() && a.refused() { // some servers read the secret in the form alone
		if a, err = o.ask(ctx, e.url, key, !inBody); err != nil {
			return secret.Value{}, time.Time{}, err
		}
		if !a.refused() {
			o.inBody.Store(!inBody)
		}
	}
	return a.token()
}

// ask sends the grant.
func (o *oauth) ask(ctx context.Context, u string, key secret.Value, inBody bool) (*reply, error) {
	form := url.Values{"grant_type": {cmp.Or(o.cfg.GrantType, "client_credentials")}}
	if len(o.cfg.Scopes) > 0 {
		form.Set("scope", strings.Join(o.cfg.Scopes, " "))
	}
	if o.cfg.Audience != "" {
		form.Set("audience", o.cfg.Audience)
	}
	if len(o.cfg.Resources) > 0 {
		form["resource"] = o.cfg.Resources
	}
	if key.IsZero() || inBody {
		form.Set("client_id", o.cfg.ClientID)
	}
	if !key.IsZero() && inBody {
		form.Set("client_secret", string(key.Reveal()))
	}
	r, err := formRequest(ctx, u, form)
	if err != nil {
		return nil, err
	}
	if !key.IsZero() && !inBody { // RFC 6749 section 2.3.1
		r.SetBasicAuth(url.QueryEscape(o.cfg.ClientID), url.QueryEscape(string(key.Reveal())))
	}
	return o.deps.ask(r)
}

// formRequest returns the POST of a form.
func formRequest(ctx context.Context, u string, form url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("not a URL that can be fetched")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	return r, nil
}

// refused reports whether the client was not believed to be who it is.
func (a *reply) refused() bool {
	var doc struct {
		Error string `json:"error"`
	}
	return a.status == http.StatusUnauthorized ||
		a.status == http.StatusBadRequest && a.decode(&doc) == nil && doc.Error == "invalid_client"
}

// token reads a token endpoint's answer (RFC 6749 section 5), and when the
// token ends by our clock.
func (a *reply) token() (secret.Value, time.Time, error) {
	var doc struct {
		Token     string          `json:"access_token"`
		Type      string          `json:"token_type"`
		ExpiresIn json.RawMessage `json:"expires_in"`
		Error     string          `json:"error"`
	}
	fail := func(err error) (secret.Value, time.Time, error) { return secret.Value{}, time.Time{}, err }
	err := a.decode(&doc)
	switch {
	case a.status != http.StatusOK && word(doc.Error) != "":
		return fail(fmt.Errorf("the token endpoint answered %d, %s", a.status, doc.Error))
	case a.status != http.StatusOK:
		return fail(fmt.Errorf("the token endpoint answered %d", a.status))
	case err != nil:
		return fail(fmt.Errorf("token endpoint: %w", err))
	case doc.Error != "":
		return fail(fmt.Errorf("the token endpoint answered 200, and an error: %s", word(doc.Error)))
	case !strings.EqualFold(doc.Type, "Bearer"):
		return fail(errors.New("token endpoint: token_type is not Bearer"))
	}
	if err := checkToken(doc.Token); err != nil {
		return fail(fmt.Errorf("token endpoint: access_token: %w", err))
	}
	ends, err := a.expiry(doc.ExpiresIn, doc.Token)
	if err != nil {
		return fail(err)
	}
	return secret.NewValue([]byte(doc.Token)), ends, nil
}

// expiry returns when a token ends by our clock: by what is said of it, and by
// what it says itself if it is a JWT, whichever is sooner.
func (a *reply) expiry(expiresIn json.RawMessage, token string) (time.Time, error) {
	own, isJWT := jwtExpiry(token)
	if isJWT {
		own = a.end(own)
	}
	said := strings.Trim(string(expiresIn), `"`)
	if said == "" || said == "null" {
		if isJWT {
			return own, nil
		}
		return a.began.Add(unsaidLife), nil
	}
	var seconds float64
	if json.Unmarshal([]byte(said), &seconds) != nil || seconds <= 0 {
		return time.Time{}, errors.New("token endpoint: expires_in is not a number of seconds above 0")
	}
	ends := a.began.Add(time.Duration(min(seconds, mostLife.Seconds()) * float64(time.Second)))
	if isJWT && own.Before(ends) {
		return own, nil
	}
	return ends, nil
}

// jwtExpiry returns the exp of a JWT, whose signature is the receiver's to
// check and not ours.
func jwtExpiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires *float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Expires == nil || *claims.Expires < 0 || *claims.Expires > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(*claims.Expires), 0), true
}
