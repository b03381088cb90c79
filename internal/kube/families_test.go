package kube_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const gloo = `
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: good, namespace: NS}
spec: {static: {hosts: [{addr: example.com, port: 80}]}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: bad, namespace: NS}
spec: {static: {hosts: [{addr: "", port: 80}]}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: good, namespace: NS}
spec:
  virtualHost:
    domains: [good.example.com]
    routes: [{matchers: [{prefix: /}], routeAction: {single: {upstream: {name: good, namespace: NS}}}}]
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: lost, namespace: NS}
spec:
  virtualHost:
    domains: [lost.example.com]
    routes: [{matchers: [{prefix: /}], routeAction: {single: {upstream: {name: none, namespace: NS}}}}]
---
apiVersion: ratelimit.solo.io/v1alpha1
kind: RateLimitConfig
metadata: {name: limit, namespace: NS}
spec: {raw: {descriptors: []}}
`

const gloomesh = `
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: good, namespace: NS}
spec:
  hosts: [good.example.com]
  http: [{name: all, directResponse: {status: 200}}]
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: bad, namespace: NS}
spec:
  hosts: [bad.example.com]
  http: [{name: all, noSuchAction: {}}]
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: nobody, namespace: NS}
spec:
  applyToRoutes: [{route: {labels: {no: such}}}]
  config: {glooAuth: {configs: [{apiKeyAuth: {k8sSecretApikeyStorage: {labelSelector: {a: b}}}}]}}
`

const envoyai = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: class-NS}
spec: {controllerName: postern.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: NS}
spec:
  gatewayClassName: class-NS
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{group: gateway.networking.k8s.io, kind: HTTPRoute}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs, namespace: NS}
spec: {gatewayClassName: another, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: provider, namespace: NS}
spec: {endpoints: [{fqdn: {hostname: api.example.com, port: 443}}]}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: provider, namespace: NS}
spec:
  schema: {name: OpenAI}
  backendRef: {name: provider, kind: Backend, group: gateway.envoyproxy.io}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: good, namespace: NS}
spec:
  parentRefs: [{name: edge, kind: Gateway, group: gateway.networking.k8s.io}]
  rules: [{matches: [{headers: [{type: Exact, name: x-ai-eg-model, value: a}]}], backendRefs: [{name: provider}]}]
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: lost, namespace: NS}
spec:
  parentRefs: [{name: edge, kind: Gateway, group: gateway.networking.k8s.io}]
  rules: [{matches: [{headers: [{type: Exact, name: x-ai-eg-model, value: b}]}], backendRefs: [{name: none}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: both, namespace: NS}
spec:
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: edge}
  - {group: gateway.networking.k8s.io, kind: Gateway, name: theirs}
  basicAuth: {users: {name: passwords}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: provider, namespace: NS}
spec:
  targetRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: provider}]
  validation: {wellKnownCACertificates: System, hostname: api.example.com}
---
apiVersion: v1
kind: Secret
metadata: {name: passwords, namespace: NS}
stringData: {.htpasswd: "u:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="}
`

const istio = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: NS}
spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad, namespace: NS}
spec:
  hosts: [api.example.com]
  http: [{route: [{destination: {host: api.example.com}}], noSuchField: 1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: sidecars, namespace: NS}
spec:
  hosts: [api.example.com]
  http: [{route: [{destination: {host: api.example.com}}]}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: provider, namespace: NS}
spec: {host: llm.example.com, path: /v1, configs: {defaultConfig: {openAIConfig: {model: m, apiKey: k}}}}
`

// told is what one object's status is to say: a path of member names to a text
// that is wanted there, or to part of it after "~".
type told struct {
	kind, name string
	want       map[string]string
}

// at returns what is at a path of members and list indexes, as text.
func at(u *unstructured.Unstructured, path string) string {
	var v any = u.Object["status"]
	for _, step := range strings.Split(path, "/") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			v = nil
			for i, item := range x {
				if m, ok := item.(map[string]any); step == string(rune('0'+i)) || ok && m["type"] == step {
					v = item
					break
				}
			}
		default:
			return ""
		}
	}
	switch v := v.(type) {
	case string:
		return v
	case int64:
		if v == u.GetGeneration() {
			return "its generation"
		}
		return "another generation"
	case nil:
		return "none"
	}
	return "something"
}

// TestFamilies writes the statuses of each family in its own shape, and those
// of no family that is not named.
func TestFamilies(t *testing.T) {
	for _, tc := range []struct {
		name, objects string
		dialects      []string
		told          []told
		silent        []told // nothing is written there
	}{
		{"gloo", gloo, []string{"gloo"}, []told{
			{"Gloo VirtualService", "good", map[string]string{"statuses/postern-system/state": "Accepted", "statuses/postern-system/reportedBy": "postern",
				"statuses/postern-system/details/observedGeneration": "its generation", "statuses/postern-system/reason": "none"}},
			{"Gloo VirtualService", "lost", map[string]string{"statuses/postern-system/state": "Warning", "statuses/postern-system/reason": `~no Upstream "none"`}},
			{"Upstream", "good", map[string]string{"statuses/postern-system/state": "Accepted", "statuses/gloo-system/state": "Warning"}},
			{"Upstream", "bad", map[string]string{"statuses/postern-system/state": "Rejected", "statuses/postern-system/reason": "~spec.static.hosts[0]"}},
			{"RateLimitConfig", "limit", map[string]string{"state": "ACCEPTED", "message": "~not supported", "observedGeneration": "its generation"}},
		}, nil},
		{"gloomesh", gloomesh, []string{"gloomesh"}, []told{
			{"Mesh RouteTable", "good", map[string]string{"common/State/observedGeneration": "its generation"}},
			{"Mesh RouteTable", "bad", map[string]string{"common/State/approval": "FAILED", "common/State/message": "~spec.http[0]"}},
			{"ExtAuthPolicy", "nobody", map[string]string{"common/State/approval": "FAILED"}},
		}, nil},
		{"envoyai", envoyai, []string{"envoyai"}, []told{
			{"AIGatewayRoute", "good", map[string]string{"conditions/Accepted/status": "True", "conditions/Accepted/reason": "ReconciliationSucceeded",
				"conditions/Accepted/observedGeneration": "its generation", "conditions/1": "none"}},
			{"AIGatewayRoute", "lost", map[string]string{"conditions/NotAccepted/status": "False", "conditions/NotAccepted/message": `~"none"`, "conditions/1": "none"}},
			{"AIServiceBackend", "provider", map[string]string{"conditions/Accepted/status": "True"}},
			{"Backend", "provider", map[string]string{"conditions/Accepted/reason": "Accepted"}},
			{"SecurityPolicy", "both", map[string]string{"ancestors/0/ancestorRef/name": "edge", "ancestors/0/controllerName": ours,
				"ancestors/0/conditions/Accepted/status": "True", "ancestors/1": "none"}},
		}, []told{
			{"Gateway", "edge", map[string]string{"conditions/Accepted/status": "Unknown"}},
		}},
		{"two families", envoyai, []string{"gatewayapi", "envoyai"}, []told{
			{"Gateway", "edge", map[string]string{"conditions/Accepted/status": "True"}},
			{"AIGatewayRoute", "good", map[string]string{"conditions/Accepted/status": "True"}},
			{"BackendTLSPolicy", "provider", map[string]string{"ancestors/0/ancestorRef/group": "gateway.envoyproxy.io", "ancestors/0/ancestorRef/kind": "Backend",
				"ancestors/0/conditions/Accepted/status": "True", "ancestors/1": "none"}},
		}, []told{
			{"Gateway", "theirs", map[string]string{"conditions/Accepted/status": "Unknown"}},
		}},
		{"istio", istio, []string{"istio"}, []told{
			{"ServiceEntry", "outside", map[string]string{"conditions/Reconciled/status": "True", "conditions/PassedAnalysis/status": "True", "observedGeneration": "its generation", "validationMessages": "none"}},
			{"Istio VirtualService", "bad", map[string]string{"conditions/Reconciled/status": "False", "conditions/PassedAnalysis/reason": "errorsFound",
				"validationMessages/0/type/code": "IST0106", "validationMessages/0/level": "ERROR"}},
			{"Istio VirtualService", "sidecars", map[string]string{"conditions/Reconciled/status": "True", "conditions/PassedAnalysis/reason": "warningsFound",
				"validationMessages/0/type/code": "IST0133", "validationMessages/0/level": "WARNING"}},
			{"LLMProvider", "provider", map[string]string{"observedGeneration": "its generation"}},
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := open(t)
			p.put(tc.objects)
			if tc.name == "gloo" { // a Gloo is there, too
				theirs := `{"status":{"statuses":{"gloo-system":{"state":"Warning","reportedBy":"gloo"}}}}`
				if _, err := p.api("Upstream").Patch(context.Background(), "good", types.MergePatchType, []byte(theirs), metav1.PatchOptions{}, "status"); err != nil {
					t.Fatal(err)
				}
			}
			r := p.replica(options{dialects: tc.dialects})
			for _, want := range tc.told {
				p.await(want.kind, want.name, "its status", says(want.want))
			}
			for _, want := range tc.silent {
				if u := p.get(want.kind, want.name); !says(want.want)(u) {
					t.Errorf("%s %s: %s", want.kind, want.name, plain(u))
				}
			}
			p.awaitIdle(r)
			before := map[string]string{}
			for _, want := range tc.told {
				before[want.kind+want.name] = p.get(want.kind, want.name).GetResourceVersion()
			}
			r.stop()
			again := p.replica(options{dialects: tc.dialects})
			p.awaitIdle(again)
			if n := again.requests.of("PATCH", ""); n != 0 {
				t.Errorf("%d statuses were written again", n)
			}
			for _, want := range tc.told {
				if diff := cmp.Diff(before[want.kind+want.name], p.get(want.kind, want.name).GetResourceVersion()); diff != "" {
					t.Errorf("%s %s was written again", want.kind, want.name)
				}
			}
		})
	}
}

func says(want map[string]string) func(*unstructured.Unstructured) bool {
	return func(u *unstructured.Unstructured) bool {
		for path, text := range want {
			got := at(u, path)
			if part, ok := strings.CutPrefix(text, "~"); ok && strings.Contains(got, part) || got == text {
				continue
			}
			return false
		}
		return true
	}
}
