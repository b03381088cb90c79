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
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put(gatewayAPI(t))
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
	p := launch(t, t.TempDir(), "--kubeconfig", c.Kubeconfig, "--read-only", "--guard-destinations=false", "--access-log", "",
		"--connect-to", "10.99.0.1:80="+strings.TrimPrefix(up.URL, "http://"))
	return &crowd{t, routes, client, p, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
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
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; ; i += 7919 {
		select {
		case <-stop:
			all.Wait()
			return good.Load(), bad.Load()
		case <-tick.C:
		}
		all.Go(func() {
			if code, _ := c.ask(i % c.routes); code == http.StatusOK {
				good.Add(1)
			} else {
				bad.Add(1)
			}
		})
	}
}

// change gives a route another version, and returns how long it took from the
// API server's answer until that was served.
func (c *crowd) change(i, version int) time.Duration {
	patch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/rules/0/filters/0/responseHeaderModifier/set/0/value", "value": "%d"}]`, version)
	_, err := c.client.Resource(httpRoutes).Namespace("default").Patch(context.Background(), fmt.Sprintf("r-%d", i), types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		c.t.Error(err)
		return 0
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, got := c.ask(i); got == fmt.Sprint(version) {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			c.t.Errorf("route %d: the change is not served", i)
			return patience
		}
	}
}

// TestKubernetesManyRoutes serves many routes of a cluster while they change
// and requests come, as the pods of a Gateway do, which write nothing. With POSTERN_SOAK it is 20,000 of them, and timed.
func TestKubernetesManyRoutes(t *testing.T) {
	routes, secrets, changes := 300, 30, 50
	if timed() {
		routes, secrets, changes = 20_000, 2_000, 1_500
	}
	c := newCrowd(t, routes, secrets)
	memory := float64(rss(c.p.Process.Pid)) / 1024
	t.Logf("ready after %v; RssAnon %.0f MB, %.1f kB for each route", c.p.ready.Round(time.Millisecond), memory, memory*1024/float64(routes))
	stop := make(chan struct{})
	var served, failed int64
	var loading sync.WaitGroup
	loading.Go(func() { served, failed = c.load(500, stop) })
	took := make([]time.Duration, changes)
	var changing sync.WaitGroup
	tick := time.NewTicker(time.Second / 50)
	for n := range changes {
		<-tick.C
		changing.Go(func() { took[n] = c.change(n*7919%routes, n+1) })
	}
	changing.Wait()
	close(stop)
	loading.Wait()
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("%d changes, 50 a second: served after p50 %v, p99 %v, most %v; %d requests served, %d failed; RssAnon %.0f MB",
		changes, took[len(took)/2].Round(time.Millisecond), p99.Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), served, failed, float64(rss(c.p.Process.Pid))/1024)
	if failed > 0 || served == 0 {
		t.Errorf("%d requests failed", failed)
	}
	if !timed() {
		return
	}
	if p99 > 200*time.Millisecond {
		t.Errorf("99 %% of the changes are served within %v", p99)
	}
	if c.p.ready > 20*time.Second || memory > 1024 {
		t.Errorf("ready after %v, with %.0f MB", c.p.ready, memory)
	}
}
