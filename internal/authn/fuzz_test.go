package authn_test

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
)

// FuzzToken: nothing passes but the tokens that were signed, letter by letter,
// and nothing panics.
func FuzzToken(f *testing.F) {
	good := []string{testdata(f, "workshop.jwt"), testdata(f, "alice.jwt"), testdata(f, "bob.jwt")}
	for _, g := range append(good, badTokens(good[1])...) {
		f.Add(g)
	}
	p := inline(testdata(f, "selfminted.pem"))
	p.Issuer = "solo.io"
	j := newJWT(f, authn.Deps{Cache: authn.NewTokenCache(64)}, p)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := j.Authenticate(t.Context(), inQuery(token))
		if err == nil && (len(got.Identities) != 1 || !strings.Contains(strings.Join(good, "|"), token)) {
			t.Errorf("%q passes as %+v", token, got.Identities)
		}
		if err != nil && len(got.Identities) != 0 {
			t.Errorf("%q is refused, and proves %+v", token, got.Identities)
		}
	})
}

// FuzzKeys: a set that is accepted has keys; no error quotes the text.
func FuzzKeys(f *testing.F) {
	f.Add(testdata(f, "selfminted.pem"))
	f.Add(testdata(f, "selfminted-oneline.pem"))
	f.Add(jwkOf(ecKey().Public(), "kid=a", "use=sig", "alg=ES256"))
	f.Add(jwks(jwkOf(octKey), jwkOf(edKey().Public())))
	f.Add("-----BEGIN A-----B-----END A-----")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := authn.ParseKeys(text)
		if err == nil && (set.Len() == 0 || set.Len() > authn.MaxKeys) {
			t.Errorf("%d keys", set.Len())
		}
		if err != nil && len(err.Error()) > 20_000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

// FuzzJWKS: what the strict reading accepts, the lenient one does too.
func FuzzJWKS(f *testing.F) {
	f.Add(jwks(jwkOf(ecKey().Public(), "kid=a"), jwkOf(rsaKey().Public(), "key_ops=verify")))
	f.Add(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","d":"x"},1,null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		lenient, err := authn.ParseJWKS([]byte(text))
		strict, serr := authn.ParseKeys(text)
		if err == nil && serr == nil && lenient.Len() != strict.Len() {
			t.Errorf("%d and %d keys", lenient.Len(), strict.Len())
		}
		if err == nil && lenient.Len()+len(lenient.Skipped()) > authn.MaxKeys {
			t.Errorf("%d keys", lenient.Len())
		}
	})
}
