package authn_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authn/authntest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// oauthServer answers introspections: what a token says, or nothing for those that it
// does not know.
type oauthServer struct {
	*httptest.Server
	mu     sync.Mutex
	tokens map[string]string
	asked  atomic.Int64
	last   *http.Request
	form   string
	status int
	hold   chan struct{}
	// reached gets a value for the first question.
	reached chan struct{}
}

func newOAuthServer(t testing.TB, tokens map[string]string) *oauthServer {
	p := &oauthServer{tokens: tokens, reached: make(chan struct{}, 1)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.last, p.form = r, string(body)
		status, hold := p.status, p.hold
		answer, ok := p.tokens[formValue(body, "token")]
		p.mu.Unlock()
		if hold != nil {
			select {
			case p.reached <- struct{}{}:
			default:
			}
			<-hold
		}
		if !ok {
			answer = `{"active":false}`
		}
		if status != 0 {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(p.Close)
	return p
}

func formValue(body []byte, name string) string {
	r, _ := http.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.PostFormValue(name)
}

func (p *oauthServer) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

var clientRef = secret.Ref{Kind: "Secret", Namespace: "ns", Name: "oauth", Key: "client-secret"}

func newToken(t testing.TB, p *oauthServer, cfg ir.AccessToken, deps authn.Deps) *authn.AccessToken {
	t.Helper()
	if cfg.Keys == nil && cfg.Introspection == nil {
		cfg.Introspection = &ir.Introspection{URL: p.URL + "/introspect", ClientID: "gate:way", ClientSecret: clientRef}
	}
	if deps.Store == nil {
		deps.Store = secret.NewStore()
		deps.Store.Put(map[secret.Ref]secret.Value{clientRef: secret.NewValue([]byte("s&cret"))})
	}
	if p != nil && deps.Client == nil {
		deps.Client = p.Client()
	}
	a, err := authn.NewAccessToken("oauth", &cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func badBearers(good string) []authntest.Sample {
	var out []authntest.Sample
	add := func(name, value string, secrets ...string) {
		out = append(out, authntest.Sample{Name: name, Request: &authn.Request{Header: http.Header{"Authorization": {value}}}, Secrets: secrets})
	}
	for i := range len(good) {
		add(fmt.Sprint("cut at ", i), "Bearer "+good[:i], good)
		flipped := []byte(good)
		flipped[i] ^= 1
		add(fmt.Sprint("bit of byte ", i), "Bearer "+string(flipped), string(flipped))
	}
	for name, value := range map[string]string{
		"no scheme": good, "Basic": "Basic " + good, "two": "Bearer " + good + " " + good, "comma": "Bearer " + good + ",x",
		"quoted": `Bearer "` + good + `"`, "newline": "Bearer " + good + "\n", "form": "Bearer " + good + "&active=true",
		"huge": "Bearer " + strings.Repeat("a", 1<<20), "empty": "Bearer ", "blank": "", "NUL": "Bearer " + good + "\x00", "escape": "Bearer %41",
	} {
		add(name, value, good)
	}
	twice := &authn.Request{Header: http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}}
	return append(out, authntest.Sample{Name: "twice", Request: twice, Secrets: []string{good}})
}

const goodToken = "MARKER-opaque-0123456789abcdef0123456789abcdef0123456789"

func TestIntrospectionSuite(t *testing.T) {
	p := newOAuthServer(t, map[string]string{goodToken: `{"active":true,"sub":"alice","scope":"a b"}`})
	authntest.Run(t, authntest.Member{
		New: func(t *testing.T) authn.Authenticator {
			return newToken(t, p, ir.AccessToken{Scopes: []string{"a"}, UserHeader: "x-user-id", ClaimsToHeaders: []ir.ClaimToHeader{{Claim: "team", Header: "x-team"}}}, authn.Deps{Cache: authn.NewTokenCache(64)})
		},
		Good: []authntest.Sample{
			{Name: "good", Request: bearer(goodToken), Subject: "alice"},
			{Name: "any case", Request: &authn.Request{Header: http.Header{"Authorization": {"bearer " + goodToken}}}, Subject: "alice"},
		},
		Bad: badBearers(goodToken), Sanitize: []string{"X-Team", "X-User-Id"},
	})
}

func TestAccessTokenByKeysSuite(t *testing.T) {
	good := rs256(`,"scope":"a b","aud":"gateway"`)
	bad := badBearers(goodToken)
	for name, token := range map[string]string{
		"expired": rs256(`,"scope":"a","aud":"gateway","exp":1`), "another's key": mint(`{"alg":"RS256"}`, `{"iss":"tester","scope":"a","aud":"gateway"}`, otherRSA()),
		"audience": rs256(`,"scope":"a","aud":"other"`), "scope": rs256(`,"scope":"b","aud":"gateway"`), "no scope": rs256(`,"aud":"gateway"`),
		"issuer": mint(`{"alg":"RS256"}`, `{"iss":"else","scope":"a","aud":"gateway"}`, rsaKey()), "none": mint(`{"alg":"none"}`, `{"iss":"tester","scope":"a","aud":"gateway"}`, nil),
	} {
		bad = append(bad, authntest.Sample{Name: name, Request: bearer(token), Secrets: []string{token}})
	}
	authntest.Run(t, authntest.Member{
		New: func(t *testing.T) authn.Authenticator {
			return newToken(t, nil, ir.AccessToken{Keys: &ir.KeySource{Inline: pemOf(rsaKey().Public())}, Issuer: "tester", Audiences: []string{"gateway"}, Scopes: []string{"a"}}, authn.Deps{Cache: authn.NewTokenCache(64)})
		},
		Good: []authntest.Sample{{Name: "good", Request: bearer(good), Subject: "ann"}},
		Bad:  bad,
	})
}

// Row 9: whatever is wrong with the server or what it says, nobody passes.
func TestIntrospectionAnswers(t *testing.T) {
	now := newClock()
	soon := now.Now().Add(time.Minute).Unix()
	for _, tc := range []struct {
		name, answer string
		status, want int
		challenge    string
	}{
		{"good", `{"active":true,"sub":"ann","scope":"read write"}`, 200, 0, ""},
		{"scopes as a list", `{"active":true,"scope":["read","write"]}`, 200, 0, ""},
		{"scp", `{"active":true,"scp":"write read"}`, 200, 0, ""},
		{"holds still", fmt.Sprintf(`{"active":true,"scope":"read write","exp":%d}`, soon), 200, 0, ""},
		{"expired", `{"active":true,"scope":"read write","exp":5}`, 200, 401, `Bearer error="invalid_token"`},
		{"not yet", fmt.Sprintf(`{"active":true,"scope":"read write","nbf":%d}`, soon), 200, 401, `Bearer error="invalid_token"`},
		{"exp of the wrong type", `{"active":true,"scope":"read write","exp":"tomorrow"}`, 200, 401, `Bearer error="invalid_token"`},
		{"inactive", `{"active":false,"sub":"ann","scope":"read write"}`, 200, 401, `Bearer error="invalid_token"`},
		{"lacks a scope", `{"active":true,"scope":"read"}`, 200, 403, `Bearer error="insufficient_scope", scope="read write"`},
		{"part of a scope", `{"active":true,"scope":"read writer"}`, 200, 403, `Bearer error="insufficient_scope", scope="read write"`},
		{"no scope", `{"active":true}`, 200, 403, `Bearer error="insufficient_scope", scope="read write"`},
		{"control byte in the name", `{"active":true,"scope":"read write","sub":"a\r\nX: y"}`, 200, 401, `Bearer error="invalid_token"`},
		{"control byte in a claim", `{"active":true,"scope":"read write","team":"a\nb"}`, 200, 401, `Bearer error="invalid_token"`},
		{"active as text", `{"active":"true","scope":"read write"}`, 200, 403, ""},
		{"without active", `{"scope":"read write"}`, 200, 403, ""},
		{"active twice", `{"active":false,"active":true,"scope":"read write"}`, 200, 403, ""},
		{"no JSON", `yes`, 200, 403, ""},
		{"a list", `[{"active":true}]`, 200, 403, ""},
		{"empty", ``, 200, 403, ""},
		{"huge", `{"active":true,"scope":"read write","x":"` + strings.Repeat("x", 70<<10) + `"}`, 200, 403, ""},
		{"401", `{"active":true,"scope":"read write"}`, 401, 403, ""},
		{"500", `{"active":true,"scope":"read write"}`, 500, 403, ""},
		{"redirect", `{"active":true,"scope":"read write"}`, 302, 403, ""},
	} {
		p := newOAuthServer(t, map[string]string{goodToken: tc.answer})
		p.status = tc.status
		a := newToken(t, p, ir.AccessToken{Scopes: []string{"read", "write"}, UserHeader: "x-user-id", ClaimsToHeaders: []ir.ClaimToHeader{{Claim: "team", Header: "x-team"}}}, authn.Deps{Clock: now.Now})
		got, err := a.Authenticate(t.Context(), bearer(goodToken))
		if tc.want == 0 {
			if err != nil || len(got.Identities) != 1 || got.Identities[0].Method != authn.MethodAccessToken {
				t.Errorf("%s: %+v, %v", tc.name, got, err)
			}
			continue
		}
		f, ok := err.(*authn.Failure)
		if !ok || f.Status != tc.want || f.Header.Get("WWW-Authenticate") != tc.challenge || f.Unavailable != (tc.challenge == "") || len(got.Identities) > 0 {
			t.Errorf("%s: %+v, %+v", tc.name, got, err)
		} else if strings.Contains(f.Error(), goodToken) || strings.Contains(f.Error(), "s&cret") {
			t.Errorf("%s: repeats a secret: %v", tc.name, f)
		}
	}
}

func TestIntrospectionIsAskedAsTheRFCSays(t *testing.T) {
	p := newOAuthServer(t, map[string]string{goodToken: `{"active":true,"user_id":"u-7","team":{"name":"red"}}`})
	a := newToken(t, p, ir.AccessToken{UserClaim: "user_id", UserHeader: "x-user-id", ClaimsToHeaders: []ir.ClaimToHeader{{Claim: "team.name", Delimiter: ".", Header: "x-team"}}}, authn.Deps{})
	got, err := a.Authenticate(t.Context(), bearer(goodToken))
	if err != nil {
		t.Fatal(err)
	}
	id, secretText, ok := p.last.BasicAuth()
	if !ok || id != "gate%3Away" || secretText != "s%26cret" || p.last.Method != "POST" || p.last.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%v %q %q", p.last.Header, id, secretText)
	}
	if formValue([]byte(p.form), "token_type_hint") != "access_token" {
		t.Error(p.form)
	}
	want := []authn.HeaderSet{{Name: "X-Team", Value: "red"}, {Name: "X-User-Id", Value: "u-7"}}
	if got.Identities[0].Subject != "u-7" || !slices.Equal(got.Set, want) || len(got.Consumed) != 1 {
		t.Errorf("%+v", got)
	}
}

// Row 9: without its client secret, the gateway asks nobody and lets nobody in.
func TestIntrospectionWithoutItsSecret(t *testing.T) {
	p := newOAuthServer(t, map[string]string{goodToken: `{"active":true}`})
	store := secret.NewStore()
	a := newToken(t, p, ir.AccessToken{}, authn.Deps{Store: store, Cache: authn.NewTokenCache(16)})
	_, err := a.Authenticate(t.Context(), bearer(goodToken))
	if f, ok := err.(*authn.Failure); !ok || f.Status != 403 || !f.Unavailable || p.asked.Load() != 0 || len(a.Problems()) != 1 {
		t.Errorf("%v, asked %d times, %v", err, p.asked.Load(), a.Problems())
	}
	store.Put(map[secret.Ref]secret.Value{clientRef: secret.NewValue([]byte("x"))})
	if _, err := a.Authenticate(t.Context(), bearer(goodToken)); err != nil || len(a.Problems()) != 0 {
		t.Error(err)
	}
	// Another client secret asks anew: row 5.
	store.Put(map[secret.Ref]secret.Value{clientRef: secret.NewValue([]byte("y"))})
	p.set(func() { delete(p.tokens, goodToken) })
	if _, err := a.Authenticate(t.Context(), bearer(goodToken)); err == nil {
		t.Error("what was remembered outlives the client secret")
	}
	_, err = newToken(t, nil, ir.AccessToken{Introspection: &ir.Introspection{URL: "http://idp.test/"}}, authn.Deps{}).Authenticate(t.Context(), bearer(goodToken))
	if f, ok := err.(*authn.Failure); !ok || !f.Unavailable {
		t.Errorf("without a client: %v", err)
	}
}

// Row 5: an answer is remembered for this token, for so long, and until its
// exp.
func TestIntrospectionRemembers(t *testing.T) {
	now := newClock()
	exp := now.Now().Add(30 * time.Second).Unix()
	p := newOAuthServer(t, map[string]string{
		goodToken:       fmt.Sprintf(`{"active":true,"sub":"a","exp":%d}`, exp),
		goodToken + "b": `{"active":true,"sub":"b"}`,
	})
	a := newToken(t, p, ir.AccessToken{CacheFor: time.Minute}, authn.Deps{Clock: now.Now, Cache: authn.NewTokenCache(64)})
	subject := func(token string) string {
		got, err := a.Authenticate(t.Context(), bearer(token))
		if err != nil {
			return err.Error()
		}
		return got.Identities[0].Subject
	}
	for range 3 {
		if a, b := subject(goodToken), subject(goodToken+"b"); a != "a" || b != "b" {
			t.Fatalf("%s, %s", a, b)
		}
	}
	if n := p.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	p.set(func() { clear(p.tokens) })
	now.set(now.Now().Add(29 * time.Second))
	if subject(goodToken) != "a" {
		t.Error("forgotten too early")
	}
	now.set(now.Now().Add(time.Second))
	if s := subject(goodToken); s == "a" {
		t.Error("remembered past its exp")
	}
	now.set(now.Now().Add(29 * time.Second))
	if subject(goodToken+"b") != "b" {
		t.Error("forgotten too early")
	}
	now.set(now.Now().Add(time.Second))
	if subject(goodToken+"b") == "b" {
		t.Error("remembered for too long")
	}
	before := p.asked.Load()
	for range 3 {
		subject("unknown")
	}
	if n := p.asked.Load() - before; n != 3 {
		t.Errorf("a refusal is remembered: asked %d times", n)
	}
	if never := newToken(t, p, ir.AccessToken{CacheFor: -1}, authn.Deps{Cache: authn.NewTokenCache(64)}); never != nil {
		p.set(func() { p.tokens["x"] = `{"active":true}` })
		before := p.asked.Load()
		for range 2 {
			if _, err := never.Authenticate(t.Context(), bearer("x")); err != nil {
				t.Error(err)
			}
		}
		if p.asked.Load()-before != 2 {
			t.Error("a cache that is off remembers")
		}
	}
}

func TestIntrospectionAsksOnceForOneToken(t *testing.T) {
	p := newOAuthServer(t, map[string]string{goodToken: `{"active":true,"sub":"a"}`})
	p.hold = make(chan struct{})
	a := newToken(t, p, ir.AccessToken{}, authn.Deps{Cache: authn.NewTokenCache(64)})
	var wg sync.WaitGroup
	var good atomic.Int64
	var begun sync.WaitGroup
	for range 32 {
		begun.Add(1)
		wg.Go(func() {
			begun.Done()
			if got, err := a.Authenticate(t.Context(), bearer(goodToken)); err == nil && got.Identities[0].Subject == "a" {
				good.Add(1)
			}
		})
	}
	begun.Wait()
	<-p.reached
	close(p.hold)
	wg.Wait()
	if good.Load() != 32 || p.asked.Load() > 3 {
		t.Errorf("%d passed, asked %d times", good.Load(), p.asked.Load())
	}
}

func TestIntrospectionTimesOut(t *testing.T) {
	p := newOAuthServer(t, nil)
	p.hold = make(chan struct{})
	defer close(p.hold)
	a := newToken(t, p, ir.AccessToken{Introspection: &ir.Introspection{URL: p.URL, Timeout: 20 * time.Millisecond}}, authn.Deps{})
	_, err := a.Authenticate(t.Context(), bearer(goodToken))
	if f, ok := err.(*authn.Failure); !ok || !f.Unavailable || f.Status != 403 {
		t.Errorf("%v", err)
	}
}

func TestAccessTokenConfigurationIsChecked(t *testing.T) {
	in := &ir.Introspection{URL: "https://idp.test/i"}
	for name, cfg := range map[string]ir.AccessToken{
		"neither": {}, "both": {Introspection: in, Keys: &ir.KeySource{Inline: "x"}}, "URL": {Introspection: &ir.Introspection{URL: "idp"}},
		"password in URL": {Introspection: &ir.Introspection{URL: "https://a:b@idp.test"}}, "keys": {Keys: &ir.KeySource{Inline: "x"}},
		"header": {Introspection: in, UserHeader: "a b"}, "claim": {Introspection: in, ClaimsToHeaders: []ir.ClaimToHeader{{Claim: "", Header: "x"}}},
		"scope": {Introspection: in, Scopes: []string{`a"b`}}, "two scopes": {Introspection: in, Scopes: []string{"a b"}},
	} {
		if _, err := authn.NewAccessToken("t", &cfg, authn.Deps{Store: secret.NewStore()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
