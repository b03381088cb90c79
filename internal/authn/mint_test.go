package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// Keys of the tests. Making RSA keys is slow, so each is made once.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
	octKey   = []byte("0123456789abcdef0123456789abcdef")
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var b64 = base64.RawURLEncoding.EncodeToString

// mint makes a token out of raw JSON, so that tests can write what no library
// would. The type of the key decides how it signs; nil signs nothing.
func mint(header, payload string, key any) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	var sig []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		sig = must(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:]))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		must(0, err)
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	}
	return input + "." + b64(sig)
}

// rs256 is a token that holds, with further claims.
func rs256(claims string) string {
	return mint(`{"alg":"RS256","typ":"JWT"}`, `{"iss":"tester","sub":"ann"`+claims+`}`, rsaKey())
}

// signedBy makes a token through go-jose, for the algorithms that mint lacks.
func signedBy(t *testing.T, alg jose.SignatureAlgorithm, key any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := s.Sign([]byte(`{"iss":"tester","sub":"ann"}`))
	if err != nil {
		t.Fatal(err)
	}
	return must(obj.CompactSerialize())
}

func pemOf(pub any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(pub))}))
}

// jwkOf is the JWK of a key, with further members as kid=a.
func jwkOf(key any, members ...string) string {
	var m map[string]any
	must(0, json.Unmarshal(must(jose.JSONWebKey{Key: key}.MarshalJSON()), &m))
	for _, member := range members {
		name, value, _ := strings.Cut(member, "=")
		m[name] = value
	}
	return string(must(json.Marshal(m)))
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// inline is a provider "p" of issuer "tester" with keys.
func inline(keys string) ir.JWTProvider {
	return ir.JWTProvider{Name: "p", Issuer: "tester", Keys: ir.KeySource{Inline: keys}}
}

func newJWT(t testing.TB, deps authn.Deps, providers ...ir.JWTProvider) *authn.JWT {
	t.Helper()
	j, err := authn.NewJWT(&ir.JWT{Providers: providers}, deps)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func bearer(token string) *authn.Request {
	return &authn.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
}

func inQuery(token string) *authn.Request {
	return &authn.Request{Header: http.Header{}, Query: url.Values{"access_token": {token}}}
}

// wantText checks that token is refused with text, or if it is empty accepted.
func wantText(t *testing.T, name string, a authn.Authenticator, r *authn.Request, text string) {
	t.Helper()
	got, err := a.Authenticate(t.Context(), r)
	if text == "" {
		if err != nil || len(got.Identities) != 1 {
			t.Errorf("%s: %v, %d identities", name, err, len(got.Identities))
		}
		return
	}
	f, ok := err.(*authn.Failure)
	if !ok {
		t.Errorf("%s: passes, want %q", name, text)
		return
	}
	status := http.StatusUnauthorized
	if text == "Audiences in Jwt are not allowed" {
		status = http.StatusForbidden
	}
	if f.Text != text || f.Status != status || f.Missing != (text == "Jwt is missing") {
		t.Errorf("%s: %d %q (%v), want %d %q", name, f.Status, f.Text, f.Cause, status, text)
	}
}

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}
