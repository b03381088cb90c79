package simulate

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/internal/secret"
)

// verdict is what became of a request's bearer token.
type verdict int

const (
	keyWrong   verdict = iota // a token that is not ours; the zero value lets nobody in
	keyMissing                // no Authorization header, or not a bearer token
	keyDoubled                // several Authorization values
	keyRight
)

// keys holds a provider's accepted API keys.
type keys struct {
	plain   []secret.Value
	digests [][sha256.Size]byte
}

func newKeys(accepted []string) keys {
	var k keys
	for _, key := range accepted {
		if key == "" {
			continue
		}
		k.plain = append(k.plain, secret.NewValue([]byte(key)))
		k.digests = append(k.digests, sha256.Sum256([]byte(key)))
	}
	return k
}

// check judges the bearer token in h. Every key is compared, each in constant
// time, whatever the outcome of the ones before.
func (k keys) check(h http.Header) verdict {
	values := h.Values("Authorization")
	if len(values) > 1 {
		return keyDoubled
	}
	token, ok := bearer(values)
	if !ok {
		return keyMissing
	}
	digest, found := sha256.Sum256([]byte(token)), 0
	for i := range k.digests {
		found |= subtle.ConstantTimeCompare(digest[:], k.digests[i][:])
	}
	if found == 1 {
		return keyRight
	}
	return keyWrong
}

// secrets are the keys themselves, which no record may show. Embedding keys
// gives a provider this method, by which the server finds them.
func (k keys) secrets() []secret.Value { return k.plain }

// bearer takes the token out of a single "Bearer <token>" value.
func bearer(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || token == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return token, true
}
