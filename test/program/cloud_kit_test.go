package program

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// The secrets of the vendors beside OpenAI.
const (
	vendorKey   = "key-MARKER-of-a-vendor-0123456789"
	entraSecret = "entra-MARKER-client-secret-0123456789"
)

// vendors are the simulated clouds of Microsoft and Google and what they serve:
// identity services on one server, providers on another.
type vendors struct {
	*simulate.Cloud
	identity, providers *simulate.Server
	flags               []string
}

func newVendors(t *testing.T, cfg simulate.CloudConfig) *vendors {
	t.Helper()
	cfg.ClientID, cfg.ClientSecret, cfg.AzureClientSecret = "ai-gateway", clientSecret, entraSecret
	v := &vendors{Cloud: simulate.NewCloud(cfg)}
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	v.flags = []string{"--upstream-ca", root}
	v.identity = v.serve(t, ca, "oidc", "entra", "gcp", "gcp-metadata", "aws-metadata")
	v.providers = v.serve(t, ca, "azure-openai", "anthropic", "mistral", "gemini", "vertex")
	return v
}

func (v *vendors) serve(t *testing.T, ca *simulate.CA, names ...string) *simulate.Server {
	t.Helper()
	var list []simulate.Provider
	var hosts []string
	for _, k := range simulate.Kinds() {
		for _, name := range names {
			if k.Name == name {
				list = append(list, k.New(simulate.ProviderConfig{Hosts: k.Hosts, Cloud: v.Cloud, Keys: []string{vendorKey}}))
				hosts = append(hosts, k.Hosts...)
			}
		}
	}
	s, err := simulate.New(simulate.Config{Providers: list, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, h := range hosts {
		v.flags = append(v.flags, "--connect-to", h+":443="+s.HTTPSAddr(), "--connect-to", h+":80="+s.HTTPAddr())
	}
	return s
}

func (v *vendors) settings() settings {
	return settings{args: v.flags, env: map[string]string{"OIDC_SECRET": clientSecret, "ENTRA_SECRET": entraSecret, "VENDOR_KEY": vendorKey}}
}

const (
	azureHost  = "simulated.openai.azure.com"
	vertexHost = "us-central1-aiplatform.googleapis.com"
)

// backendOf returns the resources of Envoy AI Gateway that lead to a host by a
// schema, with a policy's type and body.
func backendOf(host, schema, policy string) map[string]string {
	text := fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai-gateway, namespace: default}
spec:
  gatewayClassName: envoy-ai-gateway
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: llm, namespace: default}
spec:
  parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ai-gateway}]
  rules:
  - backendRefs: [{name: llm}]
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: llm, namespace: default}
spec:
  schema: %s
  backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: llm}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: llm, namespace: default}
spec:
  endpoints: [{fqdn: {hostname: %s, port: 443}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: llm, namespace: default}
spec:
  targetRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: llm}]
  validation: {wellKnownCACertificates: System, hostname: %s}
`, schema, host, host)
	return map[string]string{"backend.yaml": text, "policy.yaml": `
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {name: llm, namespace: default}
spec:
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: llm}]
` + policy}
}

// vendorSecret is a Secret with one value.
func vendorSecret(name, key, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: default}\nstringData:\n  %s: %s\n", name, key, value)
}

// oidcOf is the exchange of a token of the simulated issuer for an audience.
func oidcOf(audience string) string {
	return `oidcExchangeToken:
      aud: "` + audience + `"
      oidc:
        provider: {issuer: "https://idp.example.com"}
        clientID: ai-gateway
        clientSecret: {name: oidc, namespace: default}
`
}

// azurePolicy is a policy of AzureCredentials with one of its two bodies.
func (v *vendors) azurePolicy(body string) string {
	return fmt.Sprintf("  type: AzureCredentials\n  azureCredentials:\n    clientID: %s\n    tenantID: %s\n    %s", v.Config().AzureClientID, v.Config().TenantID, body)
}

// gcpPolicy is a policy of GCPCredentials.
func gcpPolicy(body string) string {
	return "  type: GCPCredentials\n  gcpCredentials:\n    projectName: simulated\n    region: us-central1\n" + body
}

// gcpFederation is the body of a policy that trades an issuer's token.
func (v *vendors) gcpFederation(impersonate string) string {
	// //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/R
	parts := strings.Split(v.Config().GCPProvider, "/")
	return fmt.Sprintf("    workloadIdentityFederationConfig:\n      projectID: %q\n      workloadIdentityPoolName: %s\n      workloadIdentityProviderName: %s\n%s      %s",
		parts[4], parts[8], parts[10], impersonate, strings.ReplaceAll(oidcOf("https:"+v.Config().GCPProvider), "\n    ", "\n      "))
}

// keySecret is the service account's key in a Secret.
func (v *vendors) keySecret() string {
	return vendorSecret("gcp", "service_account.json", "'"+string(v.ServiceAccountKey())+"'")
}
