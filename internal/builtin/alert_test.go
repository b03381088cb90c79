package builtin

import (
	"maps"
	"strings"
	"testing"
)

// TestAlerts: what is wrong and has no place in a status of its own is told in
// another way.
func TestAlerts(t *testing.T) {
	const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: a, labels: {team: x}}
spec: {parentRefs: [{name: NAME}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: p, namespace: a}
spec: {TARGET, cors: {allowOrigins: ["https://a.example"]}}
`
	const good = `targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]`
	const lost = `---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: b, namespace: a}
spec: {targetRefs: [{group: "", kind: Service, name: s}], validation: {hostname: s.example, wellKnownCACertificates: System}}
`
	for _, q := range []struct {
		name, parent, target, beside string
		want                         map[string]string // alert by kind
	}{
		{"all is there", "gw", good, "", nil},
		{"no such Gateway", "gww", good, "", map[string]string{"HTTPRoute": "ParentNotFound"}},
		{"no such route", "gw", `targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: rr}]`, "", map[string]string{"SecurityPolicy": "TargetNotFound"}},
		{"no such Gateway of a policy", "gw", `targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gww}]`, "", map[string]string{"SecurityPolicy": "TargetNotFound"}},
		{"no such Service", "gw", good, lost, map[string]string{"BackendTLSPolicy": "TargetNotFound"}},
		{"nothing has the labels", "gw", `targetSelectors: [{kind: HTTPRoute, matchLabels: {team: y}}]`, "", map[string]string{"SecurityPolicy": "TargetNotFound"}},
	} {
		t.Run(q.name, func(t *testing.T) {
			dialects, err := Select([]string{"gatewayapi", "envoyai"}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			yaml := strings.NewReplacer("NAME", q.parent, "TARGET", q.target).Replace(gateway) + q.beside
			_, report := translated(t, dialects, yaml, nil)
			got := map[string]string{}
			for _, p := range report.Problems {
				if p.Alert != "" {
					got[p.Origin.Kind] = p.Alert
				}
			}
			if !maps.Equal(got, q.want) {
				t.Errorf("%v, want %v:\n%s", got, q.want, problemText(report))
			}
		})
	}
}
