package kube_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// quiet reports whether this is a machine that does nothing else: then times
// are held, too.
func quiet() bool { return os.Getenv("POSTERN_SOAK") != "" }

// TestManyStatuses writes the statuses of many routes, answers one change
// meanwhile, and writes nothing again when it starts anew. POSTERN_SOAK=1 makes
// the routes 20,000; in the short form most of them wait for the change.
func TestManyStatuses(t *testing.T) {
	p := open(t)
	n := 600
	var held gate
	config := rest.CopyConfig(p.config)
	if quiet() {
		n = 20_000
	} else {
		held.open = make(chan struct{})
		config.Wrap(held.wrap)
	}
	p.put(apis)
	p.many(n)

	began := time.Now()
	r := p.replica(options{config: config})
	t.Cleanup(held.leave) // before the replica ends
	until(t, "the first status", func() bool { return r.statuses.Written() > 0 })
	read := time.Since(began)
	until(t, "a tenth", func() bool { return r.statuses.Written() > uint64(n/10) })
	first := time.Since(began)
	if edge, err := p.api("Gateway").Get(context.Background(), "edge", metav1.GetOptions{}); err != nil || !acceptedOf("Gateway")(edge) {
		t.Errorf("the Gateway's status waits behind those of its routes: %v", err)
	}
	changed := time.Now()
	patch := []byte(`{"spec":{"parentRefs":[{"name":"edge","sectionName":"none"}]}}`)
	if _, err := p.api("HTTPRoute").Patch(context.Background(), "good", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	p.await("HTTPRoute", "good", "changed", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours+"/none"], "Accepted") == "False NoMatchingParent"
	})
	one := time.Since(changed)
	held.leave()
	deadline := began.Add(20 * time.Minute)
	awaitAll := func(r *replica) {
		for !r.statuses.Idle() && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		p.awaitIdle(r)
	}
	awaitAll(r)
	if written := r.statuses.Written(); written < uint64(n) {
		t.Errorf("%d of %d were written", written, n)
	}
	all := time.Since(began)
	p.await("HTTPRoute", fmt.Sprint("many-", n-1), "accepted", acceptedOf("HTTPRoute"))
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d routes: the first after %v, a tenth after %v, all after %v, with %d requests to read and %d to write; a change meanwhile after %v; heap %d MiB",
		n, read, first, all, r.requests.of("GET", ""), r.requests.of("PATCH", ""), one, m.HeapAlloc>>20)
	if quiet() && one > 10*time.Second {
		t.Errorf("a change waited %v behind the others", one)
	}
	r.stop()

	began = time.Now()
	again := p.replica(options{})
	awaitAll(again)
	t.Logf("compared again in %v with %d requests", time.Since(began), again.requests.of("GET", ""))
	if w := again.requests.of("PATCH", ""); w != 0 {
		t.Errorf("%d statuses were written again", w)
	}
	if g := again.requests.of("GET", ""); g > n/100+20 {
		t.Errorf("%d requests to compare them", g)
	}
}

// gate lets a hundred statuses of the many through, and the others when it is
// open; one without a channel always is.
type gate struct {
	open   chan struct{}
	passed atomic.Int64
	once   sync.Once
}

func (g *gate) leave() {
	if g.open != nil {
		g.once.Do(func() { close(g.open) })
	}
}

func (g *gate) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/httproutes/many-") && g.passed.Add(1) > 100 {
			<-g.open
		}
		return next.RoundTrip(r)
	})
}

// many makes routes, several at once.
func (p *place) many(n int) {
	p.t.Helper()
	next := make(chan int)
	var work sync.WaitGroup
	for range 16 {
		work.Go(func() {
			for i := range next {
				u := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
					"metadata": map[string]any{"name": fmt.Sprint("many-", i), "namespace": p.namespace},
					"spec": map[string]any{
						"parentRefs": []any{map[string]any{"name": "edge"}}, "hostnames": []any{fmt.Sprintf("h%d.example.com", i)},
						"rules": []any{map[string]any{"backendRefs": []any{map[string]any{"name": "backend", "port": int64(80)}}}},
					},
				}}
				if _, err := p.api("HTTPRoute").Create(context.Background(), u, metav1.CreateOptions{}); err != nil {
					p.t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	work.Wait()
}
