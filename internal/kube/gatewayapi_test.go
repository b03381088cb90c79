package kube_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const apis = `
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
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: NS}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: good, namespace: NS}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bad, namespace: NS}
spec:
  parentRefs: [{name: edge, sectionName: none}, {name: edge, sectionName: http}]
  rules: [{backendRefs: [{name: missing, port: 80}]}]
`

// conditionOf returns "True Reason" of a condition at the end of a path of
// members and list indexes, and the generation that it was observed of.
func conditionOf(u *unstructured.Unstructured, list []any, conditionType string) string {
	for _, c := range list {
		c := c.(map[string]any)
		if c["type"] == conditionType {
			text := c["status"].(string) + " " + c["reason"].(string)
			if n, ok := c["observedGeneration"].(int64); !ok || n != u.GetGeneration() {
				text += " (of another generation)"
			}
			return text
		}
	}
	return "none"
}

func conditions(u *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return list
}

// parents returns the entries of a route's status by controller and section.
func parents(u *unstructured.Unstructured) map[string][]any {
	out := map[string][]any{}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "parents")
	for _, p := range list {
		p := p.(map[string]any)
		section, _, _ := unstructured.NestedString(p, "parentRef", "sectionName")
		out[strings.TrimSuffix(p["controllerName"].(string)+"/"+section, "/")] = p["conditions"].([]any)
	}
	return out
}

const ours = "postern.dev/gateway-controller"

// TestGatewayAPI writes the statuses of the Gateway API's kinds, those of
// others stay, and what changes is followed.
func TestGatewayAPI(t *testing.T) {
	p := open(t)
	p.put(apis)
	// Another controller has its say on the route before us.
	foreign := `{"status":{"parents":[{"parentRef":{"name":"other"},"controllerName":"example.com/other","conditions":[
		{"type":"Accepted","status":"True","reason":"Accepted","message":"","lastTransitionTime":"2020-01-01T00:00:00Z"}]}]}}`
	if _, err := p.api("HTTPRoute").Patch(context.Background(), "good", types.MergePatchType, []byte(foreign), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	r := p.replica(options{})

	class := p.await("GatewayClass", "class-"+p.namespace, "accepted", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, conditions(u), "Accepted") == "True Accepted"
	})
	features, _, _ := unstructured.NestedSlice(class.Object, "status", "supportedFeatures")
	if len(features) < 10 || !strings.Contains(plain(class), `"name": "HTTPRoute"`) {
		t.Errorf("the features of the class: %v", features)
	}

	gw := p.await("Gateway", "edge", "programmed", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, conditions(u), "Programmed") == "True Programmed"
	})
	listeners, _, _ := unstructured.NestedSlice(gw.Object, "status", "listeners")
	l := listeners[0].(map[string]any)
	if l["name"] != "http" || l["attachedRoutes"] != int64(2) || conditionOf(gw, l["conditions"].([]any), "ResolvedRefs") != "True ResolvedRefs" ||
		conditionOf(gw, l["conditions"].([]any), "Conflicted") != "False NoConflicts" {
		t.Errorf("the listener: %v", l)
	}

	good := p.await("HTTPRoute", "good", "accepted", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours], "Accepted") == "True Accepted" && conditionOf(u, parents(u)[ours], "ResolvedRefs") == "True ResolvedRefs"
	})
	if parents(good)["example.com/other"] == nil {
		t.Error("the entry of another controller is gone")
	}
	p.await("HTTPRoute", "bad", "refused", func(u *unstructured.Unstructured) bool {
		all := parents(u)
		return conditionOf(u, all[ours+"/none"], "Accepted") == "False NoMatchingParent" && conditionOf(u, all[ours+"/http"], "Accepted") == "True Accepted" &&
			conditionOf(u, all[ours+"/http"], "ResolvedRefs") == "False BackendNotFound"
	})

	// What is equal is not written again, neither on a change elsewhere nor by a
	// replica that starts.
	p.awaitIdle(r)
	before := plain(p.get("HTTPRoute", "good"))
	r.stop()
	again := p.replica(options{})
	p.put("apiVersion: v1\nkind: Service\nmetadata: {name: missing, namespace: NS}\nspec: {ports: [{port: 80}]}")
	p.await("HTTPRoute", "bad", "resolved", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours+"/http"], "ResolvedRefs") == "True ResolvedRefs"
	})
	p.awaitIdle(again)
	if n := again.statuses.Written(); n != 1 {
		t.Errorf("%d statuses were written, and one has changed", n)
	}
	if diff := cmp.Diff(before, plain(p.get("HTTPRoute", "good"))); diff != "" {
		t.Error(diff)
	}
}
