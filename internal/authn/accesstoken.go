package authn

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// MethodAccessToken is the Method of an identity that an OAuth 2.0 access
// token proved.
const MethodAccessToken = "accessToken"

const defaultCacheFor = 10 * time.Minute

// AccessToken authenticates by OAuth 2.0 bearer tokens (RFC 6750): it asks an
// authorization server about them (RFC 7662), or verifies them as JWTs. What
// was found good is remembered until the token's exp, and for a bounded time.
type AccessToken struct {
	name     string
	scopes   []string
	claim    string // that names the caller
	user     string // header
	headers  []claimHeader
	sanitize []string
	refused  map[string]*Failure
	cache    *TokenCache
	clock    func() time.Time
	cacheFor time.Duration
	config   [sha256.Size]byte

	jwt    *JWT // or
	server *introspector
}

var _ Authenticator = (*AccessToken)(nil)

// NewAccessToken makes cfg ready. name is how identities refer to it.
func NewAccessToken(name string, cfg *ir.AccessToken, deps Deps) (*AccessToken, error) {
	a := &AccessToken{
		name: name, scopes: cfg.Scopes, claim: cfg.UserClaim, cache: deps.Cache, clock: deps.Clock, cacheFor: cfg.CacheFor,
	}
	if a.clock == nil {
		a.clock = time.Now
	}
	if a.claim == "" {
		a.claim = "sub"
	}
	switch {
	case a.cacheFor < 0:
		a.cache = nil
	case a.cacheFor == 0:
		a.cacheFor = defaultCacheFor
	}
	if err := a.readHeaders(cfg); err != nil {
		return nil, err
	}
	a.answers()
	text, err := json.Marshal([]any{name, cfg})
	if err != nil {
		return nil, err
	}
	a.config = sha256.Sum256(text)
	switch {
	case (cfg.Introspection == nil) == (cfg.Keys == nil):
		return nil, errors.New("exactly one of introspection and keys is needed")
	case cfg.Keys != nil:
		a.jwt, err = NewJWT(&ir.JWT{Providers: []ir.JWTProvider{{
			Name: name, Issuer: cfg.Issuer, Audiences: cfg.Audiences, Keys: *cfg.Keys,
			Headers: []ir.TokenHeader{{Name: "Authorization", Prefix: "Bearer "}},
		}}}, deps)
	default:
		a.server, err = newIntrospector(cfg.Introspection, deps)
	}
	return a, err
}

func (a *AccessToken) readHeaders(cfg *ir.AccessToken) error {
	for i, c := range cfg.ClaimsToHeaders {
		h, err := newClaimHeader(c)
		if err != nil {
			return fmt.Errorf("claimsToHeaders[%d]: %w", i, err)
		}
		a.headers = append(a.headers, h)
		if !h.append {
			a.sanitize = append(a.sanitize, h.header)
		}
	}
	if cfg.UserHeader != "" {
		if !validHeaderName(cfg.UserHeader) {
			return fmt.Errorf("%q is no header name", cfg.UserHeader)
		}
		a.user = http.CanonicalHeaderKey(cfg.UserHeader)
		a.sanitize = append(a.sanitize, a.user)
	}
	for _, s := range cfg.Scopes {
		if s == "" || strings.ContainsAny(s, " \"\\") || !validHeaderValue(s) {
			return fmt.Errorf("scope %q is malformed (RFC 6749 section 3.3)", s)
		}
	}
	a.sanitize = unique(a.sanitize)
	return nil
}

// answers makes the challenges of RFC 6750 section 3.
func (a *AccessToken) answers() {
	challenge := func(status int, value string) *Failure {
		return &Failure{Status: status, Header: http.Header{"Www-Authenticate": {value}}}
	}
	missing := challenge(http.StatusUnauthorized, "Bearer")
	missing.Missing, missing.Cause = true, errors.New("there is no access token")
	a.refused = map[string]*Failure{
		"missing": missing,
		"invalid": challenge(http.StatusUnauthorized, `Bearer error="invalid_token"`),
		"scope":   challenge(http.StatusForbidden, `Bearer error="insufficient_scope", scope="`+strings.Join(a.scopes, " ")+`"`),
		"down":    {Status: http.StatusForbidden, Header: noHeader, Unavailable: true},
	}
}

// refuse returns the answer of a kind, with a cause.
func (a *AccessToken) refuse(kind string, cause error) *Failure {
	f := *a.refused[kind]
	f.Cause = cause
	return &f
}

// SanitizeHeaders is what every Result's Sanitize holds.
func (a *AccessToken) SanitizeHeaders() []string { return a.sanitize }

// InputHeaders are the headers that may hold the credential.
func (a *AccessToken) InputHeaders() []string { return []string{"Authorization"} }

// Problems tells of a client secret that cannot be used.
func (a *AccessToken) Problems() []status.Problem {
	if a.server == nil || a.server.secret == nil {
		return nil
	}
	if _, err := a.server.secret.Get(); err != nil {
		return []status.Problem{status.Errorf(a.server.origin, "%v; no access token can be asked about", err).Fix("correct the secret")}
	}
	return nil
}

// Spare tells of a bearer token in a request that passed without it.
func (a *AccessToken) Spare(r *Request) []Location {
	if token, _ := bearerToken(r); token == "" {
		return nil
	}
	return basicConsumed
}

// bearerToken returns the token of the Authorization header (RFC 6750 section
// 2.1), and whether there is anything at all. Of two, neither counts.
func bearerToken(r *Request) (token string, present bool) {
	values := r.values("Authorization")
	if len(values) != 1 {
		return "", len(values) > 0
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", true
	}
	return strings.Trim(rest, " \t"), true
}

// Authenticate validates the token that r carries. It may wait for the
// authorization server.
func (a *AccessToken) Authenticate(ctx context.Context, r *Request) (Result, error) {
	if r.Given != nil {
		return a.given(r)
	}
	token, present := bearerToken(r)
	switch {
	case token == "" && !present:
		return Result{}, a.refused["missing"]
	case token == "" || len(token) > MaxTokenBytes || !isB64Token(token):
		return Result{}, a.refuse("invalid", errors.New("the Authorization header holds no single bearer token"))
	}
	if a.jwt != nil {
		return a.verify(ctx, token)
	}
	key := cacheKey{token: digestOf(token), config: a.config, keys: a.server.version()}
	if a.cache != nil {
		if v := a.cache.get(key, a.clock()); v != nil {
			return a.result(v), nil
		}
	}
	claims, err := a.server.ask(ctx, token, key)
	if err != nil {
		kind := "down"
		if errors.Is(err, errInactive) {
			kind = "invalid"
		}
		return Result{}, a.refuse(kind, err)
	}
	v, f := a.accept(claims)
	if f != nil {
		return Result{}, f
	}
	if a.cache != nil {
		a.cache.put(key, v, a.clock())
	}
	return a.result(v), nil
}

// isB64Token tells the b64token of RFC 6750 section 2.1.
func isB64Token(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// verify has the token verified as a JWT, which remembers it too.
func (a *AccessToken) verify(ctx context.Context, token string) (Result, error) {
	got, err := a.jwt.Authenticate(ctx, &Request{Header: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		var f *Failure
		if errors.As(err, &f) && f.Text == textFetch {
			return Result{}, a.refuse("down", err)
		}
		return Result{}, a.refuse("invalid", err)
	}
	v, f := a.accept(got.Identities[0].Claims)
	if f != nil {
		return Result{}, f
	}
	return a.result(v), nil
}

// accept checks what a valid token says.
func (a *AccessToken) accept(claims map[string]any) (*verified, *Failure) {
	now := a.clock()
	v := &verified{expires: never, size: 512}
	if f := readDate(claims, "exp", &v.expires); f != nil {
		return nil, a.refuse("invalid", f)
	}
	if f := readDate(claims, "nbf", &v.notBefore); f != nil {
		return nil, a.refuse("invalid", f)
	}
	if text := v.timely(now); text != "" {
		return nil, a.refuse("invalid", errors.New(text))
	}
	v.expires = min(v.expires, now.Add(a.cacheFor).Unix())
	had := scopesOf(claims)
	for _, s := range a.scopes {
		if !slices.Contains(had, s) {
			return nil, a.refuse("scope", fmt.Errorf("the token lacks the scope %q", s))
		}
	}
	subject, err := printClaim(LookUp(claims, []string{a.claim}))
	if err == nil && !validHeaderValue(subject) {
		err = errors.New("it holds a control byte")
	}
	if err != nil {
		return nil, a.refuse("invalid", fmt.Errorf("claim %q: %w", a.claim, err))
	}
	if v.set, err = headersOf(claims, a.headers); err != nil {
		return nil, a.refuse("invalid", err)
	}
	if a.user != "" && subject != "" {
		v.set = append(v.set, HeaderSet{Name: a.user, Value: subject})
	}
	issuer, _ := claims["iss"].(string)
	v.identities = []Identity{{Provider: a.name, Method: MethodAccessToken, Issuer: issuer, Subject: subject, Claims: claims}}
	return v, nil
}

// scopesOf reads the scopes of a token: the space-separated text of RFC 7662
// section 2.2 and RFC 9068, or a list; Microsoft calls them scp.
func scopesOf(claims map[string]any) []string {
	var out []string
	for _, name := range []string{"scope", "scp"} {
		switch v := claims[name].(type) {
		case string:
			out = append(out, strings.Fields(v)...)
		case []any:
			for _, s := range v {
				if s, ok := s.(string); ok {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

func (a *AccessToken) result(v *verified) Result {
	return Result{Identities: v.identities, Set: v.set, Consumed: basicConsumed, Sanitize: a.sanitize}
}
