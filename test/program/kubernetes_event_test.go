package program

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// heard is what a watcher was told by the API server, and when: a gateway cannot
// know of a change sooner.
type heard struct {
	mu sync.Mutex
	at map[form]time.Time // when it was first told of each form
}

// form is an object in one generation, which a change of its spec begins.
type form struct {
	name       string
	generation int64
}

// listen follows the changes of a kind from now on.
func listen(t *testing.T, cfg *rest.Config, gvr schema.GroupVersionResource) *heard {
	t.Helper()
	client, err := metadata.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	t.Cleanup(func() { stop(); following.Wait() })
	list, err := client.Resource(gvr).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{at: map[form]time.Time{}}
	following.Go(func() {
		for from := list.ResourceVersion; ctx.Err() == nil; {
			w, err := client.Resource(gvr).Watch(ctx, metav1.ListOptions{ResourceVersion: from})
			if err == nil {
				from, err = h.follow(w, from)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("the test's own watch: %v", err)
				return
			}
		}
	})
	return h
}

// follow returns the version of the last event when the watch ends.
func (h *heard) follow(w watch.Interface, from string) (string, error) {
	defer w.Stop()
	for event := range w.ResultChan() {
		m, ok := event.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return from, fmt.Errorf("%v", event.Object)
		}
		from = m.ResourceVersion
		g := form{m.Name, m.Generation}
		h.mu.Lock()
		if _, ok := h.at[g]; !ok {
			h.at[g] = time.Now()
		}
		h.mu.Unlock()
	}
	return from, nil
}

// when returns when a form was told of; the zero time: not yet.
func (h *heard) when(name string, generation int64) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at[form{name, generation}]
}
