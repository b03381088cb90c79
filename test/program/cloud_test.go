package program

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"

	"github.com/postern-gateway/postern/internal/simulate"
)

const (
	chatOf     = `{"model":"gpt-4o","messages":[{"role":"user","content":"Why?"}]}`
	generateOf = `{"contents":[{"role":"user","parts":[{"text":"Why?"}]}]}`
	geminiPath = "/v1/models/gemini-2.0-flash:generateContent"
)

// cloudCase is a credential of a cloud and the provider that it is for.
type cloudCase struct {
	name, host, schema, policy string
	path, body                 string
	// header carries the credential; upstream is where it arrives.
	header, upstream string
	// fetched says that /status shows the credential.
	fetched bool
}

func (v *vendors) cases() []cloudCase {
	azure := func(name, policy string, header string, fetched bool) cloudCase {
		return cloudCase{name, azureHost, "{name: AzureOpenAI, version: 2024-10-21}", policy, "/v1/chat/completions", chatOf, header, "/openai/deployments/gpt-4o/chat/completions", fetched}
	}
	google := func(name, policy string) cloudCase {
		return cloudCase{name, vertexHost, "{name: GCPVertexAI}", gcpPolicy(policy), geminiPath, generateOf, "Authorization",
			"/v1/projects/simulated/locations/us-central1/publishers/google/models/gemini-2.0-flash:generateContent", true}
	}
	oidc := vendorSecret("oidc", "client-secret", "${OIDC_SECRET}")
	return []cloudCase{
		azure("azure key", "  type: AzureAPIKey\n  azureAPIKey: {secretRef: {name: azure}}\n"+vendorSecret("azure", "apiKey", "${VENDOR_KEY}"), "Api-Key", false),
		azure("entra secret", v.azurePolicy("clientSecretRef: {name: entra}\n")+vendorSecret("entra", "client-secret", "${ENTRA_SECRET}"), "Authorization", true),
		azure("entra federated", v.azurePolicy(oidcOf(simulate.EntraAudience))+oidc, "Authorization", true),
		google("google key file", "    credentialsFile: {secretRef: {name: gcp}}\n"+v.keySecret()),
		google("google federated", v.gcpFederation("")+oidc),
		google("google impersonated", v.gcpFederation("      serviceAccountImpersonation: {serviceAccountName: gateway}\n")+oidc),
		google("google machine", ""),
		{"anthropic key", "api.anthropic.com", "{name: Anthropic}", "  type: AnthropicAPIKey\n  anthropicAPIKey: {secretRef: {name: anthropic}}\n" + vendorSecret("anthropic", "apiKey", "${VENDOR_KEY}"),
			"/anthropic/v1/messages", `{"model":"claude-sonnet-4-20250514","max_tokens":100,"messages":[{"role":"user","content":"Why?"}]}`, "X-Api-Key", "/v1/messages", false},
	}
}

// TestCloudCredentials asks each provider with each credential: it takes the
// gateway's and sees nothing of the caller's.
func TestCloudCredentials(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{})
	for _, tt := range v.cases() {
		t.Run(tt.name, func(t *testing.T) {
			p := run(t, backendOf(tt.host, tt.schema, tt.policy), v.settings())
			v.providers.Clear()
			got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + tt.path, body: tt.body, header: map[string]string{
				"Content-Type": "application/json", "anthropic-version": "2023-06-01", "Authorization": "Bearer of-the-caller",
				"api-key": "of-the-caller", "x-api-key": "of-the-caller", "x-goog-api-key": "of-the-caller",
			}})
			if got.status != 200 || !strings.Contains(got.body, `You said \"Why?\"`) {
				t.Fatal(got, p.get("/status"))
			}
			seen := v.providers.Requests()
			if len(seen) != 1 || seen[0].Path != tt.upstream || seen[0].Host != tt.host || !seen[0].TLS || !seen[0].HasHeader(tt.header) {
				t.Fatalf("the provider saw %+v", seen)
			}
			for _, name := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
				if name != tt.header && seen[0].HasHeader(name) || seen[0].HeaderIs(name, "of-the-caller") || seen[0].HeaderIs(name, "Bearer of-the-caller") {
					t.Errorf("%s of the caller travels on", name)
				}
			}
			s := p.statusOf().Credentials
			if tt.fetched != (len(s) == 1) || tt.fetched && (!s[0].Valid || s[0].Refreshes != 1) {
				t.Errorf("/status shows %+v", s)
			}
		})
	}
}

// TestCloudCredentialsAreRenewed: tokens that live for four seconds are renewed
// under requests, none of which fails. On a busy machine one may come when a token
// could not be renewed in time; it is refused then, and not sent with an old one.
func TestCloudCredentialsAreRenewed(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{Life: 4 * time.Second})
	for _, tt := range v.cases() {
		if tt.name != "entra secret" && tt.name != "google impersonated" {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, backendOf(tt.host, tt.schema, tt.policy), v.settings())
			p.await("three renewals", func() bool {
				got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + tt.path, body: tt.body, header: map[string]string{"Content-Type": "application/json"}})
				if got.status != 200 && (timed() || got.status != 503) {
					t.Fatal(got)
				}
				s := p.statusOf().Credentials
				return len(s) == 1 && s[0].Refreshes > 3
			})
		})
	}
}

// TestCloudCredentialsThatFail: what is wrong is in the status, with nothing
// secret, requests are closed, and everything is well when it is mended.
func TestCloudCredentialsThatFail(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{})
	named := map[string]cloudCase{}
	for _, tt := range v.cases() {
		named[tt.name] = tt
	}
	for _, tt := range []struct {
		of, from, to string
		status       int
		want         string
	}{
		{"entra secret", "${ENTRA_SECRET}", "MARKER-wrong", 503, "AADSTS7000215"},
		{"entra secret", v.Config().TenantID, "another.example.com", 503, "AADSTS90002"},
		{"entra secret", "tenantID: " + v.Config().TenantID, "tenantID: common", 500, "for people who log in"},
		{"entra federated", simulate.EntraAudience, "another", 503, "AADSTS700211"},
		{"google federated", "https:" + v.Config().GCPProvider, "another", 503, "invalid_grant"},
		{"google impersonated", "serviceAccountName: gateway", "serviceAccountName: another", 503, "PERMISSION_DENIED"},
		{"google key file", `"type":"service_account"`, `"type":"authorized_user"`, 500, "authorized_user is refused"},
		{"google key file", "https://oauth2.googleapis.com/token", "https://evil.example/token", 500, "assertions are sent nowhere else"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			c := named[tt.of]
			files := backendOf(c.host, c.schema, c.policy)
			good := files["policy.yaml"]
			if files["policy.yaml"] = strings.Replace(good, tt.from, tt.to, 1); files["policy.yaml"] == good {
				t.Fatal("the case changes nothing")
			}
			p := run(t, files, v.settings())
			ask := func() reply {
				return send(t, request{method: "POST", url: "http://" + p.addr("8080") + c.path, body: c.body, header: map[string]string{"Content-Type": "application/json"}})
			}
			v.providers.Clear()
			if got := ask(); got.status != tt.status || len(v.providers.Requests()) != 0 {
				t.Errorf("answers %v", got)
			}
			p.problem(tt.want)
			p.write("policy.yaml", good)
			p.await("service after it was mended", func() bool { return ask().status == 200 })
		})
	}
}

// TestCloudMachineFails: a metadata server that fails closes, and comes back.
func TestCloudMachineFails(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{})
	if err := v.identity.SetBehavior(simulate.Behavior{Status: 503}); err != nil {
		t.Fatal(err)
	}
	p := run(t, backendOf(vertexHost, "{name: GCPVertexAI}", gcpPolicy("")), v.settings())
	ask := func() int {
		return send(t, request{method: "POST", url: "http://" + p.addr("8080") + geminiPath, body: generateOf, header: map[string]string{"Content-Type": "application/json"}}).status
	}
	if got := ask(); got != 503 {
		t.Errorf("answers %d", got)
	}
	p.problem("metadata server: http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token answered 503")
	if err := v.identity.SetBehavior(simulate.Behavior{}); err != nil {
		t.Fatal(err)
	}
	p.await("service", func() bool { return ask() == 200 })
}

// TestSecurityRow18NoProgramOfGoogles: credential files of Google's that name a
// program, in a Secret and where the environment says, close and start nothing.
func TestSecurityRow18NoProgramOfGoogles(t *testing.T) {
	dir := t.TempDir()
	marker, script := filepath.Join(dir, "started"), filepath.Join(dir, "program")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := newVendors(t, simulate.CloudConfig{})
	file := fmt.Sprintf(`{"type":"external_account","audience":"%s","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"executable":{"command":"%s"}}}`,
		v.Config().GCPProvider, script)
	named := filepath.Join(dir, "file.json")
	if err := os.WriteFile(named, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, policy string
		status       int
	}{
		{"Secret", "    credentialsFile: {secretRef: {name: gcp}}\n" + vendorSecret("gcp", "service_account.json", "'"+file+"'"), 500},
		{"environment", "", 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := v.settings()
			s.env["GOOGLE_APPLICATION_CREDENTIALS"] = named
			s.env["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
			p := run(t, backendOf(vertexHost, "{name: GCPVertexAI}", gcpPolicy(tt.policy)), s)
			got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + geminiPath, body: generateOf, header: map[string]string{"Content-Type": "application/json"}})
			if got.status != tt.status || len(v.providers.Requests()) != 0 {
				t.Errorf("answers %v", got)
			}
			p.problem("it would start a program")
			if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
				t.Error("security row 18: the program was started")
			}
		})
	}
}

// anthropicBy returns Anthropic's own client of the gateway, with a key that is
// no key of Anthropic's.
func anthropicBy(p *program, path string) anthropic.Client {
	return anthropic.NewClient(anthropicoption.WithBaseURL("http://"+p.addr("8080")+path), anthropicoption.WithAPIKey("of-the-caller"), anthropicoption.WithMaxRetries(0))
}

// speakAnthropic lets the client ask, whole and streamed, and be refused.
func speakAnthropic(t *testing.T, client anthropic.Client, model string) {
	t.Helper()
	params := anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 100, System: []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Why?"))},
	}
	m, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Content) != 1 || !strings.HasPrefix(m.Content[0].Text, `You said "Why?".`) || m.StopReason != "end_turn" || m.Usage.OutputTokens == 0 {
		t.Errorf("answer %+v", m)
	}
	stream := client.Messages.NewStreaming(t.Context(), params)
	var all anthropic.Message
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if stream.Err() != nil || len(all.Content) != 1 || !strings.HasPrefix(all.Content[0].Text, `You said "Why?".`) || all.StopReason != "end_turn" {
		t.Errorf("stream %+v, error %v", all, stream.Err())
	}
	params.MaxTokens = 0
	_, err = client.Messages.New(t.Context(), params)
	var refused *anthropic.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusBadRequest || !strings.Contains(refused.Error(), "max_tokens") {
		t.Errorf("refusal %v", err)
	}
}

// TestCloudByAnthropicsSDK speaks to Anthropic, and to Anthropic's models at
// Vertex AI, by Anthropic's own client.
func TestCloudByAnthropicsSDK(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{})
	for _, tt := range v.cases() {
		switch tt.name {
		case "anthropic key":
		case "google key file":
			tt.schema = "{name: GCPAnthropic}"
		default:
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			p := run(t, backendOf(tt.host, tt.schema, tt.policy), v.settings())
			speakAnthropic(t, anthropicBy(p, "/anthropic"), "claude-sonnet-4-20250514")
		})
	}
}

// TestCloudByOpenAIsSDK speaks to Azure by OpenAI's own client.
func TestCloudByOpenAIsSDK(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{})
	for _, tt := range v.cases() {
		if tt.host != azureHost {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			p := run(t, backendOf(tt.host, tt.schema, tt.policy), v.settings())
			speakOpenAI(t, openai.NewClient(option.WithBaseURL("http://"+p.addr("8080")+"/v1"), option.WithAPIKey("of-the-caller"), option.WithMaxRetries(0)), "gpt-4o")
		})
	}
}

func speakOpenAI(t *testing.T, client openai.Client, model string) {
	t.Helper()
	params := openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Why?")}}
	c, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Choices) != 1 || !strings.HasPrefix(c.Choices[0].Message.Content, `You said "Why?".`) {
		t.Errorf("answer %+v", c)
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		all.AddChunk(stream.Current())
	}
	if stream.Err() != nil || len(all.Choices) != 1 || !strings.HasPrefix(all.Choices[0].Message.Content, `You said "Why?".`) {
		t.Errorf("stream %+v, error %v", all, stream.Err())
	}
}

// glooProviders are the kinds of Upstream that Gloo has for these vendors.
func glooProviders(v *vendors) map[string]string {
	key := "authToken: {secretRef: {name: vendor, namespace: gloo-system}}"
	return map[string]string{
		"azure":     "azureOpenai: {endpoint: " + azureHost + ", deploymentName: gpt-4o, apiVersion: 2024-10-21, " + key + "}",
		"anthropic": "anthropic: {version: 2023-06-01, " + key + "}",
		"mistral":   "mistral: {" + key + "}",
		"gemini":    "gemini: {model: gemini-2.0-flash, apiVersion: v1beta, " + key + "}",
		"vertex":    "vertexAi: {model: gemini-2.0-flash, apiVersion: v1, projectId: simulated, location: us-central1, authToken: {secretRef: {name: google, namespace: gloo-system}}}",
	}
}

func glooVendors(v *vendors) map[string]string {
	var b strings.Builder
	b.WriteString(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai-gateway, namespace: gloo-system}
spec:
  gatewayClassName: gloo-gateway
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
apiVersion: v1
kind: Secret
metadata: {name: vendor, namespace: gloo-system}
stringData: {Authorization: "${VENDOR_KEY}"}
---
apiVersion: v1
kind: Secret
metadata: {name: google, namespace: gloo-system}
stringData: {Authorization: "${GOOGLE_TOKEN}"}
`)
	for name, provider := range glooProviders(v) {
		fmt.Fprintf(&b, `---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: %[1]s, namespace: gloo-system}
spec: {ai: {%[2]s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: gloo-system}
spec:
  parentRefs: [{name: ai-gateway, namespace: gloo-system}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /%[1]s}}]
    backendRefs: [{group: gloo.solo.io, kind: Upstream, name: %[1]s, namespace: gloo-system}]
`, name, provider)
	}
	return map[string]string{"gloo.yaml": b.String()}
}

// TestCloudByGloo reaches each vendor by Gloo's kind of Upstream, by the
// vendor's own client where there is one.
func TestCloudByGloo(t *testing.T) {
	v := newVendors(t, simulate.CloudConfig{})
	s := v.settings()
	s.env["GOOGLE_TOKEN"] = v.GoogleToken(simulate.GoogleAccess{Account: "MARKER", Scope: "https://www.googleapis.com/auth/cloud-platform", Expires: time.Now().Add(time.Hour)})
	p := run(t, glooVendors(v), s)
	base := "http://" + p.addr("8080")
	t.Run("azure", func(t *testing.T) {
		client := openai.NewClient(azure.WithEndpoint(base+"/azure", "2024-10-21"), azure.WithUnsafeAllowHTTP(), azure.WithAPIKey("of-the-caller"), option.WithMaxRetries(0))
		speakOpenAI(t, client, "gpt-4o")
	})
	t.Run("mistral", func(t *testing.T) {
		speakOpenAI(t, openai.NewClient(option.WithBaseURL(base+"/mistral"), option.WithAPIKey("of-the-caller"), option.WithMaxRetries(0)), "mistral-small-latest")
	})
	t.Run("anthropic", func(t *testing.T) { speakAnthropic(t, anthropicBy(p, "/anthropic"), "claude-sonnet-4-20250514") })
	for _, name := range []string{"gemini", "vertex"} {
		t.Run(name, func(t *testing.T) {
			got := send(t, request{method: "POST", url: base + "/" + name, body: generateOf, header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer of-the-caller"}})
			if got.status != 200 || !strings.Contains(got.body, `You said \"Why?\"`) {
				t.Error(got)
			}
		})
	}
	for _, r := range v.providers.Requests() {
		for _, name := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
			if r.HeaderIs(name, "of-the-caller") || r.HeaderIs(name, "Bearer of-the-caller") {
				t.Errorf("%s: %s of the caller travels on", r.Host, name)
			}
		}
	}
}
