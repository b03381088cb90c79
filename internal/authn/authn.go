// Package authn proves who calls. It owns the methods by which a caller can
// prove an identity, the keys that the proofs are checked against, and the
// memory of tokens that were verified before.
//
//	Request ──► Authenticator ──► Result  (identities, what to drop, what to set)
//	                │         └─► Failure (what the client may be told, and why)
//	      KeySet ◄──┘
//	 inline, or kept fresh by RemoteKeys
//
// An authenticator reads and never writes: it answers no request and changes
// no header. What follows from its Result is done by the data plane; whether
// an identity may do what it asks is the business of package authz.
package authn

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/postern-gateway/postern/internal/secret"
)

// MethodJWT is the Method of an identity that a JSON Web Token proved.
const MethodJWT = "jwt"

// Identity is a proven caller. The zero Identity proves nobody.
type Identity struct {
	// Provider is the ir.JWTProvider.Name or ir.AuthMethod.Name that verified it.
	Provider string
	// Method is how it was proven, such as MethodJWT.
	Method string
	// Issuer and Subject are the iss and sub claims, or the name of the Secret
	// or user; empty if absent.
	Issuer, Subject string
	// Namespace of the Secret, for MethodAPIKey.
	Namespace string
	// Claims is the decoded payload, numbers as json.Number. It is shared
	// between requests and must not be modified.
	Claims map[string]any
}

// Proven reports whether id is somebody: false for the zero Identity, and for
// one that nothing vouches for.
func (id *Identity) Proven() bool { return id.Method != "" && id.Provider != "" }

// Request is what an authenticator reads of a request.
type Request struct {
	// Method may be empty where nothing depends on it.
	Method string
	// Header has canonical keys, as net/http makes them.
	Header http.Header
	// Sealed has the headers whose values are secret, which are not among
	// Header: what a step before made of a secret. Every method looks for its
	// credential there too; an external server is told of none. Nil: none.
	Sealed Sealed
	// Query may be nil.
	Query url.Values
	// Proven are the callers that steps before have proven.
	Proven []Identity
	// Given are claims that count as those of a verified token, in rehearsals
	// alone; a request that is served has none.
	Given map[string]any
	// Call is there if an external server may have to be told of it.
	Call *Call
}

// Sealed yields secret headers of a request by canonical name, and whether
// there is one.
type Sealed interface {
	SecretHeader(name string) (secret.Value, bool)
}

// values returns the values of a header, by canonical name, a secret one first.
func (r *Request) values(name string) []string {
	if r.Sealed != nil {
		if v, ok := r.Sealed.SecretHeader(name); ok {
			return append([]string{string(v.Reveal())}, r.Header[name]...)
		}
	}
	return r.Header[name]
}

// Location is where an accepted credential sat; one field is set. The data
// plane leaves all of it out of the upstream request.
type Location struct{ Header, Query, Cookie string }

// HeaderSet is a header to write on the request.
type HeaderSet struct {
	Name, Value string
	// Append keeps the values that are there; otherwise they are replaced.
	Append bool
}

// SecretHeaderSet is a header to write on the request, in place of any, whose
// value is secret.
type SecretHeaderSet struct {
	Name  string
	Value secret.Value
}

// Result is what an authenticator found. Its slices may be shared between
// requests and must not be modified. The zero Result proves nobody.
type Result struct {
	// Identities that were proven; empty: nobody, allowed by policy.
	Identities []Identity
	// Consumed are the accepted credentials to drop.
	Consumed []Location
	// Set are the headers to write, after Sanitize.
	Set []HeaderSet
	// Secrets are headers to write whose values nobody may log or answer with.
	Secrets []SecretHeaderSet
	// Sanitize names the headers to remove from the client's request first. It
	// is always the full list, also when nothing is set.
	Sanitize []string
	// Remove names further headers to take off the request, before Set.
	Remove []string
	// Reply are headers for the answer that the client gets from the route.
	Reply []HeaderSet
	// By names the methods of a Set that let the caller pass.
	By string
	// Ignored says why a credential proved nothing although the request may
	// pass, by a policy that lets failed ones through. It is for the log.
	Ignored *Failure
}

// Authenticator proves who calls. It returns an error, which is a *Failure, if
// and only if the request must be refused; the Result is then zero.
type Authenticator interface {
	Authenticate(ctx context.Context, r *Request) (Result, error)
}

// Failure is a refusal: what the client may be told, and the cause, which is
// for the log only and holds no part of a credential that could be used.
type Failure struct {
	// Status is the HTTP status, 401 or 403; any other may come from an
	// external server.
	Status int
	// Text is the body of the answer. Foreign says that it is another server's
	// and may hold anything: it goes to the client, and into no log.
	Text    string
	Foreign bool
	// Header is what the answer carries beside; nil for a token, whose
	// challenge depends on the request. It must not be modified.
	Header http.Header
	// Unavailable says that nothing could be found out: a server is down. It
	// refuses, and so does its negation.
	Unavailable bool
	// Missing says that there was no credential at all, so that the challenge
	// carries no error="invalid_token" (RFC 6750 section 3.1).
	Missing bool
	// Cause may be nil.
	Cause error
}

// Error returns the text, unless it is foreign, and the cause.
func (f *Failure) Error() string {
	switch {
	case f.Cause == nil && f.Foreign:
		return "refused"
	case f.Cause == nil:
		return f.Text
	case f.Text == "" || f.Foreign:
		return f.Cause.Error()
	}
	return fmt.Sprintf("%s: %v", f.Text, f.Cause)
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }
