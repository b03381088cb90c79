package authn_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
)

// TestSecurityRow06Forgeries tries the classical ways to have a token believed
// that the issuer never made.
func TestSecurityRow06Forgeries(t *testing.T) {
	var calls atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		fmt.Fprint(w, jwks(jwkOf(otherRSA().Public())))
	}))
	defer trap.Close()

	pub := rsaKey().Public()
	keys := jwks(jwkOf(pub, "kid=k"), jwkOf(ecKey().Public(), "kid=e"))
	j := newJWT(t, authn.Deps{}, inline(keys))
	const claims = `{"iss":"tester","sub":"mallory"}`
	const fails = "Jwt verification fails"
	notSupported := "Jwt header [alg] is not supported"
	h, p, s := parts(rs256(""))
	attacker := jwkOf(otherRSA().Public(), "kid=k")
	cert := b64([]byte("not a certificate"))

	tests := []struct {
		name, token, want string
	}{
		{"the untouched token", h + "." + p + "." + s, ""},
		{"alg none, no signature", mint(`{"alg":"none"}`, claims, nil), "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
		{"alg none, the old signature", b64([]byte(`{"alg":"none"}`)) + "." + p + "." + s, notSupported},
		{"alg None", b64([]byte(`{"alg":"None"}`)) + "." + p + "." + s, notSupported},
		{"alg NONE", b64([]byte(`{"alg":"NONE"}`)) + "." + p + "." + s, notSupported},
		{"alg nOnE", b64([]byte(`{"alg":"nOnE"}`)) + "." + p + "." + s, notSupported},
		{"alg empty", b64([]byte(`{"alg":""}`)) + "." + p + "." + s, notSupported},
		{"alg rs256 in small letters", mint(`{"alg":"rs256"}`, claims, rsaKey()), notSupported},
		{"ALG beside alg", mint(`{"ALG":"RS256","alg":"none"}`, claims, rsaKey()), notSupported},
		{"HS256 with the PEM", mint(`{"alg":"HS256","kid":"k"}`, claims, []byte(pemOf(pub))), fails},
		{"HS256 with the trimmed PEM", mint(`{"alg":"HS256"}`, claims, []byte(strings.TrimSpace(pemOf(pub)))), fails},
		{"HS256 with the DER", mint(`{"alg":"HS256"}`, claims, must(x509.MarshalPKIXPublicKey(pub))), fails},
		{"HS256 with the JWKS", mint(`{"alg":"HS256"}`, claims, []byte(keys)), fails},
		{"HS256 with nothing", mint(`{"alg":"HS256"}`, claims, []byte{}), fails},
		{"embedded jwk", mint(`{"alg":"RS256","kid":"k","jwk":`+attacker+`}`, claims, otherRSA()), fails},
		{"jku", mint(`{"alg":"RS256","kid":"k","jku":"`+trap.URL+`"}`, claims, otherRSA()), fails},
		{"x5u", mint(`{"alg":"RS256","kid":"k","x5u":"`+trap.URL+`"}`, claims, otherRSA()), fails},
		{"x5c", mint(`{"alg":"RS256","kid":"k","x5c":["`+cert+`"]}`, claims, otherRSA()), fails},
		{"kid as a path", mint(`{"alg":"RS256","kid":"../../dev/null"}`, claims, otherRSA()), "Jwks doesn't have key to match kid or alg from Jwt"},
		{"crit", mint(`{"alg":"RS256","crit":["exp"],"exp":1}`, claims, rsaKey()), fails},
		{"crit empty", mint(`{"alg":"RS256","crit":[]}`, claims, rsaKey()), fails},
		{"b64 false", mint(`{"alg":"RS256","b64":false,"crit":["b64"]}`, claims, rsaKey()), fails},
		{"b64 false without crit", mint(`{"alg":"RS256","b64":false}`, claims, rsaKey()), fails},
		{"ES256 with an RSA key", mint(`{"alg":"ES256","kid":"k"}`, claims, ecKey()), fails},
		{"RS256 with an EC key", mint(`{"alg":"RS256","kid":"e"}`, claims, rsaKey()), fails},
		{"ES256, r and s zero", b64([]byte(`{"alg":"ES256"}`)) + "." + p + "." + b64(make([]byte, 64)), fails},
		{"signature one byte short", h + "." + p + "." + b64(unb64(s)[:255]), fails},
		{"signature one byte more", h + "." + p + "." + b64(append(unb64(s), 0)), fails},
		{"signature of zeros", h + "." + p + "." + b64(make([]byte, 256)), fails},
		{"trailing bits", h + "." + p + "." + s[:len(s)-1] + trailing(s), "Jwt signature is an invalid Base64url encoded"},
		{"padding", h + "." + p + "." + s + "==", "Jwt signature is an invalid Base64url encoded"},
		{"newline inside", h + "." + p + "." + s[:9] + "\n" + s[9:], "Jwt signature is an invalid Base64url encoded"},
		{"carriage return at the end", h + "." + p + "." + s + "\r", "Jwt signature is an invalid Base64url encoded"},
		{"space inside", h + "." + p[:4] + " " + p[4:] + "." + s, "Jwt payload is an invalid Base64url encoded"},
		{"standard alphabet", h + "." + p + "." + strings.NewReplacer("-", "+", "_", "/").Replace(s), "Jwt signature is an invalid Base64url encoded"},
		{"doubled alg", mint(`{"alg":"none","alg":"RS256"}`, claims, rsaKey()), "Jwt header is an invalid JSON"},
		{"doubled iss", mint(`{"alg":"RS256"}`, `{"iss":"other","iss":"tester"}`, rsaKey()), "Jwt payload is an invalid JSON"},
		{"another payload", h + "." + b64([]byte(claims)) + "." + s, fails},
		{"JSON serialisation", `{"payload":"` + p + `","protected":"` + h + `","signature":"` + s + `"}`, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
	}
	for _, tt := range tests {
		if tt.name == "standard alphabet" && !strings.ContainsAny(s, "-_") {
			continue
		}
		r := inQuery(tt.token) // a query can hold every byte
		wantText(t, tt.name, j, r, tt.want)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the address in a token was asked %d times", n)
	}
}

func unb64(s string) []byte { return must(base64.RawURLEncoding.DecodeString(s)) }

// trailing returns the last letter of a signature with one bit set that
// belongs to no byte.
func trailing(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
}

// A header may name keys that nobody looks at; the token holds all the same.
func TestKeysInHeadersAreIgnored(t *testing.T) {
	j := newJWT(t, authn.Deps{}, inline(pemOf(rsaKey().Public())))
	for _, member := range []string{
		`"jku":"http://127.0.0.1:1/"`, `"x5u":"http://127.0.0.1:1/"`, `"jwk":` + jwkOf(otherRSA().Public()), `"typ":"at+jwt"`, `"kid":"unknown"`,
	} {
		wantText(t, member, j, bearer(mint(`{"alg":"RS256",`+member+`}`, `{"iss":"tester"}`, rsaKey())), "")
	}
}

// TestSecurityRow06KeyUse has keys that must not verify although they could.
func TestSecurityRow06KeyUse(t *testing.T) {
	token := mint(`{"alg":"RS256"}`, `{"iss":"tester"}`, rsaKey())
	edit := func(name string, value any) string {
		var m map[string]any
		must(0, json.Unmarshal([]byte(jwkOf(rsaKey().Public())), &m))
		m[name] = value
		return string(must(json.Marshal(m)))
	}
	tests := []struct {
		name, key string
		ok        bool
	}{
		{"use sig", edit("use", "sig"), true},
		{"use enc", edit("use", "enc"), false},
		{"use a number", edit("use", 1), false},
		{"verify", edit("key_ops", []string{"verify"}), true},
		{"sign and verify", edit("key_ops", []string{"sign", "verify"}), true},
		{"sign", edit("key_ops", []string{"sign"}), false},
		{"no operation", edit("key_ops", []string{}), false},
		{"operations no list", edit("key_ops", "verify"), false},
		{"alg of encryption", edit("alg", "RSA-OAEP"), false},
		{"alg of an HMAC", edit("alg", "HS256"), false},
		{"alg none", edit("alg", "none"), false},
	}
	for _, tt := range tests {
		want := ""
		if !tt.ok {
			want = "Jwks doesn't have key to match kid or alg from Jwt"
		}
		keys := jwks(jwkOf(ecKey().Public(), "alg=ES256"), tt.key)
		wantText(t, tt.name, newJWT(t, authn.Deps{}, inline(keys)), bearer(token), want)
	}
}

// An oct key and an RSA key in one set stay what they are.
func TestSecurityRow06SharedAndPublicKeys(t *testing.T) {
	j := newJWT(t, authn.Deps{}, inline(jwks(jwkOf(rsaKey().Public()), jwkOf(octKey))))
	der := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	sum := sha256.Sum256(der)
	wantText(t, "the shared key", j, bearer(mint(`{"alg":"HS256"}`, `{"iss":"tester"}`, octKey)), "")
	wantText(t, "the public key as a shared one", j, bearer(mint(`{"alg":"HS256"}`, `{"iss":"tester"}`, der)), "Jwt verification fails")
	wantText(t, "its hash", j, bearer(mint(`{"alg":"HS256"}`, `{"iss":"tester"}`, sum[:])), "Jwt verification fails")
}

// No error of a refused token holds its signature or its payload.
func TestSecurityRow08NoTokenInErrors(t *testing.T) {
	j := newJWT(t, authn.Deps{}, inline(pemOf(otherRSA().Public())))
	for _, token := range []string{rs256(`,"m":"MARKER-hunter2"`), rs256(`,"m":"MARKER-hunter2","exp":1`), rs256(`,"m":"MARKER-hunter2","m":1`)} {
		_, p, s := parts(token)
		_, err := j.Authenticate(t.Context(), bearer(token))
		if err == nil {
			t.Fatal("passes")
		}
		for _, part := range []string{p[:20], s[:20], "MARKER"} {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), part) {
				t.Errorf("%v holds %q", err, part)
			}
		}
	}
}
