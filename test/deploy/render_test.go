package deploy

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// full are values with every family and every part switched on.
var full = []string{
	"--set", "dialects.gloo=true,dialects.gloomesh=true,dialects.envoyai=true,dialects.istio=true,serviceMonitor.enabled=true,webhook.enabled=true",
	"--set", "gateways[0].name=egress,gateways[0].namespace=istio-system,gateways[0].labels.istio=egressgateway",
	"--set", "gateways[0].ports[0].name=http,gateways[0].ports[0].port=80",
	"--set", "gateways[0].ports[1].name=tls,gateways[0].ports[1].port=443,gateways[0].ports[1].listener=15443",
}

// TestPlainManifests: what those without helm apply is what the chart makes.
func TestPlainManifests(t *testing.T) {
	newHelm(t, "")
	out, err := exec.Command("sh", root+"/deploy/render.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(root + "/deploy/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != string(have) {
		t.Error("deploy/postern.yaml is stale: run make deploy")
	}
}

// TestLint: helm finds nothing to say.
func TestLint(t *testing.T) {
	h := newHelm(t, "")
	for _, values := range [][]string{nil, full} {
		if out := h.run(append([]string{"lint", "--strict", chart}, values...)...); strings.Contains(out, "[WARNING]") || strings.Contains(out, "[ERROR]") {
			t.Error(out)
		}
	}
}

// TestValuesRefused: what is wrong with values is told before anything is done.
func TestValuesRefused(t *testing.T) {
	h := newHelm(t, "")
	for _, c := range []struct{ name, set, says string }{
		{"a family that is not known", "dialects.nginx=true", "additional properties 'nginx' not allowed"},
		{"no family", "dialects.gatewayapi=false", "none is true"},
		{"a value that is not known", "replicaCount=2", "additional properties 'replicaCount' not allowed"},
		{"a gateway without ports", "dialects.istio=true,gateways[0].name=a", "missing property 'ports'"},
		{"a gateway of nobody's", "gateways[0].name=a,gateways[0].ports[0].name=http,gateways[0].ports[0].port=80", "set dialects.gloo, gloomesh or istio to true"},
		{"a gateway of a family that is not read", "gateways[0].name=a,gateways[0].ports[0].name=http,gateways[0].ports[0].port=80,gateways[0].dialects={gloo}", "set dialects.gloo=true"},
		{"a namespace that cannot be", "secretNamespaces={Apps}", "/secretNamespaces"},
		{"a webhook whose authority nobody knows", "webhook.enabled=true,webhook.secretName=mine", "webhook.caBundle"},
		{"a target that needs a superuser", "dialects.istio=true,gateways[0].name=a,gateways[0].ports[0].name=http,gateways[0].ports[0].port=80,gateways[0].ports[0].target=80", "minimum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := h.try("template", "postern", chart, "--set", c.set)
			if err == nil || !strings.Contains(out, c.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestPodsAreConfined: no container may more than it must, and each is probed.
func TestPodsAreConfined(t *testing.T) {
	n := 0
	for _, o := range newHelm(t, "").render(full...) {
		if o.GetKind() != "Deployment" {
			continue
		}
		spec, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
		list, _, _ := unstructured.NestedSlice(spec, "containers")
		for _, c := range list {
			n++
			c := c.(map[string]any)
			for _, want := range []struct {
				path []string
				is   any
			}{
				{[]string{"securityContext", "runAsNonRoot"}, true},
				{[]string{"securityContext", "runAsUser"}, 65532.0},
				{[]string{"securityContext", "readOnlyRootFilesystem"}, true},
				{[]string{"securityContext", "allowPrivilegeEscalation"}, false},
				{[]string{"securityContext", "seccompProfile", "type"}, "RuntimeDefault"},
				{[]string{"livenessProbe", "httpGet", "path"}, "/livez"},
				{[]string{"readinessProbe", "httpGet", "path"}, "/readyz"},
				{[]string{"resources", "limits", "memory"}, "1Gi"},
			} {
				if got, _, _ := unstructured.NestedFieldNoCopy(c, want.path...); got != want.is {
					t.Errorf("%s: %s is %v", o.GetName(), strings.Join(want.path, "."), got)
				}
			}
			if dropped, _, _ := unstructured.NestedStringSlice(c, "securityContext", "capabilities", "drop"); !slices.Contains(dropped, "ALL") {
				t.Errorf("%s: capabilities are kept", o.GetName())
			}
		}
	}
	if n != 2 {
		t.Errorf("%d containers", n)
	}
}

// TestPortsOfGateways: a low port is bound where anybody may bind.
func TestPortsOfGateways(t *testing.T) {
	for _, o := range newHelm(t, "").render(full...) {
		if o.GetKind() != "Deployment" || o.GetNamespace() != "istio-system" {
			continue
		}
		list, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		args, _, _ := unstructured.NestedStringSlice(list[0].(map[string]any), "args")
		for _, want := range []string{"--read-only", "--port=80=10080", "--workload=istio-system/egress", "--workload-labels=istio=egressgateway", "--dialects=envoyai,gloo,gloomesh,istio", "--secret-namespaces=istio-system,postern-system"} {
			if !slices.Contains(args, want) {
				t.Errorf("%q is not among %q", want, args)
			}
		}
		if slices.Contains(args, "--port=15443=15443") {
			t.Error("a port that stays is told of")
		}
		labels := o.Object["spec"].(map[string]any)["template"].(map[string]any)["metadata"].(map[string]any)["labels"].(map[string]any)
		if labels["istio"] != "egressgateway" {
			t.Errorf("labels of the pods: %v", labels)
		}
		return
	}
	t.Error("no gateway is rendered")
}
