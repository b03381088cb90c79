package dialect

import (
	"encoding/json"
	"strings"
)

// HoldsPrivateKey reports whether a text that should be a public key, a JWK
// or a JWKS holds a private or a symmetric key. Such a text must not travel
// further: a field for public keys is shown in dumps.
func HoldsPrivateKey(text string) bool {
	if strings.Contains(text, "PRIVATE KEY") {
		return true
	}
	var doc struct {
		jwk
		Keys []jwk `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &doc) != nil {
		return false
	}
	for _, k := range append(doc.Keys, doc.jwk) {
		if k.D != nil || k.K != nil || k.Kty == "oct" {
			return true
		}
	}
	return false
}

// jwk are the members of a JSON Web Key (RFC 7518 6) that are not public.
type jwk struct {
	Kty string          `json:"kty"`
	D   json.RawMessage `json:"d"`
	K   json.RawMessage `json:"k"`
}
