package kube

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
	"github.com/postern-gateway/postern/test/cluster"
)

// shared is the cluster of the tests that leave it as it was.
var shared cluster.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// tenant is a namespace of a cluster: a Place for the suite, and the tests'
// own handle on objects.
type tenant struct {
	objects *cluster.Objects
	client  *rest.Config
	put     map[string][]*unstructured.Unstructured
	watch   *sourcetest.Watch
}

var definition = cluster.Definition("test.example.com", "v1", "Widget", "widgets", false)

// open returns the default namespace of a cluster, which the test leaves empty.
func open(t *testing.T, c *cluster.Cluster) *tenant {
	t.Helper()
	client, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	p := &tenant{objects: c.Objects(t), client: client, put: map[string][]*unstructured.Unstructured{}}
	p.objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	p.objects.Put(definition)
	t.Cleanup(func() {
		for name := range p.put {
			p.Delete(t, name)
		}
	})
	return p
}

func (p *tenant) Put(_ *testing.T, name, yaml string) {
	before := p.put[name]
	p.put[name] = p.objects.Put(yaml)
	for _, old := range before {
		if !contains(p.put[name], old) {
			p.objects.Delete(old)
		}
	}
}

func contains(list []*unstructured.Unstructured, u *unstructured.Unstructured) bool {
	for _, o := range list {
		if o.GetKind() == u.GetKind() && o.GetName() == u.GetName() && o.GetNamespace() == u.GetNamespace() {
			return true
		}
	}
	return false
}

func (p *tenant) Delete(_ *testing.T, name string) {
	for _, u := range p.put[name] {
		p.objects.Delete(u)
	}
	delete(p.put, name)
}

func (p *tenant) Source(t *testing.T, store *secret.Store) source.Source {
	return p.source(t, Config{Store: store, Namespaces: []string{"default"}, SecretNamespaces: []string{AllNamespaces}})
}

// source returns a source of Widgets and Secrets: a cluster is never empty of
// the other core kinds.
func (p *tenant) source(t *testing.T, cfg Config) *Source {
	t.Helper()
	for _, k := range sourcetest.Kinds() {
		if k.GroupKind == resource.SecretKind || k.GroupKind == sourcetest.WidgetKind {
			cfg.Kinds = append(cfg.Kinds, k)
		}
	}
	if cfg.Client == nil {
		cfg.Client = p.client
	}
	cfg.Decoder = resource.NewDecoder(cfg.Kinds, resource.Options{EnvMode: resource.EnvRefuse})
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Place { return open(t, shared.Cluster(t)) })
}

// health hears of a source's state.
type health chan error

func (h health) await(t *testing.T, what string, ok func(error) bool) {
	t.Helper()
	for deadline := time.After(sourcetest.Deadline); ; {
		select {
		case err := <-h:
			if ok(err) {
				return
			}
		case <-deadline:
			t.Fatalf("%s: not told in time", what)
		}
	}
}

func (p *tenant) watched(t *testing.T, cfg Config) (*sourcetest.Watch, health) {
	t.Helper()
	h := make(health, 1000)
	cfg.Health = func(err error) { h <- err }
	cfg.Store = secret.NewStore()
	return sourcetest.Start(t, p.source(t, cfg), cfg.Store), h
}

// TestServerAway kills the API server: what it held stays, the source says so,
// and takes up what has happened since when the server is back.
func TestServerAway(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	p := open(t, c)
	p.Put(t, "a", sourcetest.WidgetYAML("a", "one"))
	p.Put(t, "b", sourcetest.WidgetYAML("b", "one"))
	w, h := p.watched(t, Config{})
	a := w.Await(t, "first", func(s sourcetest.State) bool { return s.Widget("b") == "one" }).Object("a")

	c.Kill("kube-apiserver")
	h.await(t, "away", func(err error) bool { return err != nil })
	s := w.Await(t, "told", func(s sourcetest.State) bool { return s.Says("does not answer") })
	if s.Widget("a") != "one" || s.Widget("b") != "one" {
		t.Error("objects are gone with the API server")
	}

	if err := c.Restart(context.Background(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	h.await(t, "back", func(err error) bool { return err == nil })
	p.Put(t, "b", sourcetest.WidgetYAML("b", "two"))
	s = w.Await(t, "what happened since", func(s sourcetest.State) bool { return s.Widget("b") == "two" && !s.Says("does not answer") })
	if s.Object("a") != a {
		t.Error("an object that did not change was lost or replaced")
	}
}

// TestKindsComeAndGo removes a definition with its objects and restores it.
func TestKindsComeAndGo(t *testing.T) {
	p := open(t, cluster.ForTest(t, cluster.Options{}))
	crd, err := cluster.Parse(definition)
	if err != nil {
		t.Fatal(err)
	}
	p.objects.Delete(crd[0])
	w, _ := p.watched(t, Config{})
	s := w.Await(t, "without the kind", func(sourcetest.State) bool { return true })
	if len(s.Problems) != 0 {
		t.Errorf("a kind that is not there: %v", s.Problems)
	}
	for _, host := range []string{"one", "two"} {
		p.objects.Put(definition)
		p.Put(t, "a", sourcetest.WidgetYAML("a", host))
		w.Await(t, "the kind appears", func(s sourcetest.State) bool { return s.Widget("a") == host })
		p.objects.Delete(crd[0])
		w.Await(t, "the kind goes", func(s sourcetest.State) bool { return s.Object("a") == nil })
	}
	delete(p.put, "a")
}

// reader may read Widgets everywhere, and Secrets in one namespace.
const reader = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: widgets}
rules: [{apiGroups: [test.example.com], resources: [widgets], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: widgets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: widgets}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: reader}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: secrets, namespace: default}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: secrets, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: secrets}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: reader}]
`

func secretIn(namespace string) string {
	return strings.Replace(sourcetest.SecretYAML("s", "k", sourcetest.Marker), "namespace: default", "namespace: "+namespace, 1)
}

// mayRead waits until somebody may list a kind, as he has just been granted: the
// API server takes a moment to know.
func (p *tenant) mayRead(t *testing.T, as *rest.Config, gvr schema.GroupVersionResource, namespace string) {
	t.Helper()
	client, err := dynamic.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "may list "+gvr.Resource, func() bool {
		_, err := client.Resource(gvr).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		return err == nil
	})
}

// TestSecretNamespaces reads no Secret of a namespace that it is not told to,
// and says so of one that it is told to and may not.
func TestSecretNamespaces(t *testing.T) {
	p := open(t, shared.Cluster(t))
	p.objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: closed}")
	p.Put(t, "rights", reader)
	p.Put(t, "open", secretIn("default"))
	p.Put(t, "closed", secretIn("closed"))
	asReader := rest.CopyConfig(p.client)
	asReader.Impersonate.UserName = "reader"
	p.mayRead(t, asReader, schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "widgets"}, "")
	p.mayRead(t, asReader, secretResource, "default")
	for _, c := range []struct {
		name       string
		namespaces []string
		says       string // as a problem
		remedy     string // for who refers to a Secret there
	}{
		{"one that may not be read", []string{"closed", "default"}, "kind Secret in namespace closed may not be read", "grant get, list and watch of secrets in closed"},
		{"only the one that may", []string{"default"}, "", "name closed in --secret-namespaces"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := p.watched(t, Config{Client: asReader, SecretNamespaces: c.namespaces})
			s := w.Await(t, "first", func(s sourcetest.State) bool { return c.says == "" || s.Says(c.says) })
			if _, remedy := resource.NewView(s.Set).Access().Unread("closed"); remedy != c.remedy {
				t.Errorf("who refers to a Secret there is told to %q", remedy)
			}
			if why, _ := resource.NewView(s.Set).Access().Unread("default"); why != "" {
				t.Errorf("a namespace that is read: %s", why)
			}
			ref := sourcetest.SecretRef("s", "k")
			elsewhere := ref
			elsewhere.Namespace = "closed"
			if s.Set.Len() != 1 || !w.Store.Has(ref) || w.Store.Has(elsewhere) {
				t.Errorf("%d objects; the store has %d values", s.Set.Len(), w.Store.Len())
			}
		})
	}
}

// TestKindThatMayNotBeRead delivers nothing: what is hidden may be a policy.
func TestKindThatMayNotBeRead(t *testing.T) {
	p := open(t, shared.Cluster(t))
	nobody := rest.CopyConfig(p.client)
	nobody.Impersonate.UserName, nobody.Impersonate.Groups = "nobody", []string{"system:authenticated"}
	w, h := p.watched(t, Config{Client: nobody})
	h.await(t, "why", func(err error) bool { return err != nil && strings.Contains(err.Error(), "Widget may not be read") })
	if n := w.State().Updates; n != 0 {
		t.Errorf("%d updates", n)
	}
}

// TestStatusAlone changes what is no gateway's business.
func TestStatusAlone(t *testing.T) {
	p := open(t, shared.Cluster(t))
	p.Put(t, "a", sourcetest.WidgetYAML("a", "one"))
	w, _ := p.watched(t, Config{Namespaces: []string{"default"}})
	before := w.Await(t, "first", func(s sourcetest.State) bool { return s.Widget("a") == "one" })
	p.Put(t, "a", strings.Replace(sourcetest.WidgetYAML("a", "one"), "namespace: default",
		`namespace: default, finalizers: [], annotations: {"kubectl.kubernetes.io/last-applied-configuration": "`+sourcetest.Marker+`"}`, 1))
	p.Put(t, "b", sourcetest.WidgetYAML("b", "two"))
	after := w.Await(t, "another", func(s sourcetest.State) bool { return s.Widget("b") == "two" })
	if after.Object("a") != before.Object("a") || after.Sets != before.Sets+1 {
		t.Errorf("%d sets for one change", after.Sets-before.Sets)
	}
}

// TestVariable refuses ${NAME} of a tenant.
func TestVariable(t *testing.T) {
	p := open(t, shared.Cluster(t))
	p.Put(t, "a", sourcetest.SecretYAML("s", "k", `"x-${HOME}"`))
	store := secret.NewStore()
	got := make(chan source.Update, 10)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	src := p.source(t, Config{Store: store, SecretNamespaces: []string{"default"}})
	go func() {
		ended <- src.Run(ctx, func(u source.Update) {
			for u.Supply != nil {
				more := u.Supply(resource.DemandAll())
				if more == nil {
					break
				}
				u = *more
			}
			got <- u
		})
	}()
	u := <-got
	stop()
	<-ended
	if said := fmt.Sprint(u.Problems); !strings.Contains(said, "Secret default/s") || !strings.Contains(said, "${HOME}") || store.Len() != 0 {
		t.Errorf("%d values; problems %v", store.Len(), said)
	}
}
