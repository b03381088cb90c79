package authn

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-gateway/postern/internal/secret"
)

// parseJWKs reads a JWKS, or in strict reading also a single JWK. A strict
// reading refuses what a lenient one skips; a key that is merely meant for
// something else, or of a kind that is not known, is skipped by both, as RFC
// 7517 section 5 asks for.
func parseJWKs(b []byte, strict bool) (keys []key, skipped []string, err error) {
	doc, err := decodeObject(b)
	if err != nil {
		return nil, nil, fmt.Errorf("JWKS: %w", err)
	}
	list, ok := doc["keys"].([]any)
	if _, there := doc["keys"]; !there && strict {
		list, ok = []any{doc}, true
	}
	if !ok {
		return nil, nil, errors.New("JWKS: keys is not a list")
	}
	if len(list) > MaxKeys {
		return nil, nil, errManyKeys
	}
	for i, v := range list {
		k, err := parseJWK(v)
		var other notForUs
		switch {
		case err == nil:
			keys = append(keys, k)
		case strict && !errors.As(err, &other):
			return nil, nil, fmt.Errorf("key %d: %w", i, err)
		default:
			skipped = append(skipped, fmt.Sprintf("key %d: %v", i, err))
		}
	}
	return keys, skipped, nil
}

// notForUs is why a key that may be in order is not used.
type notForUs string

func (n notForUs) Error() string { return string(n) }

func parseJWK(v any) (key, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return key{}, errors.New("not an object")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if _, there := m[private]; there {
			return key{}, errPrivate
		}
	}
	if err := meantForVerifying(m); err != nil {
		return key{}, err
	}
	kid, ok1 := optionalString(m, "kid")
	alg, ok2 := optionalString(m, "alg")
	if !ok1 || !ok2 {
		return key{}, errors.New("kid or alg is not a string")
	}
	k := key{id: kid, alg: alg}
	var err error
	if k.use, err = keyMaterial(m); err != nil {
		return key{}, err
	}
	if k.algs, err = algsOf(k.use); err != nil {
		return key{}, err
	}
	if alg != "" && !slices.Contains(k.algs, jose.SignatureAlgorithm(alg)) {
		return key{}, notForUs("alg " + quote(alg) + " does not sign with this type of key")
	}
	return k, nil
}

// meantForVerifying looks at use and key_ops (RFC 7517 sections 4.2, 4.3).
func meantForVerifying(m map[string]any) error {
	if use, there := m["use"]; there && use != "sig" {
		return notForUs("use is not sig")
	}
	ops, there := m["key_ops"]
	if !there {
		return nil
	}
	list, _ := ops.([]any)
	if !slices.Contains(list, any("verify")) {
		return notForUs("key_ops lacks verify")
	}
	return nil
}

// keyMaterial hands go-jose the members that make the key and no others: what
// else a JWK carries, certificate chains above all, is not believed.
func keyMaterial(m map[string]any) (any, error) {
	kty, _ := m["kty"].(string)
	members := map[string][]string{
		"RSA": {"n", "e"},
		"EC":  {"crv", "x", "y"},
		"OKP": {"crv", "x"},
		"oct": {"k"},
	}[kty]
	if members == nil {
		return nil, notForUs("kty " + quote(kty) + " is not known")
	}
	only := map[string]any{"kty": kty}
	for _, name := range members {
		s, ok := m[name].(string)
		if !ok || s == "" {
			return nil, fmt.Errorf("%s is missing or no string", name)
		}
		only[name] = s
	}
	b, err := json.Marshal(only)
	if err != nil {
		return nil, errors.New("cannot be encoded")
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("not a valid %s key", kty)
	}
	if shared, ok := jwk.Key.([]byte); ok {
		return secret.NewValue(shared), nil
	}
	return jwk.Key, nil
}

// algsOf pins the algorithms to the type and size of the key.
func algsOf(material any) ([]jose.SignatureAlgorithm, error) {
	switch k := material.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < 2048:
			return nil, errWeakRSA
		case bits > 8192:
			return nil, errHugeRSA
		case k.E < 3 || k.E%2 == 0:
			return nil, errors.New("RSA key with an unusable exponent")
		}
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}, nil
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}, nil
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}, nil
		}
		return nil, notForUs("EC key on a curve that signs no JWT")
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}, nil
	case secret.Value:
		return algsOfSecret(k)
	}
	return nil, notForUs("type of key that verifies no JWT")
}

// algsOfSecret allows the HMACs that are no longer than the secret (RFC 7518
// section 3.2).
func algsOfSecret(shared secret.Value) ([]jose.SignatureAlgorithm, error) {
	all := []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
	n := 0
	for _, size := range []int{32, 48, 64} {
		if len(shared.Reveal()) >= size {
			n++
		}
	}
	if n == 0 {
		return nil, errors.New("oct key of less than 256 bits")
	}
	return all[:n], nil
}
