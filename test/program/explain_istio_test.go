package program

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

// explainedMesh is a workload of Istio with policies of every kind. %[1]d is
// the port of the upstream, %[2]s a key set.
const explainedMesh = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - {hosts: ["*"], port: {name: http, number: 8080, protocol: HTTP}}
  - {hosts: ["*"], port: {name: mesh, number: 8443, protocol: HTTPS}, tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: up, namespace: istio-system}
spec:
  hosts: [up.example.com]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: %[1]d}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: istio-system}
spec:
  hosts: [api.example.com, "*.wide.example.com"]
  gateways: [gw]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {prefixRewrite: /open, scheme: https, redirectCode: 308}
  - match: [{uri: {exact: /direct}, method: {exact: GET}}]
    directResponse: {status: 418, body: {string: tea}}
  - match: [{uri: {prefix: /gold}, headers: {x-tier: {exact: gold}}, queryParams: {q: {regex: "[0-9]+"}}}]
    rewrite: {uri: /metal, authority: metal.example.com}
    headers: {request: {set: {x-set: "1"}, add: {x-added: more}, remove: [x-gone]}}
    route: [{destination: {host: up.example.com}}]
  - match: [{uri: {prefix: /peer}, withoutHeaders: {x-tier: {exact: gold}}}, {port: 8443, uri: {prefix: /gold}}]
    route: [{destination: {host: up.example.com}, headers: {request: {set: {x-share: all}}}}]
  - match: [{uri: {prefix: /lost}}]
    route: [{destination: {host: nowhere.example.com}}]
  - route: [{destination: {host: up.example.com}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: idp, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: egressgateway}}
  jwtRules:
  - issuer: https://idp.example.com
    jwks: '%[2]s'
    fromHeaders: [{name: Authorization, prefix: "Bearer "}, {name: x-token}]
    fromParams: [token]
    outputClaimToHeaders: [{header: x-team, claim: team}]
  - issuer: https://kept.example.com
    jwks: '%[2]s'
    forwardOriginalToken: true
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: never, namespace: istio-system}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: ["/admin*", "*/secret"], notMethods: [OPTIONS]}}]
    from: [{source: {notRequestPrincipals: ["https://idp.example.com/root"]}}]
  - when: [{key: "request.auth.claims[team]", values: [ops]}]
    to: [{operation: {notPaths: ["/ops*"]}}]
  - from: [{source: {principals: ["cluster.local/ns/bad/*"]}}]
  - to: [{operation: {hosts: ["closed.wide.example.com", "closed.wide.example.com:*"]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: tokens, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: egressgateway}}
  rules:
  - from: [{source: {requestPrincipals: ["https://idp.example.com/alice", "*/root"]}}]
    to: [{operation: {methods: [GET, POST], hosts: ["api.example.com*"]}}]
  - from: [{source: {requestPrincipals: ["*"], notRequestPrincipals: ["https://kept.example.com/*"]}}]
    when: [{key: "request.auth.claims[groups]", values: ["chat", "em*"]}, {key: "request.headers[user-agent]", notValues: ["curl*"]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: anyone, namespace: istio-system}
spec:
  rules:
  - to: [{operation: {paths: ["/open", "/old*", "/direct", "*/open"]}}]
  - to: [{operation: {paths: ["/gold*"]}}]
    when: [{key: "request.headers[x-tier]", values: [gold]}]
  - from: [{source: {principals: ["cluster.local/ns/default/sa/sleep"]}}]
    to: [{operation: {paths: ["/peer*", "/lost*"]}}]
  - from: [{source: {namespaces: [tools], ipBlocks: [127.0.0.0/8]}}, {source: {remoteIpBlocks: [10.0.0.0/8]}}]
  - when: [{key: connection.sni, values: ["sni.wide.example.com"]}, {key: destination.port, values: ["8443"]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: tried, namespace: istio-system, annotations: {istio.io/dry-run: "true"}}
spec:
  action: DENY
  rules: [{to: [{operation: {methods: [POST]}}]}]
`

// meshCallers are the certificates that come in over mutual TLS, by identity.
func meshCallers(t *testing.T, ca *simulate.CA) map[string]*tls.Certificate {
	out := map[string]*tls.Certificate{}
	for _, id := range []string{sleeper, "spiffe://cluster.local/ns/default/sa/curl", "spiffe://cluster.local/ns/bad/sa/x", "spiffe://cluster.local/ns/tools/sa/y", "spiffe://other.domain/ns/default/sa/sleep"} {
		out[id] = workload(t, ca, simulate.Workload{URIs: []string{id}})
	}
	return out
}

func (d *drawer) istio(i int, callers map[string]*tls.Certificate, ids []string) *asked {
	q := &asked{
		agent:  "explained/" + strconv.Itoa(i),
		port:   pick(d, "8080", "8443"),
		method: pick(d, "GET", "GET", "POST", "POST", "DELETE", "OPTIONS"),
		host:   pick(d, "api.example.com", "api.example.com", "api.example.com", "API.example.com", "a.wide.example.com", "closed.wide.example.com", "sni.wide.example.com", "none.example.com", "wide.example.com"),
		target: pick(d, "/", "/open", "/open/x", "/x/open", "/old", "/old/x", "/direct", "/gold", "/gold/x", "/golden", "/peer", "/peer/a", "/lost", "/admin", "/admin/x", "/a/secret", "/ops", "/ops/x"),
	}
	if q.secure = q.port == "8443"; q.secure {
		q.peer = pick(d, append([]string{sleeper, sleeper}, ids...)...)
		q.cert = callers[q.peer]
	}
	if d.IntN(6) > 0 {
		q.host += ":" + q.port
	} else {
		q.host += pick(d, ":"+q.port, ".:"+q.port)
	}
	if d.IntN(6) == 0 {
		q.target = pick(d, "/open/../admin", "//admin", "/%61dmin", "/admin%2Fx", "/a/./secret", "/ADMIN", "/a%5C..%5Cadmin", "/admin;x", "/open%00", "/a/..%2fadmin", "/peer/%2e%2e/admin", "/admin?", "/secret", "/x//secret")
	}
	if d.IntN(3) == 0 {
		q.target += pick(d, "?q=12", "?q=a", "?q=12&q=a", "?", "?a=%zz", "?token="+pick(d, d.tokens...), "?q=1&token="+pick(d, d.tokens...))
	}
	if d.IntN(10) == 0 {
		q.host, q.target = "api.example.com:"+q.port, "/gold/x?q=12"
		q.add("x-tier", "gold")
	}
	if d.IntN(3) > 0 {
		q.add(pick(d, "Authorization", "authorization"), "Bearer "+pick(d, d.tokens...))
	}
	if d.IntN(6) == 0 {
		q.add("x-token", pick(d, d.tokens...))
	}
	d.some(q, 3, [2]string{"X-Tier", "gold"})
	d.some(q, 7, [2]string{"x-tier", "silver"}, [2]string{"x-gone", "a"}, [2]string{"x-set", "b"}, [2]string{"x-added", "c"}, [2]string{"x-team", "forged"}, [2]string{"Connection", "x-tier"},
		[2]string{"X-Forwarded-For", "10.9.8.7"}, [2]string{"X-Forwarded-Client-Cert", "URI=" + sleeper}, [2]string{"Te", "trailers"}, [2]string{"X-Forwarded-Proto", "https"}, [2]string{"Cookie", "a=b"})
	if q.method == "POST" && d.IntN(2) == 0 {
		q.body = "text"
	}
	return q
}

// TestExplainAgreesOnTheMesh does so with Istio's policies: by tokens on a port
// in the clear, and by the certificates of workloads on one of mutual TLS.
func TestExplainAgreesOnTheMesh(t *testing.T) {
	up, ca := keepHeads(t), newCA(t)
	key, err := simulate.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := simulate.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	var keys string
	token := func(key []byte, issuer, subject, more string) string {
		made, err := simulate.Mint(simulate.TokenConfig{Key: key, Claims: fmt.Appendf(nil, `{"iss":"https://%s.example.com","sub":%q,"exp":4102444800%s}`, issuer, subject, more)})
		if err != nil {
			t.Fatal(err)
		}
		keys = strings.TrimSpace(string(made.JWKS))
		return made.JWT
	}
	d := newDrawer(token(other, "idp", "alice", ""), token(key, "idp", "alice", ""), token(key, "idp", "alice", `,"team":"ops"`), token(key, "idp", "root", `,"team":"dev"`),
		token(key, "idp", "bob", `,"groups":["a","embed"]`), token(key, "idp", "bob", `,"groups":"chat","team":["dev","ops"]`), token(key, "idp", "bob", ""), token(key, "kept", "root", `,"groups":["chat"]`),
		token(key, "others", "alice", ""), token(key, "idp", "alice", `,"nbf":4102444700`), "nonsense", "")
	p := run(t, map[string]string{"all.yaml": fmt.Sprintf(explainedMesh, up.port, keys)}, settings{args: []string{"--identity", identityOf(t, ca, egressID)}})
	callers := meshCallers(t, ca)
	ids := slices.Sorted(maps.Keys(callers))
	agree(t, p, up, d.list(600, func(i int) *asked { return d.istio(i, callers, ids) }), 20)
}
