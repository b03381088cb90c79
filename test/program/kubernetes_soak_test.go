package program

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/test/cluster"
)

// crowd is a cluster with many HTTPRoutes, and a program that serves them.
type crowd struct {
	t      *testing.T
	routes int
	client dynamic.Interface
	heard  *heard
	next   int // the change to be made
	p      *process
	http   *http.Client
}

var secretsGVR = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// crowdBase is what the routes of a crowd stand on.
const crowdBase = `
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: c}
spec: {controllerName: postern.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: c
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: up, namespace: default}
spec: {clusterIP: None, ports: [{name: p, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: up, namespace: default, labels: {kubernetes.io/service-name: up}}
addressType: IPv4
endpoints: [{addresses: [10.99.0.1]}]
ports: [{name: p, port: 80}]
`

func crowdRoute(i, version int) string {
	return fmt.Sprintf(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r-%[1]d", "namespace": "default"},
		"spec": {"parentRefs": [{"name": "gw"}], "hostnames": ["h%[2]d.example.com"], "rules": [
		{"matches": [{"path": {"type": "PathPrefix", "value": "/r-%[1]d"}}],
		"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-Version", "value": "%[3]d"}]}}],
		"backendRefs": [{"name": "up", "port": 80}]}]}}`, i, i%200, version)
}

// inParallel does n things, a few at a time.
func inParallel(n, workers int, do func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

func newCrowd(t *testing.T, routes, secrets int) *crowd {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fine")) }))
	t.Cleanup(up.Close)
	var o cluster.Options
	if timed() {
		// With so many objects an API server collects garbage for seconds, and on
		// two cores, which it has not for itself here, little else is done: rarely.
		o.Env = []string{"GOGC=800"}
	}
	c := cluster.ForTest(t, o)
	objects := c.Objects(t)
	objects.Define("gatewayapi")
	objects.Put(crowdBase)
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS, cfg.Burst = 5000, 5000
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	create := func(gvr schema.GroupVersionResource, text string) {
		list, err := cluster.Parse(text)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := client.Resource(gvr).Namespace("default").Create(context.Background(), list[0], metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	inParallel(routes, 32, func(i int) { create(httpRoutes, crowdRoute(i, 0)) })
	inParallel(secrets, 32, func(i int) {
		create(secretsGVR, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k-%d", "namespace": "default"}, "stringData": {"api-key": "key-%d"}}`, i, i))
	})
	t.Logf("%d routes and %d Secrets created in %v", routes, secrets, time.Since(began).Round(time.Millisecond))
	p := launch(t, t.TempDir(), "--kubeconfig", c.Kubeconfig, "--guard-destinations=false", "--access-log", "",
		"--connect-to", "10.99.0.1:80="+strings.TrimPrefix(up.URL, "http://"))
	return &crowd{t: t, routes: routes, client: client, heard: listen(t, cfg, httpRoutes), p: p, http: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

// ask asks for a route, and returns the status and the version of the answer.
func (c *crowd) ask(i int) (status int, version string) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/r-%d", c.p.addr("8080"), i), nil)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	req.Host = fmt.Sprintf("h%d.example.com", i%200)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, ""
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("X-Version")
}

// load sends requests at a rate until stop is closed, and returns how many were
// served and failed.
func (c *crowd) load(perSecond int, stop <-chan struct{}) (served, failed int64) {
	var good, bad atomic.Int64
	var all sync.WaitGroup
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	sent := 0
	for began := time.Now(); ; {
		select {
		case <-stop:
			all.Wait()
			return good.Load(), bad.Load()
		case <-tick.C: // some may be missed, so that what is due is counted by the clock
		}
		for due := int(time.Since(began).Seconds() * float64(perSecond)); sent < due; sent++ {
			i := sent * 7919 % c.routes
			all.Go(func() {
				if code, _ := c.ask(i); code == http.StatusOK {
					good.Add(1)
				} else {
					bad.Add(1)
				}
			})
		}
	}
}

// change gives a route its second form, and returns how long it took until that
// was served since the API server told its watchers, and since it answered.
func (c *crowd) change(i, version int) (event, answer time.Duration) {
	name := fmt.Sprintf("r-%d", i)
	patch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/rules/0/filters/0/responseHeaderModifier/set/0/value", "value": "%d"}]`, version)
	var answered time.Time
	var patching sync.WaitGroup
	patching.Go(func() {
		_, err := c.client.Resource(httpRoutes).Namespace("default").Patch(context.Background(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		if answered = time.Now(); err != nil {
			c.t.Error(err)
		}
	})
	var told time.Time
	for began := time.Now(); told.IsZero() && time.Since(began) < patience; time.Sleep(2 * time.Millisecond) {
		told = c.heard.when(name, 2)
	}
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		if _, got := c.ask(i); got == fmt.Sprint(version) {
			served := time.Now()
			patching.Wait() // watchers may be told before who made the change
			return served.Sub(told), max(0, served.Sub(answered))
		}
	}
	patching.Wait()
	c.t.Errorf("route %d: the change is not served", i)
	return patience, patience
}

// changes changes routes, some a second, and tells how long that took to be
// served.
func (c *crowd) changes(n, perSecond int) (event, answer spread) {
	events, answers := make([]time.Duration, n), make([]time.Duration, n)
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := range n {
		<-tick.C
		next := c.next + i // another route each time
		all.Go(func() { events[i], answers[i] = c.change(next*7919%c.routes, next+1) })
	}
	all.Wait()
	c.next += n
	return spreadOf(events), spreadOf(answers)
}

// settle waits until all has its status, each of its present form.
func (c *crowd) settle() {
	for began := time.Now(); ; time.Sleep(time.Second) { // each look costs the API server something
		late := c.late()
		if late == nil {
			return
		}
		if time.Since(began) > 10*time.Minute {
			c.t.Fatalf("%s: generation %d, and the status is of %d", late.GetName(), late.GetGeneration(), parentObserved(late.Object))
		}
	}
}

// late returns a route whose status is of an earlier form, or nil.
func (c *crowd) late() *unstructured.Unstructured {
	o := metav1.ListOptions{Limit: 500}
	for {
		list, err := c.client.Resource(httpRoutes).List(context.Background(), o)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, u := range list.Items {
			if parentObserved(u.Object) != u.GetGeneration() {
				return &u
			}
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// parentObserved returns the generation that a route's first parent was
// accepted in.
func parentObserved(o map[string]any) int64 {
	parents, _, _ := unstructured.NestedSlice(o, "status", "parents")
	if len(parents) == 0 {
		return 0
	}
	conditions, _, _ := unstructured.NestedSlice(parents[0].(map[string]any), "conditions")
	for _, c := range conditions {
		if m := c.(map[string]any); m["type"] == "Accepted" && m["status"] == "True" {
			n, _ := m["observedGeneration"].(int64)
			return n
		}
	}
	return 0
}

// TestKubernetesManyRoutes serves many routes of a cluster and writes their
// statuses, while they change and requests come. With POSTERN_SOAK it is 20,000
// of them, and timed: as soon as they are served, when statuses are still to be
// written, and when those are written.
func TestKubernetesManyRoutes(t *testing.T) {
	routes, secrets, changes := 300, 30, 25
	if timed() {
		routes, secrets, changes = 20_000, 2_000, 1_500
	}
	c := newCrowd(t, routes, secrets)
	memory := float64(rss(c.p.Process.Pid)) / 1024
	t.Logf("ready after %v; RssAnon %.0f MB, %.1f kB for each route", c.p.ready.Round(time.Millisecond), memory, memory*1024/float64(routes))
	if timed() && (c.p.ready > 20*time.Second || memory > 1024) {
		t.Errorf("ready after %v, with %.0f MB", c.p.ready, memory)
	}
	c.phase("while the first statuses are written", changes)
	began := time.Now()
	c.settle()
	t.Logf("all statuses were written %v later; RssAnon %.0f MB", time.Since(began).Round(time.Second), float64(rss(c.p.Process.Pid))/1024)
	c.phase("when all statuses are written", changes)
}

// phase has routes change, 50 a second, while 500 requests a second come.
func (c *crowd) phase(name string, changes int) {
	stop := make(chan struct{})
	var good, bad int64
	var loading sync.WaitGroup
	began := time.Now()
	all, quick := c.reloads()
	loading.Go(func() { good, bad = c.load(500, stop) })
	event, answer := c.changes(changes, 50)
	close(stop)
	loading.Wait()
	allNow, quickNow := c.reloads()
	c.t.Logf("%s, %d changes, 50 a second: served after %v from the event; %v from the answer; %d requests served, %.0f a second, %d failed; %.0f of %.0f reloads took more than 100 ms; RssAnon %.0f MB",
		name, changes, event, answer, good, float64(good)/time.Since(began).Seconds(), bad, allNow-all-(quickNow-quick), allNow-all, float64(rss(c.p.Process.Pid))/1024)
	if bad > 0 || good == 0 {
		c.t.Errorf("%s: %d requests failed", name, bad)
	}
	if timed() && event.p99 > 200*time.Millisecond {
		c.t.Errorf("%s: 99 %% of the changes are served within %v", name, event.p99)
	}
}

// reloads counts the program's own, and those that took at most 100 ms.
func (c *crowd) reloads() (all, quick float64) {
	return c.p.metric("postern_config_reload_seconds_count"), c.p.metric(`postern_config_reload_seconds_bucket{le="0.1"}`)
}

// spread is how times are spread.
type spread struct{ p50, p99, most time.Duration }

func (s spread) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, at most %v", s.p50.Round(time.Millisecond), s.p99.Round(time.Millisecond), s.most.Round(time.Millisecond))
}

func spreadOf(list []time.Duration) spread {
	slices.Sort(list)
	return spread{list[len(list)/2], list[len(list)*99/100], list[len(list)-1]}
}
