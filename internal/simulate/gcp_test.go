package simulate

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/google/externalaccount"
)

// asClient lets providers answer in process, by their hosts.
type asClient []Provider

func (c asClient) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	for _, p := range c {
		for _, h := range p.Hosts() {
			if h != r.URL.Host {
				continue
			}
			a := p.Answer(&Request{Request: in, Payload: body})
			rec := httptest.NewRecorder()
			for name, values := range a.Header {
				rec.Header()[name] = values
			}
			rec.WriteHeader(max(a.Status, http.StatusOK))
			_, _ = rec.Write(a.Body)
			return rec.Result(), nil
		}
	}
	return nil, http.ErrServerClosed
}

// subjectOf is a supplier of the simulated issuer's tokens.
type subjectOf struct{ *Cloud }

func (s subjectOf) SubjectToken(context.Context, externalaccount.SupplierOptions) (string, error) {
	return s.SignToken("https:"+s.cfg.GCPProvider, "", time.Hour)
}

// Google's own libraries take what the simulated services answer, which take
// what those send.
func TestGCPByGooglesLibraries(t *testing.T) {
	c := NewCloud(CloudConfig{})
	cfg := ProviderConfig{Cloud: c}
	cfg.Hosts = []string{"oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"}
	own := NewGCP(cfg)
	cfg.Hosts = []string{"us-central1-aiplatform.googleapis.com"}
	client := &http.Client{Transport: asClient{own, NewVertex(cfg)}}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	key, err := google.JWTConfigFromJSON(c.ServiceAccountKey(), gcpScope)
	if err != nil {
		t.Fatal(err)
	}
	federated := externalaccount.Config{
		Audience: c.cfg.GCPProvider, SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt", TokenURL: "https://sts.googleapis.com/v1/token",
		SubjectTokenSupplier: subjectOf{c}, Scopes: []string{gcpScope},
	}
	impersonating := federated
	impersonating.ServiceAccountImpersonationURL = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + c.cfg.ServiceAccount + ":generateAccessToken"
	sources := map[string]oauth2.TokenSource{"key": key.TokenSource(ctx)}
	for name, f := range map[string]externalaccount.Config{"federated": federated, "impersonating": impersonating} {
		if sources[name], err = externalaccount.NewTokenSource(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	for name, source := range sources {
		token, err := source.Token()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := newRequest(t, "POST", "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.0-flash:generateContent",
			`{"contents":[{"parts":[{"text":"Why?"}]}]}`, "Content-Type: application/json", "Authorization: Bearer "+token.AccessToken)
		if got := do(t, client, r); got.StatusCode != http.StatusOK || !strings.Contains(string(got.body), "Why?") {
			t.Errorf("%s: Vertex AI answers %d %s", name, got.StatusCode, got.body)
		}
	}
}

func TestGoogleTokensAreSealed(t *testing.T) {
	c, now := testCloud(), cloudTime()
	good := c.GoogleToken(GoogleAccess{Account: "a", Scope: gcpScope, Expires: now.Add(time.Minute)})
	for name, tt := range map[string]struct {
		values []string
		want   bool
	}{
		"good":          {[]string{"Bearer " + good}, true},
		"ended":         {[]string{"Bearer " + c.GoogleToken(GoogleAccess{Expires: now})}, false},
		"of another":    {[]string{"Bearer " + testCloud().GoogleToken(GoogleAccess{Expires: now.Add(time.Hour)})}, false},
		"changed":       {[]string{"Bearer " + strings.Replace(good, "ya29.e", "ya29.f", 1)}, false},
		"doubled":       {[]string{"Bearer " + good, "Bearer " + good}, false},
		"none":          {nil, false},
		"without a dot": {[]string{"Bearer ya29."}, false},
	} {
		if _, ok := c.googleAccess(http.Header{"Authorization": tt.values}); ok != tt.want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func TestGCPRefuses(t *testing.T) {
	c := testCloud()
	g := NewGCP(ProviderConfig{Cloud: c})
	subject, err := c.SignToken("https:"+c.cfg.GCPProvider, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := c.SignToken("another", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	trade := func(edit func(url.Values)) string {
		v := url.Values{"grant_type": {gcpExchange}, "requested_token_type": {gcpAccess}, "audience": {c.cfg.GCPProvider}, "scope": {gcpScope},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "subject_token": {subject}}
		edit(v)
		return v.Encode()
	}
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"good", "/v1/token", trade(func(url.Values) {}), 200, `"token_type":"Bearer"`},
		{"another token", "/v1/token", trade(func(v url.Values) { v.Set("subject_token", foreign) }), 400, "invalid_grant"},
		{"another provider", "/v1/token", trade(func(v url.Values) { v.Set("audience", "x") }), 400, "invalid_target"},
		{"no scope", "/v1/token", trade(func(v url.Values) { v.Del("scope") }), 400, "invalid_scope"},
		{"another type", "/v1/token", trade(func(v url.Values) { v.Set("subject_token_type", "x") }), 400, "invalid_request"},
		{"no assertion", "/token", "grant_type=" + url.QueryEscape(gcpGrant), 400, "Invalid JWT Signature"},
		{"the issuer's for an assertion", "/token", url.Values{"grant_type": {gcpGrant}, "assertion": {subject}}.Encode(), 400, "Invalid JWT Signature"},
		{"another grant", "/token", "grant_type=x", 400, "unsupported_grant_type"},
		{"nothing there", "/x", "", 404, "NOT_FOUND"},
		{"impersonate without a token", gcpIAMPath + c.cfg.ServiceAccount + ":generateAccessToken", "{}", 401, "UNAUTHENTICATED"},
	} {
		r := newRequest(t, "POST", "https://sts.googleapis.com"+tt.path, tt.body, "Content-Type: application/x-www-form-urlencoded")
		if a := serveOne(g, r, tt.body); a.Status != tt.status || !strings.Contains(string(a.Body), tt.want) {
			t.Errorf("%s: %d %s", tt.name, a.Status, a.Body)
		}
	}
}
