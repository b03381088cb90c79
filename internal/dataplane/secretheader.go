package dataplane

import (
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/secret"
)

// A secret header is a header of the request whose value is secret: what an
// accepted API key's Secret holds beside the key, what a template made of one.
// Its value is never among Exchange.Header, so that no matcher, format, log or
// copy of the request comes by it as text. Who means to reads it as a
// secret.Value; the forwarder writes it into the head of each attempt.

// carriedHeader is a secret header; its name is canonical. One that is a
// credential for the upstream keeps the caller's own credentials away.
type carriedHeader struct {
	name       string
	value      secret.Value
	credential bool
}

// SetSecretHeader gives the upstream's request a header whose value is secret,
// in place of every value of that name: the client's, and an injected one.
func (e *Exchange) SetSecretHeader(name string, v secret.Value) { e.carry(name, v, false) }

// InjectSecretHeader is SetSecretHeader for a value that is a credential for
// the upstream, whatever its header is called: what was rendered of a secret.
func (e *Exchange) InjectSecretHeader(name string, v secret.Value) { e.carry(name, v, true) }

func (e *Exchange) carry(name string, v secret.Value, credential bool) {
	name = http.CanonicalHeaderKey(name)
	e.Withdraw(name)
	e.trace.carried(name)
	delete(e.Header, name)
	e.Outbound.carried = append(e.Outbound.carried, carriedHeader{name, v, credential || IsCredentialHeader(name)})
}

// SecretHeader returns the value of a secret header, and whether there is one.
func (e *Exchange) SecretHeader(name string) (secret.Value, bool) {
	name = http.CanonicalHeaderKey(name)
	for _, c := range e.Outbound.carried {
		if c.name == name {
			return c.value, true
		}
	}
	return secret.Value{}, false
}

// DropSecretHeader takes a secret header off the request: it was consumed by
// what was made of it, or is not to travel.
func (e *Exchange) DropSecretHeader(name string) {
	e.Outbound.drop(http.CanonicalHeaderKey(name))
}

func (o *Outbound) drop(name string) {
	isIt := func(c carriedHeader) bool { return c.name == name }
	if slices.ContainsFunc(o.carried, isIt) {
		o.carried = without(o.carried, isIt)
	}
}

// CarriesCredential reports whether a secret header is a credential for the
// upstream. The caller's own credentials do not travel beside it.
func (o *Outbound) CarriesCredential() bool {
	return slices.ContainsFunc(o.carried, func(c carriedHeader) bool { return c.credential })
}

// WriteSecretHeaders puts the secret headers into the head of an attempt,
// before what was added to such a header openly, and returns their names.
func (o *Outbound) WriteSecretHeaders(h http.Header) []string {
	var names []string
	for _, c := range o.carried {
		h[c.name] = append([]string{string(c.value.Reveal())}, h[c.name]...)
		names = append(names, c.name)
	}
	return names
}

// Sanitize removes what the client sent in a header that only the gateway may
// set, by canonical name; also where a credential would be passed on.
func (e *Exchange) Sanitize(name string) {
	delete(e.Header, name)
	delete(e.Caller, name)
}
