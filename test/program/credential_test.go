package program

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/internal/simulate"
)

// TestCredentialOfBedrock asks Bedrock, which verifies every signature, with
// keys of each kind, in both forms of the resources.
func TestCredentialOfBedrock(t *testing.T) {
	for _, folder := range []string{"original-aws-file", "today-aws-file", "original-aws-oidc", "today-aws-oidc"} {
		t.Run(folder, func(t *testing.T) {
			c := newCloud(t, simulate.CloudConfig{})
			p := run(t, bedrockFiles(t, folder), c.settings())
			got := converse(t, p, map[string]string{"Authorization": "AWS4-HMAC-SHA256 of-the-caller", "X-Amz-Security-Token": "of-the-caller"})
			if got.status != 200 || !strings.Contains(got.body, `You said \"Why?\"`) {
				t.Fatal(got)
			}
			if strings.HasSuffix(folder, "oidc") {
				s := p.statusOf().Credentials
				if len(s) != 1 || !s[0].Valid || s[0].Refreshes != 1 || !strings.Contains(s[0].Name, "arn:aws:iam::123456789012:role/ai-gateway") {
					t.Errorf("/status shows %+v", s)
				}
				if m := p.get("/metrics"); !strings.Contains(m, "postern_credential_refreshes_total{credential=\""+s[0].Name+"\"} 1") || !strings.Contains(m, "postern_credential_seconds_to_expiry{") {
					t.Error("the metrics do not tell of the credential")
				}
				if !strings.Contains(p.err.String(), "arn:aws:iam::123456789012:role/ai-gateway by client ai-gateway with Secret default/oidc-client[client-secret]") {
					t.Errorf("the banner does not name the credential:\n%s", p.err)
				}
			}
		})
	}
}

// TestCredentialOfTheGatewayItself: a policy that names no keys uses those of
// the gateway's environment, or of its machine.
func TestCredentialOfTheGatewayItself(t *testing.T) {
	files := bedrockFiles(t, "today-aws-file")
	const file = "    credentialsFile:\n      secretRef:\n        name: aws-credentials\n        namespace: default\n      profile: bedrock\n"
	policy, secret, ok := strings.Cut(files["policy.yaml"], "---\n")
	if !ok || !strings.Contains(policy, file) || !strings.Contains(secret, "kind: Secret") {
		t.Fatal("the walk-through's policy is another")
	}
	files["policy.yaml"] = strings.Replace(policy, file, "", 1)
	for name, env := range map[string]map[string]string{
		"environment": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": cloudKey},
		"machine":     {},
		"container":   {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN": simulate.PodToken},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, simulate.CloudConfig{})
			if name == "environment" {
				env["AWS_ACCESS_KEY_ID"] = c.Config().AccessKeyID
			}
			p := run(t, files, settings{args: append(c.flags, "--guard-destinations"), env: env})
			if got := converse(t, p, nil); got.status != 200 {
				t.Errorf("%v\n%s", got, p.err)
			}
			if s := p.statusOf().Credentials; len(s) != 1 || s[0].Name != "aws default chain in us-east-1" || !s[0].Valid {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestCredentialByTheSDK speaks to Bedrock through the gateway by AWS's own
// client, whose signature is dropped for the gateway's: answers whole and
// streamed, and a body of 10 MB.
func TestCredentialByTheSDK(t *testing.T) {
	c := newCloud(t, simulate.CloudConfig{})
	files := bedrockFiles(t, "today-aws-oidc")
	p := run(t, files, c.settings())
	client := bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + p.addr("8080")), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDCALLER", SecretAccessKey: "of-the-caller", SessionToken: "of-the-caller"}, nil
		}),
		HTTPClient: &http.Client{Transport: modelHeader{}},
	})
	say := func(text string) []types.Message {
		return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
	}
	for name, text := range map[string]string{"short": "hello", "10 MB": strings.Repeat("0123456789", 1<<20)} {
		out, err := client.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(bedrockModel), Messages: say(text)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m, ok := out.Output.(*types.ConverseOutputMemberMessage); !ok || len(m.Value.Content) != 1 {
			t.Errorf("%s: %#v", name, out.Output)
		}
	}
	stream, err := client.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(bedrockModel), Messages: say("hello")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.GetStream().Close() }()
	text, stopped := "", false
	for event := range stream.GetStream().Events() {
		switch e := event.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			text += e.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
		case *types.ConverseStreamOutputMemberMessageStop:
			stopped = true
		}
	}
	if err := stream.GetStream().Err(); err != nil || !stopped || !strings.HasPrefix(text, `You said "hello".`) {
		t.Errorf("the stream says %q, error %v", text, err)
	}
	invoked, err := client.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(bedrockModel), ContentType: aws.String("application/json"), Body: []byte(`{}`)})
	if err != nil || !strings.Contains(string(invoked.Body), `"type":"message"`) {
		t.Errorf("InvokeModel: %v", err)
	}
	for _, r := range c.bedrock.Requests() {
		if r.Authorizations != 1 || strings.Contains(strings.Join(r.Headers["X-Amz-Security-Token"], ""), "caller") {
			t.Errorf("the caller's signature travels on: %v", r.Headers)
		}
	}
}

// modelHeader names the model as the walk-through's routes want it.
type modelHeader struct{}

func (modelHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("x-ai-eg-model", bedrockModel)
	return http.DefaultTransport.RoundTrip(r)
}

// TestCredentialThatCannotBeFetched: what is wrong is in the status with what
// to do, requests get 503 and no crash, and everything is well when it is
// mended.
func TestCredentialThatCannotBeFetched(t *testing.T) {
	tests := []struct {
		name   string
		cloud  simulate.CloudConfig
		edit   func(files map[string]string)
		want   string // in the status
		answer int
	}{
		{"issuer that calls itself another", simulate.CloudConfig{Issuer: "https://idp.example.com/"}, nil, "write the issuer exactly as its document does", 503},
		{"wrong client", simulate.CloudConfig{}, func(f map[string]string) {
			f["policy.yaml"] = strings.Replace(f["policy.yaml"], "clientID: ai-gateway", "clientID: another", 1)
		}, "401, invalid_client", 503},
		{"wrong audience", simulate.CloudConfig{}, func(f map[string]string) {
			f["policy.yaml"] = strings.Replace(f["policy.yaml"], "aud: sts.amazonaws.com", "aud: another", 1)
		}, "InvalidIdentityToken", 503},
		{"past expiries", simulate.CloudConfig{Life: -time.Hour}, nil, "expires_in is not a number of seconds above 0", 503},
		{"secret without its key", simulate.CloudConfig{}, func(f map[string]string) {
			f["policy.yaml"] = strings.Replace(f["policy.yaml"], "  client-secret: $", "  another: $", 1)
		}, "client-secret", 500},
		{"secret with a line feed", simulate.CloudConfig{}, func(f map[string]string) {
			f["policy.yaml"] = strings.Replace(f["policy.yaml"], "client-secret: ${OIDC_CLIENT_SECRET}", `client-secret: "a\nb"`, 1)
		}, "a character that no header value may hold", 500},
		{"no namespace", simulate.CloudConfig{}, func(f map[string]string) {
			f["policy.yaml"] = strings.Replace(f["policy.yaml"], "          name: oidc-client\n          namespace: default\n", "          name: oidc-client\n", 1)
		}, "", 200}, // the policy's own is meant
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, tt.cloud)
			files := bedrockFiles(t, "today-aws-oidc")
			good := files["policy.yaml"]
			if tt.edit != nil {
				if tt.edit(files); files["policy.yaml"] == good {
					t.Fatal("the case changes nothing")
				}
			}
			p := run(t, files, c.settings())
			got := converse(t, p, nil)
			if got.status != tt.answer {
				t.Errorf("answers %v", got)
			}
			if tt.want != "" {
				p.problem(tt.want)
			}
			if (got.status == 200) != (tt.answer == 200) || len(c.bedrock.Requests()) > 0 && got.status != 200 {
				t.Errorf("a request reached the provider: %v", got)
			}
			if tt.edit == nil {
				return
			}
			p.write("policy.yaml", good)
			p.await("service after it was mended", func() bool { return converse(t, p, nil).status == 200 })
		})
	}
}

// TestCredentialOutlivesAReload: a change of routes fetches nothing again, a
// change of the secret does at once.
func TestCredentialOutlivesAReload(t *testing.T) {
	c := newCloud(t, simulate.CloudConfig{})
	files := bedrockFiles(t, "today-aws-oidc")
	p := run(t, files, c.settings())
	if got := converse(t, p, nil); got.status != 200 {
		t.Fatal(got)
	}
	p.write("policy.yaml", "# a line more\n"+files["policy.yaml"])
	p.write("route.yaml", strings.Replace(files["route.yaml"], "metadata:\n  name: bedrock\n", "metadata:\n  name: bedrock-too\n", 1))
	p.await("reload", func() bool { return strings.Contains(p.err.String(), "postern: reloaded") })
	if got := converse(t, p, nil); got.status != 200 {
		t.Fatal(got)
	}
	if s := p.statusOf().Credentials; len(s) != 1 || s[0].Refreshes != 1 {
		t.Errorf("after a reload: %+v", s)
	}
	p.write("policy.yaml", strings.Replace(files["policy.yaml"], "${OIDC_CLIENT_SECRET}", "wrong", 1))
	p.await("a fetch with the new secret", func() bool { s := p.statusOf().Credentials; return len(s) == 1 && s[0].Failures > 0 })
	if problem := p.problem("renewing it fails, and the present one ends at"); !strings.HasPrefix(problem, "warning") {
		t.Error(problem)
	}
	p.write("policy.yaml", files["policy.yaml"])
	p.await("a fetch with the right secret", func() bool {
		s := p.statusOf().Credentials
		return len(s) == 1 && s[0].Refreshes == 2 && s[0].Error == ""
	})
}

// TestSecurityRow18NoProgramIsStarted: a credentials file in a Secret that
// names a program closes its routes.
func TestSecurityRow18NoProgramIsStarted(t *testing.T) {
	dir := t.TempDir()
	marker, script := filepath.Join(dir, "started"), filepath.Join(dir, "program")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newCloud(t, simulate.CloudConfig{})
	files := bedrockFiles(t, "today-aws-file")
	before, _, ok := strings.Cut(files["policy.yaml"], "stringData:")
	if !ok {
		t.Fatal("the walk-through's policy holds no Secret")
	}
	files["policy.yaml"] = before + "stringData:\n  credentials: |\n    [bedrock]\n    credential_process = " + script + "\n"
	p := run(t, files, c.settings())
	if got := converse(t, p, nil); got.status != 500 || len(c.bedrock.Requests()) != 0 {
		t.Errorf("answers %v", got)
	}
	p.problem("credential_process is refused: it would start a program")
	if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
		t.Error("security row 18: the program was started")
	}
}

// TestCredentialCheckOnline: check --online really fetches each credential,
// and says what came of it.
func TestCredentialCheckOnline(t *testing.T) {
	c := newCloud(t, simulate.CloudConfig{})
	check := func(secret string) (int, string, string) {
		dir := t.TempDir()
		for name, text := range bedrockFiles(t, "today-aws-oidc") {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, errs buffer
		code := cli.Main(t.Context(), append([]string{"check", "--online", "-f", dir}, c.flags...), cli.Streams{
			In: strings.NewReader(""), Out: &out, Err: &errs,
			Env: func(name string) (string, bool) { return secret, name == "OIDC_CLIENT_SECRET" },
		})
		return code, out.String(), errs.String()
	}
	if code, out, errs := check(clientSecret); code != 0 || !strings.Contains(errs, "fetched aws role arn:aws:iam::123456789012:role/ai-gateway") || !strings.Contains(errs, "valid until") {
		t.Errorf("good: exit %d\n%s\n%s", code, out, errs)
	}
	code, out, errs := check("MARKER-wrong")
	if code != 1 || !strings.Contains(out, "invalid_client") || !strings.Contains(out, "policy.yaml:") || strings.Contains(out+errs, "MARKER") {
		t.Errorf("wrong secret: exit %d\n%s\n%s", code, out, errs)
	}
}

// TestCredentialThatTheRequestBrings: a request's own keys are used in place
// of the gateway's, a part of them is refused, and nothing of them travels on.
func TestCredentialThatTheRequestBrings(t *testing.T) {
	c := newCloud(t, simulate.CloudConfig{})
	brought := c.Issue(simulate.Session{Role: "arn:aws:iam::123456789012:role/caller", Name: "c", Expires: time.Now().Add(time.Hour)})
	all := map[string]string{
		"x-aigw-aws-access-key-id": brought.AccessKeyID, "x-aigw-aws-secret-access-key": brought.SecretAccessKey, "x-aigw-aws-session-token": brought.SessionToken,
	}
	for _, required := range []bool{false, true} {
		files := bedrockFiles(t, "today-aws-oidc")
		override := "  credentialOverride: {fromRequestHeaders: {}}\n"
		if required {
			override = "  credentialOverride: {fromRequestHeaders: {fallbackToConfigured: false}}\n"
		}
		files["policy.yaml"] = strings.Replace(files["policy.yaml"], "  type: AWSCredentials\n", "  type: AWSCredentials\n"+override, 1)
		p := run(t, files, c.settings())
		c.bedrock.Clear()
		if got := converse(t, p, all); got.status != 200 {
			t.Errorf("required=%v, its own: %v", required, got)
		}
		if seen := c.bedrock.Requests(); len(seen) != 1 || !seen[0].HeaderIs("X-Amz-Security-Token", brought.SessionToken) {
			t.Errorf("required=%v: its own keys are not used", required)
		}
		c.bedrock.Clear()
		want := 200
		if required {
			want = 401
		}
		if got := converse(t, p, nil); got.status != want {
			t.Errorf("required=%v, none: %v", required, got)
		}
		for name, value := range all {
			if got := converse(t, p, map[string]string{name: value}); got.status != 400 {
				t.Errorf("required=%v, %s alone: %v", required, name, got)
			}
		}
		for _, r := range c.bedrock.Requests() {
			for name := range r.Headers {
				if strings.HasPrefix(name, "X-Aigw-") {
					t.Errorf("%s travels on", name)
				}
			}
		}
		if s := p.statusOf().Credentials; required && len(s) != 0 {
			t.Errorf("what nobody uses is fetched: %+v", s)
		}
	}
}

// TestCredentialThatTheRequestBringsIsExplained: explain decides as run does,
// and shows nothing of it.
func TestCredentialThatTheRequestBringsIsExplained(t *testing.T) {
	dir := t.TempDir()
	for name, text := range bedrockFiles(t, "today-aws-oidc") {
		text = strings.Replace(text, "  type: AWSCredentials\n", "  type: AWSCredentials\n  credentialOverride: {fromRequestHeaders: {fallbackToConfigured: false}}\n", 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const id, key = "x-aigw-aws-access-key-id: MARKER-id", "x-aigw-aws-secret-access-key: MARKER-key"
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"whole": {[]string{id, key}, "what the request brings"},
		"none":  {nil, "401"},
		"part":  {[]string{id}, "400"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"explain", "-f", dir, "POST", "http://127.0.0.1:8080" + conversePath, "-d", converseText, "-H", "content-type: application/json", "-H", "x-ai-eg-model: " + bedrockModel}
			for _, h := range tt.headers {
				args = append(args, "-H", h)
			}
			var out, errs buffer
			cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(string) (string, bool) { return "", false }})
			if !strings.Contains(out.String(), tt.want) || strings.Contains(out.String(), "MARKER") || strings.Contains(out.String(), "X-Aigw-") {
				t.Errorf("%s\n%s", out.String(), errs.String())
			}
		})
	}
}
