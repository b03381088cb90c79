package program

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// earlyAPIKey is the walk-through of an API key in the form of v0.1.
const earlyAPIKey = `
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata: {name: openai, namespace: default}
spec:
  schema: {name: OpenAI}
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ai-gateway}]
  rules:
  - matches:
    - headers: [{type: Exact, name: x-ai-eg-model, value: gpt-4o-mini}]
    backendRefs: [{name: openai, weight: 100}]
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIServiceBackend
metadata: {name: openai, namespace: default}
spec:
  schema: {name: OpenAI}
  timeouts: {request: 10s}
  backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: openai}
  backendSecurityPolicyRef: {group: aigateway.envoyproxy.io, kind: BackendSecurityPolicy, name: openai}
`

// envoyAI returns the files of a folder of the walk-through of Envoy AI
// Gateway.
func envoyAI(t *testing.T, folder string) map[string]string {
	t.Helper()
	return example(t, "envoy-ai-gateway/"+folder, "gateway.yaml", "route.yaml", "backend.yaml", "policy.yaml")
}

// TestEnvoyAIAPIKey asks OpenAI through each generation of the resources.
func TestEnvoyAIAPIKey(t *testing.T) {
	early := envoyAI(t, "original-api-key")
	early["route.yaml"] = earlyAPIKey
	for name, files := range map[string]map[string]string{
		"original": envoyAI(t, "original-api-key"),
		"early":    early,
		"today":    envoyAI(t, "today-api-key"),
	} {
		t.Run(name, func(t *testing.T) {
			openAI, flags := providers(t, nil)
			p := run(t, files, settings{args: flags})
			base := "http://" + p.addr("8080")
			json := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer of-the-caller", "x-api-key": "of-the-caller"}
			chat := `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}]}`
			for _, tc := range []struct {
				name, path, body string
				status           int
				want             string
			}{
				{"chat", "/v1/chat/completions", chat, 200, "chat.completion"},
				{"another schema", "/anthropic/v1/messages", chat, 422, "not translated"},
				{"an unknown path", "/v1/unknown", chat, 404, "No matching route found"},
			} {
				openAI.Clear()
				got := send(t, request{method: "POST", url: base + tc.path, body: tc.body, header: json})
				if got.status != tc.status || !strings.Contains(got.body, tc.want) {
					t.Errorf("%s: %v, want %d with %q", tc.name, got, tc.status, tc.want)
				}
				if seen := openAI.Requests(); tc.status != 200 && len(seen) > 0 {
					t.Errorf("%s: it reached the provider", tc.name)
				} else if tc.status == 200 {
					expectOpenAI(t, tc.name, seen, tc.path)
				}
			}
		})
	}
}

// expectOpenAI holds that one request reached OpenAI, with the gateway's key
// and nothing of the caller's.
func expectOpenAI(t *testing.T, name string, seen []simulate.Record, path string) {
	t.Helper()
	if len(seen) != 1 {
		t.Fatalf("%s: the provider saw %d requests", name, len(seen))
	}
	r := seen[0]
	if r.Path != path || r.Host != "api.openai.com" || !r.TLS || r.SNI != "api.openai.com" {
		t.Errorf("%s: the provider saw %s %s, host %s, TLS %v to %s", name, r.Method, r.Path, r.Host, r.TLS, r.SNI)
	}
	if r.Authorizations != 1 || !r.HeaderIs("Authorization", "Bearer "+openAIKey) || r.Headers.Get("X-Api-Key") != "" {
		t.Errorf("%s: %d Authorization values, the gateway's: %v, x-api-key %q", name, r.Authorizations, r.HeaderIs("Authorization", "Bearer "+openAIKey), r.Headers.Get("X-Api-Key"))
	}
}
