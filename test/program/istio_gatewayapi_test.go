package program

import (
	"net/http"
	"testing"
)

// TestIstioPolicyOnGatewayAPI puts Istio's policies on a Gateway of the Gateway
// API that one of them refers to, and leaves others alone.
func TestIstioPolicyOnGatewayAPI(t *testing.T) {
	o := serveOrigin(t, nil)
	gateway := func(name, port string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " + name + ", namespace: apps}\nspec:\n  gatewayClassName: any\n  listeners: [{name: http, protocol: HTTP, port: " + port + "}]\n"
	}
	const policy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reads, namespace: apps}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]
  rules: [{to: [{operation: {methods: [GET], paths: ["/open*"]}}]}]
`
	p := run(t, map[string]string{
		"gw.yaml": gateway("gw", "8080"), "other.yaml": gateway("other", "8443"),
		"routes.yaml": httpRoute("r", "gw", rule("/", "up", "")) + httpRoute("s", "other", rule("/", "up", "")) + o.yaml("up"),
		"policy.yaml": policy,
	}, settings{})
	expect := func(port, path string, status int) {
		t.Helper()
		resp, err := http.Get("http://" + p.addr(port) + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("port %s, %s: %d, want %d", port, path, resp.StatusCode, status)
		}
	}
	expect("8080", "/open/a", 200)
	expect("8080", "/closed", 403)
	expect("8443", "/closed", 200)
	p.remove("policy.yaml")
	p.await("everything open", func() bool {
		resp, err := http.Get("http://" + p.addr("8080") + "/closed")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200
	})
}
