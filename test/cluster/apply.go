package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long a test waits for what takes a second: only what never
// comes takes as long.
const patience = 2 * time.Minute

// Objects are a cluster's objects in the hands of a test, as administrator.
type Objects struct {
	t      testing.TB
	client dynamic.Interface
}

// Config is how an administrator reaches the API server.
func (c *Cluster) Config() (*rest.Config, error) {
	return clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
}

// Client returns an administrator's client, which waits for nothing, and how it
// reaches the API server.
func (c *Cluster) Client(t testing.TB) (dynamic.Interface, *rest.Config) {
	t.Helper()
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client, cfg
}

// Objects returns the cluster's objects.
func (c *Cluster) Objects(t testing.TB) *Objects {
	t.Helper()
	client, _ := c.Client(t)
	return &Objects{t, client}
}

// Parse returns the objects of a YAML text.
func Parse(text string) ([]*unstructured.Unstructured, error) {
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var out []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
}

// Put creates the objects of a YAML text, or puts them in the place of those
// of the same name. It waits while a kind is not served yet.
func (o *Objects) Put(text string) []*unstructured.Unstructured {
	o.t.Helper()
	list, err := Parse(text)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, u := range list {
		o.PutObject(u)
	}
	return list
}

// PutObject is Put of one object.
func (o *Objects) PutObject(u *unstructured.Unstructured) {
	o.t.Helper()
	o.retry("put "+u.GetKind()+" "+u.GetName(), func(ctx context.Context) error { return o.put(ctx, u.DeepCopy()) })
}

// Parsed is Parse of a text that is right.
func (o *Objects) Parsed(text string) []*unstructured.Unstructured {
	o.t.Helper()
	list, err := Parse(text)
	if err != nil {
		o.t.Fatal(err)
	}
	return list
}

func (o *Objects) put(ctx context.Context, u *unstructured.Unstructured) error {
	r := o.resource(u)
	old, err := r.Get(ctx, u.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = r.Create(ctx, u, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	u.SetResourceVersion(old.GetResourceVersion())
	_, err = r.Update(ctx, u, metav1.UpdateOptions{})
	return err
}

// Delete removes an object, and waits until it is gone.
func (o *Objects) Delete(u *unstructured.Unstructured) {
	o.t.Helper()
	o.retry("delete "+u.GetKind()+" "+u.GetName(), func(ctx context.Context) error {
		err := o.resource(u).Delete(ctx, u.GetName(), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = errors.New("it is still there")
		}
		return err
	})
}

// retry repeats what an API server refuses while it starts or a kind is new.
func (o *Objects) retry(what string, do func(context.Context) error) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || ctx.Err() != nil {
			o.t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// resource returns the client of an object's kind, whose plural is told by its
// name, as of all kinds that the tests use.
func (o *Objects) resource(u *unstructured.Unstructured) dynamic.ResourceInterface {
	gvk := u.GroupVersionKind()
	plural := strings.ToLower(gvk.Kind) + "s"
	switch {
	case strings.HasSuffix(plural, "cys"), strings.HasSuffix(plural, "xys"), strings.HasSuffix(plural, "rys"):
		plural = strings.TrimSuffix(plural, "ys") + "ies"
	case strings.HasSuffix(plural, "ss"):
		plural = strings.TrimSuffix(plural, "s") + "es"
	}
	return o.client.Resource(schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: plural}).Namespace(u.GetNamespace())
}

// Define puts the definitions of kinds that Postern installs, by the names of
// files in deploy/crds, and waits until they are served.
func (o *Objects) Define(files ...string) {
	o.t.Helper()
	_, self, _, _ := runtime.Caller(0)
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(self), "../../deploy/crds", name+".yaml"))
		if err != nil {
			o.t.Fatal(err)
		}
		var kinds []*unstructured.Unstructured
		for _, u := range o.Parsed(string(text)) {
			if u.GetKind() == "CustomResourceDefinition" {
				o.PutObject(u)
				kinds = append(kinds, u)
			}
		}
		o.AwaitEstablished(kinds)
	}
}

// Definition returns the CustomResourceDefinition of a kind with one version,
// whose objects may hold anything.
func Definition(group, version, kind, plural string, cluster bool) string {
	scope := "Namespaced"
	if cluster {
		scope = "Cluster"
	}
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[4]s.%[1]s}
spec:
  group: %[1]s
  scope: %[5]s
  names: {kind: %[3]s, plural: %[4]s, singular: %[6]s, listKind: %[3]sList}
  versions:
  - name: %[2]s
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`, group, version, kind, plural, scope, strings.ToLower(kind))
}

// Reference names an object.
type Reference struct{ Version, Kind, Namespace, Name string }

// Await waits until ok holds of an object, and returns it; what says in words
// what is waited for.
func (o *Objects) Await(ref Reference, what string, ok func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	o.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": ref.Version, "kind": ref.Kind}}
	u.SetNamespace(ref.Namespace)
	u.SetName(ref.Name)
	var live *unstructured.Unstructured
	o.retry("await "+what+" of "+ref.Kind+" "+ref.Name, func(ctx context.Context) error {
		var err error
		if live, err = o.resource(u).Get(ctx, ref.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !ok(live) {
			return fmt.Errorf("not yet: %v", live.Object["status"])
		}
		return nil
	})
	return live
}

// AwaitEstablished waits until the CustomResourceDefinitions among objects that
// were put are served.
func (o *Objects) AwaitEstablished(list []*unstructured.Unstructured) {
	o.t.Helper()
	for _, u := range list {
		if u.GetKind() != "CustomResourceDefinition" {
			continue
		}
		o.Await(Reference{u.GetAPIVersion(), u.GetKind(), "", u.GetName()}, "the kind", func(live *unstructured.Unstructured) bool {
			conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
			for _, c := range conditions {
				if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
					return true
				}
			}
			return false
		})
	}
}
