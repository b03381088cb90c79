package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// Deps is what authenticators need besides their configuration.
type Deps struct {
	// Store has the secrets of a Set's methods; a JWT has none.
	Store *secret.Store
	// Clock tells the time; nil: time.Now.
	Clock func() time.Time
	// Cache of verified tokens, shared between authenticators; nil: none.
	Cache *TokenCache
	// Keys hands out the kept, shared fetcher of a remote key set. Where none
	// can be had, it returns nil.
	Keys func(r ir.RemoteKeys) *RemoteKeys
	// KeyRing hands out what sets of API keys share that read their Secrets
	// alike; nil: they share nothing.
	KeyRing func(k *ir.APIKey) *KeyRing
	// Client asks authorization servers about tokens; nil: nobody is asked.
	Client Doer
	// External hands out the way to the server of an external check; a nil one
	// where nobody is asked. Where none can be had, it returns an error.
	External func(e *ir.ExternalAuth) (Dial, error)
	// Answer, if set, tells what a method's server would answer, which is then
	// not asked; nil from it: nobody knows.
	Answer func(m *ir.AuthMethod) *ServerAnswer
}

// JWT authenticates by JSON Web Tokens (RFC 7519) in the manner of Envoy's
// jwt_authn filter. Every token that a request carries in one of the places
// looked at must be valid for one of the providers that look there.
type JWT struct {
	policy    ir.JWTPolicy
	first     bool // ir.JWTFirst
	preflight bool // passes
	providers []*provider
	places    []*place
	own       [][]*place // by provider, for first
	sanitize  []string
	cache     *TokenCache
	clock     func() time.Time
}

var _ Authenticator = (*JWT)(nil)

// NewJWT makes cfg ready. An error names the provider and the field that
// cannot be built; it quotes no key.
func NewJWT(cfg *ir.JWT, deps Deps) (*JWT, error) {
	switch cfg.Missing {
	case ir.JWTRequired, ir.JWTAllowMissing, ir.JWTAllowMissingOrFailed:
	default:
		return nil, fmt.Errorf("JWT: unknown policy %q", cfg.Missing)
	}
	if len(cfg.Providers) == 0 {
		return nil, errors.New("JWT: no providers")
	}
	if cfg.Combine != ir.JWTEvery && cfg.Combine != ir.JWTFirst {
		return nil, fmt.Errorf("JWT: unknown combination %q", cfg.Combine)
	}
	j := &JWT{policy: cfg.Missing, first: cfg.Combine == ir.JWTFirst, preflight: cfg.SkipPreflight, cache: deps.Cache, clock: deps.Clock}
	if j.clock == nil {
		j.clock = time.Now
	}
	for i := range cfg.Providers {
		p, err := newProvider(&cfg.Providers[i], deps)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(j.providers, func(q *provider) bool { return q.name == p.name }) {
			return nil, fmt.Errorf("JWT provider %q: name: is taken", p.name)
		}
		j.providers = append(j.providers, p)
		j.own = append(j.own, placesOf([]*provider{p}, cfg.Providers[i:i+1]))
	}
	j.places = placesOf(j.providers, cfg.Providers)
	j.sanitize = sanitizeList(j.providers)
	return j, nil
}

// sanitizeList is every header that a claim may be copied to, also one that is
// appended to: what stands in it beside is then another provider's, never the
// client's.
func sanitizeList(providers []*provider) []string {
	var list []string
	for _, p := range providers {
		for _, h := range p.headers {
			list = append(list, h.header)
		}
		if p.payloadHeader != "" {
			list = append(list, p.payloadHeader)
		}
	}
	return unique(list)
}

// SanitizeHeaders is what every Result's Sanitize holds.
func (j *JWT) SanitizeHeaders() []string { return j.sanitize }

// InputHeaders are the headers that may hold a token.
func (j *JWT) InputHeaders() []string {
	var out []string
	for _, at := range j.places {
		if at.header != "" {
			out = append(out, at.header)
		}
		if at.cookie != "" {
			out = append(out, "Cookie")
		}
	}
	return out
}

// isPreflight tells a CORS preflight, which carries no credential
// (fetch.spec.whatwg.org, CORS-preflight request).
func isPreflight(r *Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

// Authenticate verifies the tokens of r. It blocks only while remote keys are
// fetched for the first time, or for a kid that no key has.
func (j *JWT) Authenticate(ctx context.Context, r *Request) (Result, error) {
	if r.Given != nil {
		return j.given(ctx, r)
	}
	var room [maxTokens]found
	var result Result
	var failed *Failure
	if j.preflight && isPreflight(r) {
		return Result{Sanitize: j.sanitize}, nil
	}
	if j.first {
		result, failed = j.authenticateFirst(ctx, r)
		return j.conclude(result, failed)
	}
	tokens, ok := locate(j.places, r, room[:0])
	switch {
	case !ok:
		failed = refuse(textMultiple, fmt.Errorf("more than %d", maxTokens))
	case len(tokens) == 0:
		if j.policy == ir.JWTRequired {
			return Result{}, &Failure{Status: http.StatusUnauthorized, Text: textMissing, Missing: true}
		}
	default:
		result, failed = j.verifyAll(ctx, tokens)
	}
	return j.conclude(result, failed)
}

// conclude refuses a failure, unless failed tokens may pass as nobody.
func (j *JWT) conclude(result Result, failed *Failure) (Result, error) {
	if failed != nil && j.policy != ir.JWTAllowMissingOrFailed {
		return Result{}, failed
	}
	result.Ignored = failed
	result.Sanitize = j.sanitize
	return result, nil
}

// verifyAll collects what the good tokens prove, and the first failure.
func (j *JWT) verifyAll(ctx context.Context, tokens []found) (Result, *Failure) {
	var result Result
	var failed *Failure
	now := j.clock()
	for i := range tokens {
		v, f := j.verify(ctx, &tokens[i], now)
		if f != nil {
			if failed == nil {
				failed = f
			}
			if j.policy != ir.JWTAllowMissingOrFailed {
				break
			}
			continue
		}
		drop := tokens[i].place.drop
		if v.keep {
			drop = nil
		}
		result.Identities = join(result.Identities, v.identities)
		result.Set = join(result.Set, v.set)
		result.Consumed = join(result.Consumed, drop)
	}
	return result, failed
}

// join appends without touching what a is shared with; one token, the usual
// case, copies nothing.
func join[T any](a, b []T) []T {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	return append(slices.Clip(a), b...)
}

// verify asks the cache first, for every provider that may vouch, and then
// verifies.
func (j *JWT) verify(ctx context.Context, f *found, now time.Time) (*verified, *Failure) {
	var digest [sha256.Size]byte
	if j.cache != nil && len(f.raw) <= MaxTokenBytes {
		digest = digestOf(f.raw)
		if v := j.recall(f.place.providers, digest, now); v != nil {
			return v, nil
		}
	}
	t, failed := parseToken(f.raw)
	if failed != nil {
		return nil, failed
	}
	for _, p := range f.place.providers {
		v, set, why := p.verify(ctx, t, now)
		if why == nil {
			if j.cache != nil {
				j.cache.put(cacheKey{digest, p.config, set.digest}, v, now)
			}
			return v, nil
		}
		failed = worse(failed, why)
	}
	return nil, failed
}

func (j *JWT) recall(providers []*provider, digest [sha256.Size]byte, now time.Time) *verified {
	for _, p := range providers {
		set := p.known()
		if set == nil {
			continue
		}
		if v := j.cache.get(cacheKey{digest, p.config, set.digest}, now); v != nil {
			j.cache.hits.Add(1)
			return v
		}
	}
	j.cache.misses.Add(1)
	return nil
}

// worse chooses what to tell of several providers' answers: the first that
// says more than that the issuer is another's.
func worse(a, b *Failure) *Failure {
	if a == nil || a.Text == textIssuer {
		return b
	}
	return a
}
