package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// place is what one watch reads: a kind in a namespace, "" meaning in all; with
// a name, the one object alone.
type place struct {
	resource.GroupKind
	namespace, name string
}

// String returns "kind Secret in namespace a".
func (p place) String() string {
	switch {
	case p.name != "":
		return fmt.Sprintf("%v %s/%s", p.GroupKind, p.namespace, p.name)
	case p.namespace == "":
		return "kind " + p.GroupKind.String()
	}
	return fmt.Sprintf("kind %v in namespace %s", p.GroupKind, p.namespace)
}

func (p place) compare(q place) int {
	return cmp.Or(strings.Compare(p.Group, q.Group), strings.Compare(p.Kind, q.Kind), strings.Compare(p.namespace, q.namespace), strings.Compare(p.name, q.name))
}

// placesLocked returns what is watched, in order.
func (s *Source) placesLocked() []place {
	return slices.SortedFunc(maps.Keys(s.watches), place.compare)
}

// watch follows one place. It is the store of a reflector that keeps nothing
// but the versions of what it has seen.
type watch struct {
	src   *Source
	place place
	gvr   schema.GroupVersionResource
	end   context.CancelFunc
	ended chan struct{}

	// Under the Source's mu.
	seen   map[resource.Key]string
	synced bool
	denied error // it may not be read
}

var (
	_ cache.ReflectorStore    = (*watch)(nil)
	_ cache.TransformingStore = (*watch)(nil)
)

// begin starts to follow a place. seen are the objects of a watch before it.
func (s *Source) begin(ctx context.Context, p place, gvr schema.GroupVersionResource, seen map[resource.Key]string) *watch {
	ctx, end := context.WithCancel(ctx)
	w := &watch{src: s, place: p, gvr: gvr, end: end, ended: make(chan struct{}), seen: seen}
	quiet := logr.Discard()
	kind := &unstructured.Unstructured{} // events of another one are passed over
	kind.SetGroupVersionKind(gvr.GroupVersion().WithKind(p.Kind))
	r := cache.NewReflectorWithOptions(w.listWatch(), kind, w, cache.ReflectorOptions{
		Name: p.String(), TypeDescription: p.String(), Logger: &quiet,
		Backoff: &wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 5, Cap: 5 * time.Second},
	})
	go func() {
		defer close(w.ended)
		r.RunWithContext(ctx)
	}()
	return w
}

// stop ends the watch and waits.
func (w *watch) stop() {
	w.end()
	<-w.ended
}

func (w *watch) listWatch() *cache.ListWatch {
	r := w.src.api.dynamic.Resource(w.gvr).Namespace(w.place.namespace)
	narrow := func(o *metav1.ListOptions) {
		if w.place.GroupKind == resource.SecretKind {
			o.FieldSelector = secretFields(w.place.name)
		}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			list, err := r.List(ctx, o)
			w.answered(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			narrow(&o)
			events, err := r.Watch(ctx, o)
			w.answered(ctx, err)
			return events, err
		},
	}
}

// answered takes note of what the API server says to a request.
func (w *watch) answered(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s := w.src
	s.mu.Lock()
	before := w.denied != nil
	w.denied = nil
	if apierrors.IsForbidden(err) { // one who is not known at all is away
		w.denied = err
	}
	changed := before != (w.denied != nil)
	s.mu.Unlock()
	if changed {
		s.signal()
	}
	if err != nil { // it may be away, or the kind gone
		nudge(s.look)
	}
}

// Add takes an object that is new.
func (w *watch) Add(o any) error { return w.put(o) }

// Update takes an object that has changed.
func (w *watch) Update(o any) error { return w.put(o) }

func (w *watch) put(o any) error {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is no object", o)
	}
	if gvk := u.GroupVersionKind(); gvk.Group != w.place.Group || gvk.Kind != w.place.Kind {
		return fmt.Errorf("%v is none of %v", gvk, w.place)
	}
	k, version := w.key(u), versionOf(u)
	e := w.src.arrive(u)
	w.src.mu.Lock()
	w.seen[k] = version
	w.src.pending[k] = e
	w.src.mu.Unlock()
	w.src.signal()
	return nil
}

// Delete takes away an object.
func (w *watch) Delete(o any) error {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is no object", o)
	}
	w.src.mu.Lock()
	w.dropLocked(w.key(u))
	w.src.mu.Unlock()
	w.src.signal()
	return nil
}

func (w *watch) dropLocked(k resource.Key) {
	delete(w.seen, k)
	w.src.pending[k] = nil
}

// Replace takes a whole list: at the start, and when the API server was away
// for long. What is as it was is not decoded again.
func (w *watch) Replace(list []any, _ string) error {
	s := w.src
	s.mu.Lock()
	before := maps.Clone(w.seen)
	s.mu.Unlock()
	seen, entries := make(map[resource.Key]string, len(list)), map[resource.Key]*entry{}
	for i, o := range list {
		a, err := w.read(o)
		if err != nil {
			return err
		}
		if seen[a.key] = a.version; a.entry != nil {
			entries[a.key] = a.entry
		}
		list[i] = nil
	}
	s.mu.Lock()
	for k := range before {
		if _, ok := seen[k]; !ok {
			w.dropLocked(k)
		}
	}
	w.seen, w.synced = seen, true
	maps.Copy(s.pending, entries)
	s.mu.Unlock()
	s.signal()
	return nil
}

// arrival is an object of a list as it came in, decoded at once: a list of
// Secrets may be many times as large as what is kept of it.
type arrival struct {
	key     resource.Key
	version string
	entry   *entry // nil: it is as it was
}

// Transformer makes the reflector hold arrivals, and not whole objects, while
// it reads a list that is streamed.
func (w *watch) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return w.read(o) }
}

// read makes an arrival of an object.
func (w *watch) read(o any) (*arrival, error) {
	if a, ok := o.(*arrival); ok {
		return a, nil
	}
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("%T is no object", o)
	}
	if gvk := u.GroupVersionKind(); gvk.Group != w.place.Group || gvk.Kind != w.place.Kind {
		return nil, fmt.Errorf("%v is none of %v", gvk, w.place)
	}
	a := &arrival{key: w.key(u), version: versionOf(u)}
	w.src.mu.Lock()
	before := w.seen[a.key]
	w.src.mu.Unlock()
	if before != a.version {
		a.entry = w.src.arrive(u)
	}
	return a, nil
}

// Resync does nothing: there is no second copy to compare with.
func (w *watch) Resync() error { return nil }

func (w *watch) key(u *unstructured.Unstructured) resource.Key {
	return resource.Key{GroupKind: w.place.GroupKind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

func versionOf(u *unstructured.Unstructured) string {
	return string(u.GetUID()) + "/" + u.GetResourceVersion()
}

// lastApplied is kubectl's copy of the whole object, its secrets included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// arrive decodes an object, and keeps the bytes of a Secret only if they are
// wanted.
func (s *Source) arrive(u *unstructured.Unstructured) *entry {
	if u.GetKind() != resource.SecretKind.Kind || u.GetAPIVersion() != "v1" || s.secrets.wantsAs(u) {
		return s.decode(u)
	}
	if data, ok := u.Object["data"].(map[string]any); ok { // the keys are what is looked at
		for k := range data {
			data[k] = ""
		}
	}
	e := s.decode(u)
	e.values, e.refs, e.problems, e.lean = nil, nil, nil, true
	return e
}

// decode makes an entry of an object, without what only the API server and
// kubectl need.
func (s *Source) decode(u *unstructured.Unstructured) *entry {
	r := s.decoded(u)
	e := &entry{values: r.Secrets, problems: r.Problems, broken: r.Broken, refs: make(map[secret.Ref]bool, len(r.Secrets))}
	for ref := range r.Secrets {
		e.refs[ref] = true
	}
	if len(r.Objects) == 1 {
		e.object = r.Objects[0]
	}
	return e
}

// decoded decodes what is left of an object.
func (s *Source) decoded(u *unstructured.Unstructured) resource.Result {
	unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", lastApplied)
	if len(u.GetAnnotations()) == 0 { // as if there had never been any
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
	}
	reached := addresses(u)
	unstructured.RemoveNestedField(u.Object, "status")
	raw, err := u.MarshalJSON()
	if err != nil {
		raw = nil // decoded to nothing, and reported as that
	}
	r := s.cfg.Decoder.DecodeJSON(raw)
	if len(r.Objects) == 1 {
		r.Objects[0].Reached = reached
	}
	return r
}

// addresses returns the values of status.addresses, as a Gateway has them.
func addresses(u *unstructured.Unstructured) []string {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "addresses")
	var out []string
	for _, a := range list {
		if m, ok := a.(map[string]any); ok {
			if value, ok := m["value"].(string); ok && value != "" {
				out = append(out, value)
			}
		}
	}
	return out
}
