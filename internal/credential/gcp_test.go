package credential_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
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

func gcpConfig(g ir.GCPToken) *ir.Credential {
	return &ir.Credential{Token: &ir.TokenCredential{Source: ir.TokenSource{GCP: &g}}}
}

// pemKey is an RSA key in PEM, made once.
var pemKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
})

// keyFileOf is a service account's key whose id, which is in what it signs, is
// of a version.
func keyFileOf(_ secret.Ref, version string) []byte {
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": pemKey(), "private_key_id": credentialtest.Marker + version,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// googleTransport gives out tokens that are made of what it was shown.
func googleTransport(r *http.Request, form url.Values) (int, http.Header, string) {
	if r.URL.Host == "idp.example.com" {
		return echoing(r, form)
	}
	head, _, _ := strings.Cut(form.Get("assertion"), ".")
	return 200, nil, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, credentialtest.Marker+head+form.Get("subject_token"))
}

func TestGCP(t *testing.T) {
	oidc := clientConfig(nil).Token.Source.Client
	for name, tt := range map[string]struct {
		cfg   ir.GCPToken
		value func(secret.Ref, string) []byte
	}{
		"key file":   {ir.GCPToken{KeyFile: keyRef}, keyFileOf},
		"federation": {ir.GCPToken{Federation: &ir.GCPFederation{Audience: "//iam.googleapis.com/x", Subject: ir.SubjectToken{Client: oidc}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			credentialtest.Run(t, credentialtest.Member{
				New: func(s *secret.Store) (credential.Injector, error) {
					return credential.New(gcpConfig(tt.cfg), credential.Deps{Store: s, Client: &http.Client{Transport: transport(googleTransport)}})
				},
				Refs: []secret.Ref{keyRef}, Header: "Authorization", Value: tt.value,
			})
		})
	}
}

// googleTakes asks a service of Google's with in's credential, and returns
// what it answers to it.
func (w *world) googleTakes(t *testing.T, in credential.Injector) (int, error) {
	t.Helper()
	o := &credential.Outbound{Method: "POST", Scheme: "https", Host: "iamcredentials.googleapis.com", Header: http.Header{"Content-Type": {"application/json"}},
		URL: &url.URL{Scheme: "https", Host: "iamcredentials.googleapis.com", Path: "/v1/projects/-/serviceAccounts/" + w.cloud.Config().ServiceAccount + ":generateAccessToken"}}
	if err := in.Inject(t.Context(), o); err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(t.Context(), o.Method, o.URL.String(), strings.NewReader(`{"scope":["x"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = o.Header
	resp, err := w.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// externalFile is a credential file of workload identity federation.
func externalFile(c *simulate.Cloud, source string) string {
	return fmt.Sprintf(`{"type":"external_account","audience":%q,"subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
		"token_url":"https://sts.googleapis.com/v1/token","credential_source":%s,
		"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/%s:generateAccessToken"}`,
		c.Config().GCPProvider, source, c.Config().ServiceAccount)
}

// Each source, over an hour of fake time, against services that verify what
// they are shown.
func TestGCPSources(t *testing.T) {
	dir := t.TempDir()
	token, tokenJSON, key, external := filepath.Join(dir, "token"), filepath.Join(dir, "token.json"), filepath.Join(dir, "key.json"), filepath.Join(dir, "external.json")
	federation := func(w *world, s ir.SubjectToken, account string) ir.GCPToken {
		return ir.GCPToken{Federation: &ir.GCPFederation{Audience: w.cloud.Config().GCPProvider, Subject: s, ServiceAccount: account}}
	}
	tests := []struct {
		name string
		cfg  func(w *world) ir.GCPToken
		env  map[string]string
		file string // the external file's source
	}{
		{"key file", func(*world) ir.GCPToken { return ir.GCPToken{KeyFile: awsRef("gcp")} }, nil, ""},
		{"federated by a client", func(w *world) ir.GCPToken {
			return federation(w, *subjectFor("https:" + w.cloud.Config().GCPProvider), "")
		}, nil, ""},
		{"federated by a file, impersonating", func(w *world) ir.GCPToken {
			return federation(w, ir.SubjectToken{File: token}, w.cloud.Config().ServiceAccount)
		}, nil, ""},
		{"machine", func(*world) ir.GCPToken { return ir.GCPToken{Default: true} }, nil, ""},
		{"default, key file", func(*world) ir.GCPToken { return ir.GCPToken{Default: true} }, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": key}, ""},
		{"default, external file", func(*world) ir.GCPToken { return ir.GCPToken{Default: true} }, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": external},
			fmt.Sprintf(`{"file":%q}`, token)},
		{"default, external file of JSON", func(*world) ir.GCPToken { return ir.GCPToken{Default: true} }, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": external},
			fmt.Sprintf(`{"file":%q,"format":{"type":"json","subject_token_field_name":"id"}}`, tokenJSON)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := azureWorld(t)
				w.cloud.SetLife(10 * time.Minute)
				w.env = tt.env
				subject, err := w.cloud.SignToken("https:"+w.cloud.Config().GCPProvider, "", 2*time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{token: subject, tokenJSON: `{"id":"` + subject + `"}`, key: string(w.cloud.ServiceAccountKey()), external: externalFile(w.cloud, tt.file)} {
					if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				in := w.injector(t, gcpConfig(tt.cfg(w)))
				seen := map[string]bool{}
				for range 120 {
					if status, err := w.googleTakes(t, in); err != nil || status != http.StatusOK {
						t.Fatalf("answered %d, %v", status, err)
					}
					got, err := injected(t, in)
					if err != nil {
						t.Fatal(err)
					}
					seen[got] = true
					time.Sleep(30 * time.Second)
				}
				if len(seen) < 6 || len(seen) > 20 {
					t.Errorf("%d tokens in an hour", len(seen))
				}
			})
		})
	}
}

// A key's assertion is of Google's time, once that is known: after the first
// refusal at the latest.
func TestGCPReckonsWithSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := azureWorld(t)
		w.cloud.SetSkew(2 * time.Hour)
		in := w.injector(t, gcpConfig(ir.GCPToken{KeyFile: awsRef("gcp")}))
		if _, err := injected(t, in); err == nil || !strings.Contains(err.Error(), "reasonable timeframe") {
			t.Errorf("first error %v", err)
		}
		time.Sleep(2 * time.Second)
		if status, err := w.googleTakes(t, in); err != nil || status != http.StatusOK {
			t.Errorf("answered %d, %v", status, err)
		}
	})
}

// edited is the service account's key with a member changed, or taken out.
func edited(t *testing.T, w *world, member string, to any) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.cloud.ServiceAccountKey(), &m); err != nil {
		t.Fatal(err)
	}
	if m[member] = to; to == nil {
		delete(m, member)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A key file is refused for what it is before anybody is asked, and the error
// names its secret.
func TestGCPRefusesKeyFiles(t *testing.T) {
	ec := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(credentialtest.Marker)}))
	tests := []struct {
		name, text string
		member     string
		to         any
		want       string
	}{
		{name: "empty", text: " \n", want: "it is empty"},
		{name: "not JSON", text: credentialtest.Marker, want: "not the JSON"},
		{name: "JSON list", text: "[]", want: "not the JSON"},
		{name: "no type", member: "type", want: "it has no type"},
		{name: "login", member: "type", to: "authorized_user", want: "authorized_user is refused"},
		{name: "impersonated", member: "type", to: "impersonated_service_account", want: "impersonated_service_account is refused"},
		{name: "unknown type", member: "type", to: credentialtest.Marker, want: "its type is none that is known"},
		{name: "executable", text: `{"type":"external_account","credential_source":{"executable":{"command":"touch /tmp/x"}}}`, want: "would start a program"},
		{name: "external", text: `{"type":"external_account","credential_source":{"file":"/etc/shadow"}}`, want: "refused in a secret"},
		{name: "no address", member: "client_email", want: "client_email or private_key is missing"},
		{name: "line feed", member: "private_key_id", to: "a\r\nb", want: "a character that it cannot hold"},
		{name: "no key", member: "private_key", want: "client_email or private_key is missing"},
		{name: "no PEM", member: "private_key", to: credentialtest.Marker, want: "private_key: not PEM"},
		{name: "no RSA", member: "private_key", to: ec, want: "private_key: not an RSA key"},
		{name: "plain http", member: "token_uri", to: "http://oauth2.googleapis.com/token", want: "assertions are sent nowhere else"},
		{name: "another host", member: "token_uri", to: "https://evil.example/" + credentialtest.Marker, want: "assertions are sent nowhere else"},
		{name: "another host as user", member: "token_uri", to: "https://oauth2.googleapis.com@evil.example/", want: "assertions are sent nowhere else"},
		{name: "metadata server", member: "token_uri", to: "https://169.254.169.254/", want: "assertions are sent nowhere else"},
		{name: "another universe", member: "universe_domain", to: "example.com", want: "only googleapis.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := azureWorld(t)
				text := tt.text
				if text == "" {
					text = edited(t, w, tt.member, tt.to)
				}
				w.put("gcp", text)
				in := w.injector(t, gcpConfig(ir.GCPToken{KeyFile: awsRef("gcp")}))
				_, err := injected(t, in)
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), awsRef("gcp").String()) {
					t.Fatalf("error %v, want %q", err, tt.want)
				}
				if strings.Contains(err.Error(), credentialtest.Marker) {
					t.Errorf("the error quotes the file: %v", err)
				}
				if err := in.(credential.Checker).Check(); err == nil {
					t.Error("Check finds nothing wrong")
				}
				if n := len(w.identity.Requests()); n > 0 {
					t.Errorf("%d requests were sent", n)
				}
			})
		})
	}
}

// What Google refuses, or answers wrongly, is said without what was sent.
func TestGCPRefusals(t *testing.T) {
	dir := t.TempDir()
	federated := func(edit func(*ir.GCPFederation)) func(w *world) ir.GCPToken {
		return func(w *world) ir.GCPToken {
			c := w.cloud.Config()
			f := &ir.GCPFederation{Audience: c.GCPProvider, Subject: *subjectFor("https:" + c.GCPProvider), ServiceAccount: c.ServiceAccount}
			edit(f)
			return ir.GCPToken{Federation: f}
		}
	}
	machine := func(*world) ir.GCPToken { return ir.GCPToken{Default: true} }
	key := func(*world) ir.GCPToken { return ir.GCPToken{KeyFile: awsRef("gcp")} }
	tests := []struct {
		name  string
		cfg   func(*world) ir.GCPToken
		file  string // what GOOGLE_APPLICATION_CREDENTIALS names
		spoil func(r *http.Request, rec *httptest.ResponseRecorder)
		want  string
	}{
		{"unknown account", func(w *world) ir.GCPToken {
			w.put("gcp", edited(t, w, "client_email", "other@p.iam.gserviceaccount.com"))
			return key(w)
		}, "", nil, "answered 400, invalid_grant: Invalid grant: account not found"},
		{"another key", func(w *world) ir.GCPToken { w.put("gcp", edited(t, w, "private_key", pemKey())); return key(w) }, "", nil, "Invalid JWT Signature"},
		{"wrong provider", federated(func(f *ir.GCPFederation) { f.Audience = "//iam.googleapis.com/x" }), "", nil, "invalid_target"},
		{"wrong audience", federated(func(f *ir.GCPFederation) { f.Subject = *subjectFor("x") }), "", nil, "invalid_grant: The signature, the issuer or the audience"},
		{"another account", federated(func(f *ir.GCPFederation) { f.ServiceAccount = "x@p.iam.gserviceaccount.com" }), "", nil, "impersonate x@p.iam.gserviceaccount.com: answered 403, PERMISSION_DENIED: Permission"},
		{"no expiry", federated(func(*ir.GCPFederation) {}), "", func(r *http.Request, rec *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.Path, "generateAccessToken") {
				rec.Body.Reset()
				rec.Body.WriteString(`{"accessToken":"x"}`)
			}
		}, "the answer lacks expireTime"},
		{"repeats what it was sent", key, "", func(r *http.Request, rec *httptest.ResponseRecorder) {
			body, _ := r.GetBody()
			b := make([]byte, 4096)
			n, _ := body.Read(b)
			form, _ := url.ParseQuery(string(b[:n]))
			rec.Code = 400
			rec.Body.Reset()
			fmt.Fprintf(rec.Body, `{"error":"invalid_grant","error_description":%q}`, form.Get("assertion")[20:80])
		}, "the server's message repeats a secret"},
		{"not the metadata server", machine, "", func(_ *http.Request, rec *httptest.ResponseRecorder) {
			*rec = *httptest.NewRecorder()
			rec.WriteString(`{"access_token":"x","token_type":"Bearer","expires_in":3600}`)
		}, "is not Google's metadata server"},
		{"metadata server fails", machine, "", func(_ *http.Request, rec *httptest.ResponseRecorder) { rec.Code = 503 }, "answered 503"},
		{"no file", machine, "absent", nil, "GOOGLE_APPLICATION_CREDENTIALS: open "},
		{"login", machine, `{"type":"authorized_user"}`, nil, "authorized_user is refused"},
		{"executable", machine, `{"type":"external_account","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","credential_source":{"executable":{"command":"touch x"}}}`, nil, "it would start a program"},
		{"url", machine, `{"type":"external_account","credential_source":{"url":"http://169.254.169.254/"}}`, nil, "only a file is supported"},
		{"aws", machine, `{"type":"external_account","credential_source":{"environment_id":"aws1"}}`, nil, "only a file is supported"},
		{"SAML", machine, `{"type":"external_account","subject_token_type":"urn:ietf:params:oauth:token-type:saml2","credential_source":{"file":"/x"}}`, nil, "only a JWT"},
		{"token_url", machine, `{"type":"external_account","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://evil.example/","credential_source":{"file":"/x"}}`, nil, "assertions are sent nowhere else"},
		{"impersonation url", machine, `{"type":"external_account","audience":"x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/x"},"service_account_impersonation_url":"https://evil.example/"}`, nil, "service_account_impersonation_url is not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := azureWorld(t)
				w.spoil = tt.spoil
				if tt.file != "" {
					name := filepath.Join(dir, tt.name)
					if tt.file != "absent" {
						if err := os.WriteFile(name, []byte(tt.file), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					w.env["GOOGLE_APPLICATION_CREDENTIALS"] = name
				}
				_, err := injected(t, w.injector(t, gcpConfig(tt.cfg(w))))
				if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			})
		})
	}
}

func TestGCPRefusesAtLoad(t *testing.T) {
	file := ir.SubjectToken{File: "/x"}
	for name, g := range map[string]ir.GCPToken{
		"nothing":          {},
		"blank scope":      {Default: true, Scopes: []string{"a b"}},
		"no audience":      {Federation: &ir.GCPFederation{Subject: file}},
		"no subject":       {Federation: &ir.GCPFederation{Audience: "a"}},
		"plain token URL":  {Federation: &ir.GCPFederation{Audience: "a", Subject: file, TokenURL: "http://sts.googleapis.com/"}},
		"account's path":   {Federation: &ir.GCPFederation{Audience: "a", Subject: file, ServiceAccount: "a@b/../c"}},
		"account no email": {Federation: &ir.GCPFederation{Audience: "a", Subject: file, ServiceAccount: "a"}},
	} {
		if _, err := credential.New(gcpConfig(g), credential.Deps{Store: secret.NewStore()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
