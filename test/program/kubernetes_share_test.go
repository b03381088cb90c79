package program

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postern-gateway/postern/test/cluster"
)

var gateways = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}

// TestKubernetesShareWritesNothing: who serves one Gateway of several takes no
// lease and writes no status, also where it is not told to be read-only; who
// serves all of them writes what became of each.
func TestKubernetesShareWritesNothing(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: postern-system}")
	objects.Define("gatewayapi")
	objects.Put(redirecting("ours", "postern.dev/gateway-controller", "9092"))
	objects.Put(redirecting("theirs", "postern.dev/gateway-controller", "9093"))
	l := newTold(t, c)
	args := func(more ...string) []string {
		return append([]string{"--secret-namespaces", "default", "--access-log", "", "--port", "9092=127.0.0.1:0", "--port", "9093=127.0.0.1:0"}, more...)
	}
	share := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: args("--gateway", "default/ours", "--leader-election-namespace", "default")})
	// A leader has its lease by the time that another process has started and
	// written.
	run(t, nil, settings{kubeconfig: c.Kubeconfig, args: args()})
	for _, name := range []string{"ours", "theirs"} {
		l.await("the status of Gateway "+name, patience, gateways, func(o map[string]any) bool {
			list, _, _ := unstructured.NestedSlice(o, "status", "conditions")
			for _, c := range list {
				if c := c.(map[string]any); c["type"] == "Programmed" && c["status"] == "True" {
					return text(o, "metadata", "name") == name
				}
			}
			return false
		})
		l.await("the status of route "+name, patience, httpRoutes, func(o map[string]any) bool {
			return text(o, "metadata", "name") == name && parentAccepted(o) == "True"
		})
	}
	if list := l.list(leases); len(list) > 0 {
		t.Errorf("who serves one Gateway holds a lease: %v", list)
	}
	if out := share.err.String(); strings.Contains(out, "not written") {
		t.Errorf("it tried to write:\n%s", out)
	}
}
