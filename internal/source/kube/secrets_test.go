package kube

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
	"github.com/postern-gateway/postern/test/cluster"
)

// reads returns what a translation read that looked for Secrets by name, and
// for those with a label.
func reads(label string, names ...string) resource.Reads {
	v := resource.NewView(resource.NewSet(nil, nil))
	for _, n := range names {
		v.Get(resource.SecretKind, "default", n)
	}
	if label != "" {
		v.ByLabel(resource.SecretKind, "wanted", label)
	}
	return v.Reads()
}

// asked are the paths and queries of requests for Secrets.
type asked struct {
	mu   sync.Mutex
	list []string
}

func (a *asked) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/secrets") {
			a.mu.Lock()
			a.list = append(a.list, r.URL.Path+"?"+r.URL.Query().Get("fieldSelector"))
			a.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

func (a *asked) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// secretStart follows default's Secrets, of which some are wanted.
func (p *tenant) secretStart(t *testing.T, wanted *resource.Demand, a *asked) *sourcetest.Watch {
	t.Helper()
	cfg := Config{Client: rest.CopyConfig(p.client), Store: secret.NewStore(), Namespaces: []string{"default"}, SecretNamespaces: []string{"default"}}
	if a != nil {
		cfg.Client.Wrap(a.wrap)
	}
	return sourcetest.StartWanting(t, p.source(t, cfg), cfg.Store, wanted)
}

func there(w *sourcetest.Watch, name string) bool {
	return w.Store.Has(sourcetest.SecretRef(name, "k"))
}

func known(s sourcetest.State, name string) bool {
	return s.Set != nil && s.Set.Get(resource.Key{GroupKind: resource.SecretKind, Namespace: "default", Name: name}) != nil
}

// TestSecretsByName watches the few Secrets that are referred to, each by its
// name, and no others.
func TestSecretsByName(t *testing.T) {
	p := open(t, shared.Cluster(t))
	for _, name := range []string{"a", "b", "other"} {
		p.Put(t, name, sourcetest.SecretYAML(name, "k", sourcetest.Marker))
	}
	wanted, asked := resource.NewDemand(), new(asked)
	wanted.Swap(resource.Reads{}, reads("", "a"))
	w := p.secretStart(t, wanted, asked)
	s := w.Await(t, "the one", func(s sourcetest.State) bool { return known(s, "a") && there(w, "a") })
	if known(s, "other") || w.Store.Len() != 1 {
		t.Errorf("%d Secrets have bytes, want 1", w.Store.Len())
	}
	wanted.Swap(reads("", "a"), reads("", "b", "none"))
	p.Put(t, "x", sourcetest.WidgetYAML("x", "one")) // its translation read others
	w.Await(t, "another", func(s sourcetest.State) bool { return known(s, "b") && there(w, "b") })
	if there(w, "a") {
		t.Error("the bytes of one that is not wanted any more are still there")
	}
	w.Await(t, "the first is forgotten", func(s sourcetest.State) bool { return !known(s, "a") })
	p.Put(t, "none", sourcetest.SecretYAML("none", "k", sourcetest.Marker))
	w.Await(t, "one that is made later", func(sourcetest.State) bool { return there(w, "none") })
	for _, q := range asked.all() {
		if !strings.Contains(q, "metadata.name=") {
			t.Errorf("asked for %s", q)
		}
	}
}

// TestSecretsReferred reads the many Secrets that are referred to, where every
// namespace's may be read, and asks for no list of the cluster's.
func TestSecretsReferred(t *testing.T) {
	p := open(t, shared.Cluster(t))
	var names []string
	for i := range 2 * fewSecrets {
		names = append(names, fmt.Sprint("s", i))
		p.Put(t, names[i], sourcetest.SecretYAML(names[i], "k", sourcetest.Marker))
	}
	wanted, asked := resource.NewDemand(), new(asked)
	wanted.Swap(resource.Reads{}, reads("", names...))
	cfg := Config{
		Client: rest.CopyConfig(p.client), Store: secret.NewStore(), Namespaces: []string{"default"},
		SecretNamespaces: []string{AllNamespaces}, Referred: true,
	}
	cfg.Client.Wrap(asked.wrap)
	w := sourcetest.StartWanting(t, p.source(t, cfg), cfg.Store, wanted)
	w.Await(t, "all of them", func(sourcetest.State) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return !there(w, n) })
	})
	for _, q := range asked.all() {
		if !strings.HasPrefix(q, "/api/v1/namespaces/default/secrets") {
			t.Errorf("asked for %s", q)
		}
	}
}

// TestSecretsOfANamespace watches a namespace where many Secrets are referred
// to. The bytes of the others are dropped on arrival, and fetched when they are
// wanted; those that are not wanted any more go.
func TestSecretsOfANamespace(t *testing.T) {
	p := open(t, shared.Cluster(t))
	var names []string
	for i := range 3 * fewSecrets {
		names = append(names, fmt.Sprint("s", i))
		p.Put(t, names[i], strings.Replace(sourcetest.SecretYAML(names[i], "k", sourcetest.Marker), "namespace: default", fmt.Sprintf("namespace: default, labels: {wanted: %q}", fmt.Sprint("w", i%2)), 1))
	}
	many, wanted, asked := names[:2*fewSecrets], resource.NewDemand(), new(asked)
	held := func(list []string) bool {
		return !slices.ContainsFunc(list, func(n string) bool { return !there(p.watch, n) })
	}
	wanted.Swap(resource.Reads{}, reads("", many...))
	w := p.secretStart(t, wanted, asked)
	p.watch = w
	s := w.Await(t, "all shapes", func(s sourcetest.State) bool { return known(s, names[len(names)-1]) && held(many) })
	if w.Store.Len() != len(many) || s.Set.Len() != len(names) {
		t.Errorf("%d Secrets have bytes, want %d; %d objects", w.Store.Len(), len(many), s.Set.Len())
	}
	last := names[len(names)-1]
	wanted.Swap(resource.Reads{}, reads("", last))
	p.Put(t, "x", sourcetest.WidgetYAML("x", "one"))
	if w.Await(t, "a reference", func(s sourcetest.State) bool { return s.Widget("x") == "one" }); !there(w, last) {
		t.Error("the state was delivered before the bytes that it needs")
	}
	wanted.Swap(reads("", slices.Concat(many, names[len(names)-1:])...), reads("w1"))
	p.Put(t, "x", sourcetest.WidgetYAML("x", "two"))
	w.Await(t, "those with a label", func(s sourcetest.State) bool { return s.Widget("x") == "two" })
	for i, n := range names {
		if there(w, n) != (i%2 == 1) {
			t.Errorf("%s: its bytes are there: %v", n, there(w, n))
		}
	}
	if one := slices.ContainsFunc(asked.all(), func(q string) bool { return strings.HasPrefix(q, "/api/v1/secrets") }); one {
		t.Error("the Secrets of all namespaces were asked for")
	}
}

// named lets a user read one Secret, and Widgets.
const named = reader + `---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: one, namespace: default}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [a], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: one, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: one}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: one}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: widgets-one}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: widgets}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: one}]
`

// TestSecretsByRole reads with a role that names single Secrets.
func TestSecretsByRole(t *testing.T) {
	p := open(t, shared.Cluster(t))
	p.Put(t, "rights", named)
	p.Put(t, "a", sourcetest.SecretYAML("a", "k", sourcetest.Marker))
	p.Put(t, "b", sourcetest.SecretYAML("b", "k", sourcetest.Marker))
	wanted := resource.NewDemand()
	wanted.Swap(resource.Reads{}, reads("", "a", "b"))
	cfg := Config{Client: rest.CopyConfig(p.client), Store: secret.NewStore(), SecretNamespaces: []string{"default"}}
	cfg.Client.Impersonate.UserName = "one"
	w := sourcetest.StartWanting(t, p.source(t, cfg), cfg.Store, wanted)
	s := w.Await(t, "the one that it may read", func(sourcetest.State) bool { return there(w, "a") })
	if !s.Says("Secret default/b may not be read") || there(w, "b") {
		t.Errorf("problems: %v", s.Problems)
	}
}

// TestSecretsWhileAway asks for bytes while the API server is away, and has
// them when it is back.
func TestSecretsWhileAway(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	p := open(t, c)
	var names []string
	for i := range fewSecrets + 2 {
		names = append(names, fmt.Sprint("s", i))
		p.Put(t, names[i], sourcetest.SecretYAML(names[i], "k", sourcetest.Marker))
	}
	p.Put(t, "x", sourcetest.WidgetYAML("x", "one"))
	wanted := resource.NewDemand()
	wanted.Swap(resource.Reads{}, reads("", names[:fewSecrets+1]...))
	cfg := Config{Client: rest.CopyConfig(p.client), Store: secret.NewStore(), Namespaces: []string{"default"}, SecretNamespaces: []string{"default"}}
	src := p.source(t, cfg)
	w := sourcetest.StartWanting(t, src, cfg.Store, wanted)
	w.Await(t, "all shapes", func(s sourcetest.State) bool { return known(s, names[fewSecrets+1]) && there(w, names[0]) })
	c.Kill("kube-apiserver")
	w.Await(t, "told", func(s sourcetest.State) bool { return s.Says("does not answer") })
	// What a translation asks for now, of what it knows.
	wanted.Swap(resource.Reads{}, reads("", names[fewSecrets+1]))
	if there(w, names[fewSecrets+1]) || !there(w, names[0]) {
		t.Error("bytes came from nowhere, or went")
	}
	if err := c.Restart(context.Background(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	p.Put(t, "x", sourcetest.WidgetYAML("x", "two"))
	w.Await(t, "its bytes", func(s sourcetest.State) bool { return s.Widget("x") == "two" && there(w, names[fewSecrets+1]) })
}

// TestSecretMemory measures what Secrets cost that nobody refers to.
func TestSecretMemory(t *testing.T) {
	if os.Getenv("POSTERN_SOAK") == "" {
		t.Skip("set POSTERN_SOAK=1")
	}
	const count, size = 10_000, 10_000
	p := open(t, cluster.ForTest(t, cluster.Options{}))
	value := strings.Repeat("x", size)
	var work sync.WaitGroup
	turns := make(chan struct{}, 16)
	for i := range count {
		work.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			p.objects.Put(sourcetest.SecretYAML(fmt.Sprint("s", i), "k", value))
		})
	}
	work.Wait()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, began := heap(), time.Now()
	wanted := resource.NewDemand()
	wanted.Swap(resource.Reads{}, reads("none"))
	w := p.secretStart(t, wanted, nil)
	s := w.Await(t, "all", func(s sourcetest.State) bool { return s.Set != nil && s.Set.Len() == count })
	took := time.Since(began)
	after := heap()
	t.Logf("%d Secrets of %d bytes: read in %v, %.1f MiB, %d bytes each", count, size, took, float64(after-before)/(1<<20), (after-before)/count)
	if w.Store.Len() != 0 || (after-before)/count > 4000 {
		t.Errorf("%d have bytes; %d bytes each", w.Store.Len(), (after-before)/count)
	}
	runtime.KeepAlive(s)
}
