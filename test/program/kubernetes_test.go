package program

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/test/cluster"
)

// glooKinds are definitions of the kinds that the walk-through uses. They take
// every field, as an API server does that knows more of them than we do.
var glooKinds = cluster.Definition("gateway.solo.io", "v1", "VirtualService", "virtualservices", false) + "---\n" +
	cluster.Definition("gloo.solo.io", "v1", "Upstream", "upstreams", false)

// awaitReply sends a request until the reply is as wanted.
func awaitReply(t *testing.T, what string, q request, ok func(reply) bool) reply {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got := send(t, q)
		if ok(got) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %v", what, got)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func status(n int) func(reply) bool { return func(r reply) bool { return r.status == n } }

// TestKubernetes serves the manifests of the Gloo walk-through out of a real
// API server, follows their changes, and outlives the API server.
func TestKubernetes(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	objects.Put(glooKinds)
	files := example(t, "gloo-gateway-jwt", "virtualservice.yaml", "upstream.yaml", "secret.yaml")
	routes, key := files["virtualservice.yaml"], strings.ReplaceAll(files["secret.yaml"], "${HF_API_TOKEN}", huggingFaceKey)
	objects.Put(routes)
	objects.Put(files["upstream.yaml"])
	objects.Put(key)

	hf, flags := providers(t, nil)
	p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: append(flags, "--dialects", "gloo", "--secret-namespaces", "default")})
	base := "http://" + p.addr("8080")
	workshop := token(t, "gloo-gateway-jwt", "workshop")
	ask := func(path string) request {
		return request{method: "POST", url: base + path, body: `{"inputs": "x"}`, header: map[string]string{"Authorization": "Bearer " + workshop}}
	}
	if got := send(t, request{method: "POST", url: base + "/huggingface-gloo-gw", body: "{}"}); got.status != 401 {
		t.Errorf("without a token: %v", got)
	}
	if got := send(t, ask("/huggingface-gloo-gw")); got.status != 200 {
		t.Errorf("with the token: %v", got)
	}
	if seen := hf.Requests(); len(seen) != 1 || !seen[0].HeaderIs("Authorization", "Bearer "+huggingFaceKey) {
		t.Errorf("the provider saw %d requests, or another credential", len(seen))
	}

	t.Run("a changed object is served", func(t *testing.T) {
		began := time.Now()
		objects.Put(strings.ReplaceAll(routes, "prefix: /huggingface-gloo-gw", "prefix: /renamed"))
		awaitReply(t, "the new path", ask("/renamed"), status(200))
		t.Logf("served %v after it was asked for", time.Since(began))
		if got := send(t, ask("/huggingface-gloo-gw")); got.status != 404 {
			t.Errorf("the old path: %v", got)
		}
	})
	t.Run("changed bytes of a Secret are sent", func(t *testing.T) {
		objects.Put(strings.ReplaceAll(key, huggingFaceKey, huggingFaceKey+"-old"))
		awaitReply(t, "a key that the provider refuses", ask("/renamed"), status(401))
		objects.Put(key)
		awaitReply(t, "its own key", ask("/renamed"), status(200))
	})
	t.Run("a variable in a Secret closes its routes", func(t *testing.T) {
		objects.Put(files["secret.yaml"])
		awaitReply(t, "a closed route", ask("/renamed"), status(500))
		p.await("the reason", func() bool { return strings.Contains(p.err.String(), "${HF_API_TOKEN}") })
		objects.Put(key)
		awaitReply(t, "open again", ask("/renamed"), status(200))
	})
	t.Run("the API server is away", func(t *testing.T) {
		c.Kill("kube-apiserver")
		p.await("it is told", func() bool { return strings.Contains(p.err.String(), "does not answer") })
		if got := send(t, ask("/renamed")); got.status != 200 {
			t.Errorf("while it is away: %v", got)
		}
		if got := send(t, request{url: "http://" + p.admin + "/readyz"}); got.status != 200 {
			t.Errorf("readyz: %v", got)
		}
		if err := c.Restart(context.Background(), "kube-apiserver"); err != nil {
			t.Fatal(err)
		}
		objects.Put(routes)
		awaitReply(t, "what was changed since", ask("/huggingface-gloo-gw"), status(200))
	})
}

// redirecting is a Gateway of a class of its own, with a route.
func redirecting(name, controller, port string) string {
	return strings.NewReplacer("NAME", name, "CONTROLLER", controller, "PORT", port).Replace(`
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: NAME}
spec: {controllerName: CONTROLLER}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: NAME, namespace: default}
spec:
  gatewayClassName: NAME
  listeners: [{name: http, port: PORT, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME, namespace: default}
spec:
  parentRefs: [{name: NAME}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: example.com, statusCode: 301}}]}]
`)
}

// TestKubernetesClass serves a Gateway only when its class is ours, and takes
// up kinds and Gateways as they appear.
func TestKubernetesClass(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	theirs, ours := freeAddr(t), freeAddr(t)
	p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: []string{"--port", "9090=" + theirs, "--port", "9091=" + ours}})
	redirects := func(addr string) func() bool {
		return func() bool {
			r, err := http.NewRequest(http.MethodGet, "http://"+addr+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusMovedPermanently
		}
	}
	foreign := redirecting("theirs", "example.com/other", "9090")
	objects.Define("gatewayapi")
	objects.Put(foreign)
	objects.Put(redirecting("ours", "postern.dev/gateway-controller", "9091"))
	p.await("our Gateway", redirects(ours))
	if redirects(theirs)() {
		t.Error("a foreign Gateway is served")
	}
	class, err := cluster.Parse(foreign)
	if err != nil {
		t.Fatal(err)
	}
	objects.Delete(class[0]) // a controller cannot be changed
	objects.Put(redirecting("theirs", "postern.dev/gateway-controller", "9090"))
	p.await("the Gateway that is ours now", redirects(theirs))
}

// TestKubernetesGuard dials no address of this machine for resources of a
// cluster, unless it is told to.
func TestKubernetesGuard(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("reached")) }))
	defer backend.Close()
	host, port, _ := strings.Cut(strings.TrimPrefix(backend.URL, "http://"), ":")
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	objects.Put(glooKinds)
	objects.Put(`
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: here, namespace: default}
spec: {static: {hosts: [{addr: "` + host + `", port: ` + port + `}]}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: here, namespace: default}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: here, namespace: default}}}
`)
	for _, tc := range []struct {
		name string
		args []string
		want int
	}{
		{"by default", nil, 503},
		{"a network that is allowed", []string{"--allow-destination", "127.0.0.0/8"}, 200},
		{"switched off", []string{"--guard-destinations=false"}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: append(tc.args, "--dialects", "gloo")})
			if got := send(t, request{url: "http://" + p.addr("8080") + "/"}); got.status != tc.want {
				t.Errorf("%v, want %d", got, tc.want)
			}
		})
	}
}
