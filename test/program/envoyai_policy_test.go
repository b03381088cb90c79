package program

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// aiGateway is a Gateway on port 8080.
const aiGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: apps}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 8080, protocol: HTTP}]
`

// aiBackend is an origin as a Backend, an AIServiceBackend of a schema, and a
// policy that shows it a key.
func (o *origin) aiBackend(name, schema, key string) string {
	return fmt.Sprintf(`---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: %[1]s, namespace: apps}
spec: {endpoints: [{ip: {address: %[2]q, port: %[3]d}}]}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: %[1]s, namespace: apps}
spec:
  schema: %[4]s
  backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: %[1]s}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {name: %[1]s, namespace: apps}
spec:
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: %[1]s}]
  type: APIKey
  apiKey: {secretRef: {name: %[1]s}}
---
apiVersion: v1
kind: Secret
metadata: {name: %[1]s, namespace: apps}
stringData: {apiKey: %[5]s}
`, name, o.host, o.port, schema, key)
}

func aiRoute(rules ...string) string {
	return `---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: ai, namespace: apps}
spec:
  parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]
  rules:
` + strings.Join(rules, "")
}

// aiRule is a rule for one model, with its backends.
func aiRule(model string, backends ...string) string {
	return fmt.Sprintf("  - matches: [{headers: [{name: x-ai-eg-model, value: %s}]}]\n    backendRefs: [%s]\n", model, strings.Join(backends, ", "))
}

// aiPolicy is a SecurityPolicy for the route.
func aiPolicy(spec string) string {
	return `---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: callers, namespace: apps}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ai}]
` + spec
}

func chatFor(model string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Why?"}]}`, model)
}

// answerAs answers with its name.
func answerAs(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) }
}

// TestEnvoyAIModels chooses by the model, lists the models, and writes another
// name for one into the body.
func TestEnvoyAIModels(t *testing.T) {
	a, b := serveOrigin(t, answerAs("a")), serveOrigin(t, answerAs("b"))
	p := runOne(t, nil, aiGateway, a.aiBackend("a", "{name: OpenAI}", "MARKER-key-of-a"), b.aiBackend("b", "{name: OpenAI, prefix: /v1beta/openai}", "MARKER-key-of-b"),
		aiRoute(
			aiRule("one", "{name: a}"),
			aiRule("two", `{name: b, modelNameOverride: real, bodyMutation: {set: [{path: tier, value: '"flex"'}], remove: [user]}, headerMutation: {set: [{name: x-extra, value: "1"}]}}`),
		))
	base := "http://" + p.addr("8080")
	post := func(path, body string) reply {
		return send(t, request{method: "POST", url: base + path, body: body, header: map[string]string{"Content-Type": "application/json", "x-ai-eg-model": "two", "Authorization": "Bearer of-the-caller"}})
	}
	if got := post("/v1/chat/completions", chatFor("one")); got.status != 200 || got.body != "a" {
		t.Errorf("one: %v", got)
	}
	if s := a.one(t); s.target != "/v1/chat/completions" || s.body != chatFor("one") || s.header.Get("Authorization") != "Bearer MARKER-key-of-a" {
		t.Errorf("one: %+v", s)
	}
	if got := post("/v1/embeddings", `{"user":"u","model":"two","input":"x"}`); got.status != 200 || got.body != "b" {
		t.Errorf("two: %v", got)
	}
	s := b.one(t)
	if s.target != "/v1beta/openai/embeddings" || s.header.Get("Authorization") != "Bearer MARKER-key-of-b" || s.header.Get("X-Extra") != "1" {
		t.Errorf("two: %+v", s)
	}
	if strings.Contains(s.body, `"user"`) || !strings.Contains(s.body, `"model":"real"`) || !strings.Contains(s.body, `"tier":"flex"`) || !strings.Contains(s.body, `"input":"x"`) {
		t.Errorf("two: body %s", s.body)
	}
	for _, tc := range []struct {
		name, path, body string
		status           int
	}{
		{"no such model", "/v1/chat/completions", chatFor("three"), 404},
		{"no model", "/v1/chat/completions", `{"messages":[]}`, 404},
		{"two models", "/v1/chat/completions", `{"model":"one","model":"two"}`, 400},
		{"another schema", "/anthropic/v1/messages", chatFor("one"), 422},
	} {
		if got := post(tc.path, tc.body); got.status != tc.status {
			t.Errorf("%s: %v, want %d", tc.name, got, tc.status)
		}
	}
	list := send(t, request{url: base + "/v1/models"})
	if list.status != 200 || !strings.Contains(list.body, `"id":"one"`) || !strings.Contains(list.body, `"id":"two"`) || !strings.Contains(list.body, "Envoy AI Gateway") {
		t.Errorf("/v1/models: %v", list)
	}
	if n := len(a.requests()) + len(b.requests()); n > 0 {
		t.Errorf("%d refused requests reached a provider", n)
	}
}

// TestEnvoyAIFailover goes on to the next priority when a provider is not well,
// with that one's key and its name for the model, unless the caller may not use
// that model.
func TestEnvoyAIFailover(t *testing.T) {
	first := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	second := serveOrigin(t, answerAs("second"))
	policy := aiPolicy(fmt.Sprintf(`
  jwt: {providers: [{name: tests, issuer: tests, localJWKS: {type: Inline, inline: %q}}]}
  authorization:
    defaultAction: Deny
    rules:
    - {name: small, action: Allow, principal: {headers: [{name: x-ai-eg-model, values: [small]}]}}
    - {name: large, action: Allow, principal: {jwt: {provider: tests, claims: [{name: team, values: [dev]}]}, headers: [{name: x-ai-eg-model, values: [large]}]}}
`, publicPEM(rsaKey())))
	p := runOne(t, nil, aiGateway, first.aiBackend("first", "{name: OpenAI}", "MARKER-first"), second.aiBackend("second", "{name: OpenAI}", "MARKER-second"),
		aiRoute(aiRule("small", "{name: first}", "{name: second, priority: 1, modelNameOverride: large}")), policy)
	ask := func(claims string) reply {
		return send(t, request{method: "POST", url: "http://" + p.addr("8080") + "/v1/chat/completions", body: chatFor("small"),
			header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + caller(claims)}})
	}
	if got := ask(`,"team":"dev"`); got.status != 200 || got.body != "second" {
		t.Errorf("who may use both: %v", got)
	}
	if s := second.one(t); !strings.Contains(s.body, `"model":"large"`) || s.header.Get("Authorization") != "Bearer MARKER-second" {
		t.Errorf("the second saw %+v", s)
	}
	first.requests()
	if got := ask(`,"team":"ops"`); got.status != 503 {
		t.Errorf("security row 11: who may use the first alone: %v", got)
	}
	if n := len(second.requests()); n > 0 {
		t.Errorf("security row 11: a model was reached that the caller may not use")
	}
}

// TestEnvoyAISecurityPolicy asks callers who they are and what they may.
func TestEnvoyAISecurityPolicy(t *testing.T) {
	o := serveOrigin(t, answerAs("o"))
	routes := []string{aiGateway, o.aiBackend("o", "{name: OpenAI}", "MARKER-key"), aiRoute(aiRule("one", "{name: o}"), aiRule("two", "{name: o}"))}
	jwt := fmt.Sprintf("  jwt: {providers: [{name: tests, issuer: tests, localJWKS: {type: Inline, inline: %q}, claimToHeaders: [{claim: org.team, header: x-team}]}]}\n", publicPEM(rsaKey()))
	dev, ops := "Bearer "+caller(`,"org":{"team":"dev"},"scope":"chat embed"`), "Bearer "+caller(`,"org":{"team":"ops"},"scope":"chat"`)
	type try struct {
		name, authorization, key, model string
		status                          int
		body                            string
	}
	for _, tc := range []struct {
		name, policy string
		tries        []try
	}{
		{"tokens", jwt, []try{
			{"nobody", "", "", "one", 401, "Jwt is missing"},
			{"a good one", dev, "", "one", 200, "o"},
			{"a bad one", dev + "x", "", "one", 401, ""},
		}},
		{"rules", jwt + `
  authorization:
    rules:
    - {action: Deny, principal: {headers: [{name: x-ai-eg-model, values: [two]}, {name: x-team, values: [ops]}]}}
    - {action: Allow, principal: {clientCIDRs: ["127.0.0.0/8"], jwt: {provider: tests, scopes: [chat], claims: [{name: org.team, values: [dev, ops]}]}}}
`, []try{
			{"nobody", "", "", "one", 401, "Jwt is missing"},
			{"dev, one", dev, "", "one", 200, "o"},
			{"dev, two", dev, "", "two", 200, "o"},
			{"ops, one", ops, "", "one", 200, "o"},
			{"ops, two", ops, "", "two", 403, "RBAC: access denied"},
			{"another team", "Bearer " + caller(`,"org":{"team":"x"},"scope":"chat"`), "", "one", 403, "RBAC: access denied"},
			{"no scope", "Bearer " + caller(`,"org":{"team":"dev"}`), "", "one", 403, "RBAC: access denied"},
		}},
		{"keys", `
  apiKeyAuth:
    credentialRefs: [{name: clients}]
    extractFrom: [{headers: [x-key]}]
    forwardClientIDHeader: x-client
`, []try{
			{"nobody", "", "", "one", 401, ""},
			{"a wrong one", "", "MARKER-wrong", "one", 401, ""},
			{"alice", "", "MARKER-alice", "one", 200, "o"},
		}},
		{"passwords", `
  basicAuth: {users: {name: users}, forwardUsernameHeader: x-client}
`, []try{
			{"nobody", "", "", "one", 401, ""},
			{"a wrong one", "Basic YWxpY2U6d3Jvbmc=", "", "one", 401, ""},
			{"alice", "Basic YWxpY2U6cGFzc3dvcmQ=", "", "one", 200, "o"},
		}},
		{"keys in the query or a cookie", `
  apiKeyAuth:
    credentialRefs: [{name: clients}]
    extractFrom: [{params: [key]}, {cookies: [key]}]
    forwardClientIDHeader: x-client
`, []try{
			{"nobody", "", "", "one", 401, ""},
			{"a header", "", "MARKER-alice", "one", 401, ""},
			{"a parameter", "", "?key=MARKER-alice", "one", 200, "o"},
			{"a cookie", "", "cookie", "one", 200, "o"},
		}},
		{"what we do not have", "  oidc: {provider: {issuer: \"https://idp.example.com\"}, clientID: a, clientSecret: {name: a}}\n", []try{{"nobody", "", "", "one", 500, ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			docs := append(append([]string{}, routes...), aiPolicy(tc.policy), "---\napiVersion: v1\nkind: Secret\nmetadata: {name: clients, namespace: apps}\nstringData: {alice: MARKER-alice, bob: MARKER-bob}\n",
				"---\napiVersion: v1\nkind: Secret\nmetadata: {name: users, namespace: apps}\nstringData: {.htpasswd: \"alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\"}\n")
			p := runOne(t, nil, docs...)
			for _, q := range tc.tries {
				h := map[string]string{"Content-Type": "application/json", "x-team": "dev", "x-client": "bob"}
				if q.authorization != "" {
					h["Authorization"] = q.authorization
				}
				query := ""
				switch {
				case q.key == "cookie":
					h["Cookie"] = "a=b; key=MARKER-alice"
				case strings.HasPrefix(q.key, "?"):
					query = q.key
				case q.key != "":
					h["x-key"] = q.key
				}
				got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + "/v1/chat/completions" + query, body: chatFor(q.model), header: h})
				if got.status != q.status || !strings.Contains(got.body, q.body) {
					t.Errorf("%s: %v, want %d with %q", q.name, got, q.status, q.body)
				}
				seen := o.requests()
				if (len(seen) == 1) != (q.status == 200) {
					t.Errorf("%s: the provider saw %d requests", q.name, len(seen))
				}
				for _, s := range seen {
					if s.header.Get("Authorization") != "Bearer MARKER-key" || s.header.Get("X-Key") != "" || strings.HasPrefix(tc.name, "keys") && s.header.Get("X-Client") != "alice" ||
						strings.Contains(s.target, "MARKER") || strings.Contains(s.header.Get("Cookie"), "MARKER") {
						t.Errorf("%s: the provider saw %v", q.name, s.header)
					}
				}
			}
		})
	}
}

// TestEnvoyAIHTTPRoute uses a Backend and HTTPRouteFilters from an HTTPRoute.
func TestEnvoyAIHTTPRoute(t *testing.T) {
	o := serveOrigin(t, answerAs("o"))
	p := runOne(t, nil, aiGateway, o.aiBackend("o", "{name: OpenAI}", "MARKER-key"), `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: plain, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /rewritten}}]
    filters:
    - {type: ExtensionRef, extensionRef: {group: gateway.envoyproxy.io, kind: HTTPRouteFilter, name: rewrite}}
    - {type: ExtensionRef, extensionRef: {group: gateway.envoyproxy.io, kind: HTTPRouteFilter, name: inject}}
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: o}]
  - matches: [{path: {type: PathPrefix, value: /direct}}]
    filters: [{type: ExtensionRef, extensionRef: {group: gateway.envoyproxy.io, kind: HTTPRouteFilter, name: direct}}]
  - matches: [{path: {type: PathPrefix, value: /ai}}]
    backendRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: o}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: HTTPRouteFilter
metadata: {name: rewrite, namespace: apps}
spec: {urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: "^/rewritten/(.*)$", substitution: '/to/\1'}}, hostname: {type: Header, header: x-host}}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: HTTPRouteFilter
metadata: {name: inject, namespace: apps}
spec: {credentialInjection: {header: x-api-key, credential: {valueRef: {name: cred}}}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: HTTPRouteFilter
metadata: {name: direct, namespace: apps}
spec: {directResponse: {statusCode: 418, contentType: text/plain, body: {type: Inline, inline: teapot}, header: {set: [{name: x-a, value: b}]}}}
---
apiVersion: v1
kind: Secret
metadata: {name: cred, namespace: apps}
stringData: {credential: MARKER-injected}
`)
	base := "http://" + p.addr("8080")
	if got := send(t, request{url: base + "/rewritten/x?q=1", header: map[string]string{"x-api-key": "mine", "x-host": "other.example.com"}}); got.status != 200 {
		t.Error(got)
	}
	if s := o.one(t); s.target != "/to/x?q=1" || s.host != "other.example.com" || s.header.Get("X-Api-Key") != "MARKER-injected" {
		t.Errorf("%+v", s)
	}
	if got := send(t, request{url: base + "/direct/x"}); got.status != 418 || got.body != "teapot" || got.header.Get("X-A") != "b" {
		t.Error(got)
	}
	if got := send(t, request{method: "POST", url: base + "/ai", body: chatFor("x"), header: map[string]string{"Content-Type": "application/json"}}); got.status != 200 {
		t.Error(got)
	}
	if s := o.one(t); s.target != "/v1/chat/completions" || s.header.Get("Authorization") != "Bearer MARKER-key" {
		t.Errorf("%+v", s)
	}
}
