package authn

import (
	"context"
	"errors"
	"net/http"
)

// Verified lets a caller pass whom a JWT step before has proven: the jwt: {}
// of Gloo's AuthConfig. It proves nobody anew.
type Verified struct{ refused *Failure }

var _ Authenticator = (*Verified)(nil)

// NewVerified returns a Verified. Its refusal is an empty 401, as of Gloo's
// external auth service for every method without an answer of its own.
func NewVerified(name string) *Verified {
	return &Verified{&Failure{
		Status: http.StatusUnauthorized, Header: noHeader, Missing: true,
		Cause: errors.New(name + ": no token was verified before"),
	}}
}

// Authenticate looks at r.Proven.
func (v *Verified) Authenticate(_ context.Context, r *Request) (Result, error) {
	for i := range r.Proven {
		if id := &r.Proven[i]; id.Proven() && id.Method == MethodJWT {
			return Result{}, nil
		}
	}
	return Result{}, v.refused
}
