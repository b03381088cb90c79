package authn

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
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
// returns, and no other is read again for it. A Secret that cannot be used
// lets nobody in, and is among the Problems.
type APIKey struct {
	name     string
	entries  []ir.APIKeyEntry
	hashed   bool // the Secrets hold digests
	headers  []string
	user     string
	metadata []ir.MetadataHeader // headers canonical
	sanitize []string
	consumed []Location
	refused  [2]*Failure // a key that nobody has; no key

	index  *keyIndex
	follow *secret.Follower

	mu     sync.Mutex
	faults map[int]error // of entries that cannot be used
}

var _ Authenticator = (*APIKey)(nil)

// NewAPIKey makes cfg ready, and follows its Secrets in store. name is how
// identities refer to it.
func NewAPIKey(name string, cfg *ir.APIKey, store *secret.Store) (*APIKey, error) {
	a := &APIKey{name: name, entries: cfg.Entries, hashed: cfg.Digest == "sha256", faults: map[int]error{}}
	if cfg.Digest != "" && !a.hashed {
		return nil, fmt.Errorf("API keys: digest %q is not known; there is sha256", cfg.Digest)
	}
	if err := a.readHeaders(cfg); err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	h := http.Header{"Www-Authenticate": {keyChallenge}}
	a.refused[0] = &Failure{Status: http.StatusUnauthorized, Header: h, Cause: errors.New("nobody has this API key")}
	a.refused[1] = &Failure{Status: http.StatusUnauthorized, Header: h, Cause: errors.New("there is no API key"), Missing: true}
	a.index = newKeyIndex(len(a.entries))
	a.follow = secret.Follow(store, len(a.entries)*a.stride(), a.ref, a.update)
	return a, nil
}

func (a *APIKey) readHeaders(cfg *ir.APIKey) error {
	if len(cfg.Headers) == 0 {
		return errors.New("no header is named")
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
func (a *APIKey) InputHeaders() []string { return a.headers }

// Authenticate finds whose key r carries. It does not wait.
func (a *APIKey) Authenticate(_ context.Context, r *Request) (Result, error) {
	key, missing := a.present(r)
	n := a.index.find(key)
	if n == nil {
		return Result{}, a.refused[missing]
	}
	entry := &a.entries[n.entry]
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
		switch values := r.Header[h]; len(values) {
		case 0:
			continue
		case 1:
			return values[0], 0
		}
		return "", 0
	}
	return "", 1
}

// Spare tells of a good key in a request that passed without it.
func (a *APIKey) Spare(r *Request) []Location {
	if key, missing := a.present(r); missing == 1 || a.index.find(key) == nil {
		return nil
	}
	return a.consumed
}

// stride is how many secrets are followed for one entry: the key, then what
// the metadata headers are made of.
func (a *APIKey) stride() int { return 1 + len(a.metadata) }

func (a *APIKey) ref(i int) secret.Ref {
	e, of := &a.entries[i/a.stride()], i%a.stride()
	if of == 0 {
		return e.Key
	}
	return e.Metadata[a.metadata[of-1].Key]
}

// update reads entries again. The youngest come first: of two with one key,
// the index takes an older one beside a younger for nothing.
func (a *APIKey) update(at []int, read secret.Read) {
	slices.SortFunc(at, func(x, y int) int { return cmp.Compare(y, x) })
	last := -1
	for _, i := range at {
		if entry := i / a.stride(); entry != last {
			a.renew(entry, read)
			last = entry
		}
	}
}

func (a *APIKey) renew(entry int, read secret.Read) {
	sum, values, err := a.parse(entry, read)
	if err != nil {
		a.index.remove(entry)
	} else {
		d := a.index.digest(&sum)
		a.index.put(entry, &d, values)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.faults[entry] = err
	} else if len(a.faults) > 0 {
		delete(a.faults, entry)
	}
}

// parse reads one entry. An error names data keys, and no value.
func (a *APIKey) parse(entry int, read secret.Read) (sum [sha256.Size]byte, values []secret.Value, err error) {
	at := entry * a.stride()
	v, ok := read(at)
	switch {
	case !ok || v.IsZero():
		return sum, nil, errors.New("there is no API key in it")
	case a.hashed:
		if n, err := hex.Decode(sum[:], v.Reveal()[:min(len(v.Reveal()), 2*len(sum))]); err != nil || n != len(sum) || len(v.Reveal()) != 2*len(sum) {
			return sum, nil, errors.New("its digest is not the SHA-256 of a key in hexadecimal")
		}
		if sum == sha256.Sum256(nil) {
			return sum, nil, errors.New("its digest is that of an empty key")
		}
	case !validHeaderValue(string(v.Reveal())):
		return sum, nil, errors.New("its API key holds a control byte, which no header can")
	default:
		sum = sha256.Sum256(v.Reveal())
	}
	if len(a.metadata) == 0 {
		return sum, nil, nil
	}
	values = make([]secret.Value, len(a.metadata))
	for i, m := range a.metadata {
		v, _ := read(at + 1 + i)
		switch {
		case v.IsZero() && m.Required:
			return sum, nil, fmt.Errorf("it lacks the data key %q, which header %s requires", m.Key, m.Header)
		case !validHeaderValue(string(v.Reveal())):
			return sum, nil, fmt.Errorf("its data key %q holds a control byte, which header %s cannot", m.Key, m.Header)
		}
		values[i] = v
	}
	return sum, values, nil
}

// mostProblems bounds what one set of keys reports.
const mostProblems = 100

// Problems tells which Secrets let nobody in now, and why. The answer changes
// with their bytes.
func (a *APIKey) Problems() []status.Problem {
	var out []status.Problem
	a.mu.Lock()
	for entry, err := range a.faults {
		e := &a.entries[entry]
		out = append(out, status.Errorf(e.Origin, "Secret %s/%s lets nobody in: %v", e.Namespace, e.Name, err).Fix("correct the Secret"))
	}
	a.mu.Unlock()
	a.index.shared(func(younger, older int) {
		e, o := &a.entries[younger], &a.entries[older]
		out = append(out, status.Warningf(e.Origin, "Secret %s/%s holds the same API key as %s/%s, which is older and serves", e.Namespace, e.Name, o.Namespace, o.Name).Fix("give each its own key"))
	})
	slices.SortFunc(out, func(x, y status.Problem) int { return cmp.Compare(x.What, y.What) })
	if more := len(out) - mostProblems; more > 0 {
		out = append(out[:mostProblems], status.Errorf(out[mostProblems].Origin, "and %d more Secrets with API keys", more))
	}
	return out
}
