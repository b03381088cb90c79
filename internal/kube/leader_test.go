package kube_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/kube"
)

// lease is short, so that tests need not wait long for a leader that died.
const lease = 2 * time.Second

func (p *place) leader(id string) *kube.Leader {
	return &kube.Leader{Client: p.config, Namespace: p.namespace, Identity: id, Lease: lease, Log: slog.New(slog.DiscardHandler)}
}

// holder returns who holds the lease.
func (p *place) holder() string {
	u, err := p.api("Lease").Get(context.Background(), kube.LeaseName, getOptions)
	if err != nil {
		return ""
	}
	id, _, _ := unstructured.NestedString(u.Object, "spec", "holderIdentity")
	return id
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestOneLeads holds that of several replicas one leads at a time, that the
// lease is handed on at once by who ends, and that lead has then returned.
func TestOneLeads(t *testing.T) {
	p := open(t)
	var leading, most atomic.Int32
	start := func(id string) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var work sync.WaitGroup
		work.Go(func() {
			err := p.leader(id).Run(ctx, func(ctx context.Context) {
				if n := leading.Add(1); n > most.Load() {
					most.Store(n)
				}
				<-ctx.Done()
				leading.Add(-1)
			})
			if err != nil {
				t.Error(err)
			}
		})
		return sync.OnceFunc(func() { cancel(); work.Wait() })
	}
	stops := map[string]func(){}
	for _, id := range []string{"a", "b", "c"} {
		stops[id] = start(id)
		t.Cleanup(stops[id])
	}
	for range 3 {
		until(t, "a leader", func() bool { return leading.Load() == 1 && p.holder() != "" })
		id, began := p.holder(), time.Now()
		stops[id]()
		if leading.Load() != 0 && p.holder() == id {
			t.Errorf("%s has ended, and leads", id)
		}
		delete(stops, id)
		if len(stops) == 0 {
			break
		}
		until(t, "the next leader", func() bool { return leading.Load() == 1 && p.holder() != "" && p.holder() != id })
		if took := time.Since(began); took > lease {
			t.Errorf("the next leader waited %v for one that ended in order", took)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d led at once", most.Load())
	}
}

// dying is a connection that can die.
type dying struct{ dead atomic.Bool }

func (d *dying) config(c *rest.Config) *rest.Config {
	out := rest.CopyConfig(c)
	out.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if d.dead.Load() {
				return nil, errors.New("this replica is dead")
			}
			return next.RoundTrip(r)
		})
	})
	return out
}

// TestLeaderDies: the leader's connection dies in the middle of its work, and
// another replica writes within the lease; the dead one knows in time that it
// leads no more.
func TestLeaderDies(t *testing.T) {
	p := open(t)
	p.put(apis)
	var d dying
	const lease = 8 * time.Second // an eighth is left for what the machine takes
	first, second := p.leader("first"), p.leader("second")
	first.Lease, second.Lease = lease, lease
	first.Client = d.config(p.config)
	a := p.replica(options{config: first.Client, lead: first})
	until(t, "the first leads", func() bool { return p.holder() == "first" })
	p.await("HTTPRoute", "good", "written by the first", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours], "Accepted") == "True Accepted"
	})
	b := p.replica(options{lead: second})
	d.dead.Store(true)
	died := time.Now()
	p.put(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: good, namespace: NS}, spec: {parentRefs: [{name: edge, sectionName: none}]}}`)
	p.await("HTTPRoute", "good", "written by the second", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours+"/none"], "Accepted") == "False NoMatchingParent"
	})
	if took := time.Since(died); took > lease {
		t.Errorf("the next leader wrote %v after the first had died, of which the lease is %v", took, lease)
	}
	if p.holder() != "second" || b.requests.of("PATCH") == 0 {
		t.Errorf("%s holds the lease", p.holder())
	}
	a.stop()
}

// TestNoNamespace makes the namespace of the lease where it may.
func TestNoNamespace(t *testing.T) {
	p := open(t)
	l := p.leader("a")
	l.Namespace += "-of-leases"
	ctx, cancel := context.WithCancel(context.Background())
	if err := l.Run(ctx, func(context.Context) { cancel() }); err != nil || ctx.Err() == nil {
		t.Error(err)
	}
}

// TestNoLease tells why nobody can be elected, once.
func TestNoLease(t *testing.T) {
	p := open(t)
	log := &logged{}
	l := p.leader("a")
	l.Log, l.Client = slog.New(log), rest.CopyConfig(p.config)
	l.Client.Impersonate.UserName = "nobody"
	var tries requests
	l.Client.Wrap(tries.wrap)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = l.Run(ctx, func(context.Context) { t.Error("it leads") }) })
	until(t, "the reason", func() bool { return log.count("it is not allowed") == 1 })
	until(t, "some more tries", func() bool { return tries.of("GET") > 3 })
	cancel()
	work.Wait()
	if n := log.count(""); n != 1 {
		t.Errorf("%d lines were logged", n)
	}
}

// TestLeaderMakesItsNamespace leads where nothing is installed.
func TestLeaderMakesItsNamespace(t *testing.T) {
	p := open(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := p.leader("first")
	l.Namespace = p.namespace + "-lease"
	leads := make(chan struct{})
	done := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { done <- l.Run(running, func(ctx context.Context) { close(leads); <-ctx.Done() }) }()
	select {
	case <-leads:
	case <-ctx.Done():
		t.Error("nobody leads")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := p.client.Resource(gvrs["Lease"]).Namespace(l.Namespace).Get(ctx, kube.LeaseName, getOptions); err != nil {
		t.Error(err)
	}
}
