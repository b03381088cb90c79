package credential_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/credential/credentialtest"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

func azureConfig(a ir.AzureToken) *ir.Credential {
	return &ir.Credential{Token: &ir.TokenCredential{Source: ir.TokenSource{Azure: &a}}}
}

// entraTransport is an Entra whose tokens are made of what the client shows.
func entraTransport(r *http.Request, form url.Values) (int, http.Header, string) {
	if r.Method == http.MethodGet {
		base := "https://" + r.URL.Host + "/tenant"
		return 200, nil, fmt.Sprintf(`{"issuer":"%s/v2.0","token_endpoint":"%s/oauth2/v2.0/token","authorization_endpoint":"%s/authorize"}`, base, base, base)
	}
	shown := base64.RawURLEncoding.EncodeToString([]byte(form.Get("client_secret") + form.Get("client_assertion")))
	return 200, nil, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, credentialtest.Marker+shown)
}

func TestAzure(t *testing.T) {
	for name, cfg := range map[string]ir.AzureToken{
		"secret":    {TenantID: "tenant", ClientID: "client", ClientSecret: keyRef},
		"federated": {TenantID: "tenant", ClientID: "client", Federated: &ir.SubjectToken{Client: clientConfig(nil).Token.Source.Client}},
	} {
		t.Run(name, func(t *testing.T) {
			credentialtest.Run(t, credentialtest.Member{
				New: func(s *secret.Store) (credential.Injector, error) {
					return credential.New(azureConfig(cfg), credential.Deps{Store: s, Client: &http.Client{Transport: transport(func(r *http.Request, form url.Values) (int, http.Header, string) {
						if r.URL.Host == "idp.example.com" {
							return echoing(r, form)
						}
						return entraTransport(r, form)
					})}})
				},
				Refs: []secret.Ref{keyRef}, Header: "Authorization",
			})
		})
	}
}

// subjectFor is a client of the simulated issuer, for an audience.
func subjectFor(audience string) *ir.SubjectToken {
	return &ir.SubjectToken{Client: &ir.OAuthClient{Issuer: "https://idp.example.com", ClientID: "gateway", ClientSecret: keyRef, Audience: audience}}
}

// azureWorld is a world that knows the secrets of its cloud.
func azureWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, simulate.CloudConfig{AzureClientSecret: "entra-" + credentialtest.Marker, ClientSecret: "oidc-" + credentialtest.Marker})
	w.store.Put(map[secret.Ref]secret.Value{
		keyRef:              secret.NewValue([]byte(w.cloud.Config().ClientSecret)),
		awsRef("azure"):     secret.NewValue([]byte(w.cloud.Config().AzureClientSecret + "\n")),
		awsRef("azure-bad"): secret.NewValue([]byte(w.cloud.Config().AzureClientSecret + "x")),
		awsRef("gcp"):       secret.NewValue(w.cloud.ServiceAccountKey()),
	})
	return w
}

// injected returns what in puts on, without its scheme.
func injected(t *testing.T, in credential.Injector) (string, error) {
	t.Helper()
	o := credentialtest.Outbound("Authorization")
	err := in.Inject(t.Context(), o)
	token, ok := strings.CutPrefix(o.Header.Get("Authorization"), "Bearer ")
	if err == nil && !ok {
		t.Errorf("Authorization has no bearer token")
	}
	return token, err
}

// claimsOf reads a JWT's claims as text.
func claimsOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	b, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return string(b)
}

func (w *world) azure(edit func(*ir.AzureToken)) *ir.Credential {
	c := w.cloud.Config()
	a := ir.AzureToken{TenantID: c.TenantID, ClientID: c.AzureClientID}
	edit(&a)
	return azureConfig(a)
}

// Each source, from the simulated Entra, which verifies what it is shown; in a
// fake hour's time, in which tokens are renewed and none is used past its end.
func TestAzureSources(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		edit func(*ir.AzureToken)
		env  map[string]string
		aud  string
	}{
		{"secret", func(a *ir.AzureToken) { a.ClientSecret = awsRef("azure") }, nil, "https://cognitiveservices.azure.com"},
		{"another scope", func(a *ir.AzureToken) { a.ClientSecret, a.Scope = awsRef("azure"), "https://ai.azure.com/.default" }, nil, "https://ai.azure.com"},
		{"federated by a client", func(a *ir.AzureToken) { a.Federated = subjectFor(simulate.EntraAudience) }, nil, "https://cognitiveservices.azure.com"},
		{"federated by a file", func(a *ir.AzureToken) { a.Federated = &ir.SubjectToken{File: filepath.Join(dir, "token")} }, nil, "https://cognitiveservices.azure.com"},
		{"machine", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} }, nil, "https://cognitiveservices.azure.com"},
		{"machine, user-assigned", func(a *ir.AzureToken) { a.TenantID, a.ManagedIdentity = "", true }, nil, "https://cognitiveservices.azure.com"},
		{"app service", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} },
			map[string]string{"IDENTITY_ENDPOINT": "http://169.254.169.254/msi/token", "IDENTITY_HEADER": simulate.AppToken}, "https://cognitiveservices.azure.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := azureWorld(t)
				w.cloud.SetLife(10 * time.Minute)
				w.env = tt.env
				token, err := w.cloud.SignToken(simulate.EntraAudience, "", 2*time.Hour)
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				in := w.injector(t, w.azure(tt.edit))
				seen := map[string]bool{}
				for range 120 {
					got, err := injected(t, in)
					if err != nil {
						t.Fatal(err)
					}
					seen[got] = true
					if claims := claimsOf(got); !strings.Contains(claims, `"aud":"`+tt.aud+`"`) {
						t.Fatalf("token is for %s", claims)
					}
					time.Sleep(30 * time.Second)
				}
				if len(seen) < 6 || len(seen) > 20 {
					t.Errorf("%d tokens in an hour", len(seen))
				}
			})
		})
	}
}

// What Entra refuses is said by its own code, and nothing secret with it.
func TestAzureRefusals(t *testing.T) {
	tests := []struct {
		name string
		edit func(*ir.AzureToken)
		env  map[string]string
		want string
	}{
		{"wrong secret", func(a *ir.AzureToken) { a.ClientSecret = awsRef("azure-bad") }, nil, "entra answered 401, invalid_client: AADSTS7000215: Invalid client secret"},
		{"unknown client", func(a *ir.AzureToken) { a.ClientID, a.ClientSecret = "another", awsRef("azure") }, nil, "unauthorized_client: AADSTS700016"},
		{"unknown tenant", func(a *ir.AzureToken) { a.TenantID, a.ClientSecret = "another", awsRef("azure") }, nil, "AADSTS90002"},
		{"wrong scope", func(a *ir.AzureToken) { a.ClientSecret, a.Scope = awsRef("azure"), "https://x" }, nil, "invalid_scope: AADSTS1002012"},
		{"wrong audience", func(a *ir.AzureToken) { a.Federated = subjectFor("sts.amazonaws.com") }, nil, "AADSTS700211"},
		{"no file", func(a *ir.AzureToken) { a.Federated = &ir.SubjectToken{File: "/nowhere/token"} }, nil, "token in /nowhere/token: open /nowhere/token"},
		{"unknown identity", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true, ClientID: "another"} }, nil, "answered 400, invalid_request: Identity not found"},
		{"arc", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} }, map[string]string{"IDENTITY_ENDPOINT": "http://localhost:40342", "IMDS_ENDPOINT": "http://localhost:40342"}, "Azure Arc are not supported"},
		{"service fabric", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} }, map[string]string{"IDENTITY_ENDPOINT": "https://x", "IDENTITY_SERVER_THUMBPRINT": "y"}, "Service Fabric are not supported"},
		{"cloud shell", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} }, map[string]string{"MSI_ENDPOINT": "http://x"}, "Cloud Shell and Azure ML are not supported"},
		{"wrong app header", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} }, map[string]string{"IDENTITY_ENDPOINT": "http://169.254.169.254/msi/token", "IDENTITY_HEADER": "x"}, "answered 401"},
		{"app header with a line feed", func(a *ir.AzureToken) { *a = ir.AzureToken{ManagedIdentity: true} }, map[string]string{"IDENTITY_ENDPOINT": "http://x", "IDENTITY_HEADER": "x\ny"}, "no header may hold"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := azureWorld(t)
				w.env = tt.env
				_, err := injected(t, w.injector(t, w.azure(tt.edit)))
				if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if strings.Contains(fmt.Sprintf("%v", err), credentialtest.Marker) || strings.Contains(err.Error(), "Trace ID") {
					t.Errorf("the error says too much: %v", err)
				}
			})
		})
	}
}

// What a broken or lying Entra answers ends in one line that repeats nothing.
func TestAzureBrokenAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(r *http.Request, rec *httptest.ResponseRecorder)
		want  string
	}{
		"not JSON": {func(_ *http.Request, rec *httptest.ResponseRecorder) {
			rec.Body.Reset()
			rec.Body.WriteString("<html>")
		}, ""},
		"echoes the secret": {func(r *http.Request, rec *httptest.ResponseRecorder) {
			rec.Code = 401
			rec.Body.Reset()
			rec.Body.WriteString(`{"error":"invalid_client","error_description":"you sent entra-` + credentialtest.Marker + `"}`)
		}, "invalid_client: the server's message repeats a secret"},
		"no token": {func(r *http.Request, rec *httptest.ResponseRecorder) {
			if r.Method == http.MethodPost {
				rec.Body.Reset()
				rec.Body.WriteString(`{"token_type":"Bearer","expires_in":3600}`)
			}
		}, ""},
		"a token of two lines": {func(r *http.Request, rec *httptest.ResponseRecorder) {
			if r.Method == http.MethodPost {
				rec.Body.Reset()
				rec.Body.WriteString(`{"token_type":"Bearer","expires_in":3600,"access_token":"a\r\nb"}`)
			}
		}, "a character that no token may hold"},
		"redirect": {func(_ *http.Request, rec *httptest.ResponseRecorder) {
			rec.Code = 302
			rec.Header().Set("Location", "https://evil.example/")
			rec.Body.Reset()
		}, "entra answered 302"},
		"endless": {func(_ *http.Request, rec *httptest.ResponseRecorder) {
			rec.Body.WriteString(strings.Repeat(" ", 2<<20))
		}, ""},
		"connection broken": {func(*http.Request, *httptest.ResponseRecorder) { panic(http.ErrAbortHandler) }, "https://login.microsoftonline.com/"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := azureWorld(t)
				w.spoil = tt.spoil
				asked := map[string]int{}
				spoil := w.spoil
				w.spoil = func(r *http.Request, rec *httptest.ResponseRecorder) { asked[r.URL.Host+r.URL.Path]++; spoil(r, rec) }
				d := w.deps()
				d.Client.Transport = recovering{w}
				in, err := credential.New(w.azure(func(a *ir.AzureToken) { a.ClientSecret = awsRef("azure") }), d)
				if err != nil {
					t.Fatal(err)
				}
				defer in.(interface{ Close() }).Close()
				_, err = injected(t, in)
				if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want %q", err, tt.want)
				}
				if text := err.Error(); strings.Contains(text, credentialtest.Marker) || strings.ContainsAny(text, "\r\n") {
					t.Errorf("error %q", text)
				}
				for u, n := range asked {
					if n > 1 || strings.Contains(u, "evil") {
						t.Errorf("%s was asked %d times in one fetch", u, n)
					}
				}
			})
		})
	}
}

// recovering turns a spoiler's panic into a broken connection.
type recovering struct{ http.RoundTripper }

func (t recovering) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil {
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	return t.RoundTripper.RoundTrip(r)
}

func TestAzureRefusesAtLoad(t *testing.T) {
	for name, a := range map[string]ir.AzureToken{
		"no client":            {TenantID: "t", ClientSecret: keyRef},
		"no tenant":            {ClientID: "c", ClientSecret: keyRef},
		"tenant with a path":   {TenantID: "t/../x", ClientID: "c", ClientSecret: keyRef},
		"common":               {TenantID: "common", ClientID: "c", ClientSecret: keyRef},
		"plain authority":      {TenantID: "t", ClientID: "c", ClientSecret: keyRef, Authority: "http://login.example.com"},
		"authority's user":     {TenantID: "t", ClientID: "c", ClientSecret: keyRef, Authority: "https://u:p@login.example.com"},
		"nothing":              {TenantID: "t", ClientID: "c"},
		"subject of nothing":   {TenantID: "t", ClientID: "c", Federated: &ir.SubjectToken{}},
		"subject's broken URL": {TenantID: "t", ClientID: "c", Federated: &ir.SubjectToken{Client: &ir.OAuthClient{ClientID: "c", TokenURL: "x"}}},
	} {
		if _, err := credential.New(azureConfig(a), credential.Deps{Store: secret.NewStore()}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
