package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/postern-gateway/postern/internal/ir"
)

// What is here serves decisions that are made without asking anybody: what
// would become of a request, and tests of policies. A request that is served
// has no Given, and its context is no Offline one.

// ErrUnasked says that the outcome depends on another server, which is not
// asked here.
var ErrUnasked = errors.New("nobody is asked here")

type offlineKey struct{}

// Offline returns a context in which tell hears of each server that would have
// to be asked, and is not.
func Offline(ctx context.Context, tell func(what string)) context.Context {
	return context.WithValue(ctx, offlineKey{}, tell)
}

// unasked tells of a server that is not asked, and returns the error to fail
// with.
func unasked(ctx context.Context, what string) error {
	if tell, ok := ctx.Value(offlineKey{}).(func(string)); ok {
		tell(what)
	}
	return fmt.Errorf("%s: %w", what, ErrUnasked)
}

// OfflineKeys returns the keys behind a URL as they were given; nil: they are
// not known, and nobody fetches them.
func OfflineKeys(url string, set *KeySet) *RemoteKeys {
	r := FixedKeys(set)
	r.label, r.lastErr = url, fmt.Errorf("the keys of %s: %w", url, ErrUnasked)
	return r
}

// ParseClaims reads a JSON object as a token's payload is read.
func ParseClaims(b []byte) (map[string]any, error) { return decodeObject(b) }

// GivenIdentity returns the caller that claims speak of, as if a token with
// them had been verified.
func GivenIdentity(claims map[string]any) (Identity, error) {
	t, f := givenToken(claims)
	if f != nil {
		return Identity{}, f
	}
	return Identity{Provider: "given", Method: MethodJWT, Issuer: t.issuer, Subject: t.subject, Claims: claims}, nil
}

// givenToken is a token of which everything but the signature is looked at.
func givenToken(claims map[string]any) (*token, *Failure) {
	t := &token{claims: claims, expires: never, given: true}
	return t, t.readClaims()
}

// given takes claims in the place of the request's tokens.
func (j *JWT) given(ctx context.Context, r *Request) (Result, error) {
	result := Result{}
	t, failed := givenToken(r.Given)
	if failed == nil {
		result, failed = j.vouch(ctx, t)
	}
	if failed != nil && j.policy != ir.JWTAllowMissingOrFailed {
		return Result{}, failed
	}
	if failed == nil { // tokens that came beside are taken for the one of these claims
		var room [maxTokens]found
		tokens, _ := locate(j.places, r, room[:0])
		for i := range tokens {
			result.Consumed = join(result.Consumed, tokens[i].place.drop)
		}
	}
	result.Ignored, result.Sanitize = failed, j.sanitize
	return result, nil
}

// vouch asks the providers for the one whose token it would be.
func (j *JWT) vouch(ctx context.Context, t *token) (Result, *Failure) {
	var failed *Failure
	for _, p := range j.providers {
		v, _, why := p.verify(ctx, t, j.clock())
		if why == nil {
			return Result{Identities: v.identities, Set: v.set}, nil
		}
		failed = worse(failed, why)
	}
	return Result{}, failed
}

// ServerAnswer is what a server is taken to answer about a request or a token.
type ServerAnswer struct {
	Allow bool
	// Status and Header of a refusal; 0: 403. With Allow, the request gets the
	// headers.
	Status int
	Header http.Header
	// Claims of an active token.
	Claims map[string]any
}

// answered stands in for an external server.
type answered struct {
	name   string
	answer *ServerAnswer // nil: it is not known
}

func (a answered) ask(ctx context.Context, _ *query) (*decision, error) {
	if a.answer == nil {
		return nil, unasked(ctx, "the external server "+a.name)
	}
	d := &decision{pass: a.answer.Allow, status: a.answer.Status, header: a.answer.Header}
	if d.status == 0 {
		d.status = http.StatusForbidden
	}
	if !d.pass {
		return d, nil
	}
	for name, values := range a.answer.Header {
		for i, v := range values {
			d.set = append(d.set, HeaderSet{Name: name, Value: v, Append: i > 0})
		}
	}
	return d, nil
}

func (answered) close() {}

// answerFor puts what a method's server is taken to answer in its place.
func answerFor(a Authenticator, answer *ServerAnswer) {
	switch a := a.(type) {
	case *External:
		a.protocol = answered{a.name, answer}
	case *AccessToken:
		if a.server != nil {
			a.server.answer = &answered{a.name, answer}
		}
	}
}

// inspect returns the claims of a token that the answer is about.
func (a *answered) inspect(ctx context.Context) (map[string]any, error) {
	switch {
	case a.answer == nil:
		return nil, unasked(ctx, "the authorization server of "+a.name)
	case !a.answer.Allow:
		return nil, errInactive
	case a.answer.Claims == nil:
		return map[string]any{"active": true}, nil
	}
	return a.answer.Claims, nil
}

// given takes claims in the place of the token that r carries.
func (a *AccessToken) given(r *Request) (Result, error) {
	v, f := a.accept(r.Given)
	if f != nil {
		return Result{}, f
	}
	return a.result(v), nil
}
