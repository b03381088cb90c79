package program

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/test/cluster"
)

// fixed is a family whose gateways are found by label, or by default: its
// kinds, and a gateway that answers with a redirect to a host.
type fixed struct {
	dialect string
	kinds   []string
	// gateway has the labels of the workload for %s, and %[2]s as its name and
	// in the host that it leads to; the port is 8080.
	gateway string
}

var fixedFamilies = []fixed{
	{"istio", []string{
		cluster.Definition("networking.istio.io", "v1", "Gateway", "gateways", false),
		cluster.Definition("networking.istio.io", "v1", "VirtualService", "virtualservices", false),
	}, `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[2]s, namespace: edge}
spec:
  selector: {istio: %[1]s}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [%[2]s.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: edge}
spec:
  hosts: [%[2]s.example]
  gateways: [%[2]s]
  http: [{redirect: {authority: to-%[2]s.example}}]
`},
	{"gloomesh", []string{
		cluster.Definition("networking.gloo.solo.io", "v2", "VirtualGateway", "virtualgateways", false),
		cluster.Definition("networking.gloo.solo.io", "v2", "RouteTable", "routetables", false),
	}, `apiVersion: networking.gloo.solo.io/v2
kind: VirtualGateway
metadata: {name: %[2]s, namespace: edge}
spec:
  workloads: [{selector: {labels: {istio: %[1]s}}}]
  listeners: [{http: {}, port: {number: 8080}}]
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: %[2]s, namespace: edge}
spec:
  hosts: [%[2]s.example]
  virtualGateways: [{name: %[2]s, namespace: edge}]
  http: [{name: all, redirect: {hostRedirect: to-%[2]s.example}}]
`},
	{"gloo", []string{
		cluster.Definition("gateway.solo.io", "v1", "VirtualService", "virtualservices", false),
	}, `apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: edge, labels: {of: %[1]s}}
spec:
  virtualHost:
    domains: [%[2]s.example]
    routes: [{matchers: [{prefix: /}], redirectAction: {hostRedirect: to-%[2]s.example}}]
`},
}

// TestFixedGateway is a gateway of the chart's list: it serves what selects
// its workload, or Gloo's default gateway, and writes nothing.
func TestFixedGateway(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: edge}\n")
	for _, f := range fixedFamilies {
		t.Run(f.dialect, func(t *testing.T) {
			objects := c.Objects(t)
			for _, k := range f.kinds {
				objects.Put(k)
			}
			objects.Put(fmt.Sprintf(f.gateway, "ingress", "ours"))
			if f.dialect != "gloo" { // whose gateway is everybody's
				objects.Put(fmt.Sprintf(f.gateway, "another", "theirs"))
			}
			p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: []string{
				"--read-only", "--dialects", f.dialect, "--workload", "edge/ingress", "--workload-labels", "istio=ingress,app=postern",
			}})
			ask := func(host string) reply {
				return send(t, request{url: "http://" + p.addr("8080") + "/", header: map[string]string{"Host": host}})
			}
			if got := ask("ours.example"); got.status/100 != 3 || !strings.Contains(got.header.Get("Location"), "to-ours.example") {
				t.Errorf("ours: %v", got)
			}
			if got := ask("theirs.example"); got.status != 404 {
				t.Errorf("what selects another workload: %v", got)
			}
		})
	}
}
