package program

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/test/cluster"
)

// tenants are two namespaces: in one a provider's key, in the other a route
// whose Upstream reaches for it.
const tenants = `
apiVersion: v1
kind: Namespace
metadata: {name: owner}
---
apiVersion: v1
kind: Namespace
metadata: {name: tenant}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: owner}
stringData: {Authorization: KEY}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: openai, namespace: tenant}
spec: {ai: {openai: {authToken: {secretRef: {name: key, namespace: owner}}}}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: openai, namespace: tenant}
spec: {virtualHost: {domains: ["*"], routes: [{matchers: [{prefix: /}], routeAction: {single: {upstream: {name: openai}}}}]}}
`

const tenantsGrant = `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: openai, namespace: owner}
spec:
  from: [{group: gloo.solo.io, kind: Upstream, namespace: tenant}]
  to: [{group: "", kind: Secret, name: key}]
`

// TestSecurityRow20ForeignCredential gives a tenant the use of another's key
// only when its owner grants it, or the gateway was told that none is needed,
// and says why it does not.
func TestSecurityRow20ForeignCredential(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put(glooKinds)
	objects.Define("gatewayapi")
	objects.Put(strings.Replace(tenants, "KEY", openAIKey, 1))
	openai, flags := providers(t, nil)
	start := func(args ...string) (*program, request) {
		p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: append(append(flags, "--dialects", "gloo", "--read-only"), args...)})
		return p, request{method: "POST", url: "http://" + p.addr("8080") + "/", body: `{"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}`}
	}
	told := func(p *program, text string) {
		t.Helper()
		p.await("it is told", func() bool { return strings.Contains(p.err.String(), text) })
	}

	p, ask := start()
	if got := send(t, ask); got.status != 500 {
		t.Errorf("a namespace that is not read: %v", got)
	}
	told(p, "create a ReferenceGrant in owner from Upstream in tenant to Secret \"key\"")

	_, ask = start("--secret-namespaces", "owner")
	if got := send(t, ask); got.status != 500 {
		t.Errorf("without a grant: %v", got)
	}
	objects.Put(tenantsGrant)
	awaitReply(t, "with a grant", ask, status(200))
	grant := objects.Parsed(tenantsGrant)[0]
	objects.Delete(grant)
	awaitReply(t, "the grant is taken back", ask, status(500))

	p, ask = start("--cross-namespace-credentials")
	if got := send(t, ask); got.status != 500 {
		t.Errorf("no grant is needed, but the namespace is not read: %v", got)
	}
	told(p, `Secret "key" in owner is not known: Secrets are not read there; name owner in --secret-namespaces`)

	before := len(openai.Requests())
	_, ask = start("--cross-namespace-credentials", "--secret-namespaces", "*")
	if got := send(t, ask); got.status != 200 {
		t.Errorf("no grant is needed: %v", got)
	}
	if seen := openai.Requests(); len(seen) != before+1 || !seen[before].HeaderIs("Authorization", "Bearer "+openAIKey) {
		t.Error("the provider saw another credential")
	}
}
