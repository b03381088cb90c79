package documents

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// expectKey holds that each request to a provider carried its key once, and
// nothing of what a caller showed.
func expectKey(t *testing.T, seen []simulate.Record, n int, host, key string, callers ...string) {
	t.Helper()
	if len(seen) != n {
		t.Errorf("the provider saw %d requests, not %d", len(seen), n)
	}
	for _, r := range seen {
		if r.Host != host || !r.TLS || r.Authorizations != 1 || !r.HeaderIs("Authorization", "Bearer "+key) {
			t.Errorf("the provider saw %s %s at %s, TLS %v, with %d Authorization values", r.Method, r.Path, r.Host, r.TLS, r.Authorizations)
		}
		for header, values := range r.Headers {
			for _, c := range callers {
				if strings.Contains(strings.Join(values, " "), c) || r.HeaderIs(header, c) {
					t.Errorf("the provider saw in %s what the caller showed", header)
				}
			}
		}
	}
}

// TestGlooGatewayJWT follows the lab of Gloo Gateway that asks for a JWT.
func TestGlooGatewayJWT(t *testing.T) {
	s := newStage(t, "gloo")
	s.deploy(gateway{Namespace: "gloo-system", Name: "gateway-proxy", Port: 8080, Secrets: []string{"default"},
		Args: []string{"--dialects=gloo", "--secret-namespaces=default"}})
	s.follow("gloo-gateway-jwt.md")
	expectKey(t, s.seen(), 2, "api-inference.huggingface.co", huggingFaceKey, "eyJ")
}

// TestGlooMeshAPIKey follows the lab of Gloo Mesh in which a caller's key
// becomes the provider's token.
func TestGlooMeshAPIKey(t *testing.T) {
	s := newStage(t, "gloomesh")
	s.deploy(gateway{Namespace: "gloo-mesh-gateways", Name: "istio-ingressgateway", Port: 80, Labels: map[string]string{"istio": "ingressgateway"},
		Secrets: []string{"default", "gloo-mesh-gateways"},
		Args: []string{"--dialects=gloomesh", "--secret-namespaces=default,gloo-mesh-gateways", "--cross-namespace-credentials",
			"--workload=gloo-mesh-gateways/istio-ingressgateway", "--workload-labels=istio=ingressgateway"}})
	s.follow("gloo-mesh-apikey.md")
	seen := s.seen()
	if len(seen) < 2 {
		t.Fatalf("the provider saw %d requests", len(seen))
	}
	if first := seen[0]; first.Authorizations != 0 || first.Headers.Get("api-key") != "" {
		t.Errorf("before there was a token, the provider saw %d Authorization values, and api-key %q", first.Authorizations, first.Headers.Get("api-key"))
	}
	expectKey(t, seen[len(seen)-1:], 1, "api-inference.huggingface.co", huggingFaceKey, "mysecretkey")
}

// TestGlooAIGateway follows the tutorial of Gloo AI Gateway in which two
// people's tokens are let in, and one of them by what it claims.
func TestGlooAIGateway(t *testing.T) {
	s := newStage(t, "gloo")
	s.deploy(gateway{Namespace: "gloo-system", Name: "gloo-proxy-ai-gateway", Port: 8080, Secrets: []string{"gloo-system"},
		Args: []string{"--dialects=gatewayapi,gloo", "--secret-namespaces=gloo-system"}})
	s.follow("gloo-ai-gateway.md")
	seen := s.seen()
	expectKey(t, seen, len(seen), "api.openai.com", openAIKey, "eyJ")
	if len(seen) < 5 {
		t.Errorf("the provider saw %d requests", len(seen))
	}
}

// TestASMEgressGateway follows the topic of ASM in which a workload that never
// holds a key asks a provider by way of an egress gateway, until a policy
// denies it.
func TestASMEgressGateway(t *testing.T) {
	s := newStage(t, "istio")
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	egress := gateway{Namespace: "istio-system", Name: "istio-egressgateway", Port: 80, Labels: map[string]string{"istio": "egressgateway"},
		Secrets: []string{"istio-system"}, Identity: "egress-identity",
		Args: []string{"--dialects=istio", "--workload=istio-system/istio-egressgateway", "--workload-labels=istio=egressgateway",
			"--identity=/identity", "--secret-namespaces=istio-system"}}
	s.prepare(egress)
	s.prepare(gateway{Namespace: "default", Name: "sleep"})
	s.identity(ca, "istio-system", "egress-identity", "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway")
	s.identity(ca, "default", "sleep-identity", "spiffe://cluster.local/ns/default/sa/sleep")
	s.deploy(egress)
	s.follow("asm-egress-gateway.md")
	seen := s.seen()
	expectKey(t, seen, len(seen), "dashscope.aliyuncs.com", dashScopeKey)
	if len(seen) == 0 {
		t.Error("nothing reached the provider")
	}
	for _, r := range seen {
		if r.Path != "/compatible-mode/v1/chat/completions" {
			t.Errorf("the provider was asked %s", r.Path)
		}
	}
}

// TestEnvoyAIGateway puts to work what a pull request of Envoy AI Gateway
// proposes, in its form and in today's.
func TestEnvoyAIGateway(t *testing.T) {
	s := newStage(t, "envoyai")
	s.deploy(gateway{Namespace: "default", Name: "envoy-ai-gateway", Port: 8080, Secrets: []string{"default"},
		Args: []string{"--dialects=gatewayapi,envoyai"}})
	s.follow("envoy-ai-gateway.md")
	chats, signed := []simulate.Record(nil), 0
	for _, r := range s.seen() {
		switch {
		case r.Host == "api.openai.com":
			chats = append(chats, r)
		case strings.HasPrefix(r.Host, "bedrock-runtime."):
			signed++
		}
	}
	expectKey(t, chats, 2, "api.openai.com", openAIKey, "of-the-caller")
	if signed != 3 {
		t.Errorf("Bedrock saw %d requests, not 3", signed)
	}
}
