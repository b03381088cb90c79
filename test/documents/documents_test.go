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
