package kube_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/kube"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// clock is a time that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// events returns the Events of the namespace.
func (p *place) events() []unstructured.Unstructured {
	p.t.Helper()
	list, err := p.api("Event").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return list.Items
}

// TestEvents tells of what a person must act on, on the object concerned, once
// while it goes on, and counts what goes on for long.
func TestEvents(t *testing.T) {
	p := open(t)
	p.put(apis)
	route := p.get("HTTPRoute", "good")
	dialects, err := builtin.Select([]string{"gatewayapi"}, builtin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := resource.Key{GroupKind: resource.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}, Namespace: p.namespace, Name: "good"}
	set := resource.NewSet([]*resource.Object{{Key: key, Version: "v1", UID: string(route.GetUID())}}, nil)
	origin := ir.Origin{Kind: "HTTPRoute", Namespace: p.namespace, Name: "good", Field: "spec.rules[0]"}
	exposed := status.Warningf(origin, "anyone may use it").Fix("ask").Alerting(status.ExposedCredential)
	var mu sync.Mutex
	found := []status.Problem{
		exposed, exposed, status.Errorf(origin, "an error that needs no Event"),
		status.Errorf(ir.Origin{Kind: "HTTPRoute", Namespace: p.namespace, Name: "gone"}, "x").Alerting(status.ExposedCredential),
	}
	c := &clock{now: time.Now()}
	config := kube.Config{Client: p.config, Dialects: dialects, Clock: c.Now, Log: slog.New(slog.DiscardHandler)}
	e, err := kube.NewEvents(config, "replica", func() (*resource.Set, []status.Problem) {
		mu.Lock()
		defer mu.Unlock()
		return set, found
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func() { e.Look(context.Background()) }
	look()
	look()
	list := p.events()
	if len(list) != 1 {
		t.Fatalf("%d Events", len(list))
	}
	u := list[0].Object
	for path, want := range map[string]string{
		"reason": "ExposedCredential", "type": "Warning", "note": "spec.rules[0]: anyone may use it (ask) (and 1 more)",
		"regarding/kind": "HTTPRoute", "regarding/name": "good", "regarding/uid": string(route.GetUID()),
		"regarding/apiVersion": "gateway.networking.k8s.io/v1", "reportingController": ours,
	} {
		if got, _, _ := unstructured.NestedString(u, strings.Split(path, "/")...); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	c.add(31 * time.Minute)
	look()
	if list = p.events(); len(list) != 1 {
		t.Fatalf("%d Events", len(list))
	}
	if n, _, _ := unstructured.NestedInt64(list[0].Object, "series", "count"); n != 2 {
		t.Errorf("counted %d times", n)
	}
	mu.Lock()
	found = []status.Problem{status.Errorf(origin, "it cannot be fetched").Alerting(status.CredentialUnavailable)}
	mu.Unlock()
	look()
	if list = p.events(); len(list) != 2 {
		t.Errorf("%d Events, want another for another reason", len(list))
	}
}
