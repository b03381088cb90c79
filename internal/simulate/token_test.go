package simulate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t *testing.T, key crypto.PrivateKey, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf(t, "PRIVATE KEY", der, err)
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestMint(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, edErr := ed25519.GenerateKey(nil)
	p256 := ecKey(t, elliptic.P256())
	sec1, sec1Err := x509.MarshalECPrivateKey(p256)
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{1}})
	tests := []struct {
		name string
		key  []byte
		want jose.SignatureAlgorithm
	}{
		{"generated", nil, jose.RS256},
		{"rsa pkcs8", pkcs8(t, rsaKey, nil), jose.RS256},
		{"rsa pkcs1", pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), jose.RS256},
		{"p256 sec1 after parameters", append(parameters, pemOf(t, "EC PRIVATE KEY", sec1, sec1Err)...), jose.ES256},
		{"p384", pkcs8(t, ecKey(t, elliptic.P384()), nil), jose.ES384},
		{"p521", pkcs8(t, ecKey(t, elliptic.P521()), nil), jose.ES512},
		{"ed25519", pkcs8(t, edKey, edErr), jose.EdDSA},
	}
	for _, tt := range tests {
		for _, kid := range []string{"", "one"} {
			t.Run(tt.name+" kid "+kid, func(t *testing.T) {
				got, err := Mint(TokenConfig{Claims: []byte(`{ "sub": "alice",  "n": 1.50 }`), Key: tt.key, KeyID: kid})
				if err != nil {
					t.Fatal(err)
				}
				verify(t, got, tt.want, kid)
			})
		}
	}
}

// verify checks the token as a relying party would, and that its key set has
// nothing private.
func verify(t *testing.T, got Token, algorithm jose.SignatureAlgorithm, kid string) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(got.JWKS, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || !set.Keys[0].IsPublic() || set.Keys[0].KeyID != kid || set.Keys[0].Algorithm != string(algorithm) {
		t.Fatalf("key set %s", got.JWKS)
	}
	if strings.Contains(string(got.JWKS), `"d":`) || strings.Contains(string(got.JWKS), `"kid"`) != (kid != "") {
		t.Errorf("key set %s", got.JWKS)
	}
	jws, err := jose.ParseSignedCompact(got.JWT, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jws.Verify(set.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Protected
	if string(claims) != `{"sub":"alice","n":1.50}` || header.KeyID != kid || header.ExtraHeaders["typ"] != "JWT" {
		t.Errorf("claims %s, header %+v", claims, header)
	}
	if header.JSONWebKey != nil {
		t.Error("the token carries its own key")
	}
}

func TestMintRefuses(t *testing.T) {
	good := []byte(`{"sub":"alice"}`)
	tests := map[string]TokenConfig{
		"no claims":     {},
		"null claims":   {Claims: []byte(`null`)},
		"list claims":   {Claims: []byte(`[]`)},
		"broken claims": {Claims: []byte(`{"sub":`)},
		"huge claims":   {Claims: []byte(`{"a":"` + strings.Repeat("x", maxClaims) + `"}`)},
		"no pem":        {Claims: good, Key: []byte("MARKER")},
		"broken key":    {Claims: good, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("MARKER")})},
		"public key":    {Claims: good, Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("MARKER")})},
		"p224":          {Claims: good, Key: pkcs8(t, ecKey(t, elliptic.P224()), nil)},
	}
	for name, cfg := range tests {
		token, err := Mint(cfg)
		if err == nil || token.JWT != "" {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "MARKER") {
			t.Errorf("%s: key in error: %v", name, err)
		}
	}
}
