package program

import (
	"fmt"
	"strconv"
	"testing"
)

// explained is a configuration in which much can become of a request. %[1]s is
// the filter that asks for tokens, %[2]d the port of the upstream.
const explained = `
apiVersion: v1
kind: Secret
metadata: {name: key-of-a, labels: {team: a}}
type: extauth.solo.io/apikey
stringData: {api-key: first-callers-key, token: MARKER-token-of-a}
---
apiVersion: v1
kind: Secret
metadata: {name: provider}
stringData: {Authorization: "Bearer MARKER-provider"}
---
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: keys}
spec:
  configs:
  - apiKeyAuth:
      headerName: api-key
      labelSelector: {team: a}
      headersFromMetadataEntry: {x-token: {name: token}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up}
spec: {static: {hosts: [{addr: 127.0.0.1, port: %[2]d}]}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: tokens}
spec:
  virtualHost:
    domains: [tokens.example.com]
    options: {jwt: %[1]s}
    routes:
    - matchers: [{prefix: /chat, methods: [POST]}]
      options:
        rbac:
          policies:
            readers: {principals: [{jwtPrincipal: {claims: {team: a}}}]}
            admins: {principals: [{jwtPrincipal: {claims: {role: admin}}}], permissions: {pathPrefix: /chat/admin}}
        prefixRewrite: /v1/chat
        headerManipulation:
          requestHeadersToAdd:
          - {header: {key: X-Team, value: "%%REQ(x-from)%%"}, append: false}
          - {headerSecretRef: {name: provider, namespace: default}}
          requestHeadersToRemove: [X-Gone]
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{prefix: /chat, headers: [{name: X-Version, value: "2"}]}]
      options: {regexRewrite: {pattern: {regex: "^/chat/(.*)$"}, substitution: "/two/\\1"}}
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{exact: /go}]
      redirectAction: {hostRedirect: other.example.com, responseCode: FOUND}
    - matchers: [{prefix: /missing}]
      routeAction: {single: {upstream: {name: nowhere, namespace: default}}}
    - matchers: [{prefix: /}]
      directResponseAction: {status: 202, body: here}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: keyed}
spec:
  virtualHost:
    domains: ["*.keys.example.com"]
    options: {extauth: {configRef: {name: keys, namespace: default}}}
    routes:
    - matchers: [{prefix: /open}]
      options: {extauth: {disable: true}, hostRewrite: "else.example.com"}
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{prefix: /, queryParameters: [{name: model, value: small}]}]
      options:
        stagedTransformations:
          regular:
            requestTransforms:
            - requestTransformation:
                transformationTemplate:
                  headers: {Authorization: {text: 'Bearer {{ header("x-token") }}'}}
      routeAction: {single: {upstream: {name: up, namespace: default}}}
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: up, namespace: default}}}
`

func (d *drawer) gloo(i int) *asked {
	q := &asked{
		agent:  "explained/" + strconv.Itoa(i),
		port:   "8080",
		method: pick(d, "GET", "POST", "POST", "DELETE"),
		host: pick(d, "tokens.example.com:8080", "tokens.example.com:8080", "TOKENS.example.com.:8080",
			"a.keys.example.com:8080", "b.a.keys.example.com:8080", "tokens.example.com:8080", "c.keys.example.com:8080", "keys.example.com:8080"),
		target: pick(d, "/", "/chat", "/chat/x", "/chat/admin/y", "/chatter", "/go", "/missing/a", "/open"),
	}
	if d.IntN(5) == 0 {
		q.target = pick(d, "/open/../chat", "/chat//x", "/chat/./a", "/chat/%7Ea", "/chat%2fx", "/chat/%2e%2e/go", "/a;b", "/%00")
	}
	if d.IntN(3) == 0 {
		q.target += pick(d, "?model=small", "?model=large", "?model=small&a=b", "?", "?a=%zz", "?access_token="+pick(d, d.tokens...))
	}
	if d.IntN(3) > 0 {
		q.headers = append(q.headers, [2]string{"Authorization", "Bearer " + pick(d, d.tokens...)})
	}
	for _, h := range [][2]string{
		{"api-key", "first-callers-key"}, {"api-key", "another"}, {"X-Version", "2"}, {"x-version", "3"}, {"X-From", "somewhere"},
		{"X-Gone", "yes"}, {"X-Token", "forged"}, {"X-User-Id", "forged"}, {"Connection", "x-from"}, {"X-Forwarded-For", "10.9.8.7"},
		{"x-api-key", "callers-other-key"}, {"Accept", "text/plain"}, {"Accept", "application/json"},
	} {
		if d.IntN(4) == 0 || h[1] == "first-callers-key" && d.IntN(2) == 0 {
			q.headers = append(q.headers, h)
		}
	}
	if q.method != "GET" && d.IntN(2) == 0 {
		q.body = `{"model":"small"}`
	}
	return q
}

// TestExplainAgreesWithTheDataPlane sends random requests through Gloo's
// features, and asks explain of each what would become of it.
func TestExplainAgreesWithTheDataPlane(t *testing.T) {
	up := keepHeads(t)
	text := fmt.Sprintf(explained, jwtOf(rsaKey(), ", claimsToHeaders: [{claim: team, header: X-Claimed}]"), up.port)
	p := run(t, map[string]string{"all.yaml": text}, settings{})
	d := newDrawer(caller(`,"team":"a"`), caller(`,"team":"b"`), caller(`,"role":"admin"`), caller(`,"team":"a","exp":1`), caller(""),
		mint(`{"alg":"RS256"}`, `{"iss":"others","sub":"eve","team":"a"}`, rsaKey()),
		mint(`{"alg":"RS256"}`, `{"iss":"tests","sub":"eve","team":"a"}`, otherRSA()), "nonsense")
	agree(t, p, up, d.list(500, d.gloo), 8)
}
