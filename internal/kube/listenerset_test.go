package kube_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const sets = `
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
  allowedListeners: {namespaces: {from: Same}}
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: edge.example}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: NS}
spec:
  parentRef: {name: edge}
  listeners:
  - {name: own, port: 80, protocol: HTTP, hostname: more.example}
  - {name: taken, port: 80, protocol: HTTP, hostname: edge.example}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls, namespace: NS}
spec:
  parentRefs: [{kind: ListenerSet, name: more, sectionName: own}]
  rules: [{backendRefs: [{name: missing, port: 80}]}]
`

// TestListenerSet writes the status of a ListenerSet, of a GRPCRoute on it, and
// the count of its Gateway.
func TestListenerSet(t *testing.T) {
	p := open(t)
	p.put(sets)
	p.replica(options{})
	listener := func(u *unstructured.Unstructured, name string) map[string]any {
		list, _, _ := unstructured.NestedSlice(u.Object, "status", "listeners")
		for _, l := range list {
			if l := l.(map[string]any); l["name"] == name {
				return l
			}
		}
		return map[string]any{"conditions": []any{}}
	}
	set := p.await("ListenerSet", "more", "programmed, with its route", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, conditions(u), "Accepted") == "True ListenersNotValid" && conditionOf(u, conditions(u), "Programmed") == "True Programmed" &&
			listener(u, "own")["attachedRoutes"] == int64(1)
	})
	own, taken := listener(set, "own"), listener(set, "taken")
	if got := conditionOf(set, own["conditions"].([]any), "Programmed"); got != "True Programmed" {
		t.Errorf("the listener: %s", got)
	}
	if kinds, _ := own["supportedKinds"].([]any); len(kinds) != 2 {
		t.Errorf("its kinds: %v", own["supportedKinds"])
	}
	for condition, want := range map[string]string{
		"Accepted": "False HostnameConflict", "Conflicted": "True HostnameConflict", "Programmed": "False HostnameConflict",
	} {
		if got := conditionOf(set, taken["conditions"].([]any), condition); got != want {
			t.Errorf("the listener in conflict: %s=%s, want %s", condition, got, want)
		}
	}
	p.await("Gateway", "edge", "counting", func(u *unstructured.Unstructured) bool {
		n, _, _ := unstructured.NestedInt64(u.Object, "status", "attachedListenerSets")
		return n == 1
	})
	p.put(strings.Replace(sets[strings.Index(sets, "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute"):], "calls", "more-calls", 1))
	p.await("ListenerSet", "more", "with another route", func(u *unstructured.Unstructured) bool {
		return listener(u, "own")["attachedRoutes"] == int64(2)
	})
	p.await("GRPCRoute", "calls", "accepted", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours+"/own"], "Accepted") == "True Accepted" && conditionOf(u, parents(u)[ours+"/own"], "ResolvedRefs") == "False BackendNotFound"
	})
}
