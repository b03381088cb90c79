package deploy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// live is what there is of the objects that bear our label.
type live struct {
	stores    map[kind][]cache.Store
	informers []cache.SharedIndexInformer
}

// newLive returns what follows the objects; changed hears of each change.
func newLive(client dynamic.Interface, cfg *Config, changed func()) *live {
	l := &live{stores: map[kind][]cache.Store{}}
	for _, k := range kinds() {
		for _, n := range placesOf(k, cfg) {
			i := cache.NewSharedIndexInformer(listWatch(client.Resource(k.GroupVersionResource).Namespace(n)), &unstructured.Unstructured{}, 0, cache.Indexers{})
			// They are not started yet, so that neither call can fail.
			_ = i.SetTransform(strip)
			_ = i.SetWatchErrorHandlerWithContext(l.failed(k, cfg.Log))
			_, _ = i.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc: func(any) { changed() }, UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() },
			})
			l.stores[k] = append(l.stores[k], i.GetStore())
			l.informers = append(l.informers, i)
		}
	}
	return l
}

// placesOf returns where objects of a kind are: bindings in the namespaces
// that lists name, and nowhere if they name none.
func placesOf(k kind, cfg *Config) []string {
	switch {
	case k.cluster:
		return []string{""}
	case k != roleBindings:
		return namespacesOf(cfg.Namespaces)
	}
	list := append(namespacesOf(cfg.Namespaces), secretPlaces(cfg)...)
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(n string) bool { return n == "" })
}

// failed returns what logs, once for each reason, that a kind cannot be
// followed.
func (l *live) failed(k kind, log *slog.Logger) cache.WatchErrorHandlerWithContext {
	var mu sync.Mutex
	last := ""
	return func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() != nil || errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if text := string(apierrors.ReasonForError(err)); text != last || last == "" {
			last = text
			log.Warn("what Gateways run on cannot be followed", "kind", k.name, "error", err)
		}
	}
}

func listWatch(r dynamic.ResourceInterface) *cache.ListWatch {
	const ours = ownLabel + "=" + Manager
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = ours
			return r.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = ours
			return r.Watch(ctx, o)
		},
	}
}

// strip takes off what nobody here reads. Who owns a Deployment's replicas is
// read from the API server where it matters.
func strip(o any) (any, error) {
	if u, ok := o.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
	}
	return o, nil
}

// start follows until ctx ends.
func (l *live) start(ctx context.Context, work *sync.WaitGroup) {
	for _, i := range l.informers {
		work.Go(func() { i.RunWithContext(ctx) })
	}
}

// wait waits until everything was read once, or ctx ends.
func (l *live) wait(ctx context.Context) bool {
	return wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(context.Context) (bool, error) {
		for _, i := range l.informers {
			if !i.HasSynced() {
				return false, nil
			}
		}
		return true, nil
	}) == nil
}

// get returns an object, or nil.
func (l *live) get(k objectKey) *unstructured.Unstructured {
	name := k.name
	if k.namespace != "" {
		name = k.namespace + "/" + name
	}
	for _, s := range l.stores[k.kind] {
		if o, ok, err := s.GetByKey(name); ok && err == nil {
			return o.(*unstructured.Unstructured)
		}
	}
	return nil
}

// all returns every object.
func (l *live) all() map[objectKey]*unstructured.Unstructured {
	out := map[objectKey]*unstructured.Unstructured{}
	for k, stores := range l.stores {
		for _, s := range stores {
			for _, o := range s.List() {
				u := o.(*unstructured.Unstructured)
				out[objectKey{k, u.GetNamespace(), u.GetName()}] = u
			}
		}
	}
	return out
}
