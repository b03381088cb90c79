package authn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// MaxTokenBytes bounds a whole token; larger ones are refused unread. It is
// twice the header limit of most servers, and what is decoded costs memory
// before anything is proven.
const MaxTokenBytes = 16 << 10

// The answers of Envoy's jwt_authn filter, which clients and dashboards know.
const (
	textMissing    = "Jwt is missing"
	textExpired    = "Jwt is expired"
	textNotYet     = "Jwt not yet valid"
	textIssuer     = "Jwt issuer is not configured"
	textAudience   = "Audiences in Jwt are not allowed"
	textFails      = "Jwt verification fails"
	textNoKey      = "Jwks doesn't have key to match kid or alg from Jwt"
	textFetch      = "Jwks remote fetch is failed"
	textForm       = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	textMultiple   = "Found multiple Jwt tokens"
	textAlgField   = "Jwt header [alg] field is required and must be a string"
	textAlg        = "Jwt header [alg] is not supported"
	textKid        = "Jwt header [kid] field must be a string"
	suffixBase64   = " is an invalid Base64url encoded"
	suffixJSON     = " is an invalid JSON"
	suffixString   = " field must be a string"
	suffixInteger  = " field must be an integer"
	suffixPositive = " field must be a positive 64 bit integer"
	suffixAudience = " field must be a string or string list"
)

// supportedAlgs are the signature algorithms (RFC 7518 section 3.1, RFC 8037)
// of which a key may allow some. "none" is no algorithm.
var supportedAlgs = map[string]jose.SignatureAlgorithm{
	"RS256": jose.RS256, "RS384": jose.RS384, "RS512": jose.RS512,
	"PS256": jose.PS256, "PS384": jose.PS384, "PS512": jose.PS512,
	"ES256": jose.ES256, "ES384": jose.ES384, "ES512": jose.ES512,
	"HS256": jose.HS256, "HS384": jose.HS384, "HS512": jose.HS512,
	"EdDSA": jose.EdDSA,
}

// token is a token that was taken apart, and of which nothing is proven.
type token struct {
	raw      string
	payload  string // the section, in base64url
	alg      jose.SignatureAlgorithm
	kid      string
	claims   map[string]any
	issuer   string
	subject  string
	audience []string
	// expires and notBefore are in seconds since 1970; without an exp claim
	// expires is never.
	expires, notBefore int64
	// given says that the claims were put in, and that there is no signature.
	given bool
}

const never = math.MaxInt64

// refuse makes the Failure of a credential that is there and does not hold.
func refuse(text string, cause error) *Failure {
	f := &Failure{Status: http.StatusUnauthorized, Text: text, Cause: cause}
	if text == textAudience {
		f.Status = http.StatusForbidden
	}
	return f
}

// parseToken takes a compact JWS (RFC 7515 section 7.1) apart. What it
// refuses, it refuses whichever provider the token is meant for.
func parseToken(raw string) (*token, *Failure) {
	if len(raw) > MaxTokenBytes {
		return nil, refuse(textForm, fmt.Errorf("token of %d bytes exceeds %d", len(raw), MaxTokenBytes))
	}
	header, rest, ok1 := strings.Cut(raw, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || header == "" || payload == "" || signature == "" || strings.Contains(signature, ".") {
		return nil, refuse(textForm, nil)
	}
	t := &token{raw: raw, payload: payload, expires: never}
	h, f := decodeSection("Jwt header", header)
	if f != nil {
		return nil, f
	}
	if f := t.readHeader(h); f != nil {
		return nil, f
	}
	if t.claims, f = decodeSection("Jwt payload", payload); f != nil {
		return nil, f
	}
	if f := t.readClaims(); f != nil {
		return nil, f
	}
	if _, err := decodeBase64(signature); err != nil {
		return nil, refuse("Jwt signature"+suffixBase64, nil)
	}
	return t, nil
}

func decodeSection(what, section string) (map[string]any, *Failure) {
	b, err := decodeBase64(section)
	if err != nil {
		return nil, refuse(what+suffixBase64, nil)
	}
	m, err := decodeObject(b)
	if err != nil {
		return nil, refuse(what+suffixJSON, err)
	}
	return m, nil
}

var strictBase64 = base64.RawURLEncoding.Strict()

var errBase64 = errors.New("not canonical base64url without padding")

// decodeBase64 accepts the one encoding that a sequence of bytes has (RFC 7515
// section 2): no padding, no bits after the last byte, and no line ends, which
// encoding/base64 would pass over.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errBase64
	}
	b, err := strictBase64.DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// readHeader takes what is believed of a header: alg, which a key must allow,
// and kid, which chooses among known keys. Keys or addresses of keys in it
// (jwk, jku, x5u, x5c) are not looked at.
func (t *token) readHeader(h map[string]any) *Failure {
	name, ok := h["alg"].(string)
	if !ok {
		return refuse(textAlgField, nil)
	}
	if t.alg, ok = supportedAlgs[name]; !ok {
		return refuse(textAlg, fmt.Errorf("alg is %s", quote(name)))
	}
	if t.kid, ok = optionalString(h, "kid"); !ok {
		return refuse(textKid, nil)
	}
	// Nothing critical is understood here (RFC 7515 section 4.1.11), and b64
	// (RFC 7797) would change what is signed.
	for _, name := range []string{"crit", "b64"} {
		if _, there := h[name]; there {
			return refuse(textFails, fmt.Errorf("header %s is not supported", name))
		}
	}
	return nil
}

// readClaims checks the registered claims' types (RFC 7519 section 4.1).
func (t *token) readClaims() *Failure {
	var ok bool
	for _, c := range []struct {
		name string
		to   *string
	}{{"iss", &t.issuer}, {"sub", &t.subject}, {"jti", new(string)}} {
		if *c.to, ok = optionalString(t.claims, c.name); !ok {
			return refuse(claimField(c.name)+suffixString, nil)
		}
	}
	for _, c := range []struct {
		name string
		to   *int64
	}{{"iat", new(int64)}, {"nbf", &t.notBefore}, {"exp", &t.expires}} {
		if f := readDate(t.claims, c.name, c.to); f != nil {
			return f
		}
	}
	if t.audience, ok = readAudience(t.claims["aud"]); !ok {
		return refuse(claimField("aud")+suffixAudience, nil)
	}
	return nil
}

func claimField(name string) string { return "Jwt payload [" + name + "]" }

func optionalString(m map[string]any, name string) (string, bool) {
	v, there := m[name]
	if !there {
		return "", true
	}
	s, ok := v.(string)
	return s, ok
}

// maxDate is far beyond any date, and far from where adding a skew overflows.
const maxDate = 1 << 52

// readDate reads a NumericDate, whose fraction is cut off, as Envoy does.
func readDate(claims map[string]any, name string, to *int64) *Failure {
	v, there := claims[name]
	if !there {
		return nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return refuse(claimField(name)+suffixInteger, nil)
	}
	f, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || f < 0 || f >= math.MaxInt64 {
		return refuse(claimField(name)+suffixPositive, nil)
	}
	*to = int64(min(f, maxDate))
	return nil
}

func readAudience(v any) ([]string, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case []any:
		list := make([]string, len(v))
		for i := range v {
			s, ok := v[i].(string)
			if !ok {
				return nil, false
			}
			list[i] = s
		}
		return list, true
	}
	return nil, false
}

// quote prints an unproven string so that it can neither forge a log line nor
// flood it.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
