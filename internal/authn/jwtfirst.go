package authn

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// authenticateFirst asks the providers in their order. The first one for which
// every token in its own places is valid proves the caller; what is in other
// providers' places is not looked at then. Where there are tokens and no such
// provider, the request is refused.
func (j *JWT) authenticateFirst(ctx context.Context, r *Request) (Result, *Failure) {
	var failed *Failure
	var room [maxTokens]candidate
	seen := room[:0]
	now := j.clock()
	for i, p := range j.providers {
		var list [maxTokens]found
		tokens, ok := locate(j.own[i], r, list[:0])
		if !ok {
			return Result{}, refuse(textMultiple, fmt.Errorf("more than %d", maxTokens))
		}
		if len(tokens) == 0 {
			continue
		}
		result, why := j.verifyOwn(ctx, p, tokens, &seen, now)
		if why == nil {
			return result, nil
		}
		failed = worse(failed, why)
	}
	if failed == nil && j.policy == ir.JWTRequired {
		failed = &Failure{Status: http.StatusUnauthorized, Text: textMissing, Missing: true}
	}
	return Result{}, failed
}

// verifyOwn verifies tokens for one provider. The first of them tells who
// calls.
func (j *JWT) verifyOwn(ctx context.Context, p *provider, tokens []found, seen *[]candidate, now time.Time) (Result, *Failure) {
	var result Result
	for i := range tokens {
		c, ok := look(seen, tokens[i].raw, j.cache != nil)
		if !ok {
			return Result{}, refuse(textMultiple, fmt.Errorf("more than %d", maxTokens))
		}
		v, failed := j.verifyFor(ctx, p, c, now)
		if failed != nil {
			return Result{}, failed
		}
		if !v.keep {
			result.Consumed = join(result.Consumed, tokens[i].place.drop)
		}
		if i == 0 {
			result.Identities, result.Set = v.identities, v.set
		}
	}
	return result, nil
}

// candidate is a token that several providers may look at; it is hashed and
// taken apart once.
type candidate struct {
	raw    string
	hashed bool
	digest [sha256.Size]byte
	parsed *token
	broken *Failure
}

// look returns the candidate of a token.
func look(seen *[]candidate, raw string, hash bool) (*candidate, bool) {
	for i := range *seen {
		if (*seen)[i].raw == raw {
			return &(*seen)[i], true
		}
	}
	if len(*seen) == cap(*seen) {
		return nil, false
	}
	c := candidate{raw: raw}
	if hash && len(raw) <= MaxTokenBytes {
		c.hashed, c.digest = true, digestOf(raw)
	}
	*seen = append(*seen, c)
	return &(*seen)[len(*seen)-1], true
}

func (j *JWT) verifyFor(ctx context.Context, p *provider, c *candidate, now time.Time) (*verified, *Failure) {
	if c.hashed {
		if v := j.recall(p.itself[:], c.digest, now); v != nil {
			return v, nil
		}
	}
	if c.parsed == nil && c.broken == nil {
		c.parsed, c.broken = parseToken(c.raw)
	}
	if c.broken != nil {
		return nil, c.broken
	}
	v, set, failed := p.verify(ctx, c.parsed, now)
	if failed == nil && c.hashed {
		j.cache.put(cacheKey{c.digest, p.config, set.digest}, v, now)
	}
	return v, failed
}
