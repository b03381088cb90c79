package program

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/simulate"
)

const dashScopeKey = "sk-MARKER-dashscope-0123456789"

// dashScope starts the simulated providers with one that takes dashScopeKey.
func dashScope(t *testing.T) (*simulate.Server, []string) {
	t.Helper()
	return providers(t, func(c *simulate.Config) {
		c.Providers = append(c.Providers, simulate.NewDashScope(simulate.ProviderConfig{Keys: []string{dashScopeKey}, Hosts: []string{"dashscope.aliyuncs.com"}}))
	})
}

const (
	istioGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - hosts: ['*']
    port: {name: http, number: 8080, protocol: HTTP}
`
	qwen = `
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: qwen, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: egressgateway}}
  host: dashscope.aliyuncs.com
  path: /compatible-mode/v1/chat/completions
  configs:
    defaultConfig:
      openAIConfig:
        model: qwen1.5-72b-chat
        stream: false
        apiKey: ${API_KEY}
    routeSpecificConfigs:
      vip:
        openAIConfig: {model: qwen-max}
`
	qwenRoute = `
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: qwen}
spec:
  host: dashscope.aliyuncs.com
  gateways: [mesh, istio-system/gw]
  rules:
  - name: vip
    matches:
    - gateways: [istio-system/gw]
      headers: {user-type: {exact: vip}}
    backendRefs: [{providerHost: dashscope.aliyuncs.com}]
  - name: normal
    matches:
    - gateways: [istio-system/gw]
    backendRefs: [{providerHost: dashscope.aliyuncs.com}]
`
	qwenByService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: chat, namespace: istio-system}
spec:
  hosts: [chat.example.com]
  gateways: [gw]
  http:
  - match: [{uri: {prefix: /chat}}]
    route: [{destination: {host: dashscope.aliyuncs.com}}]
`
)

// TestIstioLLMProvider asks a provider over plain HTTP, as ASM's walk-through
// does: the gateway fills in path, key, model and stream, and begins TLS.
func TestIstioLLMProvider(t *testing.T) {
	all, flags := dashScope(t)
	p := run(t, map[string]string{"gw.yaml": istioGateway, "provider.yaml": qwen, "route.yaml": qwenRoute, "vs.yaml": qwenByService},
		settings{args: flags, env: map[string]string{"API_KEY": dashScopeKey}})
	base := "http://" + p.addr("8080")
	for _, tc := range []struct {
		name, host, path, body string
		header                 map[string]string
		want                   map[string]any // of the body that the provider sees
	}{
		{"as documented", "dashscope.aliyuncs.com", "/", `{"messages":[{"role":"user","content":"Tell me about yourself"}]}`, nil,
			map[string]any{"model": "qwen1.5-72b-chat", "stream": false}},
		{"by the rule's configuration, over the default one", "dashscope.aliyuncs.com", "/", `{"messages":[{"role":"user","content":"hi"}]}`, map[string]string{"User-Type": "vip"},
			map[string]any{"model": "qwen-max", "stream": false}},
		{"the configuration's model wins, the client's stream too", "dashscope.aliyuncs.com", "/v1/any?x=1", `{"stream":true,"model":"qwen-plus","messages":[{"role":"user","content":"hi"}]}`, nil,
			map[string]any{"model": "qwen1.5-72b-chat", "stream": true}},
		{"a key of the client's own goes nowhere", "dashscope.aliyuncs.com", "/", `{"messages":[{"role":"user","content":"hi"}]}`, map[string]string{"Authorization": "Bearer mine", "x-api-key": "mine"},
			map[string]any{"model": "qwen1.5-72b-chat"}},
		{"by a VirtualService", "chat.example.com", "/chat", `{"messages":[{"role":"user","content":"hi"}]}`, nil,
			map[string]any{"model": "qwen1.5-72b-chat"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all.Clear()
			header := map[string]string{"Host": tc.host, "Content-Type": "application/json"}
			for k, v := range tc.header {
				header[k] = v
			}
			got := send(t, request{method: "POST", url: base + tc.path, body: tc.body, header: header})
			if got.status != 200 || !strings.Contains(got.body, "chat.completion") {
				t.Fatalf("answer: %v", got)
			}
			seen := all.Requests()
			if len(seen) != 1 {
				t.Fatalf("the provider saw %d requests", len(seen))
			}
			expectDashScope(t, seen[0], tc.want)
		})
	}
	if got := send(t, request{method: "POST", url: base + "/", header: map[string]string{"Host": "other.example.com"}}); got.status != 404 {
		t.Errorf("another host: %v", got)
	}
}

func expectDashScope(t *testing.T, r simulate.Record, want map[string]any) {
	t.Helper()
	if r.Target != "/compatible-mode/v1/chat/completions" || r.Host != "dashscope.aliyuncs.com" || !r.TLS || r.SNI != "dashscope.aliyuncs.com" {
		t.Errorf("the provider saw %s of %s, TLS %v to %s", r.Target, r.Host, r.TLS, r.SNI)
	}
	if r.Authorizations != 1 || !r.HeaderIs("Authorization", "Bearer "+dashScopeKey) || r.Headers.Get("X-Api-Key") != "" {
		t.Errorf("%d Authorization values, the provider's: %v, headers %v", r.Authorizations, r.HeaderIs("Authorization", "Bearer "+dashScopeKey), r.Headers)
	}
	var body map[string]any
	if err := json.Unmarshal(r.Body(), &body); err != nil {
		t.Fatalf("body: %v", err)
	}
	for name, value := range want {
		if body[name] != value {
			t.Errorf("%s is %v, want %v", name, body[name], value)
		}
	}
}
