package dialect

import "testing"

func TestHoldsPrivateKey(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       bool
	}{
		{"public PEM", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", false},
		{"private PEM", "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----", true},
		{"private PEM in one line", "-----BEGIN PRIVATE KEY----- MIIB -----END PRIVATE KEY-----", true},
		{"public JWK", `{"kty":"RSA","n":"x","e":"AQAB"}`, false},
		{"private JWK", `{"kty":"EC","x":"x","y":"y","d":"secret"}`, true},
		{"symmetric JWK", `{"kty":"oct","k":"secret"}`, true},
		{"public JWKS", `{"keys":[{"kty":"RSA","n":"x","e":"AQAB"}]}`, false},
		{"JWKS with one symmetric key", `{"keys":[{"kty":"RSA","n":"x","e":"AQAB"},{"kty":"oct","k":"s"}]}`, true},
		{"nonsense", "nonsense", false},
	} {
		if got := HoldsPrivateKey(tc.text); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
