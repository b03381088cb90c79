package credential_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/simulate"
)

const roleARN = "arn:aws:iam::123456789012:role/gateway"

func keysConfig(k ir.AWSKeySource) *ir.Credential {
	return &ir.Credential{AWS: &ir.AWSCredential{Region: "us-east-1", Service: "bedrock", Keys: k}}
}

func exchangeConfig() *ir.Credential {
	return keysConfig(ir.AWSKeySource{Exchange: &ir.AWSExchange{
		Subject: ir.SubjectToken{Client: &ir.OAuthClient{Issuer: "https://idp.example.com", ClientID: "gateway", ClientSecret: awsRef("client-secret"), Scopes: []string{"bedrock"}}},
		Role:    ir.AWSRole{ARN: roleARN, SessionName: "ai-gateway-x"},
	}})
}

// ready puts good bytes into every secret of these tests.
func (w *world) ready(t *testing.T) {
	t.Helper()
	c := w.cloud.Config()
	w.put("client-secret", c.ClientSecret, "id", c.AccessKeyID, "key", c.SecretAccessKey, "credentials", fmt.Sprintf(`# a comment
[default]
aws_access_key_id = %s
aws_secret_access_key = %s

[profile team]
role_arn = %s
source_profile = default
external_id = 42
s3 =
  max_concurrent_requests = 20

[deep]
role_arn = %s-too
source_profile = team
role_session_name = deep
`, c.AccessKeyID, c.SecretAccessKey, roleARN, roleARN))
	token, err := w.cloud.SignToken("", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env["token file"] = file
}

// sources are every way to keys; after is what is set besides.
func sources(w *world) map[string]struct {
	keys ir.AWSKeySource
	env  map[string]string
} {
	file := func(profile string) *ir.AWSFile {
		return &ir.AWSFile{Contents: awsRef("credentials"), Profile: profile}
	}
	static := &ir.AWSStaticKeys{AccessKeyID: awsRef("id"), SecretAccessKey: awsRef("key")}
	c := w.cloud.Config()
	type row = struct {
		keys ir.AWSKeySource
		env  map[string]string
	}
	return map[string]row{
		"static":                {ir.AWSKeySource{Static: static}, nil},
		"static, then a role":   {ir.AWSKeySource{Static: static, Role: &ir.AWSRole{ARN: roleARN, Tags: map[string]string{"team": "a", "cost": "b"}}}, nil},
		"file":                  {ir.AWSKeySource{File: file("")}, nil},
		"file, profile":         {ir.AWSKeySource{File: file("team")}, nil},
		"file, chain":           {ir.AWSKeySource{File: file("deep")}, nil},
		"file, chain, and role": {ir.AWSKeySource{File: file("deep"), Role: &ir.AWSRole{ARN: roleARN, ExternalID: "x"}}, nil},
		"exchange":              {exchangeConfig().AWS.Keys, nil},
		"exchange of a file":    {ir.AWSKeySource{Exchange: &ir.AWSExchange{Subject: ir.SubjectToken{File: w.env["token file"]}, Role: ir.AWSRole{ARN: roleARN}}}, nil},
		"default: environment":  {ir.AWSKeySource{Default: true}, map[string]string{"AWS_ACCESS_KEY_ID": c.AccessKeyID, "AWS_SECRET_ACCESS_KEY": c.SecretAccessKey}},
		"default: web identity": {ir.AWSKeySource{Default: true}, map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": w.env["token file"], "AWS_ROLE_ARN": roleARN}},
		"default: pod identity": {ir.AWSKeySource{Default: true}, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN": simulate.PodToken}},
		"default: container":    {ir.AWSKeySource{Default: true}, map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/simulated", "AWS_CONTAINER_AUTHORIZATION_TOKEN": simulate.PodToken}},
		"default: machine":      {ir.AWSKeySource{Default: true}, nil},
		"default, then a role":  {ir.AWSKeySource{Default: true, Role: &ir.AWSRole{ARN: roleARN}}, nil},
	}
}

func TestAWSKeysAreTaken(t *testing.T) {
	w := newWorld(t, simulate.CloudConfig{})
	w.ready(t)
	for name, tt := range sources(w) {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.env = tt.env
			w.good(t, w.injector(t, keysConfig(tt.keys)))
		})
	}
}

// An hour of credentials that live for ten seconds: the provider, which knows
// when each ends, never sees one that has.
func TestAWSKeysOverAnHour(t *testing.T) {
	for _, name := range []string{"exchange", "file, chain", "default: machine"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, simulate.CloudConfig{Life: 10 * time.Second})
				w.ready(t)
				row := sources(w)[name]
				w.env = row.env
				in := w.injector(t, keysConfig(row.keys))
				began := time.Now()
				for time.Since(began) < time.Hour {
					w.good(t, in)
					time.Sleep(970 * time.Millisecond)
				}
				s := in.(credential.Statuser).Status()
				if s.Failures != 0 || s.Refreshes < 360 || s.Refreshes > 900 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestAWSExchangeSaysWhatIsAskedFor(t *testing.T) {
	w := newWorld(t, simulate.CloudConfig{})
	w.ready(t)
	var tokens, calls []string
	w.spoil = func(r *http.Request, _ *httptest.ResponseRecorder) {
		switch records := w.identity.Requests(); {
		case strings.HasSuffix(r.URL.Path, "/token"):
			tokens = append(tokens, string(records[len(records)-1].Body()))
		case strings.HasPrefix(r.URL.Host, "sts."):
			calls = append(calls, string(records[len(records)-1].Body()))
		}
	}
	w.good(t, w.injector(t, exchangeConfig()))
	if len(tokens) != 1 || tokens[0] != "grant_type=client_credentials&scope=bedrock" {
		t.Errorf("asked for tokens by %q, want the scopes that are configured and no others", tokens)
	}
	if len(calls) != 1 || !strings.Contains(calls[0], "RoleSessionName=ai-gateway-x") || !strings.Contains(calls[0], "WebIdentityToken=") {
		t.Errorf("asked STS by %d calls", len(calls))
	}
}

func TestAWSRoleSaysWhatIsAskedFor(t *testing.T) {
	w := newWorld(t, simulate.CloudConfig{ExternalID: "42"})
	w.ready(t)
	var call string
	w.spoil = func(*http.Request, *httptest.ResponseRecorder) {
		records := w.identity.Requests()
		call = string(records[len(records)-1].Body())
	}
	static := &ir.AWSStaticKeys{AccessKeyID: awsRef("id"), SecretAccessKey: awsRef("key")}
	w.good(t, w.injector(t, keysConfig(ir.AWSKeySource{Static: static, Role: &ir.AWSRole{
		ARN: roleARN, ExternalID: "42", Tags: map[string]string{"team": "a"}, SessionName: "s", Duration: 15 * time.Minute,
	}})))
	for _, want := range []string{"Action=AssumeRole&", "DurationSeconds=900", "ExternalId=42", "RoleSessionName=s", "Tags.member.1.Key=team", "Tags.member.1.Value=a"} {
		if !strings.Contains(call, want) {
			t.Errorf("%s is not in %s", want, call)
		}
	}
	_, _, err := w.converse(w.injector(t, keysConfig(ir.AWSKeySource{Static: static, Role: &ir.AWSRole{ARN: roleARN}})))
	if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), "AccessDenied: User is not authorized") {
		t.Errorf("without the external id: %v", err)
	}
}

// What identity services do wrong: nothing of it is taken for keys, and the
// next good answer is.
func TestAWSKeysWhenTheTokenServiceFails(t *testing.T) {
	replace := func(host, old, with string) func(*http.Request, *httptest.ResponseRecorder) {
		return func(r *http.Request, w *httptest.ResponseRecorder) {
			if strings.HasPrefix(r.URL.Host, host) {
				text := strings.ReplaceAll(w.Body.String(), old, with)
				w.Body.Reset()
				w.Body.WriteString(text)
				w.Result().Header.Del("Content-Length")
			}
		}
	}
	tests := []struct {
		name     string
		behavior simulate.Behavior
		life     time.Duration
		spoil    func(*http.Request, *httptest.ResponseRecorder)
		want     string
	}{
		{"refuses", simulate.Behavior{Status: 403}, 0, nil, "answered 403"},
		{"garbage", simulate.Behavior{Fault: simulate.FaultGarbage}, 0, nil, ""},
		{"breaks off", simulate.Behavior{Fault: simulate.FaultReset}, 0, nil, "broken"},
		{"hangs", simulate.Behavior{Fault: simulate.FaultHang}, 0, nil, ""},
		{"redirects", simulate.Behavior{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, 0, nil, "answered 307"},
		{"gives what has expired", simulate.Behavior{}, -time.Hour, nil, ""},
		{"wrong issuer", simulate.Behavior{}, 0, replace("idp.", `"issuer":"https://idp`, `"issuer":"https://other`), "write the issuer exactly"},
		{"plain token endpoint", simulate.Behavior{}, 0, replace("idp.", `"token_endpoint":"https:`, `"token_endpoint":"http:`), "its token endpoint is not"},
		{"no token", simulate.Behavior{}, 0, replace("idp.", `"access_token":`, `"no_token":`), "the token is empty"},
		{"no token type", simulate.Behavior{}, 0, replace("idp.", `"Bearer"`, `"MAC"`), "token_type is not Bearer"},
		{"token with a line break", simulate.Behavior{}, 0, replace("idp.", `"access_token":"`, `"access_token":"x\r\n`), "a character that no token may hold"},
		{"forged token", simulate.Behavior{}, 0, replace("idp.", `"access_token":"ey`, `"access_token":"ez`), "InvalidIdentityToken"},
		{"no expiration", simulate.Behavior{}, 0, replace("sts.", "Expiration>", "Expiry>"), "lacks credentials"},
		{"no session token", simulate.Behavior{}, 0, replace("sts.", "SessionToken>", "Token>"), "lacks credentials"},
		{"no secret key", simulate.Behavior{}, 0, replace("sts.", "SecretAccessKey>", "Key>"), "is missing"},
		{"expired", simulate.Behavior{}, 0, replace("sts.", "<Expiration>20", "<Expiration>19"), "expired before it came"},
		{"cut XML", simulate.Behavior{}, 0, replace("sts.", "</Credentials>", "</"), "not what STS answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, simulate.CloudConfig{Life: tt.life})
				w.ready(t)
				w.spoil = tt.spoil
				if err := w.identity.SetBehavior(tt.behavior); err != nil {
					t.Fatal(err)
				}
				in := w.injector(t, exchangeConfig())
				began := time.Now()
				_, _, err := w.converse(in)
				if !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the request waited %v", took)
				}
				for _, v := range []string{w.cloud.Config().ClientSecret, "eyJ"} {
					if strings.Contains(err.Error(), v) {
						t.Errorf("a secret is in %v", err)
					}
				}
				w.spoil = nil
				w.cloud.SetLife(0)
				if err := w.identity.SetBehavior(simulate.Behavior{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(12 * time.Second)
				w.good(t, in)
			})
		})
	}
}

// A gateway whose clock is wrong knows by the token service's how long keys
// live, and signs by it.
func TestAWSKeysWhenClocksDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-3 * time.Hour, -20 * time.Minute, -3 * time.Second, 3 * time.Second, 20 * time.Minute, 3 * time.Hour} {
		for _, name := range []string{"exchange", "default: machine"} {
			t.Run(fmt.Sprint(name, skew), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, simulate.CloudConfig{Life: time.Minute})
					w.cloud.SetSkew(skew)
					w.ready(t)
					in := w.injector(t, keysConfig(sources(w)[name].keys))
					for range 600 {
						w.good(t, in)
						time.Sleep(time.Second)
					}
					s := in.(credential.Statuser).Status()
					if s.Refreshes < 10 || s.Refreshes > 30 {
						t.Errorf("%+v", s)
					}
				})
			})
		}
	}
}

// While STS is down keys serve to their end, then nothing does, and when it is
// back they do again within one back-off.
func TestAWSKeysWhileTheTokenServiceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulate.CloudConfig{Life: 10 * time.Second})
		w.ready(t)
		in := w.injector(t, exchangeConfig())
		w.good(t, in)
		if err := w.identity.SetBehavior(simulate.Behavior{Status: 500}); err != nil {
			t.Fatal(err)
		}
		for range 9 {
			w.good(t, in)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		if _, _, err := w.converse(in); !errors.Is(err, credential.ErrUnavailable) || !strings.Contains(err.Error(), "answered 500") {
			t.Errorf("after the end: %v", err)
		}
		if err := w.identity.SetBehavior(simulate.Behavior{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		w.good(t, in)
	})
}

func TestAWSKeysFollowTheirSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulate.CloudConfig{})
		w.ready(t)
		in := w.injector(t, exchangeConfig())
		w.good(t, in)
		w.put("client-secret", "wrong")
		synctest.Wait()
		if s := in.(credential.Statuser).Status(); s.Failures == 0 || !s.Valid || !strings.Contains(s.Error, "invalid_client") {
			t.Errorf("%+v", s)
		}
		w.good(t, in) // to its end
		w.put("client-secret", w.cloud.Config().ClientSecret)
		synctest.Wait()
		if s := in.(credential.Statuser).Status(); s.Error != "" || s.Refreshes != 2 {
			t.Errorf("%+v", s)
		}
		w.store.Drop([]secret.Ref{awsRef("client-secret")})
		if _, _, err := w.converse(in); !errors.Is(err, secret.ErrMissing) {
			t.Errorf("without the secret: %v", err)
		}
		if err := in.(credential.Checker).Check(); !errors.Is(err, secret.ErrMissing) {
			t.Errorf("Check: %v", err)
		}
	})
}

// Equal configurations share one fetch, whatever line they are on; it ends
// with the last of them.
func TestAWSKeysAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulate.CloudConfig{})
		w.ready(t)
		d := w.deps()
		d.Keep = new(keep.Keep)
		var all []credential.Injector
		for line := range 3 {
			cfg := exchangeConfig()
			cfg.Origin.Line, cfg.AWS.Keys.Exchange.Subject.Client.Origin.Line = line, line
			if line == 2 {
				cfg.AWS.Keys.Exchange.Role.SessionName = "another"
			}
			in, err := credential.New(cfg, d)
			if err != nil {
				t.Fatal(err)
			}
			w.good(t, in)
			all = append(all, in)
		}
		if s := credential.Statuses(d.Keep); len(s) != 2 || s[0].Refreshes != 1 || s[1].Refreshes != 1 {
			t.Errorf("%+v", s)
		}
		for i, want := range []int{2, 1, 0} {
			all[i].(interface{ Close() }).Close()
			if d.Keep.Len() != want {
				t.Errorf("%d kept after %d were closed", d.Keep.Len(), i+1)
			}
		}
	})
}
