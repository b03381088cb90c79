package authn

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-gateway/postern/internal/secret"
)

// What a set of keys may hold at most; every key may be tried for a token
// without a kid.
const (
	MaxKeysBytes = 1 << 20
	MaxKeys      = 100
)

// KeySet is the keys that signatures are checked with. It is immutable.
type KeySet struct {
	keys    []key
	digest  [sha256.Size]byte
	skipped []string
}

// key is one public or shared key, and the algorithms that it may verify. The
// type of the key decides on them, never the token: an RSA key is not the
// secret of an HMAC, whatever a header says (RFC 8725 section 3.1).
type key struct {
	id   string // kid of a JWK; empty: none
	alg  string // alg of a JWK; empty: any of algs
	algs []jose.SignatureAlgorithm
	use  any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, secret.Value
}

// verifies reports whether k made the signature of jws.
func (k *key) verifies(jws *jose.JSONWebSignature) bool {
	with := k.use
	if shared, ok := with.(secret.Value); ok {
		with = shared.Reveal()
	}
	_, err := jws.Verify(with)
	return err == nil
}

// Format writes how many keys there are, for every verb: an oct key is secret.
func (s KeySet) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%d keys, version %s", s.Len(), s.Version())
}

// Len returns the number of usable keys.
func (s KeySet) Len() int { return len(s.keys) }

// Version names the set's content: equal for equal documents, and only then.
func (s KeySet) Version() string { return hex.EncodeToString(s.digest[:8]) }

// Skipped says which keys of the document are not used, and why.
func (s KeySet) Skipped() []string { return s.skipped }

var (
	errNoKeys     = errors.New("no usable key in it")
	errPrivate    = errors.New("holds a private key: only the public half belongs here, and this one should be replaced")
	errFormat     = errors.New("neither a PEM public key or certificate, nor a JWK, nor a JWKS")
	errWeakRSA    = errors.New("RSA key of less than 2048 bits")
	errHugeRSA    = errors.New("RSA key of more than 8192 bits")
	errManyKeys   = fmt.Errorf("more than %d keys", MaxKeys)
	errKeysTooBig = fmt.Errorf("more than %d bytes", MaxKeysBytes)
)

// ParseKeys reads what a person configured: PEM blocks of public keys (RFC
// 7468) or certificates, of which only the key is used; a JWK or a JWKS (RFC
// 7517). One faulty key refuses the whole. No error quotes the text.
func ParseKeys(text string) (*KeySet, error) {
	if len(text) > MaxKeysBytes {
		return nil, errKeysTooBig
	}
	var keys []key
	var skipped []string
	var err error
	switch trimmed := strings.TrimSpace(text); {
	case strings.HasPrefix(trimmed, "{"):
		keys, skipped, err = parseJWKs([]byte(trimmed), true)
	case strings.Contains(trimmed, pemBegin):
		keys, err = parsePEM(trimmed)
	default:
		err = errFormat
	}
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.Join(append([]error{errNoKeys}, asErrors(skipped)...)...)
	}
	return &KeySet{keys: keys, digest: sha256.Sum256([]byte(text)), skipped: skipped}, nil
}

// ParseJWKS reads a JWKS as an identity provider publishes it (RFC 7517
// section 5). A key that cannot be used is skipped, so that one odd key does
// not take the others away; without any the set is empty, and verifies
// nothing. An error means that it is no JWKS.
func ParseJWKS(b []byte) (*KeySet, error) {
	if len(b) > MaxKeysBytes {
		return nil, errKeysTooBig
	}
	keys, skipped, err := parseJWKs(b, false)
	if err != nil {
		return nil, err
	}
	return &KeySet{keys: keys, digest: sha256.Sum256(b), skipped: skipped}, nil
}

func asErrors(texts []string) []error {
	errs := make([]error, len(texts))
	for i := range texts {
		errs[i] = errors.New(texts[i])
	}
	return errs
}

// check returns "" when one of the keys verifies t, else what to answer.
// A key without a kid fits every kid, as in Envoy.
func (s KeySet) check(t *token) (text string, cause error) {
	var jws *jose.JSONWebSignature
	fits := false
	for i := range s.keys {
		k := &s.keys[i]
		if t.kid != "" && k.id != "" && t.kid != k.id {
			continue
		}
		if k.alg != "" && k.alg != string(t.alg) {
			continue
		}
		fits = true
		if !slices.Contains(k.algs, t.alg) {
			continue
		}
		if jws == nil {
			var err error
			if jws, err = jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{t.alg}); err != nil {
				return textFails, errors.New("header cannot be read as a JWS header")
			}
		}
		if k.verifies(jws) {
			return "", nil
		}
	}
	what := fmt.Errorf("alg %s, kid %s, %d keys", t.alg, quote(t.kid), len(s.keys))
	if !fits {
		return textNoKey, what
	}
	return textFails, what
}
