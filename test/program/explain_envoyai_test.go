package program

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// explainedModels asks for tokens and for rights by model on port 8080, and for
// keys on 8443.
func explainedModels(o *origin) map[string]string {
	const keyed = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: keyed, namespace: apps}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 8443, protocol: HTTP}]
`
	policy := aiPolicy(fmt.Sprintf(`
  jwt: {providers: [{name: tests, issuer: tests, localJWKS: {type: Inline, inline: %q}, claimToHeaders: [{claim: org.team, header: x-team}]}]}
  authorization:
    defaultAction: Deny
    rules:
    - {name: not-ops, action: Deny, principal: {headers: [{name: x-ai-eg-model, values: [large]}, {name: x-team, values: [ops]}]}}
    - {name: all-small, action: Allow, principal: {headers: [{name: x-ai-eg-model, values: [small, renamed]}]}}
    - {name: dev, action: Allow, principal: {jwt: {provider: tests, scopes: [chat], claims: [{name: org.team, values: [dev, ops]}]}}}
`, publicPEM(rsaKey())))
	second := strings.NewReplacer("name: ai,", "name: more,", "name: gw}", "name: keyed}").Replace(aiRoute(
		aiRule("small", "{name: plain}"), aiRule("large", "{name: prefixed, priority: 1}", "{name: plain}")))
	keys := strings.NewReplacer("name: callers", "name: keys", "name: ai}", "name: more}").Replace(aiPolicy(`
  apiKeyAuth: {credentialRefs: [{name: clients}], extractFrom: [{headers: [x-key]}, {params: [key]}, {cookies: [key]}], forwardClientIDHeader: x-client}
  authorization:
    defaultAction: Allow
    rules:
    - {name: bob, action: Deny, principal: {headers: [{name: x-client, values: [bob]}, {name: x-ai-eg-model, values: [large]}]}}
`))
	return map[string]string{
		"gateways.yaml": aiGateway + "---" + keyed, "policies.yaml": policy + keys, "routes.yaml": aiRoute(
			aiRule("small", "{name: plain}"), aiRule("large", "{name: prefixed}"),
			aiRule("renamed", `{name: plain, modelNameOverride: real, bodyMutation: {set: [{path: tier, value: '"flex"'}], remove: [user]}, headerMutation: {set: [{name: x-extra, value: "1"}], remove: [x-team]}}`),
			aiRule("free", "{name: plain}"),
		) + second,
		"backends.yaml": o.aiBackend("plain", "{name: OpenAI}", "MARKER-key-of-plain") + o.aiBackend("prefixed", "{name: OpenAI, prefix: /v1beta/openai}", "MARKER-key-of-prefixed"),
		"keys.yaml":     "apiVersion: v1\nkind: Secret\nmetadata: {name: clients, namespace: apps}\nstringData: {alice: key-of-alice, bob: key-of-bob}\n",
	}
}

func (d *drawer) envoyAI(i int) *asked {
	q := &asked{
		agent:  "explained/" + strconv.Itoa(i),
		port:   pick(d, "8080", "8080", "8443"),
		method: pick(d, "POST", "POST", "POST", "POST", "POST", "GET", "PUT"),
		target: pick(d, "/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/models", "/anthropic/v1/messages", "/v1/chat/completions/", "/other", "/v1//chat/completions", "/v1/x/../embeddings"),
	}
	q.host = "ai.example.com:" + q.port
	if d.IntN(3) == 0 {
		q.target += pick(d, "?key=key-of-alice", "?key=wrong", "?a=b&key=key-of-bob", "?key=key-of-bob&key=key-of-alice", "?model=large", "?")
	}
	if q.method != "GET" || d.IntN(4) == 0 {
		model := pick(d, "small", "small", "large", "renamed", "free", "missing")
		q.body = pick(d, chatFor(model), chatFor(model), chatFor(model), chatFor(model), `{"user":"u","stream":true,"input":"x","model":"`+model+`"}`)
		if d.IntN(3) == 0 {
			q.body = pick(d, `{"messages":[]}`, `{"model":"small","model":"large"}`, `{"model":"`+model+`","Model":"large"}`, `{"model":"sm\u0061ll"}`, `{"model":7}`, `{"model":null}`,
				`{"model":["small"]}`, `{"model":""}`, `{"model":" small"}`, `{"a":{"model":"small"}}`, `["small"]`, `"small"`, `{"model":"small"`, `{"model":"small"}x`, ` {"model" : "small" } `, "\xef\xbb\xbf"+chatFor("small"),
				"model=small", "", `{"model":"small","model":"small"}`, `{"m\u006fdel":"large"}`, `{"model":"small\u0000"}`)
		}
	}
	q.add("Content-Type", pick(d, "application/json", "application/json", "application/json", "application/json; charset=utf-8", "text/plain", "multipart/form-data; boundary=x"))
	if d.IntN(5) > 0 {
		q.add("Authorization", pick(d, "Bearer ", "Bearer ", "Bearer ", "Bearer ", "Bearer ", "Bearer ", "bearer ", "Basic ")+pick(d, d.tokens...))
	}
	d.some(q, 4, [2]string{"x-key", "key-of-alice"}, [2]string{"X-Key", "key-of-bob"}, [2]string{"Cookie", "a=b; key=key-of-alice"})
	d.some(q, 20, [2]string{"Authorization", "Bearer " + pick(d, d.tokens...)})
	d.some(q, 8, [2]string{"x-key", "wrong"}, [2]string{"x-key", ""}, [2]string{"x-ai-eg-model", "small"}, [2]string{"X-Ai-Eg-Model", "large"}, [2]string{"x-team", "dev"},
		[2]string{"x-client", "alice"}, [2]string{"x-extra", "forged"}, [2]string{"Connection", "x-key"}, [2]string{"x-api-key", "callers-other-key"}, [2]string{"Content-Encoding", "gzip"},
		[2]string{"Accept-Encoding", "gzip"})
	return q
}

// TestExplainAgreesOnModels does so with Envoy AI Gateway's resources: routes
// and rights by the model that a body names, also when it names none, or two.
func TestExplainAgreesOnModels(t *testing.T) {
	up := keepHeads(t)
	p := run(t, explainedModels(&up.origin), settings{})
	good := caller(`,"org":{"team":"dev"},"scope":"chat embed"`)
	d := newDrawer(good, good, good, good, caller(`,"org":{"team":"ops"},"scope":"chat"`), caller(`,"org":{"team":"ops"},"scope":"chat"`), caller(`,"org":{"team":"x"},"scope":"chat"`),
		caller(`,"org":{"team":"dev"}`), caller(`,"org":"dev","exp":1`), mint(`{"alg":"RS256"}`, `{"iss":"tests","sub":"eve"}`, otherRSA()), "nonsense", "YWxpY2U6d3Jvbmc=")
	agree(t, p, up, d.list(500, d.envoyAI), 12)
}
