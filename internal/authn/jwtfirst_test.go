package authn_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// firsts returns an authenticator of two issuers, as mesh policies have them.
func firsts(t testing.TB, policy ir.JWTPolicy, change func(a, b *ir.JWTProvider)) *authn.JWT {
	t.Helper()
	a := ir.JWTProvider{Name: "a", Issuer: "tester", Keys: ir.KeySource{Inline: pemOf(rsaKey().Public())}}
	b := ir.JWTProvider{Name: "b", Issuer: "other", Keys: ir.KeySource{Inline: pemOf(ecKey().Public())}}
	if change != nil {
		change(&a, &b)
	}
	j, err := authn.NewJWT(&ir.JWT{Providers: []ir.JWTProvider{a, b}, Combine: ir.JWTFirst, Missing: policy, SkipPreflight: true}, authn.Deps{
		Clock: newClock().Now, Cache: authn.NewTokenCache(64),
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func es256(claims string) string {
	return mint(`{"alg":"ES256"}`, `{"iss":"other","sub":"ben"`+claims+`}`, ecKey())
}

func TestJWTFirst(t *testing.T) {
	good, other := rs256(""), es256("")
	expired, forged := rs256(`,"exp":1`), mint(`{"alg":"RS256"}`, `{"iss":"tester","sub":"eve"}`, otherRSA())
	places := func(a, b *ir.JWTProvider) {
		a.Headers = []ir.TokenHeader{{Name: "X-A"}}
		b.Headers, b.Cookies, b.QueryParams = []ir.TokenHeader{{Name: "X-B", Prefix: "T "}}, []string{"tok"}, []string{"q"}
	}
	for _, tc := range []struct {
		name    string
		change  func(a, b *ir.JWTProvider)
		header  http.Header
		query   url.Values
		subject string // or
		text    string
		dropped []authn.Location
	}{
		{name: "none"},
		{name: "the first", header: http.Header{"Authorization": {"Bearer " + good}}, subject: "ann", dropped: []authn.Location{{Header: "Authorization"}}},
		{name: "the second", header: http.Header{"Authorization": {"Bearer " + other}}, subject: "ben", dropped: []authn.Location{{Header: "Authorization"}}},
		{name: "kept", change: func(a, _ *ir.JWTProvider) { a.KeepToken = true }, header: http.Header{"Authorization": {"Bearer " + good}}, subject: "ann"},
		{name: "two places of one provider", header: http.Header{"Authorization": {"Bearer " + good}}, query: url.Values{"access_token": {good}}, subject: "ann", dropped: []authn.Location{{Header: "Authorization"}, {Query: "access_token"}}},
		{name: "two places, one bad", header: http.Header{"Authorization": {"Bearer " + good}}, query: url.Values{"access_token": {expired}}, text: "Jwt is expired"},
		{name: "two places of two issuers", header: http.Header{"Authorization": {"Bearer " + good}}, query: url.Values{"access_token": {other}}, text: "Jwt issuer is not configured"},
		{name: "forged", header: http.Header{"Authorization": {"Bearer " + forged}}, text: "Jwt verification fails"},
		{name: "foreign", header: http.Header{"Authorization": {"Bearer " + mint(`{"alg":"RS256"}`, `{"iss":"x"}`, rsaKey())}}, text: "Jwt issuer is not configured"},
		{name: "malformed", header: http.Header{"Authorization": {"Bearer x"}}, text: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
		{name: "one of two places suffices", change: places, header: http.Header{"X-A": {expired}, "X-B": {"T " + other}}, subject: "ben", dropped: []authn.Location{{Header: "X-B"}}},
		{name: "the first provider wins", change: places, header: http.Header{"X-A": {good}, "X-B": {"T " + other}}, subject: "ann", dropped: []authn.Location{{Header: "X-A"}}},
		{name: "neither", change: places, header: http.Header{"X-A": {expired}, "X-B": {"T x"}}, text: "Jwt is expired"},
		{name: "a cookie", change: places, header: http.Header{"Cookie": {"a=b", "c=d; tok=\"" + other + "\""}}, subject: "ben", dropped: []authn.Location{{Cookie: "tok"}}},
		{name: "two cookies, one bad", change: places, header: http.Header{"Cookie": {"tok=" + other + "; tok=x"}}, text: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
		{name: "a parameter", change: places, query: url.Values{"q": {other}}, subject: "ben", dropped: []authn.Location{{Query: "q"}}},
		{name: "no place", change: places, header: http.Header{"Authorization": {"Bearer " + expired}, "X-B": {"t x"}, "Cookie": {"token=x"}}},
	} {
		j := firsts(t, ir.JWTAllowMissing, tc.change)
		for range 2 { // the second is answered from memory
			got, err := j.Authenticate(t.Context(), &authn.Request{Header: tc.header, Query: tc.query})
			if tc.text != "" {
				wantText(t, tc.name, j, &authn.Request{Header: tc.header, Query: tc.query}, tc.text)
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
				continue
			}
			subject := ""
			if len(got.Identities) > 0 {
				subject = got.Identities[0].Subject
			}
			if subject != tc.subject || cmp.Diff(got.Consumed, tc.dropped) != "" {
				t.Errorf("%s: %q, drops %v", tc.name, subject, got.Consumed)
			}
		}
	}
}

// Row04: what is required is required, also beside a preflight that is none.
func TestSecurityRow04JWTFirstRequired(t *testing.T) {
	j := firsts(t, ir.JWTRequired, nil)
	wantText(t, "none", j, &authn.Request{Header: http.Header{}}, "Jwt is missing")
	preflight := &authn.Request{Method: "OPTIONS", Header: http.Header{"Origin": {"https://a"}, "Access-Control-Request-Method": {"POST"}}}
	if got, err := j.Authenticate(t.Context(), preflight); err != nil || len(got.Identities) != 0 {
		t.Errorf("preflight: %v %v", got, err)
	}
	for _, r := range []*authn.Request{
		{Method: "POST", Header: preflight.Header}, {Method: "OPTIONS", Header: http.Header{"Origin": {"https://a"}}},
		{Method: "OPTIONS", Header: http.Header{"Access-Control-Request-Method": {"POST"}}},
	} {
		wantText(t, "no preflight", j, r, "Jwt is missing")
	}
}

// Row01: the payload's header is the gateway's alone.
func TestSecurityRow01PayloadHeader(t *testing.T) {
	j := firsts(t, ir.JWTAllowMissing, func(a, _ *ir.JWTProvider) {
		a.PayloadHeader = "x-payload"
		a.SpaceDelimited = []string{"scope", "list", "no"}
		a.ClaimsToHeader = []ir.ClaimToHeader{{Claim: "scope", Header: "X-Scope"}}
	})
	token := rs256(`,"scope":"a  b ","list":["c d"]`)
	for _, r := range []*authn.Request{bearer(token), {}, {Header: http.Header{"X-Payload": {"forged"}}}} {
		got, err := j.Authenticate(t.Context(), r)
		if err != nil || cmp.Diff(got.Sanitize, []string{"X-Payload", "X-Scope"}) != "" {
			t.Errorf("%v: sanitizes %q", err, got.Sanitize)
		}
	}
	got, err := j.Authenticate(t.Context(), bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	want := []authn.HeaderSet{{Name: "X-Scope", Value: "a  b "}, {Name: "X-Payload", Value: strings.Split(token, ".")[1]}}
	if d := cmp.Diff(want, got.Set); d != "" {
		t.Error(d)
	}
	claims := got.Identities[0].Claims
	if d := cmp.Diff(map[string]any{"iss": "tester", "sub": "ann", "scope": []any{"a", "b"}, "list": []any{"c d"}}, claims); d != "" {
		t.Error(d)
	}
}

func TestJWTFirstRefusesConfiguration(t *testing.T) {
	for name, cfg := range map[string]ir.JWT{
		"payload header": {Providers: []ir.JWTProvider{{Name: "a", Keys: ir.KeySource{Inline: pemOf(rsaKey().Public())}, PayloadHeader: "a b"}}},
		"cookie":         {Providers: []ir.JWTProvider{{Name: "a", Keys: ir.KeySource{Inline: pemOf(rsaKey().Public())}, Cookies: []string{""}}}},
		"combination":    {Combine: "some", Providers: []ir.JWTProvider{{Name: "a", Keys: ir.KeySource{Inline: pemOf(rsaKey().Public())}}}},
	} {
		if _, err := authn.NewJWT(&cfg, authn.Deps{}); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}

// discovery answers by path.
type discovery map[string]string

func (d discovery) Do(r *http.Request) (*http.Response, error) {
	body, ok := d[r.URL.String()]
	res := &http.Response{StatusCode: 200, Body: http.NoBody}
	if !ok {
		res.StatusCode = 404
	}
	res.Body = readCloser{strings.NewReader(body)}
	return res, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestDiscoveredKeys(t *testing.T) {
	set := jwks(jwkOf(rsaKey().Public(), "kid=a"))
	for _, tc := range []struct {
		name, issuer string
		d            discovery
		err          string // "" finds the keys
	}{
		{"found", "https://idp.test", discovery{"https://idp.test/.well-known/openid-configuration": `{"jwks_uri":"https://keys.test/jwks"}`, "https://keys.test/jwks": set}, ""},
		{"slash", "https://idp.test/", discovery{"https://idp.test/.well-known/openid-configuration": `{"jwks_uri":"https://keys.test/jwks"}`, "https://keys.test/jwks": set}, ""},
		{"path", "https://idp.test/realm/a", discovery{"https://idp.test/realm/a/.well-known/openid-configuration": `{"jwks_uri":"https://keys.test/jwks"}`, "https://keys.test/jwks": set}, ""},
		{"no document", "https://idp.test", discovery{}, "discovery: answered 404"},
		{"no JSON", "https://idp.test", discovery{"https://idp.test/.well-known/openid-configuration": `x`}, "discovery: not an OpenID configuration"},
		{"no keys named", "https://idp.test", discovery{"https://idp.test/.well-known/openid-configuration": `{}`}, "discovery: its jwks_uri is not an http or https URL"},
		{"leaves TLS", "https://idp.test", discovery{"https://idp.test/.well-known/openid-configuration": `{"jwks_uri":"http://keys.test/jwks"}`, "http://keys.test/jwks": set}, "discovery: its jwks_uri leaves https"},
		{"a file", "http://idp.test", discovery{"http://idp.test/.well-known/openid-configuration": `{"jwks_uri":"file:///etc/passwd"}`}, "discovery: its jwks_uri is not an http or https URL"},
		{"keys not there", "https://idp.test", discovery{"https://idp.test/.well-known/openid-configuration": `{"jwks_uri":"https://keys.test/jwks"}`}, "answered 404"},
	} {
		r, err := authn.NewRemoteKeys(ir.RemoteKeys{URL: tc.issuer, Discover: true, Timeout: 5 * time.Second}, tc.d, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Get(t.Context())
		r.Close()
		switch {
		case tc.err == "" && (err != nil || got.Len() != 1):
			t.Errorf("%s: %v", tc.name, err)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: %v, want %s", tc.name, err, tc.err)
		}
	}
}
