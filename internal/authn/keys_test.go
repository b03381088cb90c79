package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
)

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func certificate(t *testing.T) string {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, rsaKey().Public(), rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

func TestParseKeys(t *testing.T) {
	p := pemOf(rsaKey().Public())
	j := jwkOf(rsaKey().Public())
	tests := []struct {
		name, text string
		keys       int
	}{
		{"PEM", p, 1},
		{"PEM without its last line end", strings.TrimSpace(p), 1},
		{"PEM on one line", strings.ReplaceAll(p, "\n", " "), 1},
		{"PEM without any space", strings.ReplaceAll(p, "\n", ""), 1},
		{"PEM with CRLF and indented", strings.ReplaceAll(p, "\n", "\r\n\t  "), 1},
		{"PEM after other text", "issuer key\n" + p + "end", 1},
		{"PKCS 1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), 1},
		{"certificate", certificate(t), 1},
		{"two on one line", strings.ReplaceAll(p+certificate(t), "\n", " "), 2},
		{"JWK", j, 1},
		{"JWKS", "\n " + jwks(j, jwkOf(ecKey().Public()), jwkOf(edKey().Public()), jwkOf(octKey)), 4},
		{"JWKS with unknown kinds", jwks(j, `{"kty":"AKP","pub":"x"}`, `{"kty":"OKP","crv":"X25519","x":"`+b64(make([]byte, 32))+`","use":"enc"}`), 1},
		{"members that nobody knows", jwkOf(rsaKey().Public(), "x5t=abc", "x5c=no list", "hello=world"), 1},
	}
	for _, tt := range tests {
		set, err := authn.ParseKeys(tt.text)
		if err != nil || set.Len() != tt.keys {
			t.Errorf("%s: %v, %v; want %d keys", tt.name, set, err, tt.keys)
		}
	}
}

func TestParseKeysRefuses(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(rsaKey()))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	p := pemOf(rsaKey().Public())
	many := strings.Repeat(jwkOf(ecKey().Public())+",", authn.MaxKeys) + jwkOf(ecKey().Public())
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "neither"},
		{"words", "MARKER-hunter2", "neither"},
		{"weak RSA, PEM", pemOf(small.Public()), "less than 2048 bits"},
		{"weak RSA, JWK", jwkOf(small.Public()), "less than 2048 bits"},
		{"weak RSA among others", jwks(jwkOf(rsaKey().Public()), jwkOf(small.Public())), "key 1: RSA key of less"},
		{"huge RSA", pemOf(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 9000), E: 3}), "more than 8192 bits"},
		{"exponent 1", pemOf(&rsa.PublicKey{N: rsaKey().N, E: 1}), "exponent"},
		{"private PEM", block("PRIVATE KEY", pkcs8), "holds a private key"},
		{"private PEM, PKCS 1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), "holds a private key"},
		{"private PEM after a public one", p + block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey()))), "block 1: holds a private key"},
		{"encrypted private PEM", block("ENCRYPTED PRIVATE KEY", pkcs8), "holds a private key"},
		{"private JWK", jwkOf(rsaKey()), "holds a private key"},
		{"private EC JWK in a set", jwks(jwkOf(ecKey())), "holds a private key"},
		{"private Ed25519 JWK", jwkOf(edKey()), "holds a private key"},
		{"cut off", p[:len(p)-30], "no END line"},
		{"other END", strings.Replace(p, "END PUBLIC", "END RSA PUBLIC", 1), "no END line"},
		{"not base64", strings.Replace(p, "MII", "M*I", 1), "not base64"},
		{"not that key", block("PUBLIC KEY", []byte("MARKER-hunter2")), "no such key"},
		{"another block", block("X509 CRL", []byte("x")), "neither"},
		{"P-224", pemOf(p224.Public()), "signs no JWT"},
		{"short oct", jwkOf([]byte("hunter2")), "less than 256 bits"},
		{"point off the curve", `{"kty":"EC","crv":"P-256","x":"` + b64(make([]byte, 32)) + `","y":"` + b64(make([]byte, 32)) + `"}`, "not a valid EC key"},
		{"empty set", jwks(), "no usable key"},
		{"only for encryption", jwks(jwkOf(rsaKey().Public(), "use=enc")), "use is not sig"},
		{"keys no list", `{"keys":{}}`, "keys is not a list"},
		{"doubled member", `{"keys":[],"keys":[]}`, "appears twice"},
		{"cut JSON", jwkOf(rsaKey().Public())[:50], "not a JSON object"},
		{"too many", jwks(many), "more than 100 keys"},
		{"too big", jwks(`"` + strings.Repeat("a", authn.MaxKeysBytes) + `"`), "more than 1048576 bytes"},
		{"nested", `{"keys":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "too deep"},
	}
	for _, tt := range tests {
		_, err := authn.ParseKeys(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			continue
		}
		if len(tt.text) > 40 && strings.Contains(err.Error(), tt.text[30:40]) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes the key: %v", tt.name, err)
		}
	}
}

func TestParseJWKSSkips(t *testing.T) {
	good := jwkOf(rsaKey().Public())
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	tests := []struct {
		name, text    string
		keys, skipped int
	}{
		{"weak", jwks(good, jwkOf(small.Public())), 1, 1},
		{"private", jwks(jwkOf(ecKey()), good), 1, 1},
		{"odd", jwks(good, `1`, `{}`, `{"kty":"RSA"}`, `{"kty":"RSA","n":"!","e":"AQAB"}`), 1, 4},
		{"empty", jwks(), 0, 0},
	}
	for _, tt := range tests {
		set, err := authn.ParseJWKS([]byte(tt.text))
		if err != nil || set.Len() != tt.keys || len(set.Skipped()) != tt.skipped {
			t.Errorf("%s: %+v, %v", tt.name, set, err)
		}
	}
	if _, err := authn.ParseJWKS([]byte(good)); err == nil {
		t.Error("a JWK is taken for a JWKS")
	}
}

func TestKeySetVersionIsItsContent(t *testing.T) {
	a, b := jwkOf(rsaKey().Public(), "kid=a"), jwkOf(rsaKey().Public(), "kid=b")
	v := func(text string) string { return must(authn.ParseJWKS([]byte(text))).Version() }
	first, again := v(jwks(a, b)), v(jwks(a, b))
	if first != again || first == v(jwks(a)) || v(jwks(a)) == v(jwks(b)) {
		t.Error("versions do not tell contents apart")
	}
}

func TestKeySetPrintsNoKey(t *testing.T) {
	set := must(authn.ParseKeys(jwkOf(octKey)))
	for _, verb := range []string{"%v", "%+v", "%s", "%x", "%#v"} {
		out := fmt.Sprintf(verb, set) + fmt.Sprintf(verb, *set) + fmt.Sprintf(verb, struct{ S *authn.KeySet }{set})
		if strings.Contains(out, string(octKey)) || strings.Contains(out, fmt.Sprintf("%x", octKey)) || strings.Contains(out, "48 49 50") {
			t.Errorf("%s prints a shared key", verb)
		}
	}
}
