package credential_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/credential/credentialtest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

func clientConfig(edit func(*ir.OAuthClient)) *ir.Credential {
	c := &ir.OAuthClient{TokenURL: "https://idp.example.com/token", ClientID: "gateway", ClientSecret: keyRef}
	if edit != nil {
		edit(c)
	}
	return &ir.Credential{Token: &ir.TokenCredential{Source: ir.TokenSource{Client: c}}}
}

// transport answers requests by a function, without sockets.
type transport func(r *http.Request, form url.Values) (status int, header http.Header, body string)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var form url.Values
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if form, err = url.ParseQuery(string(b)); err != nil {
			return nil, err
		}
	}
	status, header, body := f(r, form)
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// echoing is a server whose tokens are made of the client's secret, so that
// another secret yields another token.
func echoing(r *http.Request, form url.Values) (int, http.Header, string) {
	_, key, _ := r.BasicAuth()
	key, _ = url.QueryUnescape(key)
	return 200, nil, fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":3600}`, credentialtest.Marker+base64.RawURLEncoding.EncodeToString([]byte(key)))
}

func TestOAuth(t *testing.T) {
	for _, header := range []string{"Authorization", "X-Api-Key"} {
		cfg := clientConfig(nil)
		if header != "Authorization" {
			cfg.Token.Name = header
		}
		credentialtest.Run(t, credentialtest.Member{
			New: func(s *secret.Store) (credential.Injector, error) {
				return credential.New(cfg, credential.Deps{Store: s, Client: &http.Client{Transport: transport(echoing)}})
			},
			Refs: []secret.Ref{keyRef}, Header: header,
		})
	}
}

// asked returns what a client's server is asked by cfg, and the error of the
// first request.
func asked(t *testing.T, cfg *ir.Credential, answer transport) ([]string, http.Header, error) {
	t.Helper()
	var mu sync.Mutex
	var calls []string
	record := func(r *http.Request, form url.Values) (int, http.Header, string) {
		user, key, basic := r.BasicAuth()
		mu.Lock()
		calls = append(calls, fmt.Sprintf("%s %s %s basic=%v:%s:%s", r.Method, r.URL, form.Encode(), basic, user, key))
		mu.Unlock()
		return answer(r, form)
	}
	store := secret.NewStore()
	store.Put(map[secret.Ref]secret.Value{keyRef: secret.NewValue([]byte("s e/cret\n"))})
	in, err := credential.New(cfg, credential.Deps{Store: store, Client: &http.Client{Transport: transport(record)}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.(interface{ Close() }).Close()
	o := credentialtest.Outbound("Authorization")
	err = in.Inject(t.Context(), o)
	mu.Lock()
	defer mu.Unlock()
	return calls, o.Header, err
}

func TestOAuthAsks(t *testing.T) {
	const discovery = `{"issuer":"https://idp.example.com/realm","token_endpoint":"https://idp.example.com/t","scopes_supported":["a","b","c"],%s"x":1}`
	tests := []struct {
		name   string
		edit   func(*ir.OAuthClient)
		answer transport
		want   []string
	}{
		{"token endpoint", nil, echoing, []string{"POST https://idp.example.com/token grant_type=client_credentials basic=true:gateway:s+e%2Fcret"}},
		{"everything", func(c *ir.OAuthClient) {
			c.Scopes, c.Audience, c.Resources, c.GrantType = []string{"x", "y"}, "aud", []string{"https://r1", "https://r2"}, "custom"
		}, echoing, []string{"POST https://idp.example.com/token audience=aud&grant_type=custom&resource=https%3A%2F%2Fr1&resource=https%3A%2F%2Fr2&scope=x+y basic=true:gateway:s+e%2Fcret"}},
		{"discovery, none of the scopes that are supported", func(c *ir.OAuthClient) { c.Issuer, c.TokenURL = "https://idp.example.com/realm", "" },
			func(r *http.Request, form url.Values) (int, http.Header, string) {
				if r.Method == "GET" {
					return 200, nil, fmt.Sprintf(discovery, "")
				}
				return echoing(r, form)
			}, []string{
				"GET https://idp.example.com/realm/.well-known/openid-configuration  basic=false::",
				"POST https://idp.example.com/t grant_type=client_credentials basic=true:gateway:s+e%2Fcret",
			}},
		{"discovery, secret in the form", func(c *ir.OAuthClient) { c.Issuer, c.TokenURL = "https://idp.example.com/realm", "" },
			func(r *http.Request, form url.Values) (int, http.Header, string) {
				if r.Method == "GET" {
					return 200, nil, fmt.Sprintf(discovery, `"token_endpoint_auth_methods_supported":["client_secret_post"],`)
				}
				return echoing(r, form)
			}, []string{
				"GET https://idp.example.com/realm/.well-known/openid-configuration  basic=false::",
				"POST https://idp.example.com/t client_id=gateway&client_secret=s+e%2Fcret&grant_type=client_credentials basic=false::",
			}},
		{"secret in the form is found out", nil, func(r *http.Request, form url.Values) (int, http.Header, string) {
			if form.Get("client_secret") == "" {
				return 401, nil, `{"error":"invalid_client"}`
			}
			return echoing(r, form)
		}, []string{
			"POST https://idp.example.com/token grant_type=client_credentials basic=true:gateway:s+e%2Fcret",
			"POST https://idp.example.com/token client_id=gateway&client_secret=s+e%2Fcret&grant_type=client_credentials basic=false::",
		}},
		{"no secret", func(c *ir.OAuthClient) { c.ClientSecret = secret.Ref{} }, echoing, []string{"POST https://idp.example.com/token client_id=gateway&grant_type=client_credentials basic=false::"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls, header, err := asked(t, clientConfig(tt.edit), tt.answer)
			if err != nil || !strings.HasPrefix(header.Get("Authorization"), "Bearer "+credentialtest.Marker) {
				t.Errorf("error %v", err)
			}
			if got, want := strings.Join(calls, "\n"), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("asked\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestOAuthRefusesWhatIsNoToken(t *testing.T) {
	token := func(body string) transport {
		return func(*http.Request, url.Values) (int, http.Header, string) { return 200, nil, body }
	}
	jwt := func(exp int64) string {
		claims, _ := json.Marshal(map[string]any{"exp": exp})
		return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
	}
	for name, tt := range map[string]struct {
		answer transport
		want   string
	}{
		"empty":              {token(``), "not the JSON"},
		"not JSON":           {token(`<html>`), "not the JSON"},
		"an array":           {token(`[]`), "not the JSON"},
		"no members":         {token(`{}`), "token_type is not Bearer"},
		"no token":           {token(`{"token_type":"Bearer","expires_in":1000}`), "the token is empty"},
		"another type":       {token(`{"access_token":"t","token_type":"DPoP","expires_in":1000}`), "token_type is not Bearer"},
		"past":               {token(`{"access_token":"t","token_type":"Bearer","expires_in":-5}`), "not a number of seconds above 0"},
		"zero":               {token(`{"access_token":"t","token_type":"Bearer","expires_in":0}`), "not a number of seconds above 0"},
		"no number":          {token(`{"access_token":"t","token_type":"Bearer","expires_in":{}}`), "not a number of seconds above 0"},
		"a JWT that is past": {token(`{"access_token":"` + jwt(1000) + `","token_type":"Bearer","expires_in":1000}`), "expired before it came"},
		"error with 200":     {token(`{"error":"invalid_scope"}`), "an error: invalid_scope"},
		"line feed":          {token(`{"access_token":"a\nb","token_type":"Bearer","expires_in":1000}`), "a character"},
		"blank":              {token(`{"access_token":"a b","token_type":"Bearer","expires_in":1000}`), "a character"},
		"not UTF-8":          {token("{\"access_token\":\"\xff\",\"token_type\":\"Bearer\"}"), "not the JSON"},
		"endless":            {token(`{"access_token":"` + strings.Repeat("a", 2<<20) + `","token_type":"Bearer"}`), "longer than"},
		"says the secret": {func(*http.Request, url.Values) (int, http.Header, string) {
			return 400, nil, `{"error":"s e/cret","error_description":"s e/cret"}`
		}, "answered 400"},
		"redirect": {func(*http.Request, url.Values) (int, http.Header, string) {
			return 302, http.Header{"Location": {"https://evil.example/"}}, ""
		}, "answered 302"},
		"refused": {func(*http.Request, url.Values) (int, http.Header, string) {
			return 401, nil, `{"error":"invalid_client"}`
		}, "answered 401, invalid_client"},
		"a page with a token": {func(*http.Request, url.Values) (int, http.Header, string) {
			return 200, http.Header{"Content-Type": {"text/html"}}, `{"access_token":"t","token_type":"Bearer"}`
		}, "page for people"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, header, err := asked(t, clientConfig(nil), tt.answer)
			if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "e/cret") {
				t.Errorf("error %v", err)
			}
			if strings.HasPrefix(header.Get("Authorization"), "Bearer") {
				t.Error("something was put on")
			}
			for _, c := range calls {
				if strings.Contains(c, "evil") {
					t.Error("a redirect was followed")
				}
			}
		})
	}
}

func TestOAuthLifetimes(t *testing.T) {
	tests := []struct {
		name, body string
		want       time.Duration
	}{
		{"said", `{"access_token":"t","token_type":"Bearer","expires_in":90}`, 90 * time.Second},
		{"as text", `{"access_token":"t","token_type":"Bearer","expires_in":"90"}`, 90 * time.Second},
		{"not said", `{"access_token":"t","token_type":"Bearer"}`, 5 * time.Minute},
		{"forever", `{"access_token":"t","token_type":"Bearer","expires_in":1e300}`, 365 * 24 * time.Hour},
		{"the JWT says less", `{"access_token":"JWT","token_type":"Bearer","expires_in":3600}`, time.Minute},
		{"only the JWT says", `{"access_token":"JWT","token_type":"Bearer"}`, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				claims, _ := json.Marshal(map[string]any{"exp": began.Add(time.Minute).Unix()})
				body := strings.Replace(tt.body, "JWT", "e30."+base64.RawURLEncoding.EncodeToString(claims)+".c2ln", 1)
				w := newWorld(t, simulate.CloudConfig{})
				w.put("x", "y")
				w.store.Put(map[secret.Ref]secret.Value{keyRef: secret.NewValue([]byte("s"))})
				w.spoil = func(_ *http.Request, rec *httptest.ResponseRecorder) {
					rec.Code = 200
					rec.Body.Reset()
					rec.Body.WriteString(body)
				}
				in := w.injector(t, clientConfig(nil))
				if err := in.Inject(t.Context(), credentialtest.Outbound("Authorization")); err != nil {
					t.Fatal(err)
				}
				if got := in.(credential.Statuser).Status().Expires.Sub(began); got != tt.want {
					t.Errorf("lives %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// The whole way, against the simulated issuer: what it gives out is a token
// that it signed, and it is renewed.
func TestOAuthByDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulate.CloudConfig{Life: 10 * time.Second})
		w.store.Put(map[secret.Ref]secret.Value{keyRef: secret.NewValue([]byte(w.cloud.Config().ClientSecret))})
		in := w.injector(t, clientConfig(func(c *ir.OAuthClient) { c.Issuer, c.TokenURL = "https://idp.example.com", "" }))
		tokens := map[string]bool{}
		for range 100 {
			o := credentialtest.Outbound("Authorization")
			if err := in.Inject(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			tokens[o.Header.Get("Authorization")] = true
			time.Sleep(time.Second)
		}
		if len(tokens) < 10 || len(tokens) > 25 {
			t.Errorf("%d tokens in 100 s", len(tokens))
		}
	})
}

func TestOAuthRefusesAtLoad(t *testing.T) {
	for name, edit := range map[string]func(*ir.OAuthClient){
		"no client":         func(c *ir.OAuthClient) { c.ClientID = "" },
		"no server":         func(c *ir.OAuthClient) { c.TokenURL = "" },
		"token URL":         func(c *ir.OAuthClient) { c.TokenURL = "ftp://x" },
		"issuer":            func(c *ir.OAuthClient) { c.TokenURL, c.Issuer = "", "idp.example.com" },
		"password in a URL": func(c *ir.OAuthClient) { c.TokenURL = "https://u:p@idp.example.com/" },
	} {
		if _, err := credential.New(clientConfig(edit), credential.Deps{Store: secret.NewStore()}); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
