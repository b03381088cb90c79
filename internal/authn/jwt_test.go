package authn_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authn/authntest"
	"github.com/postern-gateway/postern/internal/ir"
)

// The tokens of two public tutorials: without exp, without kid, and one with
// line ends inside its payload.
func TestTutorialTokens(t *testing.T) {
	llms := func(vendor, model string) map[string]any { return map[string]any{vendor: []any{model}} }
	claims := func(sub, team string, llms map[string]any) map[string]any {
		return map[string]any{"iss": "solo.io", "org": "solo.io", "sub": sub, "team": team, "llms": llms}
	}
	tests := []struct {
		name string
		want map[string]any
	}{
		{"workshop", claims("solo-workshop", "data", llms("huggingface", "hugging-face-latest"))},
		{"alice", claims("alice", "dev", llms("openai", "gpt-3.5-turbo"))},
		{"bob", claims("bob", "ops", llms("mistralai", "mistral-large-latest"))},
	}
	for _, keys := range []string{"selfminted.pem", "selfminted-oneline.pem"} {
		p := ir.JWTProvider{Name: "selfminted", Issuer: "solo.io", Keys: ir.KeySource{Inline: testdata(t, keys)}}
		j := newJWT(t, authn.Deps{}, p)
		for _, tt := range tests {
			got, err := j.Authenticate(t.Context(), bearer(testdata(t, tt.name+".jwt")))
			if err != nil {
				t.Errorf("%s, %s: %v", keys, tt.name, err)
				continue
			}
			want := authn.Result{
				Identities: []authn.Identity{{
					Provider: "selfminted", Method: "jwt", Issuer: "solo.io",
					Subject: tt.want["sub"].(string), Claims: tt.want,
				}},
				Consumed: []authn.Location{{Header: "Authorization"}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", keys, tt.name, diff)
			}
		}
	}
}

func TestAlgorithms(t *testing.T) {
	tests := []struct {
		name string
		alg  jose.SignatureAlgorithm
		key  any
		keys string
	}{
		{"RS256", jose.RS256, rsaKey(), pemOf(rsaKey().Public())},
		{"RS384", jose.RS384, rsaKey(), pemOf(rsaKey().Public())},
		{"RS512", jose.RS512, rsaKey(), pemOf(rsaKey().Public())},
		{"PS256", jose.PS256, rsaKey(), pemOf(rsaKey().Public())},
		{"PS384", jose.PS384, rsaKey(), pemOf(rsaKey().Public())},
		{"PS512", jose.PS512, rsaKey(), pemOf(rsaKey().Public())},
		{"ES256", jose.ES256, ecKey(), pemOf(ecKey().Public())},
		{"EdDSA", jose.EdDSA, edKey(), pemOf(edKey().Public())},
		{"HS256 of a JWK", jose.HS256, octKey, jwkOf(octKey)},
		{"among others", jose.ES256, ecKey(), jwks(jwkOf(otherRSA().Public()), jwkOf(octKey), jwkOf(ecKey().Public()))},
		{"several PEM blocks", jose.EdDSA, edKey(), pemOf(rsaKey().Public()) + pemOf(edKey().Public())},
	}
	for _, tt := range tests {
		wantText(t, tt.name, newJWT(t, authn.Deps{}, inline(tt.keys)), bearer(signedBy(t, tt.alg, tt.key)), "")
	}
}

func TestAnswers(t *testing.T) {
	j := newJWT(t, authn.Deps{}, inline(pemOf(rsaKey().Public())))
	good := rs256("")
	h, p, s := parts(good)
	form := "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	tests := []struct {
		name, token, want string
	}{
		{"good", good, ""},
		{"empty", "", form},
		{"one section", h, form},
		{"two sections", h + "." + p, form},
		{"four sections", good + "." + s, form},
		{"empty header", "." + p + "." + s, form},
		{"empty payload", h + ".." + s, form},
		{"empty signature", h + "." + p + ".", form},
		{"too long", h + "." + p + "." + strings.Repeat("A", authn.MaxTokenBytes), form},
		{"header not base64", "!" + h + "." + p + "." + s, "Jwt header is an invalid Base64url encoded"},
		{"header not JSON", b64([]byte("{")) + "." + p + "." + s, "Jwt header is an invalid JSON"},
		{"header a list", b64([]byte("[]")) + "." + p + "." + s, "Jwt header is an invalid JSON"},
		{"header doubled alg", mint(`{"alg":"RS256","alg":"RS256"}`, `{"iss":"tester"}`, rsaKey()), "Jwt header is an invalid JSON"},
		{"no alg", mint(`{}`, `{"iss":"tester"}`, rsaKey()), "Jwt header [alg] field is required and must be a string"},
		{"alg a number", mint(`{"alg":1}`, `{"iss":"tester"}`, rsaKey()), "Jwt header [alg] field is required and must be a string"},
		{"alg unknown", mint(`{"alg":"RS1"}`, `{"iss":"tester"}`, rsaKey()), "Jwt header [alg] is not supported"},
		{"kid a number", mint(`{"alg":"RS256","kid":1}`, `{"iss":"tester"}`, rsaKey()), "Jwt header [kid] field must be a string"},
		{"payload not base64", h + ".a!." + s, "Jwt payload is an invalid Base64url encoded"},
		{"payload not JSON", mint(`{"alg":"RS256"}`, `{"iss":"tester",}`, rsaKey()), "Jwt payload is an invalid JSON"},
		{"payload not UTF-8", mint(`{"alg":"RS256"}`, "{\"iss\":\"tester\",\"a\":\"\xff\"}", rsaKey()), "Jwt payload is an invalid JSON"},
		{"payload doubled sub", rs256(`,"sub":"bob"`), "Jwt payload is an invalid JSON"},
		{"payload doubled deep", rs256(`,"a":[{"b":1,"b":2}]`), "Jwt payload is an invalid JSON"},
		{"payload doubled by escape", rs256(`,"s\u0075b":"bob"`), "Jwt payload is an invalid JSON"},
		{"payload nested", rs256(`,"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), "Jwt payload is an invalid JSON"},
		{"payload and more", mint(`{"alg":"RS256"}`, `{"iss":"tester"}{}`, rsaKey()), "Jwt payload is an invalid JSON"},
		{"iss a list", mint(`{"alg":"RS256"}`, `{"iss":["tester"]}`, rsaKey()), "Jwt payload [iss] field must be a string"},
		{"sub null", mint(`{"alg":"RS256"}`, `{"iss":"tester","sub":null}`, rsaKey()), "Jwt payload [sub] field must be a string"},
		{"jti a number", rs256(`,"jti":1`), "Jwt payload [jti] field must be a string"},
		{"exp a string", rs256(`,"exp":"9999999999"`), "Jwt payload [exp] field must be an integer"},
		{"nbf null", rs256(`,"nbf":null`), "Jwt payload [nbf] field must be an integer"},
		{"iat negative", rs256(`,"iat":-1`), "Jwt payload [iat] field must be a positive 64 bit integer"},
		{"exp out of range", rs256(`,"exp":1e400`), "Jwt payload [exp] field must be a positive 64 bit integer"},
		{"exp zero", rs256(`,"exp":0`), "Jwt is expired"},
		{"aud a number", rs256(`,"aud":1`), "Jwt payload [aud] field must be a string or string list"},
		{"aud a mixed list", rs256(`,"aud":["a",1]`), "Jwt payload [aud] field must be a string or string list"},
		{"signature not base64", h + "." + p + ".a!", "Jwt signature is an invalid Base64url encoded"},
		{"other issuer", mint(`{"alg":"RS256"}`, `{"iss":"other"}`, rsaKey()), "Jwt issuer is not configured"},
		{"no issuer", mint(`{"alg":"RS256"}`, `{}`, rsaKey()), "Jwt issuer is not configured"},
		{"other key", mint(`{"alg":"RS256"}`, `{"iss":"tester"}`, otherRSA()), "Jwt verification fails"},
		{"expired and forged", mint(`{"alg":"RS256"}`, `{"iss":"tester","exp":1}`, otherRSA()), "Jwt is expired"},
		{"other issuer and expired", mint(`{"alg":"RS256"}`, `{"iss":"x","exp":1}`, otherRSA()), "Jwt issuer is not configured"},
	}
	for _, tt := range tests {
		wantText(t, tt.name, j, bearer(tt.token), tt.want)
	}
	wantText(t, "missing", j, &authn.Request{}, "Jwt is missing")
	wantText(t, "another scheme", j, &authn.Request{Header: http.Header{"Authorization": {"Basic YTpi"}}}, "Jwt is missing")
	wantText(t, "lower-case scheme, as Envoy", j, &authn.Request{Header: http.Header{"Authorization": {"bearer " + good}}}, "Jwt is missing")
}

func parts(token string) (header, payload, signature string) {
	p := strings.SplitN(token, ".", 3)
	return p[0], p[1], p[2]
}

func TestTimes(t *testing.T) {
	const at = 1_800_000_000
	tests := []struct {
		name, claims string
		skew         time.Duration
		after        time.Duration // now, after at
		want         string
	}{
		{"before exp", `,"exp":1800000001`, 0, 999 * time.Millisecond, ""},
		{"on exp", `,"exp":1800000000`, 0, 0, "Jwt is expired"},
		{"fraction of exp is cut off", `,"exp":1800000000.9`, 0, 0, "Jwt is expired"},
		{"exp within the skew", `,"exp":1800000000`, time.Minute, 59 * time.Second, ""},
		{"exp beyond the skew", `,"exp":1800000000`, time.Minute, 60 * time.Second, "Jwt is expired"},
		{"on nbf", `,"nbf":1800000000`, 0, 0, ""},
		{"before nbf", `,"nbf":1800000001`, 0, 999 * time.Millisecond, "Jwt not yet valid"},
		{"nbf within the skew", `,"nbf":1800000060`, time.Minute, 0, ""},
		{"nbf beyond the skew", `,"nbf":1800000061`, time.Minute, 0, "Jwt not yet valid"},
		{"exp far away", `,"exp":9223372036854774000`, time.Hour, 0, ""},
		{"nbf far away", `,"nbf":9223372036854774000`, time.Hour, 0, "Jwt not yet valid"},
		{"exp as a float", `,"exp":1.800000001e9`, 0, 0, ""},
	}
	for _, tt := range tests {
		c := newClock()
		c.set(time.Unix(at, 0).Add(tt.after))
		p := inline(pemOf(rsaKey().Public()))
		p.ClockSkew = tt.skew
		j := newJWT(t, authn.Deps{Clock: c.Now}, p)
		wantText(t, tt.name, j, bearer(rs256(tt.claims)), tt.want)
	}
}

func TestAudiences(t *testing.T) {
	const no = "Audiences in Jwt are not allowed"
	tests := []struct {
		name, claims string
		want         string
	}{
		{"string", `,"aud":"a"`, ""},
		{"list", `,"aud":["x","b"]`, ""},
		{"none", ``, no},
		{"another", `,"aud":"c"`, no},
		{"empty list", `,"aud":[]`, no},
		{"case", `,"aud":"A"`, no},
		{"scheme and slash do not count", `,"aud":"https://api.example.com"`, ""},
		{"the path does", `,"aud":"https://api.example.com/x"`, no},
	}
	p := inline(pemOf(rsaKey().Public()))
	p.Audiences = []string{"a", "b", "http://api.example.com/"}
	j := newJWT(t, authn.Deps{}, p)
	for _, tt := range tests {
		wantText(t, tt.name, j, bearer(rs256(tt.claims)), tt.want)
	}
}

func TestProvidersAreAlternatives(t *testing.T) {
	mine, others := inline(pemOf(rsaKey().Public())), inline(pemOf(ecKey().Public()))
	others.Name, others.Issuer = "q", "other"
	j := newJWT(t, authn.Deps{}, mine, others)
	es := func(claims string) string { return mint(`{"alg":"ES256"}`, claims, ecKey()) }
	tests := []struct {
		name, token, want string
	}{
		{"first", rs256(""), ""},
		{"second", es(`{"iss":"other"}`), ""},
		{"neither", es(`{"iss":"third"}`), "Jwt issuer is not configured"},
		{"first, expired", rs256(`,"exp":1`), "Jwt is expired"},
		{"second, expired", es(`{"iss":"other","exp":1}`), "Jwt is expired"},
		{"the key of one, the issuer of the other", es(`{"iss":"tester"}`), "Jwt verification fails"},
	}
	for _, tt := range tests {
		wantText(t, tt.name, j, bearer(tt.token), tt.want)
	}
	anyIssuer := inline(pemOf(ecKey().Public()))
	anyIssuer.Name, anyIssuer.Issuer = "any", ""
	got, err := newJWT(t, authn.Deps{}, mine, anyIssuer).Authenticate(t.Context(), bearer(es(`{"iss":"tester"}`)))
	if err != nil || got.Identities[0].Provider != "any" {
		t.Errorf("a provider without issuer believes any: %+v, %v", got, err)
	}
}

func TestKeyChoice(t *testing.T) {
	tok := func(kid string) string { return mint(`{"alg":"RS256"`+kid+`}`, `{"iss":"tester"}`, rsaKey()) }
	const noKey, fails = "Jwks doesn't have key to match kid or alg from Jwt", "Jwt verification fails"
	pub, other := rsaKey().Public(), otherRSA().Public()
	tests := []struct {
		name, keys, token, want string
	}{
		{"kid", jwks(jwkOf(other, "kid=a"), jwkOf(pub, "kid=b")), tok(`,"kid":"b"`), ""},
		{"kid of another key", jwks(jwkOf(other, "kid=a"), jwkOf(pub, "kid=b")), tok(`,"kid":"a"`), fails},
		{"unknown kid", jwks(jwkOf(pub, "kid=b")), tok(`,"kid":"c"`), noKey},
		{"unknown kid, a key without", jwks(jwkOf(other, "kid=a"), jwkOf(pub)), tok(`,"kid":"c"`), ""},
		{"no kid tries all", jwks(jwkOf(other, "kid=a"), jwkOf(pub, "kid=b")), tok(``), ""},
		{"empty kid is none", jwks(jwkOf(pub, "kid=b")), tok(`,"kid":""`), ""},
		{"alg of the key", jwks(jwkOf(pub, "alg=RS256")), tok(``), ""},
		{"another alg of the key", jwks(jwkOf(pub, "alg=RS512")), tok(``), noKey},
		{"use enc is passed over", jwks(jwkOf(other), jwkOf(pub, "use=enc")), tok(``), fails},
	}
	for _, tt := range tests {
		wantText(t, tt.name, newJWT(t, authn.Deps{}, inline(tt.keys)), bearer(tt.token), tt.want)
	}
}

func TestPlaces(t *testing.T) {
	good, bad := rs256(""), mint(`{"alg":"RS256"}`, `{"iss":"tester"}`, otherRSA())
	hdr := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return h
	}
	own := inline(pemOf(rsaKey().Public()))
	own.Headers = []ir.TokenHeader{{Name: "x-token", Prefix: "Tok "}, {Name: "x-token"}, {Name: "x-raw"}}
	own.QueryParams = []string{"t"}
	kept := inline(pemOf(rsaKey().Public()))
	kept.KeepToken = true
	fallback := inline(pemOf(rsaKey().Public()))
	auth, query := authn.Location{Header: "Authorization"}, authn.Location{Query: "access_token"}
	const fails, missing = "Jwt verification fails", "Jwt is missing"
	tests := []struct {
		name string
		p    ir.JWTProvider
		req  authn.Request
		want string
		drop []authn.Location
	}{
		{"default header", fallback, authn.Request{Header: hdr("Authorization", "Bearer "+good)}, "", []authn.Location{auth}},
		{"default query", fallback, authn.Request{Query: url.Values{"access_token": {good}}}, "", []authn.Location{query}},
		{"both", fallback, authn.Request{Header: hdr("Authorization", "Bearer "+good), Query: url.Values{"access_token": {good}}}, "", []authn.Location{auth, query}},
		{"header good, query bad", fallback, authn.Request{Header: hdr("Authorization", "Bearer "+good), Query: url.Values{"access_token": {bad}}}, fails, nil},
		{"header bad, query good", fallback, authn.Request{Header: hdr("Authorization", "Bearer "+bad), Query: url.Values{"access_token": {good}}}, fails, nil},
		{"header twice, second bad", fallback, authn.Request{Header: hdr("Authorization", "Bearer "+good, "Authorization", "Bearer "+bad)}, fails, nil},
		{"query twice, first bad", fallback, authn.Request{Query: url.Values{"access_token": {bad, good}}}, fails, nil},
		{"query empty", fallback, authn.Request{Query: url.Values{"access_token": {""}}}, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections", nil},
		{"nine tokens", fallback, authn.Request{Query: url.Values{"access_token": {good, good, good, good, good, good, good, good, good}}}, "Found multiple Jwt tokens", nil},
		{"kept", kept, authn.Request{Header: hdr("Authorization", "Bearer "+good), Query: url.Values{"access_token": {good}}}, "", nil},
		{"own header", own, authn.Request{Header: hdr("X-Raw", good)}, "", []authn.Location{{Header: "X-Raw"}}},
		{"own prefix", own, authn.Request{Header: hdr("X-Token", "Tok  "+good)}, "", []authn.Location{{Header: "X-Token"}}},
		{"shorter prefix", own, authn.Request{Header: hdr("X-Token", good)}, "", []authn.Location{{Header: "X-Token"}}},
		{"own query", own, authn.Request{Query: url.Values{"t": {good}}}, "", []authn.Location{{Query: "t"}}},
		{"own places only", own, authn.Request{Header: hdr("Authorization", "Bearer "+good), Query: url.Values{"access_token": {good}}}, missing, nil},
	}
	for _, tt := range tests {
		j := newJWT(t, authn.Deps{}, tt.p)
		got, err := j.Authenticate(t.Context(), &tt.req)
		text := ""
		if err != nil {
			text = err.(*authn.Failure).Text
		}
		if text != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if diff := cmp.Diff(tt.drop, got.Consumed); diff != "" {
			t.Errorf("%s: consumed (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestPlacesBelongToTheirProviders(t *testing.T) {
	a, b := inline(pemOf(rsaKey().Public())), inline(pemOf(ecKey().Public()))
	a.Headers = []ir.TokenHeader{{Name: "x-a"}}
	b.Name, b.Issuer, b.Headers = "q", "other", []ir.TokenHeader{{Name: "x-b"}}
	j := newJWT(t, authn.Deps{}, a, b)
	wantText(t, "its own", j, &authn.Request{Header: http.Header{"X-A": {rs256("")}}}, "")
	wantText(t, "another's", j, &authn.Request{Header: http.Header{"X-B": {rs256("")}}}, "Jwt issuer is not configured")
	es := mint(`{"alg":"ES256"}`, `{"iss":"other","sub":"bea"}`, ecKey())
	got, err := j.Authenticate(t.Context(), &authn.Request{Header: http.Header{"X-A": {rs256("")}, "X-B": {es}}})
	if err != nil || len(got.Identities) != 2 || len(got.Consumed) != 2 {
		t.Errorf("both: %+v, %v", got, err)
	}
}

func TestPolicies(t *testing.T) {
	good, bad := rs256(""), mint(`{"alg":"RS256"}`, `{"iss":"tester"}`, otherRSA())
	two := &authn.Request{Header: bearer(good).Header, Query: url.Values{"access_token": {bad}}}
	tests := []struct {
		name   string
		policy ir.JWTPolicy
		req    *authn.Request
		want   string
		proven int
	}{
		{"required, missing", ir.JWTRequired, &authn.Request{}, "Jwt is missing", 0},
		{"allow missing, missing", ir.JWTAllowMissing, &authn.Request{}, "", 0},
		{"allow missing, bad", ir.JWTAllowMissing, bearer(bad), "Jwt verification fails", 0},
		{"allow missing, good", ir.JWTAllowMissing, bearer(good), "", 1},
		{"allow missing, good and bad", ir.JWTAllowMissing, two, "Jwt verification fails", 0},
		{"allow failed, missing", ir.JWTAllowMissingOrFailed, &authn.Request{}, "", 0},
		{"allow failed, bad", ir.JWTAllowMissingOrFailed, bearer(bad), "", 0},
		{"allow failed, good", ir.JWTAllowMissingOrFailed, bearer(good), "", 1},
		{"allow failed, good and bad", ir.JWTAllowMissingOrFailed, two, "", 1},
	}
	p := inline(pemOf(rsaKey().Public()))
	p.ClaimsToHeader = []ir.ClaimToHeader{{Claim: "sub", Header: "x-sub"}}
	for _, tt := range tests {
		j, err := authn.NewJWT(&ir.JWT{Providers: []ir.JWTProvider{p}, Missing: tt.policy}, authn.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := j.Authenticate(t.Context(), tt.req)
		text := ""
		if err != nil {
			text = err.(*authn.Failure).Text
		} else if len(got.Sanitize) != 1 || got.Sanitize[0] != "X-Sub" {
			t.Errorf("%s: sanitize %q", tt.name, got.Sanitize)
		}
		if text != tt.want || len(got.Identities) != tt.proven || len(got.Consumed) != tt.proven || len(got.Set) != tt.proven {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		if (got.Ignored != nil) != (err == nil && tt.req != nil && strings.Contains(tt.name, "bad")) {
			t.Errorf("%s: ignored %v", tt.name, got.Ignored)
		}
	}
}

func TestClaimsToHeaders(t *testing.T) {
	p := inline(pemOf(rsaKey().Public()))
	p.ClaimsToHeader = []ir.ClaimToHeader{
		{Claim: "sub", Header: "x-sub"},
		{Claim: "a.b", Header: "x-flat"},
		{Claim: "a.b", Delimiter: ".", Header: "x-nested"},
		{Claim: "n", Header: "x-number"},
		{Claim: "t", Header: "x-bool"},
		{Claim: "list", Header: "x-list"},
		{Claim: "gone", Header: "x-gone"},
		{Claim: "null", Header: "x-null"},
		{Claim: "sub", Header: "x-also", Append: true},
	}
	j := newJWT(t, authn.Deps{}, p)
	got, err := j.Authenticate(t.Context(), bearer(rs256(`,"a.b":"flat","a":{"b":"deep"},"n":12345678901234567890,"t":true,"list":["x"],"null":null`)))
	if err != nil {
		t.Fatal(err)
	}
	want := []authn.HeaderSet{
		{Name: "X-Sub", Value: "ann"}, {Name: "X-Flat", Value: "flat"}, {Name: "X-Nested", Value: "deep"},
		{Name: "X-Number", Value: "12345678901234567890"}, {Name: "X-Bool", Value: "true"},
		{Name: "X-List", Value: "WyJ4Il0="}, {Name: "X-Also", Value: "ann", Append: true},
	}
	if diff := cmp.Diff(want, got.Set); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	sanitize := []string{"X-Also", "X-Bool", "X-Flat", "X-Gone", "X-List", "X-Nested", "X-Null", "X-Number", "X-Sub"}
	if diff := cmp.Diff(sanitize, j.SanitizeHeaders()); diff != "" {
		t.Errorf("sanitize (-want +got):\n%s", diff)
	}
	if _, ok := got.Identities[0].Claims["n"].(json.Number); !ok {
		t.Errorf("number is %T", got.Identities[0].Claims["n"])
	}
}

func TestSecurityRow24ClaimsAreNoHeaderLines(t *testing.T) {
	p := inline(pemOf(rsaKey().Public()))
	p.ClaimsToHeader = []ir.ClaimToHeader{{Claim: "name", Header: "x-name"}}
	j := newJWT(t, authn.Deps{Cache: authn.NewTokenCache(16)}, p)
	for _, value := range []string{`a\r\nx-admin: yes`, `a\nb`, `a\rb`, `a\u0000b`, `a\u007fb`, `\u0001`} {
		for range 2 {
			wantText(t, value, j, bearer(rs256(`,"name":"`+value+`"`)), "Jwt verification fails")
		}
	}
	wantText(t, "letters", j, bearer(rs256(`,"name":"Zoë\ttab"`)), "")
}

func TestNewJWTRefuses(t *testing.T) {
	good := pemOf(rsaKey().Public())
	edit := func(f func(p *ir.JWTProvider)) []ir.JWTProvider {
		p := inline(good)
		f(&p)
		return []ir.JWTProvider{p}
	}
	tests := []struct {
		name      string
		providers []ir.JWTProvider
		want      string
	}{
		{"no providers", nil, "no providers"},
		{"no name", edit(func(p *ir.JWTProvider) { p.Name = "" }), `provider "": name`},
		{"names twice", []ir.JWTProvider{inline(good), inline(good)}, `provider "p": name: is taken`},
		{"no keys", edit(func(p *ir.JWTProvider) { p.Keys.Inline = " " }), `provider "p": keys: no usable key`},
		{"bad PEM", edit(func(p *ir.JWTProvider) { p.Keys.Inline = good[:60] }), `provider "p": keys: PEM`},
		{"both", edit(func(p *ir.JWTProvider) { p.Keys.Remote = &ir.RemoteKeys{} }), "keys: both"},
		{"nobody fetches", edit(func(p *ir.JWTProvider) { p.Keys = ir.KeySource{Remote: &ir.RemoteKeys{}} }), "nobody to fetch"},
		{"skew", edit(func(p *ir.JWTProvider) { p.ClockSkew = -1 }), "clockSkew"},
		{"header name", edit(func(p *ir.JWTProvider) { p.Headers = []ir.TokenHeader{{Name: "a b"}} }), "headers[0]"},
		{"query name", edit(func(p *ir.JWTProvider) { p.QueryParams = []string{""} }), "queryParams[0]"},
		{"claim header", edit(func(p *ir.JWTProvider) { p.ClaimsToHeader = []ir.ClaimToHeader{{Claim: "a", Header: "x:y"}} }), "claimsToHeaders[0]"},
	}
	for _, tt := range tests {
		_, err := authn.NewJWT(&ir.JWT{Providers: tt.providers}, authn.Deps{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := authn.NewJWT(&ir.JWT{Providers: edit(func(*ir.JWTProvider) {}), Missing: "whatever"}, authn.Deps{}); err == nil {
		t.Error("an unknown policy is taken")
	}
}

// TestSuite runs the family suite; its bad tokens are made systematically.
func TestSuite(t *testing.T) {
	p := inline(pemOf(rsaKey().Public()))
	p.Audiences = []string{"api"}
	p.ClaimsToHeader = []ir.ClaimToHeader{{Claim: "sub", Header: "x-sub"}, {Claim: "org", Header: "x-org"}}
	cache := authn.NewTokenCache(64)
	good := rs256(`,"aud":"api"`)
	m := authntest.Member{
		New:         func(t *testing.T) authn.Authenticator { return newJWT(t, authn.Deps{Cache: cache}, p) },
		Good:        []authntest.Sample{{Name: "header", Request: bearer(good), Subject: "ann"}, {Name: "query", Request: inQuery(good), Subject: "ann"}},
		Sanitize:    []string{"X-Org", "X-Sub"},
		MissingText: "Jwt is missing",
	}
	for i, token := range badTokens(good) {
		_, _, sig := parts(token + "..")
		s := authntest.Sample{Name: fmt.Sprintf("bad %d", i), Request: bearer(token)}
		if len(sig) > 8 {
			s.Secrets = []string{strings.Trim(sig, ".")}
		}
		m.Bad = append(m.Bad, s)
	}
	authntest.Run(t, m)
}

// badTokens cuts, flips and stretches a good token at regular steps.
func badTokens(good string) []string {
	var bad []string
	h, p, s := parts(good)
	for i := range 40 {
		at := i * len(good) / 40
		bad = append(bad, good[:at])
		c := byte('A')
		if good[at] == 'A' {
			c = 'B'
		}
		bad = append(bad, good[:at]+string(c)+good[at+1:], good[:at]+good[at+1:], good[:at]+"\n"+good[at:])
	}
	return append(bad,
		h+"."+p+"."+s+"=", h+"."+p+"."+s+"A", h+"."+p+"."+s+".", "Bearer "+good, good+","+good, good+" "+good,
		strings.ToUpper(good), h+"."+h+"."+s, p+"."+h+"."+s, strings.Repeat("a.", 9000),
		rs256(""), rs256(`,"aud":"other"`), rs256(`,"aud":"api","exp":1`), rs256(`,"aud":"api","nbf":99999999999`))
}
