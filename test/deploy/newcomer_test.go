package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/test/cluster"
	"github.com/postern-gateway/postern/test/static"
)

// TestNewcomer does with an empty cluster what docs/kubernetes.md begins with:
// one helm command and one kubectl apply, word for word. The chart's pods run,
// the controller makes what the Gateway runs on, and its address answers.
func TestNewcomer(t *testing.T) {
	if err := cluster.CanRunPods(); err != nil {
		t.Skip(err)
	}
	newHelm(t, "")
	c := cluster.ForTest(t, cluster.Options{Pods: true, Images: []cluster.Image{
		{Name: "ghcr.io/postern-gateway/postern", Program: static.Postern(t), Path: "/postern", User: 65532},
	}})
	kubectl := c.Kubectl(t)
	defer func() {
		if t.Failed() {
			tellPods(t, c, kubectl)
		}
	}()
	t.Run("the two commands", func(t *testing.T) { twoCommands(t, c) })
	t.Run("a data plane's rights", func(t *testing.T) { dataPlaneRights(t, c) })
	t.Run("a fixed gateway, of families that are switched on later", func(t *testing.T) { fixedGateway(t, c) })
	t.Run("what the pages look at", func(t *testing.T) { looksAt(t, c) })
	t.Run("a webhook", func(t *testing.T) { asksFirst(t, c) })
	t.Run("some namespaces alone", func(t *testing.T) { someNamespaces(t, c) })
	t.Run("nothing was refused to anybody", func(t *testing.T) { nothingRefused(t, c) })
}

func twoCommands(t *testing.T, c *cluster.Cluster) {
	kubectl := c.Kubectl(t)
	commands := documented(t)
	h := newHelm(t, c.Kubeconfig)
	h.dir = root
	h.run(commands.helm...)
	kubectl.Run(append(commands.apply[:2:2], root+"/"+commands.apply[2])...)
	kubectl.Run(commands.wait...)

	if got := kubectl.Run("get", "deployment,service,serviceaccount,poddisruptionbudget", "-l", "gateway.networking.k8s.io/gateway-name=ai", "-o", "name"); strings.Count(got, "/ai-postern\n") != 4 {
		t.Errorf("what the Gateway runs on: %s", got)
	}
	address := kubectl.Run("get", "gateway", "ai", "-o", "jsonpath={.status.addresses[0].value}")
	for _, q := range []struct {
		name, key, model string
		status           int
		says             string
	}{
		{"a caller with a key", "key-of-alice", "gpt-4o-mini", http.StatusOK, "chat.completion"},
		{"another", "key-of-bob", "gpt-4o-mini", http.StatusOK, "chat.completion"},
		{"nobody", "", "gpt-4o-mini", http.StatusUnauthorized, ""},
		{"a key of nobody's", "sk-demo", "gpt-4o-mini", http.StatusUnauthorized, ""},
		{"a model that no route names", "key-of-alice", "gpt-9", http.StatusNotFound, ""},
	} {
		eventually(t, q.name, func(ctx context.Context) error {
			status, body, err := ask(ctx, "http://"+address+"/v1/chat/completions", q.key, q.model)
			if err != nil {
				return err
			}
			if status != q.status || !strings.Contains(body, q.says) {
				return fmt.Errorf("%d: %s", status, body)
			}
			return nil
		})
	}
}

// dataPlaneRights takes the token of the pods that the controller made: they
// read Secrets of their Gateway's namespace alone, and write nothing.
func dataPlaneRights(t *testing.T, c *cluster.Cluster) {
	admin, cfg := c.Client(t)
	as := account(t, admin, cfg, "default", "ai-postern")
	becomes(t, as, true, right{"list", "", "secrets", "", "default", ""})
	for _, r := range append([]right{
		{"list", "", "secrets", "", "postern-system", ""},
		{"list", "", "secrets", "", "kube-system", ""},
		{"get", "", "secrets", "", "", ""},
		{"patch", "", "secrets", "", "default", "callers"},
		{"create", "events.k8s.io", "events", "", "default", ""},
		{"patch", "gateway.networking.k8s.io", "gateways", "status", "default", "ai"},
	}, writes...) {
		if may(t, as, r) {
			t.Errorf("may %+v", r)
		}
	}
}

// someNamespaces has two namespaces watched and no others: roles hold in those
// alone, and everything goes on.
func someNamespaces(t *testing.T, c *cluster.Cluster) {
	kubectl := c.Kubectl(t)
	newHelm(t, c.Kubeconfig).run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values",
		"--set", "namespaces={default,front}", "--set", "webhook.enabled=false")
	kubectl.Run("-n", "postern-system", "rollout", "status", "deployment/postern-controller", "--timeout=2m")
	kubectl.Run("-n", "front", "rollout", "status", "deployment/postern-front", "--timeout=2m")
	kubectl.Run("rollout", "status", "deployment/ai-postern", "--timeout=2m")
	for _, namespace := range []string{"default", "kube-public"} {
		kubectl.Apply(strings.Replace(strings.Replace(gatewayText, "name: edge", "name: second", 1), "namespace: default", "namespace: "+namespace, 1))
	}
	kubectl.Run("wait", "gateways.gateway.networking.k8s.io/second", "--for=condition=Accepted", "--timeout=2m")
	kubectl.Run("wait", "deployment/second-postern", "--for=create", "--timeout=2m")
	kubectl.Run("wait", "deployment/second-postern", "--for=condition=Available", "--timeout=2m")
	if out := kubectl.Run("-n", "kube-public", "get", "deployments", "-o", "name"); out != "" {
		t.Errorf("a Gateway of a namespace that is not watched runs on %s", out)
	}
	if got := kubectl.Run("-n", "kube-public", "get", "gateways.gateway.networking.k8s.io", "second", "-o", "jsonpath={.status.conditions[*].reason}"); strings.Contains(got, "Accepted") {
		t.Errorf("it has a status: %s", got)
	}
}

// fixed are the resources of TestNewcomer's fixed gateway: one Gateway that its
// label chooses, one that it does not, and Gloo's own that nobody declares.
const fixed = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: front}
spec:
  selector: {istio: front}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: front}
spec:
  hosts: ["*"]
  gateways: [front]
  http:
  - directResponse: {status: 200, body: {string: by the label}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: other, namespace: front}
spec:
  selector: {istio: somebody-else}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [other.example]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other, namespace: front}
spec:
  hosts: [other.example]
  gateways: [other]
  http:
  - directResponse: {status: 200, body: {string: not ours}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: hello, namespace: front}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{prefix: /}]
      directResponseAction: {status: 200, body: by the default gateway}
`

// fixedGateway upgrades the chart to two more families and a gateway for them.
func fixedGateway(t *testing.T, c *cluster.Cluster) {
	kubectl := c.Kubectl(t)
	kubectl.Run("create", "namespace", "front")
	kubectl.Run("create", "-f", root+"/deploy/crds/istio.yaml", "-f", root+"/deploy/crds/gloo.yaml")
	newHelm(t, c.Kubeconfig).run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values",
		"--set", "dialects.istio=true,dialects.gloo=true,secretNamespaces={default,front}",
		"--set", "gateways[0].name=front,gateways[0].namespace=front,gateways[0].labels.istio=front,gateways[0].replicas=1,gateways[0].dialects={istio,gloo}",
		"--set", "gateways[0].ports[0].name=http,gateways[0].ports[0].port=80",
		"--set", "gateways[0].ports[1].name=gloo,gateways[0].ports[1].port=81,gateways[0].ports[1].listener=8080")
	kubectl.Run("wait", "--for=condition=Established", "crd", "--all", "--timeout=2m")
	kubectl.Apply(fixed)
	kubectl.Run("-n", "front", "wait", "deployment/postern-front", "--for=condition=Available", "--timeout=2m")
	address := kubectl.Run("-n", "front", "get", "service", "postern-front", "-o", "jsonpath={.spec.clusterIP}")
	for _, q := range []struct{ name, url, host, says string }{
		{"a Gateway that the label chooses", "http://" + address, "any.example", "by the label"},
		{"a host of another's Gateway", "http://" + address, "other.example", "by the label"},
		{"Gloo's own gateway", "http://" + address + ":81", "any.example", "by the default gateway"},
	} {
		eventually(t, q.name, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url, nil)
			if err != nil {
				return err
			}
			req.Host = q.host
			if status, body, err := do(req); err != nil || status != http.StatusOK || body != q.says {
				return fmt.Errorf("%d: %s: %v", status, body, err)
			}
			return nil
		})
	}
	kubectl.Until("the controller tells of the new families", "Accepted", "-n", "front", "get", "virtualservices.gateway.solo.io", "hello", "-o", "jsonpath={.status.statuses.*.state}")
}

// asksFirst switches the webhook on, with a certificate of the chart's own, and
// two flags that data planes must hear of.
func asksFirst(t *testing.T, c *cluster.Cluster) {
	kubectl := c.Kubectl(t)
	newHelm(t, c.Kubeconfig).run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values",
		"--set", "webhook.enabled=true,webhook.failurePolicy=Fail,webhook.timeoutSeconds=20,exposed=deny,crossNamespaceCredentials=true")
	kubectl.Run("-n", "postern-system", "rollout", "status", "deployment/postern-controller", "--timeout=2m")
	const good = "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: asked, namespace: front}\nspec: {virtualHost: {domains: [asked.example], routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]}}\n"
	eventually(t, "a good one is taken", func(context.Context) error {
		out, err := kubectl.Try("apply", "-f", written(t, good))
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	eventually(t, "a wrong one is refused", func(context.Context) error {
		out, err := kubectl.Try("apply", "--dry-run=server", "-f", written(t, strings.Replace(good, "domains:", "domain: x, domains:", 1)))
		if err == nil || !strings.Contains(out, "check.postern.dev") || !strings.Contains(out, "spec.virtualHost.domain") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
	eventually(t, "data planes hear of it", func(context.Context) error {
		args := kubectl.Run("get", "deployment", "ai-postern", "-o", "jsonpath={.spec.template.spec.containers[0].args}")
		if !strings.Contains(args, `"--exposed=deny"`) || !strings.Contains(args, `"--cross-namespace-credentials"`) {
			return errors.New(args)
		}
		return nil
	})
	secret := kubectl.Run("-n", "postern-system", "get", "secret", "postern-webhook", "-o", "jsonpath={.data.tls\\.crt}")
	newHelm(t, c.Kubeconfig).run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values", "--set", "controller.replicas=1")
	if again := kubectl.Run("-n", "postern-system", "get", "secret", "postern-webhook", "-o", "jsonpath={.data.tls\\.crt}"); again != secret || secret == "" {
		t.Error("an upgrade makes another certificate")
	}
}

// written returns a file with a text.
func written(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// nothingRefused looks for rights that one of the chart's pods wanted and had
// not got. Those that the controller makes may be there a moment before their
// rights; that they got them is shown by their being ready.
func nothingRefused(t *testing.T, c *cluster.Cluster) {
	n := 0
	for _, p := range podsOf(c.Kubectl(t)) {
		if !strings.HasPrefix(p.name, "postern-") {
			continue
		}
		for line := range strings.Lines(c.PodLog(p.namespace, p.name, p.container)) {
			n++
			if strings.Contains(strings.ToLower(line), "forbidden") {
				t.Errorf("%s: %s", p.name, line)
			}
		}
	}
	if n == 0 {
		t.Error("nobody said anything")
	}
}

// shown are commands of the page.
type shown struct{ helm, apply, wait []string }

// documented returns the commands that the page begins with, word for word.
func documented(t *testing.T) shown {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	page := joined(text)
	words := func(begin string) []string {
		line := regexp.MustCompile(`(?m)^    ` + begin + ` (.*)$`).FindStringSubmatch(page)
		if line == nil {
			t.Fatalf("the page has no command %q", begin)
		}
		return strings.Fields(line[1])
	}
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(page) {
		if shell := strings.HasPrefix(line, "    helm install") || strings.HasPrefix(line, "    kubectl wait") || strings.HasPrefix(line, "    kubectl apply -f deploy/quick"); shell && !strings.Contains(joined(readme), line) {
			t.Errorf("the README does not have %q", line)
		}
	}
	return shown{
		helm:  append([]string{"install"}, words("helm install")...),
		apply: append([]string{"apply"}, words("kubectl apply")...),
		wait:  append([]string{"wait"}, words("kubectl wait")...),
	}
}

// joined returns a page with each command on one line.
func joined(page []byte) string { return strings.ReplaceAll(string(page), " \\\n", " ") }

// ask sends a chat request.
func ask(ctx context.Context, url, key, model string) (int, string, error) {
	body := fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": "hello"}]}`, model)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if key != "" {
		req.Header.Set("x-api-key", key)
	}
	return do(req)
}

// client knows no proxy, and no connection that a pod may have closed.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func do(req *http.Request) (int, string, error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

// tellPods writes what there is to see when something went wrong.
func tellPods(t *testing.T, c *cluster.Cluster, kubectl *cluster.Commands) {
	out, _ := kubectl.Try("get", "pods,gateways,deployments,services", "-A", "-o", "wide")
	t.Log(out)
	for _, p := range podsOf(kubectl) {
		said := c.PodLog(p.namespace, p.name, p.container)
		t.Logf("%s/%s:\n%s", p.namespace, p.name, said[:min(len(said), 4000)])
	}
	out, _ = kubectl.Try("describe", "gateways.gateway.networking.k8s.io", "ai")
	t.Log(out)
}

// pod is a pod, and the first of its containers.
type pod struct{ namespace, name, container string }

func podsOf(kubectl *cluster.Commands) []pod {
	list, _ := kubectl.Try("get", "pods", "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name} {.spec.containers[0].name} {.metadata.deletionTimestamp}{"\n"}{end}`)
	var out []pod
	for line := range strings.Lines(list) {
		if w := strings.Fields(line); len(w) == 3 { // one that ends has lost its rights
			out = append(out, pod{w[0], w[1], w[2]})
		}
	}
	return out
}
