package simulate

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// vendorCase is a request to a simulated vendor, and what it answers.
type vendorCase struct {
	name, method, url, body string
	headers                 []string
	status                  int
	want                    string
}

// runVendor asks p each case over real sockets.
func runVendor(t *testing.T, p Provider, tests []vendorCase) {
	t.Helper()
	_, client := start(t, Config{Providers: []Provider{p}})
	for _, tt := range tests {
		if tt.method == "" {
			tt.method = http.MethodPost
		}
		headers := tt.headers
		if tt.method == http.MethodPost {
			headers = append([]string{"Content-Type: application/json"}, headers...)
		}
		got := do(t, client, newRequest(t, tt.method, tt.url, tt.body, headers...))
		if got.err != nil || got.StatusCode != tt.status || !strings.Contains(string(got.body), tt.want) {
			t.Errorf("%s: answers %d %s, want %d with %q", tt.name, got.StatusCode, got.body, tt.status, tt.want)
		}
	}
}

const vendorKey = "key-MARKER-of-a-vendor-0123456789"

func TestAnthropic(t *testing.T) {
	const (
		u    = "https://api.anthropic.com/v1/messages"
		body = `{"model":"claude-3-5-haiku-20241022","max_tokens":100,"messages":[{"role":"user","content":"Why?"}]}`
		v    = "anthropic-version: 2023-06-01"
		key  = "x-api-key: " + vendorKey
	)
	edit := func(from, to string) string { return strings.Replace(body, from, to, 1) }
	runVendor(t, NewAnthropic(ProviderConfig{Keys: []string{vendorKey}, Hosts: []string{"api.anthropic.com"}}), []vendorCase{
		{"by key", "", u, body, []string{v, key}, 200, `"type":"text","text":"You said \"Why?\".`},
		{"by token", "", u, body, []string{v, "Authorization: Bearer " + vendorKey}, 200, `"stop_reason":"end_turn"`},
		{"parts", "", u, edit(`"Why?"`, `[{"type":"text","text":"Why?"}]`), []string{v, key}, 200, `You said`},
		{"cut off", "", u, edit("100", "2"), []string{v, key}, 200, `"stop_reason":"max_tokens"`},
		{"stream", "", u, edit(`"max`, `"stream":true,"max`), []string{v, key}, 200, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
		{"count", "", u + "/count_tokens", edit(`"max_tokens":100,`, ""), []string{v, key}, 200, `{"input_tokens":5}`},
		{"models", "GET", "https://api.anthropic.com/v1/models", "", []string{v, key}, 200, `"has_more":false`},
		{"a model", "GET", "https://api.anthropic.com/v1/models/claude-3-5-haiku-20241022", "", []string{v, key}, 200, `"type":"model"`},
		{"no such model", "GET", "https://api.anthropic.com/v1/models/x", "", []string{v, key}, 404, "not_found_error"},
		{"no key", "", u, body, []string{v}, 401, `{"type":"error","error":{"type":"authentication_error"`},
		{"wrong key", "", u, body, []string{v, "x-api-key: x"}, 401, "authentication_error"},
		{"two ways at once", "", u, body, []string{v, key, "Authorization: Bearer " + vendorKey}, 401, "authentication_error"},
		{"doubled key", "", u, body, []string{v, key, key}, 401, "authentication_error"},
		{"no version", "", u, body, []string{key}, 400, "anthropic-version: header is required"},
		{"no max_tokens", "", u, edit(`"max_tokens":100,`, ""), []string{v, key}, 400, "max_tokens: Field required"},
		{"no messages", "", u, `{"model":"x","max_tokens":1}`, []string{v, key}, 400, "messages: Field required"},
		{"system role", "", u, edit(`"user"`, `"system"`), []string{v, key}, 400, "messages.0.role"},
		{"MODEL", "", u, edit(`"model"`, `"MODEL"`), []string{v, key}, 400, "model: Field required"},
		{"another model", "", u, edit("claude-3-5-haiku-20241022", "gpt-4"), []string{v, key}, 404, "model: gpt-4"},
		{"no JSON", "", u, "x", []string{v, key}, 400, "not valid JSON"},
		{"no path", "", "https://api.anthropic.com/v1/chat", body, []string{v, key}, 404, "not_found_error"},
		{"overloaded", "", u, body, []string{v, key, "x-simulate-status: 529"}, 529, "overloaded_error"},
		{"limited", "", u, body, []string{v, key, "x-simulate-status: 429"}, 429, "rate_limit_error"},
	})
}

func TestMistral(t *testing.T) {
	const u, key = "https://api.mistral.ai/v1/chat/completions", "Authorization: Bearer " + vendorKey
	body := `{"model":"mistral-small-latest","messages":[{"role":"user","content":"Why?"}]}`
	runVendor(t, NewMistral(ProviderConfig{Keys: []string{vendorKey}, Hosts: []string{"api.mistral.ai"}}), []vendorCase{
		{"chat", "", u, body, []string{key}, 200, `"object":"chat.completion"`},
		{"stream", "", u, strings.Replace(body, "{", `{"stream":true,`, 1), []string{key}, 200, "data: [DONE]"},
		{"models", "GET", "https://api.mistral.ai/v1/models", "", []string{key}, 200, "mistral-large-latest"},
		{"no key", "", u, body, nil, 401, `{"message":"Unauthorized"}`},
		{"another model", "", u, strings.Replace(body, "mistral-small-latest", "gpt-4", 1), []string{key}, 400, `"type":"invalid_model"`},
		{"no messages", "", u, `{"model":"mistral-small-latest"}`, []string{key}, 422, `"object":"error"`},
		{"no path", "", "https://api.mistral.ai/x", body, []string{key}, 404, "no Route matched"},
		{"limited", "", u, body, []string{key, "x-simulate-status: 429"}, 429, "rate limit"},
	})
}

func TestGemini(t *testing.T) {
	const u, key, body = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash:", "x-goog-api-key: " + vendorKey, `{"contents":[{"role":"user","parts":[{"text":"Why?"}]}]}`
	runVendor(t, NewGemini(ProviderConfig{Keys: []string{vendorKey}, Hosts: []string{"generativelanguage.googleapis.com"}}), []vendorCase{
		{"whole", "", u + "generateContent", body, []string{key}, 200, `"finishReason":"STOP"`},
		{"key in the query", "", u + "generateContent?key=" + vendorKey, body, nil, 200, `"role":"model"`},
		{"stream", "", u + "streamGenerateContent?alt=sse", body, []string{key}, 200, `data: {"candidates":[{"content":{"parts":[{"text":"You said \"Why?\"."`},
		{"stream as a list", "", u + "streamGenerateContent", body, []string{key}, 200, "\n,\r\n"},
		{"no key", "", u + "generateContent", body, nil, 401, `"status":"UNAUTHENTICATED"`},
		{"wrong key", "", u + "generateContent", body, []string{"x-goog-api-key: x"}, 401, "UNAUTHENTICATED"},
		{"a token beside the key", "", u + "generateContent", body, []string{key, "Authorization: Bearer x"}, 401, "UNAUTHENTICATED"},
		{"another method", "", u + "x", body, []string{key}, 404, "NOT_FOUND"},
		{"no contents", "", u + "generateContent", "{}", []string{key}, 400, "INVALID_ARGUMENT"},
		{"system role", "", u + "generateContent", strings.Replace(body, "user", "system", 1), []string{key}, 400, "valid role"},
		{"limited", "", u + "generateContent", body, []string{key, "x-simulate-status: 429"}, 429, "RESOURCE_EXHAUSTED"},
	})
}

func TestVertex(t *testing.T) {
	c := NewCloud(CloudConfig{})
	token := func(scope string, life time.Duration) string {
		return "Authorization: Bearer " + c.GoogleToken(GoogleAccess{Account: "a", Scope: scope, Expires: time.Now().Add(life)})
	}
	const base, body = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/", `{"contents":[{"parts":[{"text":"Why?"}]}]}`
	messages := `{"anthropic_version":"vertex-2023-10-16","max_tokens":100,"messages":[{"role":"user","content":"Why?"}]}`
	own := []string{token(gcpScope, time.Hour)}
	runVendor(t, NewVertex(ProviderConfig{Cloud: c, Hosts: []string{"us-central1-aiplatform.googleapis.com"}}), []vendorCase{
		{"whole", "", base + "google/models/gemini-2.0-flash:generateContent", body, own, 200, `"modelVersion":"gemini-2.0-flash"`},
		{"no token", "", base + "google/models/gemini-2.0-flash:generateContent", body, nil, 401, "UNAUTHENTICATED"},
		{"ended", "", base + "google/models/gemini-2.0-flash:generateContent", body, []string{token(gcpScope, -time.Second)}, 401, "UNAUTHENTICATED"},
		{"another scope", "", base + "google/models/gemini-2.0-flash:generateContent", body, []string{token(gcpIAMScope, time.Hour)}, 401, "UNAUTHENTICATED"},
		{"path of the Gemini API", "", "https://us-central1-aiplatform.googleapis.com/v1/models/x:generateContent", body, own, 404, "NOT_FOUND"},
		{"anthropic", "", base + "anthropic/models/claude@1:rawPredict", messages, own, 200, `"model":"claude@1"`},
		{"anthropic, stream", "", base + "anthropic/models/claude@1:streamRawPredict", strings.Replace(messages, "{", `{"stream":true,`, 1), own, 200, "event: message_stop"},
		{"anthropic with a model", "", base + "anthropic/models/claude@1:rawPredict", strings.Replace(messages, "{", `{"model":"x",`, 1), own, 400, "model: Extra inputs"},
		{"anthropic without a version", "", base + "anthropic/models/claude@1:rawPredict", strings.Replace(messages, "vertex", "x", 1), own, 400, "anthropic_version"},
	})
}

func TestAzureOpenAI(t *testing.T) {
	c := NewCloud(CloudConfig{})
	token := func(resource string, life time.Duration) string {
		jwt, err := c.EntraToken(resource, life)
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + jwt
	}
	const (
		host = "https://simulated.openai.azure.com"
		u    = host + "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
		body = `{"messages":[{"role":"user","content":"Why?"}]}`
		key  = "api-key: " + vendorKey
	)
	runVendor(t, NewAzureOpenAI(ProviderConfig{Keys: []string{vendorKey}, Cloud: c, Hosts: []string{"simulated.openai.azure.com"}}), []vendorCase{
		{"by key", "", u, body, []string{key}, 200, `"model":"gpt-4o"`},
		{"by token", "", u, body, []string{token(azureResource, time.Hour)}, 200, `You said \"Why?\"`},
		{"another model in the body", "", u, strings.Replace(body, "{", `{"model":"gpt-4",`, 1), []string{key}, 200, `"model":"gpt-4o"`},
		{"stream", "", u, strings.Replace(body, "{", `{"stream":true,`, 1), []string{key}, 200, "data: [DONE]"},
		{"version 1", "", host + "/openai/v1/chat/completions", strings.Replace(body, "{", `{"model":"gpt-4",`, 1), []string{key}, 200, `"model":"gpt-4"`},
		{"nothing shown", "", u, body, nil, 401, `{"error":{"code":"401"`},
		{"key as a token", "", u, body, []string{"Authorization: Bearer " + vendorKey}, 401, "Access denied"},
		{"token for another", "", u, body, []string{token("https://graph.microsoft.com", time.Hour)}, 401, "Access denied"},
		{"token that ended", "", u, body, []string{token(azureResource, -time.Second)}, 401, "Access denied"},
		{"both", "", u, body, []string{key, token(azureResource, time.Hour)}, 401, "Access denied"},
		{"no version", "", host + "/openai/deployments/gpt-4o/chat/completions", body, []string{key}, 404, "Resource not found"},
		{"no such version", "", strings.Replace(u, "2024-10-21", "1", 1), body, []string{key}, 404, "API version not supported"},
		{"no such deployment", "", strings.Replace(u, "gpt-4o", "x", 1), body, []string{key}, 404, "DeploymentNotFound"},
		{"broken", "", u, "x", []string{key}, 400, "could not parse"},
	})
}
