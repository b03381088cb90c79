package dataplane

import (
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
)

// Consume marks accepted credentials: filters can read them, no upstream sees
// them. A query parameter is cut out at once, and out of the Referer too.
func (e *Exchange) Consume(where []authn.Location) {
	e.consume(where)
	for _, l := range where {
		if l.Query != "" {
			e.cutReferer(l.Query)
		}
	}
}

// cutReferer takes the pairs of one name out of the Referer's query: a page
// whose URL holds a token repeats it there.
func (e *Exchange) cutReferer(name string) {
	values := e.Header["Referer"]
	for i, v := range values {
		v, _, _ = strings.Cut(v, "#") // no Referer holds a fragment (RFC 9110 10.1.3)
		base, query, ok := strings.Cut(v, "?")
		if !ok {
			continue
		}
		values[i] = base
		if query = cutQuery(query, name); query != "" {
			values[i] = base + "?" + query
		}
	}
}

// SetHeader replaces all values of a request header, whose name is canonical,
// by one of the gateway's own, a secret one too. A caller's accepted credential that sat there
// is gone, so that the header may travel on.
func (e *Exchange) SetHeader(name, value string) {
	e.Outbound.drop(name)
	e.Header[name] = []string{value}
	if slices.Contains(e.Record.consumedHeaders, name) {
		e.Record.consumedHeaders = without(e.Record.consumedHeaders, func(h string) bool { return h == name })
	}
}

// AddHeader adds a value of the gateway's own to a request header, whose name
// is canonical. It replaces a caller's accepted credential.
func (e *Exchange) AddHeader(name, value string) {
	if slices.Contains(e.Record.consumedHeaders, name) {
		e.SetHeader(name, value)
		return
	}
	e.Header[name] = append(e.Header[name], value)
}

// Inject makes a header of the upstream request an injected credential: it
// replaces every value, for each attempt.
func (e *Exchange) Inject(s SecretHeader) {
	e.Withdraw(s.Name)
	e.Outbound.Secrets = append(e.Outbound.Secrets, s)
}

// Withdraw takes an injected credential or a secret header back, by canonical
// name.
func (e *Exchange) Withdraw(name string) {
	e.Outbound.drop(http.CanonicalHeaderKey(name))
	isIt := func(s SecretHeader) bool { return http.CanonicalHeaderKey(s.Name) == name }
	if slices.ContainsFunc(e.Outbound.Secrets, isIt) {
		e.Outbound.Secrets = without(e.Outbound.Secrets, isIt)
	}
}

// without returns a list without some of its elements. It leaves the list as
// it is: a Mark may hold it.
func without[T any](list []T, is func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), is)
}

// NormalizePath returns the one form of an escaped path that a request may
// have: dot segments resolved, doubled slashes joined, escapes of unreserved
// bytes undone. What programs are known to read differently is an error.
func NormalizePath(raw string) (string, error) { return normalizePath(raw) }

// NormalizeHost returns an authority, which may hold a port, in canonical
// form: lower case, without trailing dot.
func NormalizeHost(authority string) (string, error) {
	_, canonical, err := normalizeHost(authority)
	return canonical, err
}

// CutQuery returns a raw query without the pairs of one name; the others stay
// byte for byte.
func CutQuery(raw, name string) string { return cutQuery(raw, name) }
