package authn

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// provider is an ir.JWTProvider made ready.
type provider struct {
	name      string
	issuer    string
	audiences []string
	skew      time.Duration
	keep      bool
	headers   []claimHeader
	// payloadHeader is canonical; spaced are ir.JWTProvider.SpaceDelimited.
	payloadHeader string
	spaced        []string
	itself        [1]*provider
	// config is the hash of all of it, so that what was cached under another
	// configuration is never found.
	config [sha256.Size]byte

	inline *KeySet     // or
	remote *RemoteKeys // where the keys come from
}

func newProvider(cfg *ir.JWTProvider, deps Deps) (*provider, error) {
	fail := func(field string, err error) error {
		return fmt.Errorf("JWT provider %q: %s: %w", cfg.Name, field, err)
	}
	p := &provider{name: cfg.Name, issuer: cfg.Issuer, skew: cfg.ClockSkew, keep: cfg.KeepToken}
	if cfg.Name == "" {
		return nil, fail("name", errors.New("is empty"))
	}
	if cfg.ClockSkew < 0 || cfg.ClockSkew > 24*time.Hour {
		return nil, fail("clockSkew", fmt.Errorf("%v is not between 0 and 24h", cfg.ClockSkew))
	}
	p.itself[0], p.spaced = p, slices.Clone(cfg.SpaceDelimited)
	if h := cfg.PayloadHeader; h != "" {
		if !validHeaderName(h) {
			return nil, fail("payloadHeader", fmt.Errorf("%q is no header name", h))
		}
		p.payloadHeader = http.CanonicalHeaderKey(h)
	}
	for _, a := range cfg.Audiences {
		p.audiences = append(p.audiences, bareAudience(a))
	}
	for i, c := range cfg.ClaimsToHeader {
		h, err := newClaimHeader(c)
		if err != nil {
			return nil, fail(fmt.Sprintf("claimsToHeaders[%d]", i), err)
		}
		p.headers = append(p.headers, h)
	}
	for i, h := range cfg.Headers {
		if !validHeaderName(h.Name) {
			return nil, fail(fmt.Sprintf("headers[%d]", i), fmt.Errorf("%q is no header name", h.Name))
		}
	}
	for i, c := range cfg.Cookies {
		if !validHeaderName(c) { // a cookie's name is a token, too (RFC 6265 section 4.1.1)
			return nil, fail(fmt.Sprintf("cookies[%d]", i), fmt.Errorf("%q is no cookie's name", c))
		}
	}
	for i, q := range cfg.QueryParams {
		if q == "" {
			return nil, fail(fmt.Sprintf("queryParams[%d]", i), errors.New("is empty"))
		}
	}
	if err := p.openKeys(cfg.Keys, deps); err != nil {
		return nil, fail("keys", err)
	}
	return p, p.hash(*cfg)
}

func (p *provider) openKeys(cfg ir.KeySource, deps Deps) (err error) {
	switch {
	case cfg.Remote != nil && cfg.Inline != "":
		return errors.New("both inline and remote")
	case cfg.Remote != nil && deps.Keys == nil:
		return errors.New("remote keys, and nobody to fetch them")
	case cfg.Remote != nil:
		if p.remote = deps.Keys(*cfg.Remote); p.remote == nil {
			return errors.New("remote keys cannot be fetched")
		}
		return nil
	case strings.TrimSpace(cfg.Inline) == "":
		return errNoKeys
	}
	p.inline, err = ParseKeys(cfg.Inline)
	return err
}

func (p *provider) hash(cfg ir.JWTProvider) error {
	cfg.Origin = ir.Origin{}
	b, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("JWT provider %q: %w", cfg.Name, err)
	}
	p.config = sha256.Sum256(b)
	return nil
}

// known returns the keys that are at hand, or nil; it never waits.
func (p *provider) known() *KeySet {
	if p.remote != nil {
		return p.remote.Current()
	}
	return p.inline
}

// verify checks t in the order that Envoy does, the signature last, so that an
// expired token is called expired whoever signed it.
func (p *provider) verify(ctx context.Context, t *token, now time.Time) (*verified, *KeySet, *Failure) {
	if p.issuer != "" && t.issuer != p.issuer {
		return nil, nil, refuse(textIssuer, fmt.Errorf("issuer is %s", quote(t.issuer)))
	}
	v := &verified{expires: t.expires, notBefore: t.notBefore, skew: p.skew, keep: p.keep, size: len(t.raw)}
	if text := v.timely(now); text != "" {
		return nil, nil, refuse(text, nil)
	}
	if !p.allows(t.audience) {
		return nil, nil, refuse(textAudience, nil)
	}
	set, f := p.checkSignature(ctx, t)
	if f != nil {
		return nil, nil, f
	}
	var err error
	if v.set, err = headersOf(t.claims, p.headers); err != nil {
		return nil, nil, refuse(textFails, err)
	}
	if p.payloadHeader != "" {
		v.set = append(v.set, HeaderSet{Name: p.payloadHeader, Value: t.payload})
	}
	v.identities = []Identity{{
		Provider: p.name, Method: MethodJWT, Issuer: t.issuer, Subject: t.subject, Claims: split(t.claims, p.spaced),
	}}
	return v, set, nil
}

// split returns claims in which those named in spaced, if they are texts, are
// lists of their words.
func split(claims map[string]any, spaced []string) map[string]any {
	copied := false
	for _, name := range spaced {
		text, ok := claims[name].(string)
		if !ok {
			continue
		}
		if !copied {
			claims, copied = maps.Clone(claims), true
		}
		words := []any{}
		for word := range strings.SplitSeq(text, " ") {
			if word != "" {
				words = append(words, word)
			}
		}
		claims[name] = words
	}
	return claims
}

// checkSignature fetches remote keys only when there are none yet, or none for
// the token's kid; RemoteKeys bounds both.
func (p *provider) checkSignature(ctx context.Context, t *token) (*KeySet, *Failure) {
	set := p.inline
	if t.given {
		return set, nil
	}
	if p.remote != nil {
		var err error
		if set, err = p.remote.Get(ctx); err != nil {
			return nil, refuse(textFetch, err)
		}
	}
	text, cause := set.check(t)
	if text == textNoKey && p.remote != nil {
		if newer := p.remote.Renew(ctx); newer != nil && newer.digest != set.digest {
			set = newer
			text, cause = set.check(t)
		}
	}
	if text != "" {
		return nil, refuse(text, cause)
	}
	return set, nil
}

func (p *provider) allows(audience []string) bool {
	if len(p.audiences) == 0 {
		return true
	}
	for _, a := range audience {
		a = bareAudience(a)
		for _, b := range p.audiences {
			if a == b {
				return true
			}
		}
	}
	return false
}

// bareAudience takes the scheme and one trailing slash off, as Envoy's
// verifier does on both sides of the comparison.
func bareAudience(a string) string {
	if rest, ok := strings.CutPrefix(a, "https://"); ok {
		a = rest
	} else {
		a = strings.TrimPrefix(a, "http://")
	}
	return strings.TrimSuffix(a, "/")
}

// verified is a token that was found good, with all that follows from it.
// It is immutable and may be cached.
type verified struct {
	identities []Identity // one
	set        []HeaderSet
	keep       bool

	expires, notBefore int64
	skew               time.Duration
	size               int // of the token
}

// timely returns "" while the token holds, else what to answer. On its exp a
// token has ended, and at its nbf it has begun (RFC 7519 section 4.1).
func (v *verified) timely(now time.Time) string {
	switch {
	case now.Add(v.skew).Unix() < v.notBefore:
		return textNotYet
	case now.Add(-v.skew).Unix() >= v.expires:
		return textExpired
	}
	return ""
}
