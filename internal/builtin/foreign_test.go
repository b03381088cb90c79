package builtin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// attempts are resources of a tenant, in the namespace thief, that reach for a
// Secret of another, in the namespace owner.
var attempts = []struct {
	name, yaml string
	// by is the kind that a grant would name; empty: no grant can help.
	by string
}{
	{"a provider's key for an upstream of his own", `
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: thief}
spec: {ai: {openai: {customHost: {host: thief.example.com, port: 443}, authToken: {secretRef: {name: key, namespace: owner}}}}}
` + toUpstream(""), "gloo.solo.io/Upstream"},
	{"a header out of a Secret", `
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: thief}
spec: {static: {hosts: [{addr: thief.example.com, port: 443}]}}
` + toUpstream("options: {headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: key, namespace: owner}}]}}"), "gateway.solo.io/VirtualService"},
	{"a client certificate", `
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: thief}
spec: {static: {hosts: [{addr: thief.example.com, port: 443}]}, sslConfig: {secretRef: {name: key, namespace: owner}}}
` + toUpstream(""), "gloo.solo.io/Upstream"},
	{"a secret for an authorization server of his own", `
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: auth, namespace: thief}
spec: {configs: [{oauth2: {accessTokenValidation: {introspection: {introspectionUrl: "https://thief.example.com/", clientId: c, clientSecretRef: {name: key, namespace: owner}}}}}]}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: thief}
spec: {static: {hosts: [{addr: thief.example.com, port: 443}]}}
` + toUpstream("options: {extauth: {configRef: {name: auth, namespace: thief}}}"), "enterprise.gloo.solo.io/AuthConfig"},
	{"the callers of another", `
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: auth, namespace: thief}
spec: {configs: [{apiKeyAuth: {k8sSecretApikeyStorage: {apiKeySecretRefs: [{name: key, namespace: owner}]}}}]}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: thief}
spec: {static: {hosts: [{addr: thief.example.com, port: 443}]}}
` + toUpstream("options: {extauth: {configRef: {name: auth, namespace: thief}}}"), "enterprise.gloo.solo.io/AuthConfig"},
	{"a key that the other made, by its label", `
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: auth, namespace: thief}
spec: {configs: [{apiKeyAuth: {k8sSecretApikeyStorage: {labelSelector: {team: a}}}}]}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: thief}
spec: {static: {hosts: [{addr: thief.example.com, port: 443}]}}
` + toUpstream("options: {extauth: {configRef: {name: auth, namespace: thief}}}"), ""},
	{"a key by its label, in the other Gloo family", `
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: auth, namespace: thief}
spec: {applyToRoutes: [{route: {labels: {a: b}}}], config: {server: {name: s}, glooAuth: {configs: [{apiKeyAuth: {k8sSecretApikeyStorage: {labelSelector: {team: a}}}}]}}}
---
apiVersion: networking.gloo.solo.io/v2
kind: VirtualGateway
metadata: {name: gw, namespace: thief}
spec: {listeners: [{port: {number: 80}, http: {}, allowedRouteTables: [{host: "*"}]}], workloads: [{selector: {labels: {istio: ingressgateway}}}]}
---
apiVersion: networking.gloo.solo.io/v2
kind: ExternalService
metadata: {name: ext, namespace: thief}
spec: {hosts: [thief.example.com], ports: [{number: 443, protocol: HTTPS}]}
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: rt, namespace: thief}
spec: {hosts: ["*"], virtualGateways: [{name: gw}], http: [{name: r, labels: {a: b}, forwardTo: {destinations: [{kind: EXTERNAL_SERVICE, ref: {name: ext}, port: {number: 443}}]}}]}
`, ""},
	{"a provider's key for a backend of his own", `
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata: {name: chat, namespace: thief}
spec:
  parentRefs: [{name: gw}]
  rules: [{matches: [{headers: [{type: Exact, name: x-ai-eg-model, value: m}]}], backendRefs: [{name: own}]}]
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIServiceBackend
metadata: {name: own, namespace: thief}
spec: {schema: {name: OpenAI}, backendRef: {name: own, kind: Backend, group: gateway.envoyproxy.io}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: own, namespace: thief}
spec: {endpoints: [{fqdn: {hostname: thief.example.com, port: 443}}]}
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: BackendSecurityPolicy
metadata: {name: own, namespace: thief}
spec:
  type: APIKey
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: own}]
  apiKey: {secretRef: {name: key, namespace: owner}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: thief}
spec: {gatewayClassName: eg, listeners: [{name: http, port: 80, protocol: HTTP}]}
`, "aigateway.envoyproxy.io/BackendSecurityPolicy"},
	{"the gateway's certificate for a server of his own", `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: owner}
spec: {selector: {istio: egress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: thief}
spec: {hosts: [thief.example.com], ports: [{number: 443, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule, namespace: thief}
spec: {host: thief.example.com, trafficPolicy: {tls: {mode: MUTUAL, credentialName: key}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: thief}
spec: {hosts: [thief.example.com], gateways: [owner/gw], http: [{route: [{destination: {host: thief.example.com, port: {number: 443}}}]}]}
`, "networking.istio.io/DestinationRule"},
}

func toUpstream(options string) string {
	return `---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: vs, namespace: thief}
spec: {virtualHost: {domains: ["*"], routes: [{routeAction: {single: {upstream: {name: up}}}, ` + options + `}]}}
`
}

const ownersSecret = `---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: owner, labels: {team: a}}
type: TYPE
stringData: {Authorization: MARKER, apiKey: MARKER, api-key: MARKER, client-secret: MARKER, tls.crt: MARKER, tls.key: MARKER, ca.crt: MARKER}
`

// secretType returns the type of Secret that an attempt wants.
func secretType(attempt string) string {
	if strings.Contains(attempt, "apiKeyAuth") {
		return "extauth.solo.io/apikey"
	}
	return "Opaque"
}

// grantTo permits the use of the Secret to objects of a kind in thief.
func grantTo(by string) string {
	group, kind, _ := strings.Cut(by, "/")
	return `---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: owner}
spec: {from: [{group: ` + group + `, kind: ` + kind + `, namespace: thief}], to: [{group: "", kind: Secret}]}
`
}

// TestSecurityRow20ForeignCredential translates what a tenant writes to get at
// the Secret of another: in a cluster nothing of it is used, and the tenant is
// told why, unless the Secret's owner grants it or the gateway was told so.
// Files are of one owner.
func TestSecurityRow20ForeignCredential(t *testing.T) {
	workload := &Workload{Namespace: "owner", Name: "gw", Labels: map[string]string{"istio": "egress"}}
	for _, a := range attempts {
		for _, tc := range []struct {
			name   string
			access *resource.Access
			grant  string
			used   bool
		}{
			{"in a cluster", &resource.Access{}, "", false},
			{"another kind is granted", &resource.Access{}, "example.com/Other", false},
			{"granted", &resource.Access{}, a.by, a.by != ""},
			{"--cross-namespace-credentials", &resource.Access{Foreign: true}, "", true},
			{"in files", nil, a.by, true},
		} {
			t.Run(a.name+"/"+tc.name, func(t *testing.T) {
				yaml := a.yaml + strings.Replace(ownersSecret, "TYPE", secretType(a.yaml), 1)
				if tc.grant != "" {
					yaml += grantTo(tc.grant)
				}
				dialects := Dialects(Options{})
				if strings.Contains(a.yaml, "networking.istio.io") {
					dialects = Dialects(Options{Workload: workload})
				}
				config, report := translated(t, dialects, yaml, tc.access)
				refs := strings.Count(config, `{"kind":"Secret","namespace":"owner","name":"key"`)
				if (refs > 0) != tc.used {
					t.Errorf("the configuration refers to the Secret %d times: %v\n%s", refs, tc.used, report.Problems)
				}
				if told := strings.Contains(problemText(report), "ReferenceGrant"); told == tc.used {
					t.Errorf("told of a ReferenceGrant: %v\n%s", told, report.Problems)
				}
			})
		}
	}
}

func problemText(r status.Report) string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, p.String())
	}
	return strings.Join(out, "\n")
}

// translated returns the configuration as JSON, and the report.
func translated(t *testing.T, dialects []dialect.Dialect, yaml string, access *resource.Access) (string, status.Report) {
	t.Helper()
	kinds := Kinds(dialects)
	r := resource.NewDecoder(kinds, resource.Options{}).Decode("in.yaml", []byte(yaml))
	if len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	set := resource.NewSet(r.Objects, kinds).WithAccess(access)
	fragments, report, _ := dialect.NewTranslator(dialects).Translate(set)
	config, merged := new(dialect.Merger).Merge(fragments)
	report.Join(merged)
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), report
}
