package kube_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

var getOptions = metav1.GetOptions{}

// logged keeps what is logged.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return nil
	}
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	return nil
}

// count returns how many lines hold a text.
func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func acceptedOf(kind string) func(*unstructured.Unstructured) bool {
	return func(u *unstructured.Unstructured) bool {
		if kind == "HTTPRoute" {
			return conditionOf(u, parents(u)[ours], "Accepted") == "True Accepted"
		}
		return conditionOf(u, conditions(u), "Accepted") == "True Accepted"
	}
}

// TestForbidden: a kind whose statuses may not be written is told of once, the
// others are written, and it is written when it may be.
func TestForbidden(t *testing.T) {
	p := open(t)
	p.put(apis)
	p.put(account)
	log := &logged{}
	config := rest.CopyConfig(p.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + p.namespace + ":writer"}
	r := p.replica(options{config: config, log: slog.New(log)})
	p.await("Gateway", "edge", "accepted", acceptedOf("Gateway"))
	until(t, "it is told", func() bool {
		return log.count("kind=gateway.networking.k8s.io/HTTPRoute because=it is not allowed") == 1
	})
	tried := r.requests.of("GET", "/httproutes/")
	for i := range 3 { // changes are not tried one by one
		p.put(strings.ReplaceAll(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: more-N, namespace: NS}, spec: {parentRefs: [{name: edge}]}}`, "N,", fmt.Sprint(i, ",")))
	}
	p.await("Gateway", "edge", "counts them", func(u *unstructured.Unstructured) bool {
		list, _, _ := unstructured.NestedSlice(u.Object, "status", "listeners")
		return len(list) == 1 && list[0].(map[string]any)["attachedRoutes"] == int64(5)
	})
	if n := r.requests.of("GET", "/httproutes/") - tried; n > 0 {
		t.Errorf("%d routes were looked at", n)
	}
	if n := log.count("HTTPRoute"); n != 1 {
		t.Errorf("told %d times", n)
	}
	p.put(strings.ReplaceAll(account, "[gateways/status, gatewayclasses/status]", "[gateways/status, gatewayclasses/status, httproutes/status]"))
	p.await("HTTPRoute", "good", "written when it may be", acceptedOf("HTTPRoute"))
	p.await("HTTPRoute", "more-2", "written when it may be", acceptedOf("HTTPRoute"))
}

// account may read all, and write the statuses of two kinds.
const account = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: writer-NS}
rules:
- {apiGroups: [gateway.networking.k8s.io], resources: ["*"], verbs: [get, list]}
- {apiGroups: [gateway.networking.k8s.io], resources: [gateways/status, gatewayclasses/status], verbs: [patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: writer-NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writer-NS}
subjects: [{kind: ServiceAccount, namespace: NS, name: writer}]
`

// TestNoSubresource: a definition without statuses is told of once.
func TestNoSubresource(t *testing.T) {
	p := open(t)
	definition := `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: llmroutes.aigateway.envoyproxy.io}, spec: {group: aigateway.envoyproxy.io, scope: Namespaced,
		names: {kind: LLMRoute, plural: llmroutes, singular: llmroute, listKind: LLMRouteList},
		versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`
	before, err := p.client.Resource(definitions).Get(context.Background(), "llmroutes.aigateway.envoyproxy.io", getOptions)
	if err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(before.Object, "status") // of another life
	p.objects.Delete(before)
	p.put(definition)
	t.Cleanup(func() {
		p.objects.Delete(before)
		before.SetResourceVersion("")
		before.SetUID("")
		p.objects.PutObject(before)
		p.objects.AwaitEstablished([]*unstructured.Unstructured{before})
	})
	p.put(`{apiVersion: aigateway.envoyproxy.io/v1alpha1, kind: LLMRoute, metadata: {name: old, namespace: NS}, spec: {}}`)
	log := &logged{}
	r := p.replica(options{dialects: []string{"envoyai"}, log: slog.New(log)})
	until(t, "it is told", func() bool { return log.count("no status subresource") == 1 })
	p.awaitIdle(r)
	if n := log.count(""); n != 1 {
		t.Errorf("%d lines", n)
	}
}

// TestGeneration: another generation that says the same is observed, and its
// conditions keep their times.
func TestGeneration(t *testing.T) {
	p := open(t)
	p.put(apis)
	p.replica(options{})
	before := p.await("HTTPRoute", "good", "accepted", acceptedOf("HTTPRoute"))
	since := transition(before)
	// One change and its reverse, so fast that the two may be seen as none.
	for _, patch := range []string{`[{"op":"add","path":"/spec/hostnames","value":["a.example.com"]}]`, `[{"op":"remove","path":"/spec/hostnames"}]`} {
		if _, err := p.api("HTTPRoute").Patch(context.Background(), "good", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	after := p.await("HTTPRoute", "good", "accepted as another generation", func(u *unstructured.Unstructured) bool {
		return u.GetGeneration() == before.GetGeneration()+2 && acceptedOf("HTTPRoute")(u)
	})
	if transition(after) != since {
		t.Errorf("lastTransitionTime was %s and is %s", since, transition(after))
	}
}

// transition returns when the route was accepted.
func transition(u *unstructured.Unstructured) string {
	for _, c := range parents(u)[ours] {
		if c := c.(map[string]any); c["type"] == "Accepted" {
			return c["lastTransitionTime"].(string)
		}
	}
	return ""
}

// TestParentGone: the entry of a parent that is not ours any more goes, and on a
// quiet machine (POSTERN_SOAK=1) a change is written within a second.
func TestParentGone(t *testing.T) {
	p := open(t)
	p.put(apis)
	r := p.replica(options{})
	p.await("HTTPRoute", "good", "accepted", acceptedOf("HTTPRoute"))
	p.awaitIdle(r)
	began := time.Now()
	p.put(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: good, namespace: NS}, spec: {parentRefs: [{name: theirs}]}}`)
	p.await("HTTPRoute", "good", "without our entry", func(u *unstructured.Unstructured) bool { return len(parents(u)) == 0 })
	took := time.Since(began)
	t.Logf("a change was written after %v", took)
	if quiet() && took > time.Second {
		t.Error("that is late")
	}
}

// TestConflict: somebody else writes into the same status all the while, and
// neither loses anything.
func TestConflict(t *testing.T) {
	p := open(t)
	p.put(apis)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	entry := func(n int) string {
		return fmt.Sprintf(`{"parentRef":{"name":"other-%d"},"controllerName":"example.com/other","conditions":[{"type":"Accepted","status":"True","reason":"Accepted","message":"","lastTransitionTime":"2020-01-01T00:00:00Z"}]}`, n)
	}
	first := fmt.Sprintf(`[{"op":"add","path":"/status","value":{"parents":[%s]}}]`, entry(0))
	if _, err := p.api("HTTPRoute").Patch(ctx, "good", types.JSONPatchType, []byte(first), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	n := 0
	work.Go(func() {
		for n = 1; n < 20 && ctx.Err() == nil; n++ {
			patch := fmt.Sprintf(`[{"op":"add","path":"/status/parents/0","value":%s}]`, entry(n))
			if _, err := p.api("HTTPRoute").Patch(context.Background(), "good", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
				t.Error(err)
			}
		}
	})
	r := p.replica(options{})
	p.await("HTTPRoute", "good", "accepted", acceptedOf("HTTPRoute"))
	cancel()
	work.Wait()
	p.awaitIdle(r)
	u := p.get("HTTPRoute", "good")
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "parents")
	if len(list) != n+1 {
		t.Errorf("%d entries, want those %d of another and ours", len(list), n)
	}
}
