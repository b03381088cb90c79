package dataplane

import (
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/secret"
)

// secretHeader is a request header whose value is secret: what authentication
// took out of a Secret, or what a template made of such a value.
type secretHeader struct {
	name  string // canonical
	value secret.Value
}

// SetSecretHeader makes v the value of a request header. It is an injected
// credential: other stages do not see it among the headers, the access log
// never does, and it is put on last, in place of every value of that name.
// SecretHeader shows it to those who know what they do.
func (e *Exchange) SetSecretHeader(name string, v secret.Value) {
	name = http.CanonicalHeaderKey(name)
	delete(e.Header, name)
	e.Inject(SecretHeader{Name: name, Value: func() (string, error) { return string(v.Reveal()), nil }})
	e.secretHeaders = append(e.secretHeaders, secretHeader{name, v})
}

// SecretHeader returns the value of a header that SetSecretHeader set.
func (e *Exchange) SecretHeader(name string) (secret.Value, bool) {
	name = http.CanonicalHeaderKey(name)
	for _, h := range e.secretHeaders {
		if h.name == name {
			return h.value, true
		}
	}
	return secret.Value{}, false
}

// DropSecretHeader takes a header back that SetSecretHeader set, so that it
// does not reach the upstream.
func (e *Exchange) DropSecretHeader(name string) { e.Withdraw(http.CanonicalHeaderKey(name)) }

// forgetSecretHeader is Withdraw's share.
func (e *Exchange) forgetSecretHeader(name string) {
	isIt := func(h secretHeader) bool { return h.name == name }
	if slices.ContainsFunc(e.secretHeaders, isIt) {
		e.secretHeaders = without(e.secretHeaders, isIt)
	}
}
