package program

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/test/child"
	"github.com/postern-gateway/postern/test/cluster"
	"github.com/postern-gateway/postern/test/static"
)

// background starts the built program as a process, which ends with the test at
// the latest.
func background(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd, out := exec.Command(static.Postern(t), args...), &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	ended, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if strings.Contains(out.String(), huggingFaceKey) {
			t.Errorf("security row 8: a secret is shown:\n%s", out)
		}
	})
	return cmd
}

// told reads what the program writes to a cluster.
type told struct {
	t      *testing.T
	client dynamic.Interface
	all    strings.Builder // everything that was read
}

func newTold(t *testing.T, c *cluster.Cluster) *told {
	client, _ := c.Client(t)
	return &told{t: t, client: client}
}

var (
	httpRoutes      = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
	virtualServices = schema.GroupVersionResource{Group: "gateway.solo.io", Version: "v1", Resource: "virtualservices"}
	leases          = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	kubeEvents      = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
)

// list returns the objects of the default namespace.
func (l *told) list(r schema.GroupVersionResource) []unstructured.Unstructured {
	l.t.Helper()
	all, err := l.client.Resource(r).Namespace("default").List(context.Background(), metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		l.t.Fatal(err)
	}
	b, err := json.Marshal(all)
	if err != nil {
		l.t.Fatal(err)
	}
	l.all.Write(b)
	return all.Items
}

// await waits until one of the objects is as wanted.
func (l *told) await(what string, limit time.Duration, r schema.GroupVersionResource, ok func(map[string]any) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		found := l.list(r)
		for _, u := range found {
			if ok(u.Object) {
				return
			}
		}
		if time.Now().After(deadline) {
			b, _ := json.MarshalIndent(found, "", " ")
			l.t.Fatalf("%s: not in time:\n%s", what, b)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func text(o map[string]any, path ...string) string {
	s, _, _ := unstructured.NestedString(o, path...)
	return s
}

// parentAccepted returns the Accepted condition of a route's only parent.
func parentAccepted(o map[string]any) string {
	parents, _, _ := unstructured.NestedSlice(o, "status", "parents")
	for _, p := range parents {
		list, _, _ := unstructured.NestedSlice(p.(map[string]any), "conditions")
		for _, c := range list {
			if c := c.(map[string]any); c["type"] == "Accepted" {
				return c["status"].(string)
			}
		}
	}
	return ""
}

const exposedService = `
apiVersion: v1
kind: Secret
metadata: {name: hftoken, namespace: default}
stringData: {Authorization: "Bearer KEY"}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: provider, namespace: default}
spec: {static: {hosts: [{addr: provider.example.com, port: 443}]}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: exposed, namespace: default}
spec:
  virtualHost:
    domains: [exposed.example.com]
    routes:
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: provider, namespace: default}}}
      options: {headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: hftoken, namespace: default}}]}}
`

// TestKubernetesStatuses: of two replicas the leader alone writes statuses and
// Events, no secret in them; when it is killed, the other writes within the
// lease. One that is read-only never writes.
func TestKubernetesStatuses(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	objects.Define("gatewayapi")
	objects.Put(glooKinds)
	objects.Put(redirecting("ours", "postern.dev/gateway-controller", "9092"))
	objects.Put(strings.ReplaceAll(exposedService, "KEY", huggingFaceKey))
	l := newTold(t, c)
	args := func(more ...string) []string {
		return append([]string{"--dialects", "gatewayapi,gloo", "--secret-namespaces", "default", "--access-log", "", "--port", "9092=127.0.0.1:0"}, more...)
	}

	reader := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: args("--read-only")})
	reader.stop()
	if len(l.list(leases)) > 0 || parentAccepted(l.list(httpRoutes)[0].Object) != "" {
		t.Error("one that is read-only has written")
	}

	first := background(t, append([]string{"run", "--kubeconfig", c.Kubeconfig, "--leader-election-namespace", "default", "--admin", "", "--port", "8080=127.0.0.1:0"}, args()...)...)
	l.await("a status by the first", patience, httpRoutes, func(o map[string]any) bool { return parentAccepted(o) == "True" })
	l.await("Gloo's status", patience, virtualServices, func(o map[string]any) bool {
		return text(o, "status", "statuses", "default", "state") == "Warning" && text(o, "status", "statuses", "default", "reportedBy") == "postern"
	})
	l.await("an Event of the exposed credential", patience, kubeEvents, func(o map[string]any) bool {
		return text(o, "reason") == "ExposedCredential" && text(o, "regarding", "name") == "exposed"
	})
	holder := text(l.list(leases)[0].Object, "spec", "holderIdentity")

	run(t, nil, settings{kubeconfig: c.Kubeconfig, args: args("--leader-election-namespace", "default")})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	objects.Put(strings.ReplaceAll(redirecting("ours", "postern.dev/gateway-controller", "9092"), "parentRefs: [{name: ours}]", "parentRefs: [{name: ours, sectionName: none}]"))
	l.await("a status by the second", patience, httpRoutes, func(o map[string]any) bool { return parentAccepted(o) == "False" })
	t.Logf("the second wrote %v after the first was killed", time.Since(killed))
	if took := time.Since(killed); timed() && took > 15*time.Second {
		t.Errorf("the second wrote after %v", took)
	}
	if now := text(l.list(leases)[0].Object, "spec", "holderIdentity"); now == holder || now == "" {
		t.Errorf("%q holds the lease, and did before", now)
	}
	if strings.Contains(l.all.String(), huggingFaceKey) {
		t.Error("security row 8: a secret is in a status or an Event")
	}
}
