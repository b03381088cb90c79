package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/test/cluster"
)

// foreign is a definition that was there before us: an older one, of somebody
// else's, with fields that ours does not have.
const foreign = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: upstreams.gloo.solo.io, labels: {whose: gloo}}
spec:
  group: gloo.solo.io
  scope: Namespaced
  names: {kind: Upstream, plural: upstreams, singular: upstream, listKind: UpstreamList, shortNames: [theirs]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

const gatewayText = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: postern
  listeners:
  - {name: http, port: 80, protocol: HTTP}
`

// TestChart installs, changes and removes the chart on a real API server that
// has one definition already.
func TestChart(t *testing.T) {
	newHelm(t, "")
	c := cluster.ForTest(t, cluster.Options{})
	h := newHelm(t, c.Kubeconfig)
	objects := c.Objects(t)
	admin, _ := c.Client(t)
	objects.Put(foreign)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n")

	install := append([]string{"install", "postern", chart, "--namespace", "postern-system", "--create-namespace",
		"--set", "secretNamespaces={postern-system,istio-system}"}, full...)
	h.run(append(install, "--set", "serviceMonitor.enabled=false,webhook.enabled=false")...)
	t.Run("an existing definition is left alone", func(t *testing.T) { keepsForeign(t, admin) })
	t.Run("every definition is established", func(t *testing.T) { established(t, admin) })
	t.Run("the class is there", func(t *testing.T) {
		class, err := admin.Resource(classes).Get(context.Background(), "postern", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := unstructured.NestedString(class.Object, "spec", "controllerName"); got != "postern.dev/gateway-controller" {
			t.Error(got)
		}
	})
	t.Run("what helm keeps of it fits", func(t *testing.T) {
		s, err := admin.Resource(secrets).Namespace("postern-system").Get(context.Background(), "sh.helm.release.v1.postern.v1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// A Secret may have 1 MiB; upgrades need room.
		if data, _, _ := unstructured.NestedString(s.Object, "data", "release"); len(data) < 1000 || len(data) > 700<<10 {
			t.Errorf("the release takes %d bytes", len(data))
		}
	})
	t.Run("the walk-throughs' manifests are taken as they stand", func(t *testing.T) { takesExamples(t, admin) })
	t.Run("columns are shown", func(t *testing.T) { showsColumns(t, c, admin) })

	objects.Put(gatewayText)
	h.run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values", "--set", "controller.replicas=1")
	deployment, err := admin.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).
		Namespace("postern-system").Get(context.Background(), "postern-controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(deployment.Object, "spec", "replicas"); n != 1 {
		t.Errorf("%d replicas after the upgrade", n)
	}
	h.run("uninstall", "postern", "--namespace", "postern-system")
	eventually(t, "the class goes", func(ctx context.Context) error {
		_, err := admin.Resource(classes).Get(ctx, "postern", metav1.GetOptions{})
		return gone(err)
	})
	if _, err := admin.Resource(gateways).Namespace("default").Get(context.Background(), "edge", metav1.GetOptions{}); err != nil {
		t.Errorf("a user's Gateway went with the chart: %v", err)
	}
	keepsForeign(t, admin)
	established(t, admin)
}

func keepsForeign(t *testing.T, admin dynamic.Interface) {
	t.Helper()
	d, err := admin.Resource(definitions).Get(context.Background(), "upstreams.gloo.solo.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := unstructured.NestedStringSlice(d.Object, "spec", "names", "shortNames")
	if d.GetGeneration() != 1 || d.GetLabels()["whose"] != "gloo" || len(d.GetLabels()) != 1 || len(short) != 1 || short[0] != "theirs" {
		t.Errorf("it was changed: generation %d, labels %v, short names %v", d.GetGeneration(), d.GetLabels(), short)
	}
}

// established waits until every definition of deploy/crds is served, without a
// fault in its schema.
func established(t *testing.T, admin dynamic.Interface) {
	t.Helper()
	n := 0
	for _, o := range crds(t) {
		n++
		eventually(t, o.GetName(), func(ctx context.Context) error {
			d, err := admin.Resource(definitions).Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if o.GetName() == "upstreams.gloo.solo.io" {
				return nil
			}
			list, _, _ := unstructured.NestedSlice(d.Object, "status", "conditions")
			served := false
			for _, c := range list {
				c := c.(map[string]any)
				switch {
				case c["type"] == "Established":
					served = c["status"] == "True"
				case c["type"] == "NonStructuralSchema" && c["status"] == "True", c["type"] == "NamesAccepted" && c["status"] != "True":
					return fmt.Errorf("%v: %v", c["type"], c["message"])
				}
			}
			if !served {
				return errors.New("not established")
			}
			return nil
		})
	}
	if n < 60 {
		t.Errorf("only %d definitions", n)
	}
}

// crds returns the definitions of deploy/crds.
func crds(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(root + "/deploy/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []*unstructured.Unstructured
	for _, f := range files {
		out = append(out, parseFile(t, f)...)
	}
	return out
}

func parseFile(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	list, err := cluster.Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return list
}

// takesExamples creates every object of the walk-throughs, as kubectl does:
// what the API server does not know of it is an error.
func takesExamples(t *testing.T, admin dynamic.Interface) {
	plurals := map[schema.GroupKind]string{{Group: "apps", Kind: "Deployment"}: "deployments"}
	for _, d := range crds(t) {
		group, _, _ := unstructured.NestedString(d.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(d.Object, "spec", "names", "kind")
		plurals[schema.GroupKind{Group: group, Kind: kind}], _, _ = unstructured.NestedString(d.Object, "spec", "names", "plural")
	}
	for gk, plural := range map[string]string{"Secret": "secrets", "ConfigMap": "configmaps", "Service": "services"} {
		plurals[schema.GroupKind{Kind: gk}] = plural
	}
	namespaces := admin.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	n := 0
	take := func(name string) {
		for _, o := range parseFile(t, name) {
			gvk := o.GroupVersionKind()
			plural := plurals[gvk.GroupKind()]
			if plural == "" {
				t.Errorf("%s: no definition of %v", name, gvk)
				continue
			}
			if gvk.Kind != "GatewayClass" {
				if o.GetNamespace() == "" {
					o.SetNamespace("default")
				}
				ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": o.GetNamespace()}}}
				_, _ = namespaces.Create(context.Background(), ns, metav1.CreateOptions{})
			}
			n++
			r := admin.Resource(gvk.GroupVersion().WithResource(plural)).Namespace(o.GetNamespace())
			opts := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
			if _, err := r.Create(context.Background(), o, opts); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	take(root + "/deploy/quickstart.yaml")
	err := filepath.WalkDir(root+"/examples", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(name) == ".yaml" && d.Name() != "policytest.yaml" {
			take(name)
		}
		return err
	})
	if err != nil || n < 20 {
		t.Fatalf("%d objects: %v", n, err)
	}
}

// showsColumns asks for a table, as kubectl get does, of an object with a
// status of each family's shape.
func showsColumns(t *testing.T, c *cluster.Cluster, admin dynamic.Interface) {
	kubectl := c.Kubectl(t)
	condition := func(typ string) map[string]any {
		return map[string]any{"conditions": []any{map[string]any{"type": typ, "status": "True", "reason": "AllWell", "message": "m"}}}
	}
	for _, k := range []struct {
		group, version, kind, plural string
		spec, status                 map[string]any
		shows                        string
	}{
		{"gateway.solo.io", "v1", "VirtualService", "virtualservices", map[string]any{"virtualHost": map[string]any{"domains": []any{"a.example"}}},
			map[string]any{"statuses": map[string]any{"gloo-system": map[string]any{"state": "Accepted"}}}, `one ["a.example"] Accepted`},
		{"aigateway.envoyproxy.io", "v1beta1", "AIServiceBackend", "aiservicebackends",
			map[string]any{"schema": map[string]any{"name": "OpenAI"}, "backendRef": map[string]any{"name": "b"}}, condition("Accepted"), "one Accepted"},
		{"gateway.envoyproxy.io", "v1alpha1", "SecurityPolicy", "securitypolicies", map[string]any{},
			map[string]any{"ancestors": []any{condition("Accepted")}}, "one True AllWell"},
		{"networking.istio.io", "v1", "DestinationRule", "destinationrules", map[string]any{"host": "a"}, condition("Reconciled"), "one a True AllWell"},
	} {
		r := admin.Resource(schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.plural}).Namespace("default")
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": k.group + "/" + k.version, "kind": k.kind, "metadata": map[string]any{"name": "one"}, "spec": k.spec}}
		made, err := r.Create(context.Background(), o, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("%s: %v", k.kind, err)
		}
		made.Object["status"] = k.status
		if _, err := r.UpdateStatus(context.Background(), made, metav1.UpdateOptions{}); err != nil {
			t.Fatalf("%s: %v", k.kind, err)
		}
		out := kubectl.Run("get", k.plural+"."+k.group, "--no-headers")
		if got := strings.Join(strings.Fields(out), " "); !strings.HasPrefix(got, k.shows+" ") {
			t.Errorf("%s: %s", k.kind, got)
		}
	}
}

// TestPlainInstall: without helm, `kubectl create` of the definitions leaves
// alone what is there, and the plain manifests apply.
func TestPlainInstall(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	kubectl := c.Kubectl(t)
	admin, _ := c.Client(t)
	c.Objects(t).Put(foreign)
	out, err := kubectl.Try("create", "-f", root+"/deploy/crds")
	if err == nil || !strings.Contains(out, `"upstreams.gloo.solo.io" already exists`) || strings.Count(out, "Error") != 1 {
		t.Errorf("%v: %s", err, out)
	}
	keepsForeign(t, admin)
	established(t, admin)
	for range 2 { // it may be applied again
		kubectl.Run("apply", "-f", root+"/deploy/postern.yaml")
	}
	kubectl.Run("get", "gatewayclass", "postern")
}
