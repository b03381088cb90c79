package program

import (
	"fmt"
	"strconv"
	"testing"
)

// explainedRoutes are HTTPRoutes that match by everything there is. %[1]d is
// the port of the upstream.
const explainedRoutes = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: apps}
spec:
  gatewayClassName: any
  listeners:
  - {name: any, port: 8080, protocol: HTTP}
  - {name: wild, port: 8080, protocol: HTTP, hostname: "*.wild.example.com"}
  - {name: other, port: 8443, protocol: HTTP, hostname: other.example.com}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: wide, namespace: apps}
spec:
  parentRefs: [{name: gw, sectionName: any}]
  rules:
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches:
    - {method: POST, path: {value: /chat}, headers: [{name: X-Team, value: red}, {name: X-Version, type: RegularExpression, value: "[12]"}]}
    - {path: {value: /chat}, queryParams: [{name: model, value: small}, {name: size, type: RegularExpression, value: "l.*"}]}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: X-Set, value: set}, {name: X-Forged, value: mine}], add: [{name: X-Added, value: more}], remove: [X-Gone]}
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches: [{path: {value: /chat}, queryParams: [{name: model, value: large}]}]
    filters: [{type: URLRewrite, urlRewrite: {hostname: inner.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v1}}}]
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches: [{path: {type: RegularExpression, value: "/[a-c]+/x"}}]
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches: [{path: {value: /cut}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches: [{path: {type: Exact, value: /full}, method: GET}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /whole}}}]
  - matches: [{path: {value: /moved}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {scheme: https, hostname: new.example.com, port: 8443, statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}
  - matches: [{path: {value: /moved}, method: DELETE}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /}}}]
  - matches: [{path: {value: /lost}}]
    backendRefs: [{name: nowhere, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: hosts, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  hostnames: [one.wild.example.com, "*.two.wild.example.com", other.example.com]
  rules:
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches: [{path: {value: /}}]
  - backendRefs: [{group: gloo.solo.io, kind: Upstream, name: up}]
    matches: [{path: {value: /chat}, headers: [{name: x-team, value: blue}]}]
    filters: [{type: URLRewrite, urlRewrite: {hostname: blue.example.com}}]
---
apiVersion: gateway.solo.io/v1
kind: RouteOption
metadata: {name: asks, namespace: apps}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: hosts}]
  options: {jwtProvidersStaged: {afterExtAuth: %[2]s}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: apps}
spec: {static: {hosts: [{addr: 127.0.0.1, port: %[1]d}]}}
`

func (d *drawer) gatewayAPI(i int) *asked {
	q := &asked{
		agent:  "explained/" + strconv.Itoa(i),
		port:   "8080",
		method: pick(d, "GET", "POST", "POST", "DELETE", "HEAD", "OPTIONS"),
		host: pick(d, "any.example.com:8080", "any.example.com:8080", "any.example.com:8080", "ANY.example.com:8080", "one.wild.example.com:8080",
			"a.two.wild.example.com:8080", "two.wild.example.com:8080", "x.wild.example.com.:8080", "127.0.0.1:8080", "other.example.com:8443", "another.example.com:8443"),
		target: pick(d, "/", "/chat", "/chat", "/chat", "/chat/x", "/chat/", "/chatter", "/a/x", "/abc/x", "/abd/x", "/cut", "/cut/x", "/cut/", "/full", "/full/", "/moved", "/moved/a/b", "/lost"),
	}
	q.port = q.host[len(q.host)-4:]
	if d.IntN(6) == 0 {
		q.target = pick(d, "/cut/../chat", "//chat", "/chat/./x", "/%63hat", "/cut//x", "/cut%2Fx", "/moved/%7Ea", "/full?", "/chat/..", "/../x", "/a/x/", "/c%00", "/cut;a=b/x", "/moved/%E2%82%AC")
	}
	if d.IntN(2) == 0 {
		q.target += pick(d, "?model=small&size=large", "?size=large&model=small", "?model=small", "?model=large", "?model=large&model=small", "?MODEL=large",
			"?model=small&size=xl", "?model=%6carge", "?model=large%20", "?model=small;size=l", "?size=l&size=x&model=small", "?model", "?&&model=large&", "?a=%zz&model=large")
	}
	d.some(q, 3, [2]string{"X-Team", "red"}, [2]string{"X-Version", "2"})
	d.some(q, 5, [2]string{"x-team", "blue"}, [2]string{"x-team", ""}, [2]string{"X-Version", "12"}, [2]string{"X-Version", "1"}, [2]string{"X-Set", "a"},
		[2]string{"X-Added", "b"}, [2]string{"X-Gone", "c"}, [2]string{"X-Forged", "d"}, [2]string{"X-Forged", "e"}, [2]string{"Connection", "x-gone, x-team"},
		[2]string{"X-Forwarded-Proto", "https"}, [2]string{"X-Forwarded-Host", "forged.example.com"}, [2]string{"X-Request-Id", "mine"}, [2]string{"Te", "trailers"}, [2]string{"Cookie", "a=b; c=d"})
	if d.IntN(3) > 0 {
		q.add("Authorization", "Bearer "+pick(d, d.tokens...))
	}
	if q.method == "POST" && d.IntN(2) == 0 {
		q.body = "text"
	}
	return q
}

// TestExplainAgreesOnHTTPRoutes does so with matches, redirects and rewrites
// of the Gateway API.
func TestExplainAgreesOnHTTPRoutes(t *testing.T) {
	up := keepHeads(t)
	p := run(t, map[string]string{"all.yaml": fmt.Sprintf(explainedRoutes, up.port, asks())}, settings{})
	d := newDrawer(caller(""), caller(""), caller(`,"exp":1`), "nonsense")
	agree(t, p, up, d.list(600, d.gatewayAPI), 12)
}
