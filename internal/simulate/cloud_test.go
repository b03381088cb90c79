package simulate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// cloudTime is a fixed time for clouds.
func cloudTime() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func testCloud() *Cloud { return NewCloud(CloudConfig{Now: cloudTime}) }

// serveOne lets p answer r, as the Server would.
func serveOne(p Provider, r *http.Request, body string) Answer {
	r.RequestURI = r.URL.RequestURI()
	return p.Answer(&Request{Request: r, Payload: []byte(body)})
}

// signedConverse returns a request to Bedrock that is signed with keys.
func signedConverse(t *testing.T, keys aws.Credentials, service string, at time.Time, body string) *http.Request {
	t.Helper()
	u := "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse?b=2&a=x%20y"
	r, err := http.NewRequest(http.MethodPost, u, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

const converseBody = `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`

func TestBedrockVerifiesSignatures(t *testing.T) {
	c := testCloud()
	b := NewBedrock(ProviderConfig{Cloud: c})
	own := aws.Credentials{AccessKeyID: c.Config().AccessKeyID, SecretAccessKey: c.Config().SecretAccessKey}
	session := func(expires time.Time) aws.Credentials {
		k := c.Issue(Session{Role: "arn:aws:iam::1:role/x", Name: "s", Expires: expires})
		return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}
	}
	live := session(cloudTime().Add(time.Minute))
	foreign := testCloud().Issue(Session{Role: "arn:aws:iam::1:role/x", Name: "s", Expires: cloudTime().Add(time.Hour)})
	tests := []struct {
		name  string
		keys  aws.Credentials
		at    time.Duration
		spoil func(r *http.Request)
		body  string // that arrives; empty: as signed
		want  string // the error's type; empty: none
	}{
		{"account", own, 0, nil, "", ""},
		{"session", live, 0, nil, "", ""},
		{"a little late", own, -4 * time.Minute, nil, "", ""},
		{"old", own, -6 * time.Minute, nil, "", "InvalidSignatureException"},
		{"of the future", own, 6 * time.Minute, nil, "", "InvalidSignatureException"},
		{"ended", session(cloudTime()), 0, nil, "", "ExpiredTokenException"},
		{"another cloud's", aws.Credentials{AccessKeyID: foreign.AccessKeyID, SecretAccessKey: foreign.SecretAccessKey, SessionToken: foreign.SessionToken}, 0, nil, "", "UnrecognizedClientException"},
		{"another id", aws.Credentials{AccessKeyID: "AKIDOTHER", SecretAccessKey: own.SecretAccessKey}, 0, nil, "", "UnrecognizedClientException"},
		{"another secret", aws.Credentials{AccessKeyID: own.AccessKeyID, SecretAccessKey: "x"}, 0, nil, "", "InvalidSignatureException"},
		{"session without its token", aws.Credentials{AccessKeyID: live.AccessKeyID, SecretAccessKey: live.SecretAccessKey}, 0, nil, "", "UnrecognizedClientException"},
		{"unsigned", own, 0, func(r *http.Request) { r.Header.Del("Authorization") }, "", "MissingAuthenticationTokenException"},
		{"twice signed", own, 0, func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, "", "IncompleteSignatureException"},
		{"bearer", own, 0, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "", "IncompleteSignatureException"},
		{"a byte of the body", own, 0, nil, strings.Replace(converseBody, "hello", "hellp", 1), "InvalidSignatureException"},
		{"a byte of the path", own, 0, func(r *http.Request) { r.URL, _ = url.Parse(strings.Replace(r.URL.String(), "v1", "v2", 1)) }, "", "InvalidSignatureException"},
		{"a byte of the query", own, 0, func(r *http.Request) { r.URL.RawQuery = "a=x%20z&b=2" }, "", "InvalidSignatureException"},
		{"another host", own, 0, func(r *http.Request) { r.Host = "bedrock-runtime.us-east-2.amazonaws.com" }, "", "InvalidSignatureException"},
		{"another method", own, 0, func(r *http.Request) { r.Method = "PUT" }, "", "InvalidSignatureException"},
		{"another type", own, 0, func(r *http.Request) { r.Header.Set("Content-Type", "application/json;x=y") }, "", "InvalidSignatureException"},
		{"another date", own, 0, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260101T120001Z") }, "", "InvalidSignatureException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := signedConverse(t, tt.keys, "bedrock", cloudTime().Add(tt.at), converseBody)
			if tt.spoil != nil {
				tt.spoil(r)
			}
			body := tt.body
			if body == "" {
				body = converseBody
			}
			a := serveOne(b, r, body)
			if got := a.Header.Get("X-Amzn-Errortype"); got != tt.want || (a.Status == http.StatusOK) != (tt.want == "") {
				t.Errorf("answers %d %s %s", a.Status, got, a.Body)
			}
		})
	}
	if a := serveOne(b, signedConverse(t, own, "sts", cloudTime(), converseBody), converseBody); a.Status != http.StatusForbidden {
		t.Errorf("a signature for another service: %d", a.Status)
	}
}

func TestSTSVerifiesTokens(t *testing.T) {
	c := testCloud()
	s := NewSTS(ProviderConfig{Cloud: c})
	trade := func(token string) Answer {
		form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "RoleArn": {"arn:aws:iam::1:role/x"}, "RoleSessionName": {"s"}, "WebIdentityToken": {token}}
		return serveOne(s, httptest.NewRequest("POST", "https://sts.amazonaws.com/", nil), form.Encode())
	}
	signed := func(c *Cloud, audience string, life time.Duration) string {
		token, err := c.SignToken(audience, "", life)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := signed(c, "", time.Minute)
	parts := strings.Split(good, ".")
	for name, tt := range map[string]struct{ token, want string }{
		"good":             {good, "<AccessKeyId>ASIA"},
		"expired":          {signed(c, "", -time.Second), "ExpiredTokenException"},
		"another audience": {signed(c, "other", time.Minute), "InvalidIdentityToken"},
		"another issuer":   {signed(testCloud(), "", time.Minute), "InvalidIdentityToken"},
		"no signature":     {parts[0] + "." + parts[1] + ".", "InvalidIdentityToken"},
		"no token":         {"", "InvalidIdentityToken"},
	} {
		if a := trade(tt.token); !strings.Contains(string(a.Body), tt.want) || (a.Status == 200) != (name == "good") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	c.SetLife(10 * time.Second)
	if a := trade(good); !strings.Contains(string(a.Body), "<Expiration>2026-01-01T12:00:10Z</Expiration>") {
		t.Errorf("ten seconds: %s", a.Body)
	}
	c.SetSkew(time.Hour)
	if a := trade(signed(c, "", time.Minute)); a.Header.Get("Date") != "Thu, 01 Jan 2026 13:00:00 GMT" || !strings.Contains(string(a.Body), "T13:00:10Z") {
		t.Errorf("an hour ahead: %v %s", a.Header, a.Body)
	}
}

func TestOIDCKnowsItsClient(t *testing.T) {
	c := testCloud()
	o := NewOIDC(ProviderConfig{Cloud: c})
	id, key := c.Config().ClientID, c.Config().ClientSecret
	grant := func(basic bool, id, key string, form url.Values) Answer {
		r := httptest.NewRequest("POST", "https://idp.example.com/token", nil)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if basic {
			r.SetBasicAuth(id, key)
		} else {
			form.Set("client_id", id)
			form.Set("client_secret", key)
		}
		return serveOne(o, r, form.Encode())
	}
	cc := func() url.Values { return url.Values{"grant_type": {"client_credentials"}} }
	for name, tt := range map[string]struct {
		a      Answer
		status int
	}{
		"basic":         {grant(true, id, key, cc()), 200},
		"form":          {grant(false, id, key, cc()), 200},
		"wrong secret":  {grant(true, id, "x", cc()), 401},
		"empty secret":  {grant(true, id, "", cc()), 401},
		"wrong client":  {grant(false, "x", key, cc()), 401},
		"both":          {grant(true, id, key, url.Values{"grant_type": {"client_credentials"}, "client_secret": {key}}), 401},
		"another grant": {grant(true, id, key, url.Values{"grant_type": {"password"}}), 400},
	} {
		if tt.a.Status != tt.status {
			t.Errorf("%s: %d %s", name, tt.a.Status, tt.a.Body)
		}
	}
	var doc struct {
		Issuer string
		Token  string `json:"token_endpoint"`
	}
	a := serveOne(o, httptest.NewRequest("GET", "https://idp.example.com/.well-known/openid-configuration", nil), "")
	if err := json.Unmarshal(a.Body, &doc); err != nil || doc.Issuer != "https://idp.example.com" || doc.Token != "https://idp.example.com/token" {
		t.Errorf("discovery: %s", a.Body)
	}
	if a := serveOne(o, httptest.NewRequest("GET", "https://idp.example.com/jwks", nil), ""); !bytes.Contains(a.Body, []byte(`"kty":"RSA"`)) || bytes.Contains(a.Body, []byte(`"d":`)) {
		t.Errorf("key set: %s", a.Body)
	}
}

func TestMetadataWantsASession(t *testing.T) {
	m := NewMetadata(ProviderConfig{Cloud: testCloud()})
	get := func(method, path string, header ...string) Answer {
		r := httptest.NewRequest(method, "http://169.254.169.254"+path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return serveOne(m, r, "")
	}
	const list, ttl = "/latest/meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	session := string(get("PUT", "/latest/api/token", ttl, "60").Body)
	for name, tt := range map[string]struct {
		a      Answer
		status int
	}{
		"session":         {get("PUT", "/latest/api/token", ttl, "60"), 200},
		"led there":       {get("PUT", "/latest/api/token", ttl, "60", "X-Forwarded-For", "1.2.3.4"), 400},
		"by GET":          {get("GET", "/latest/api/token", ttl, "60"), 400},
		"no session":      {get("GET", list), 401},
		"list":            {get("GET", list, "X-Aws-Ec2-Metadata-Token", session), 200},
		"keys":            {get("GET", list+metadataRole, "X-Aws-Ec2-Metadata-Token", session), 200},
		"container":       {get("GET", "/v1/credentials", "Authorization", PodToken), 200},
		"container, none": {get("GET", "/v1/credentials"), 401},
	} {
		if tt.a.Status != tt.status {
			t.Errorf("%s: %d %s", name, tt.a.Status, tt.a.Body)
		}
	}
}
