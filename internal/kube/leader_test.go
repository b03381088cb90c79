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

// lease is short, so that tests need not wait long for a leader that died; a
// third of it is what a request may take.
const lease = 6 * time.Second

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
// another replica writes. TestLeaseTimes holds how soon.
func TestLeaderDies(t *testing.T) {
	p := open(t)
	p.put(apis)
	var d dying
	first, second := p.leader("first"), p.leader("second")
	first.Client = d.config(p.config)
	a := p.replica(options{config: first.Client, lead: first})
	until(t, "the first leads", func() bool { return p.holder() == "first" })
	p.await("HTTPRoute", "good", "written by the first", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours], "Accepted") == "True Accepted"
	})
	d.dead.Store(true)
	p.replica(options{lead: second})
	p.put(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: good, namespace: NS}, spec: {parentRefs: [{name: edge, sectionName: none}]}}`)
	p.await("HTTPRoute", "good", "written by the second", func(u *unstructured.Unstructured) bool {
		return conditionOf(u, parents(u)[ours+"/none"], "Accepted") == "False NoMatchingParent"
	})
	until(t, "the second leads", func() bool { return p.holder() == "second" })
	a.stop()
}

// TestNoNamespace makes the namespace of the lease where it may, and gives the
// lease back when it ends.
func TestNoNamespace(t *testing.T) {
	p := open(t)
	l := p.leader("a")
	l.Namespace, l.Lease = l.Namespace+"-of-leases", patience
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	led := false
	if err := l.Run(ctx, func(context.Context) { led = true; cancel() }); err != nil || !led {
		t.Errorf("nobody leads: %v", err)
	}
	p.namespace = l.Namespace
	if id, _, _ := unstructured.NestedString(p.get("Lease", kube.LeaseName).Object, "spec", "holderIdentity"); id != "" {
		t.Errorf("%s has ended, and holds the lease", id)
	}
}

// TestNoLease tells why nobody can be elected, once.
func TestNoLease(t *testing.T) {
	p := open(t)
	log := &logged{}
	l := p.leader("a")
	l.Log, l.Client, l.Lease = slog.New(log), rest.CopyConfig(p.config), 40*time.Second // a request may take a third
	l.Client.Impersonate.UserName = "nobody"
	var tries requests
	l.Client.Wrap(tries.wrap)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = l.Run(ctx, func(context.Context) { t.Error("it leads") }) })
	until(t, "the reason", func() bool { return log.count("it is not allowed") == 1 })
	until(t, "some more tries", func() bool { return tries.of("GET", "") > 2 })
	cancel()
	work.Wait()
	if n := log.count(""); n != 1 {
		t.Errorf("%d lines were logged", n)
	}
}
