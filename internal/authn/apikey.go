package authn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// MethodAPIKey is the Method of an identity that an API key proved.
const MethodAPIKey = "apiKey"

// keyChallenge is the WWW-Authenticate of Gloo's external auth service. It is
// the same for a missing and for a wrong key.
const keyChallenge = "API key is missing or invalid"

// APIKey authenticates by a key in a header, whose whole value is the key. It
// knows digests of the keys alone; what else an accepted Secret holds travels
// as a reference into the secret.Store.
//
// A Secret whose bytes change is served with the new ones as soon as Put
// returns, and no other is read again for it. Of two with one key the older
// serves. A Secret that cannot be used lets nobody in, and is among the
// Problems.
type APIKey struct {
	name     string
	headers  []string
	params   []string // of the query
	cookies  []string
	user     string
	metadata []ir.MetadataHeader // headers canonical
	sanitize []string
	consumed []Location
	refused  [2]*Failure // a key that nobody has; no key

	ring   *KeyRing
	groups []*keyGroup
	index  *keyIndex
}

var _ Authenticator = (*APIKey)(nil)

// NewAPIKey makes cfg ready, with the Secrets that ring follows. name is how
// identities refer to it. The ring must have been made for a configuration
// that reads Secrets as cfg does.
func NewAPIKey(name string, cfg *ir.APIKey, ring *KeyRing) (*APIKey, error) {
	a := &APIKey{name: name, ring: ring}
	if cfg.Digest != "" && cfg.Digest != "sha256" {
		return nil, fmt.Errorf("API keys: digest %q is not known; there is sha256", cfg.Digest)
	}
	if err := a.readHeaders(cfg); err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	if ring.hashed != (cfg.Digest != "") || !slices.Equal(ring.metadata, a.metadata) {
		return nil, errors.New("API keys: the ring reads Secrets otherwise")
	}
	h := http.Header{"Www-Authenticate": {keyChallenge}}
	a.refused[0] = &Failure{Status: http.StatusUnauthorized, Header: h, Cause: errors.New("nobody has this API key")}
	a.refused[1] = &Failure{Status: http.StatusUnauthorized, Header: h, Cause: errors.New("there is no API key"), Missing: true}
	ring.join(a, cfg.Entries)
	return a, nil
}

// Close lets go of the Secrets that nobody else follows.
func (a *APIKey) Close() { a.ring.leave(a) }

func (a *APIKey) readHeaders(cfg *ir.APIKey) error {
	if len(cfg.Headers)+len(cfg.QueryParams)+len(cfg.Cookies) == 0 {
		return errors.New("no header is named")
	}
	a.params, a.cookies = cfg.QueryParams, cfg.Cookies
	for _, q := range cfg.QueryParams {
		a.consumed = append(a.consumed, Location{Query: q})
	}
	for _, c := range cfg.Cookies {
		if !validHeaderName(c) { // a cookie's name is a token, too (RFC 6265 section 4.1.1)
			return fmt.Errorf("%q is no cookie's name", c)
		}
		a.consumed = append(a.consumed, Location{Cookie: c})
	}
	for _, h := range cfg.Headers {
		if !validHeaderName(h) {
			return fmt.Errorf("%q is no header name", h)
		}
		h = http.CanonicalHeaderKey(h)
		a.headers = append(a.headers, h)
		a.consumed = append(a.consumed, Location{Header: h})
	}
	if cfg.UserHeader != "" {
		if !validHeaderName(cfg.UserHeader) {
			return fmt.Errorf("%q is no header name", cfg.UserHeader)
		}
		a.user = http.CanonicalHeaderKey(cfg.UserHeader)
		a.sanitize = append(a.sanitize, a.user)
	}
	a.metadata = slices.Clone(cfg.FromMetadata)
	for i := range a.metadata {
		m := &a.metadata[i]
		if !validHeaderName(m.Header) || m.Key == "" {
			return fmt.Errorf("data key %q cannot go to header %q", m.Key, m.Header)
		}
		m.Header = http.CanonicalHeaderKey(m.Header)
		a.sanitize = append(a.sanitize, m.Header)
	}
	slices.Sort(a.sanitize)
	a.sanitize = slices.Clip(slices.Compact(a.sanitize))
	return nil
}

// SanitizeHeaders is what every Result's Sanitize holds.
func (a *APIKey) SanitizeHeaders() []string { return a.sanitize }

// InputHeaders are the headers that may hold the credential.
func (a *APIKey) InputHeaders() []string {
	if len(a.cookies) > 0 {
		return append(slices.Clip(a.headers), "Cookie")
	}
	return a.headers
}

// Authenticate finds whose key r carries. It does not wait.
func (a *APIKey) Authenticate(_ context.Context, r *Request) (Result, error) {
	key, missing := a.present(r)
	n := a.find(key)
	if n == nil {
		return Result{}, a.refused[missing]
	}
	entry := n.entry
	result := Result{
		Identities: []Identity{{Provider: a.name, Method: MethodAPIKey, Namespace: entry.Namespace, Subject: entry.Name}},
		Consumed:   a.consumed,
		Sanitize:   a.sanitize,
	}
	if a.user != "" {
		result.Set = []HeaderSet{{Name: a.user, Value: entry.Name}}
	}
	if n.values != nil {
		result.Secrets = make([]SecretHeaderSet, 0, len(n.values))
		for i, v := range n.values {
			if !v.IsZero() {
				result.Secrets = append(result.Secrets, SecretHeaderSet{Name: a.metadata[i].Header, Value: v})
			}
		}
	}
	return result, nil
}

// present returns the key that a request carries, and 1 if it has none. Of a
// header that came twice, neither value counts. What it returns is looked for
// in any case, so that a missing key takes as long as a wrong one.
func (a *APIKey) present(r *Request) (key string, missing int) {
	for _, h := range a.headers {
		switch values := r.values(h); len(values) {
		case 0:
			continue
		case 1:
			return values[0], 0
		}
		return "", 0
	}
	return a.elsewhere(r)
}

// elsewhere looks for a key in the query and in cookies.
func (a *APIKey) elsewhere(r *Request) (key string, missing int) {
	one := func(values []string) (string, int) {
		if len(values) == 1 {
			return values[0], 0
		}
		return "", 0
	}
	for _, q := range a.params {
		if values := r.Query[q]; len(values) > 0 {
			return one(values)
		}
	}
	for _, c := range a.cookies {
		if values := cookies(r.values("Cookie"), c); len(values) > 0 {
			return one(values)
		}
	}
	return "", 1
}

// find returns the entry that a key is of. Every key, be it missing, unknown or
// known, costs the same digests and one comparison in constant time.
func (a *APIKey) find(key string) *keyNode {
	sum := digestOf(key)
	d := a.ring.digest(&sum)
	return a.index.find(&d, &a.ring.decoy)
}

// Spare tells of a good key in a request that passed without it.
func (a *APIKey) Spare(r *Request) []Location {
	if key, missing := a.present(r); missing == 1 || a.find(key) == nil {
		return nil
	}
	return a.consumed
}

// mostProblems bounds what one set of keys reports.
const mostProblems = 100

// Problems tells which Secrets let nobody in now, and why. The answer changes
// with their bytes.
func (a *APIKey) Problems() []status.Problem {
	var out []status.Problem
	a.ring.mu.Lock()
	for _, g := range a.groups {
		for entry, err := range g.faults {
			e := &g.entries[entry]
			out = append(out, status.Errorf(e.Origin, "Secret %s/%s lets nobody in: %v", e.Namespace, e.Name, err).Fix("correct the Secret"))
		}
	}
	a.ring.mu.Unlock()
	a.index.shared(func(e, o *ir.APIKeyEntry) {
		out = append(out, status.Warningf(e.Origin, "Secret %s/%s holds the same API key as %s/%s, which is older and serves", e.Namespace, e.Name, o.Namespace, o.Name).Fix("give each its own key"))
	})
	slices.SortFunc(out, func(x, y status.Problem) int { return cmp.Compare(x.What, y.What) })
	if more := len(out) - mostProblems; more > 0 {
		out = append(out[:mostProblems], status.Errorf(out[mostProblems].Origin, "and %d more Secrets with API keys", more))
	}
	return out
}
