package program

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/test/cluster"
)

// made are the addresses of the kinds that tests of the controller look at.
var made = map[string]schema.GroupVersionResource{
	"Gateway":                 {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"},
	"GatewayClass":            {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"},
	"ServiceAccount":          {Version: "v1", Resource: "serviceaccounts"},
	"Service":                 {Version: "v1", Resource: "services"},
	"Pod":                     {Version: "v1", Resource: "pods"},
	"Secret":                  {Version: "v1", Resource: "secrets"},
	"Deployment":              {Group: "apps", Version: "v1", Resource: "deployments"},
	"PodDisruptionBudget":     {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	"HorizontalPodAutoscaler": {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	"NetworkPolicy":           {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	"RoleBinding":             {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	"ClusterRoleBinding":      {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	"HTTPRoute":               {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
}

// owned are the kinds that are made for each Gateway.
var owned = []string{"ServiceAccount", "Service", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler"}

// managed is a cluster that a controller runs in.
type managed struct {
	*cluster.Objects
	t       *testing.T
	cluster *cluster.Cluster
	client  dynamic.Interface
}

// manage starts a cluster with the definitions of the Gateway API, our own,
// and the roles of data planes.
func manage(t *testing.T) *managed {
	t.Helper()
	m := manageWith(t, cluster.Options{ControllerManager: true})
	// Its garbage collector looks for kinds at its start, and every 30 s then.
	m.cluster.Kill("kube-controller-manager")
	if err := m.cluster.Restart(t.Context(), "kube-controller-manager"); err != nil {
		t.Fatal(err)
	}
	return m
}

// manageWith is manage with options.
func manageWith(t *testing.T, o cluster.Options) *managed {
	t.Helper()
	c := cluster.ForTest(t, o)
	client, _ := c.Client(t)
	m := &managed{t: t, cluster: c, client: client, Objects: c.Objects(t)}
	m.Define("gatewayapi", "postern.dev_posternproxies")
	m.Put(dataPlaneRoles)
	return m
}

// in returns m for a part of its test.
func (m *managed) in(t *testing.T) *managed {
	part := *m
	part.t, part.Objects = t, m.cluster.Objects(t)
	return &part
}

const dataPlaneRoles = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: postern-read-cluster}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, list, watch]}
- {apiGroups: [gateway.networking.k8s.io], resources: [gatewayclasses], verbs: [get, list, watch]}
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: postern-read}
rules:
- {apiGroups: [""], resources: [services, configmaps], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [gateway.networking.k8s.io, postern.dev], resources: ["*"], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: postern-read-secrets}
rules:
- {apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: Namespace
metadata: {name: keys}
---
apiVersion: v1
kind: Namespace
metadata: {name: others}
---
apiVersion: v1
kind: Namespace
metadata: {name: postern-system}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: postern}
spec: {controllerName: postern.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: foreign}
spec: {controllerName: example.com/another}
`

// control starts `postern controller`, and waits until it follows.
func (m *managed) control(args ...string) *program {
	m.t.Helper()
	p := &program{t: m.t, dir: m.t.TempDir(), out: &buffer{}, err: &buffer{}, code: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	all := append([]string{"controller", "--kubeconfig", m.cluster.Kubeconfig, "--admin", "127.0.0.1:0", "--image", "postern:test"}, args...)
	go func() {
		p.code <- cli.Main(ctx, all, cli.Streams{
			In: strings.NewReader(""), Out: p.out, Err: p.err,
			Env: func(string) (string, bool) { return "", false },
		})
	}()
	m.t.Cleanup(p.finish)
	p.awaitReady()
	return p
}

func (m *managed) api(kind, namespace string) dynamic.ResourceInterface {
	return m.client.Resource(made[kind]).Namespace(namespace)
}

// get returns an object, or nil.
func (m *managed) get(kind, namespace, name string) *unstructured.Unstructured {
	m.t.Helper()
	o, err := m.api(kind, namespace).Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return o
}

// patch merges a piece of YAML's flow style into an object, or its status.
func (m *managed) patch(kind, namespace, name, patch string, sub ...string) {
	m.t.Helper()
	if _, err := m.api(kind, namespace).Patch(context.Background(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"}, sub...); err != nil {
		m.t.Fatalf("patch %s %s: %v", kind, name, err)
	}
}

// collected is how long the cluster's own controllers may take: the garbage
// collector looks for new kinds twice a minute.
const collected = time.Minute + 2*patience

// await waits until what is looked for says nothing is missing.
func (m *managed) await(what string, missing func() string) {
	m.t.Helper()
	deadline := time.Now().Add(collected)
	for {
		why := missing()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %s", what, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitObject waits until an object is there and as wanted.
func (m *managed) awaitObject(kind, namespace, name, what string, ok func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	m.t.Helper()
	var got *unstructured.Unstructured
	m.await(fmt.Sprintf("%s %s/%s %s", kind, namespace, name, what), func() string {
		if got = m.get(kind, namespace, name); got != nil && ok(got) {
			return ""
		}
		return fmt.Sprint(got)
	})
	return got
}

func there(*unstructured.Unstructured) bool { return true }

// awaitGone waits until an object is not there.
func (m *managed) awaitGone(kind, namespace, name string) {
	m.t.Helper()
	m.await(kind+" "+name+" gone", func() string {
		if o := m.get(kind, namespace, name); o != nil {
			return fmt.Sprint(o)
		}
		return ""
	})
}

// condition returns a condition's status and reason.
func condition(o *unstructured.Unstructured, name string) string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		if c := c.(map[string]any); c["type"] == name {
			return fmt.Sprint(c["status"], " ", c["reason"])
		}
	}
	return ""
}

// awaitCondition waits until a Gateway has a condition.
func (m *managed) awaitCondition(gateway, name, want string) *unstructured.Unstructured {
	m.t.Helper()
	return m.awaitObject("Gateway", "apps", gateway, name+" "+want, func(o *unstructured.Unstructured) bool { return condition(o, name) == want })
}

// addresses returns the addresses of a Gateway's status.
func addresses(o *unstructured.Unstructured) string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "addresses")
	var out []string
	for _, a := range list {
		a := a.(map[string]any)
		out = append(out, fmt.Sprint(a["type"], " ", a["value"]))
	}
	return strings.Join(out, ", ")
}

// readyPods plays the kubelet: it says of every pod that it is ready.
func (m *managed) readyPods() {
	m.t.Helper()
	list, err := m.api("Pod", "apps").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, p := range list.Items {
		_, _ = m.api("Pod", "apps").Patch(context.Background(), p.GetName(), types.MergePatchType, // it may just be gone
			[]byte(`{"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}`), metav1.PatchOptions{}, "status")
	}
}

const edge = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: apps}
spec:
  gatewayClassName: postern
  infrastructure: {labels: {team: blue}, annotations: {example.com/owner: blue}}
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: more, port: 8080, protocol: HTTP}
`

// TestController makes, keeps and takes away what a Gateway runs on.
func TestController(t *testing.T) {
	m := manage(t)
	p := m.control("--secret-namespaces", "apps,keys", "--leader-election-namespace", "postern-system")
	m.Put(edge)
	t.Run("it is made", func(t *testing.T) {
		m := m.in(t)
		for _, kind := range owned {
			o := m.awaitObject(kind, "apps", "edge-postern", "is there", there)
			l := o.GetLabels()
			if l["gateway.networking.k8s.io/gateway-name"] != "edge" || l["gateway.networking.k8s.io/gateway-class-name"] != "postern" || l["team"] != "blue" {
				t.Errorf("%s has the labels %v", kind, l)
			}
			if o.GetAnnotations()["example.com/owner"] != "blue" {
				t.Errorf("%s has the annotations %v", kind, o.GetAnnotations())
			}
			if r := o.GetOwnerReferences(); len(r) != 1 || r[0].Kind != "Gateway" || r[0].Name != "edge" {
				t.Errorf("%s is owned by %v", kind, r)
			}
		}
		m.awaitObject("Deployment", "apps", "edge-postern", "has two pods", func(o *unstructured.Unstructured) bool {
			n, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
			return n == 2
		})
		m.awaitObject("ClusterRoleBinding", "", "postern-data-planes-read", "names the account", names("apps", "edge-postern"))
		m.awaitObject("RoleBinding", "apps", "postern-data-planes-read-secrets", "names the account", names("apps", "edge-postern"))
		if m.get("RoleBinding", "keys", "postern-data-planes-read-secrets") != nil {
			t.Error("Secrets may be read that nothing leads to")
		}
	})
	t.Run("the status says where", func(t *testing.T) {
		m := m.in(t)
		m.awaitCondition("edge", "Programmed", "False AddressNotAssigned")
		m.patch("Service", "apps", "edge-postern", `{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "lb.example.com"}]}}}`, "status")
		m.awaitCondition("edge", "Programmed", "False NoResources")
		m.await("programmed", func() string {
			m.readyPods()
			return strings.TrimPrefix(condition(m.get("Gateway", "apps", "edge"), "Programmed"), "True Programmed")
		})
		if got := addresses(m.get("Gateway", "apps", "edge")); got != "Hostname lb.example.com, IPAddress 192.0.2.9" {
			t.Errorf("addresses: %s", got)
		}
	})
	t.Run("what others do to it is undone", func(t *testing.T) { m.in(t).undo() })
	t.Run("parameters", func(t *testing.T) { m.in(t).parameters() })
	t.Run("bindings follow the routes", func(t *testing.T) { m.in(t).bindings() })
	t.Run("somebody else's Service", func(t *testing.T) { m.in(t).foreign() })
	t.Run("another class", func(t *testing.T) {
		m := m.in(t)
		m.patch("Gateway", "apps", "edge", `{"spec": {"gatewayClassName": "foreign"}}`)
		for _, kind := range owned {
			m.awaitGone(kind, "apps", "edge-postern")
		}
		m.patch("Gateway", "apps", "edge", `{"spec": {"gatewayClassName": "postern"}}`)
		for _, kind := range owned {
			if kind != "HorizontalPodAutoscaler" { // its parameters say a fixed number
				m.awaitObject(kind, "apps", "edge-postern", "is there again", there)
			}
		}
	})
	t.Run("another replica takes over", func(t *testing.T) {
		m := m.in(t)
		next := m.control("--secret-namespaces", "apps,keys", "--leader-election-namespace", "postern-system")
		if strings.Contains(next.err.String(), "this replica is the leader") {
			t.Fatal("two lead")
		}
		p.stop()
		m.await("the next leader", func() string {
			if strings.Contains(next.err.String(), "this replica is the leader") {
				return ""
			}
			return next.err.String()
		})
		before := m.get("Service", "apps", "edge-postern").GetUID()
		if err := m.api("Service", "apps").Delete(context.Background(), "edge-postern", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		m.awaitObject("Service", "apps", "edge-postern", "is made by it", func(o *unstructured.Unstructured) bool { return o.GetUID() != before })
	})
	m.control("--secret-namespaces", "apps,keys", "--leader-election-namespace", "postern-system")
	t.Run("a deleted Gateway", func(t *testing.T) {
		m := m.in(t)
		m.Delete(m.Parsed(edge)[0])
		for _, kind := range owned {
			m.awaitGone(kind, "apps", "edge-postern") // by the garbage collector
		}
		m.await("no account is bound", func() string {
			if o := m.get("ClusterRoleBinding", "", "postern-data-planes-read"); o != nil && names("apps", "edge-postern")(o) {
				return fmt.Sprint(o)
			}
			return ""
		})
	})
	if strings.Contains(p.err.String(), "level=ERROR") {
		t.Errorf("it complains:\n%s", p.err)
	}
}

// names returns the test that a binding is for an account.
func names(namespace, account string) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		list, _, _ := unstructured.NestedSlice(o.Object, "subjects")
		return slices.ContainsFunc(list, func(s any) bool {
			m := s.(map[string]any)
			return m["namespace"] == namespace && m["name"] == account
		})
	}
}

// undo deletes and changes what was made.
func (m *managed) undo() {
	before := m.get("Service", "apps", "edge-postern")
	if err := m.api("Service", "apps").Delete(context.Background(), "edge-postern", metav1.DeleteOptions{}); err != nil {
		m.t.Fatal(err)
	}
	m.awaitObject("Service", "apps", "edge-postern", "is there again", func(o *unstructured.Unstructured) bool { return o.GetUID() != before.GetUID() })
	m.patch("Service", "apps", "edge-postern", `{"metadata": {"annotations": {"example.com/theirs": "stays"}}, "spec": {"selector": {"app.kubernetes.io/name": "else"}}}`)
	got := m.awaitObject("Service", "apps", "edge-postern", "selects our pods again", func(o *unstructured.Unstructured) bool {
		s, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector")
		return s["app.kubernetes.io/name"] == "postern"
	})
	if got.GetAnnotations()["example.com/theirs"] != "stays" {
		m.t.Errorf("somebody's annotation is gone: %v", got.GetAnnotations())
	}
	// By its label we know it; without it, it is found all the same.
	m.patch("Deployment", "apps", "edge-postern", `{"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}`)
	m.awaitObject("Deployment", "apps", "edge-postern", "has its label again", func(o *unstructured.Unstructured) bool {
		return o.GetLabels()["app.kubernetes.io/managed-by"] == "postern-controller"
	})
	if err := m.api("ClusterRoleBinding", "").Delete(context.Background(), "postern-data-planes-read", metav1.DeleteOptions{}); err != nil {
		m.t.Fatal(err)
	}
	m.awaitObject("ClusterRoleBinding", "", "postern-data-planes-read", "is there again", names("apps", "edge-postern"))
	// Load decides of the replicas; we do not.
	m.patch("Deployment", "apps", "edge-postern", `{"spec": {"replicas": 5}}`)
	m.patch("Gateway", "apps", "edge", `{"spec": {"infrastructure": {"labels": {"team": "red"}}}}`)
	got = m.awaitObject("Deployment", "apps", "edge-postern", "has the new label", func(o *unstructured.Unstructured) bool { return o.GetLabels()["team"] == "red" })
	if n, _, _ := unstructured.NestedInt64(got.Object, "spec", "replicas"); n != 5 {
		m.t.Errorf("%d replicas, in place of the autoscaler's 5", n)
	}
}

// proxy is a PosternProxy with a spec in YAML's flow style.
func proxy(spec string) string {
	return "apiVersion: postern.dev/v1alpha1\nkind: PosternProxy\nmetadata: {name: own, namespace: apps}\nspec: " + spec + "\n"
}

// parameters names a PosternProxy that is not there, then one that is.
func (m *managed) parameters() {
	before := m.get("Deployment", "apps", "edge-postern")
	m.patch("Gateway", "apps", "edge", `{"spec": {"infrastructure": {"labels": {"team": "green"}, "parametersRef": {"group": "postern.dev", "kind": "PosternProxy", "name": "own"}}}}`)
	m.awaitCondition("edge", "Accepted", "False InvalidParameters")
	if now := m.get("Deployment", "apps", "edge-postern"); now.GetGeneration() != before.GetGeneration() || now.GetLabels()["team"] != "red" {
		m.t.Errorf("wrong parameters changed what runs: %v", now)
	}
	replicas := func(want int64) func(*unstructured.Unstructured) bool {
		return func(o *unstructured.Unstructured) bool {
			n, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
			return n == want
		}
	}
	m.Put(proxy("{replicas: 3, service: {type: ClusterIP}, drain: 20s}"))
	m.awaitCondition("edge", "Accepted", "True Accepted")
	m.awaitObject("Deployment", "apps", "edge-postern", "has three pods", replicas(3))
	m.awaitGone("HorizontalPodAutoscaler", "apps", "edge-postern")
	service := m.awaitObject("Service", "apps", "edge-postern", "has its type", func(o *unstructured.Unstructured) bool {
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "type")
		return kind == "ClusterIP"
	})
	ip, _, _ := unstructured.NestedString(service.Object, "spec", "clusterIP")
	m.awaitObject("Gateway", "apps", "edge", "is at its Service's address", func(o *unstructured.Unstructured) bool { return addresses(o) == "IPAddress "+ip })

	// When load decides again, no pod may be lost by that.
	fewest := int64(3)
	m.Put(proxy("{autoscaling: {minReplicas: 2, maxReplicas: 4}}"))
	m.await("an autoscaler", func() string {
		n, _, _ := unstructured.NestedInt64(m.get("Deployment", "apps", "edge-postern").Object, "spec", "replicas")
		fewest = min(fewest, n)
		if m.get("HorizontalPodAutoscaler", "apps", "edge-postern") == nil {
			return "none"
		}
		return ""
	})
	if fewest != 3 {
		m.t.Errorf("it went down to %d pods", fewest)
	}
	m.Put(proxy("{replicas: 1}"))
	m.awaitObject("Deployment", "apps", "edge-postern", "has one pod", replicas(1))
}

// bindings lets the pods read Secrets where the configuration leads, and no
// longer when it does not.
func (m *managed) bindings() {
	m.Put(`apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: keys}
type: kubernetes.io/tls
data: {tls.crt: "", tls.key: ""}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: certs, namespace: keys}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: apps}]
  to: [{group: "", kind: Secret}]
`)
	m.patch("Gateway", "apps", "edge", `{"spec": {"listeners": [
		{"name": "http", "port": 80, "protocol": "HTTP"},
		{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert", "namespace": "keys"}]}}]}}`)
	m.awaitObject("RoleBinding", "keys", "postern-data-planes-read-secrets", "names the account", names("apps", "edge-postern"))
	m.awaitObject("Service", "apps", "edge-postern", "has the ports", func(o *unstructured.Unstructured) bool {
		ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
		var text []string
		for _, p := range ports {
			p := p.(map[string]any)
			text = append(text, fmt.Sprint(p["port"], "→", p["targetPort"]))
		}
		return strings.Join(text, " ") == "80→10080 443→10443"
	})
	m.patch("Gateway", "apps", "edge", `{"spec": {"listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}}`)
	m.awaitGone("RoleBinding", "keys", "postern-data-planes-read-secrets")
}

// foreign has a Service where ours would be.
func (m *managed) foreign() {
	m.Put(`apiVersion: v1
kind: Service
metadata: {name: taken-postern, namespace: apps, labels: {app: theirs}}
spec: {selector: {app: theirs}, ports: [{port: 1}]}
`)
	m.Put(strings.NewReplacer("name: edge", "name: taken").Replace(edge))
	m.awaitObject("Deployment", "apps", "taken-postern", "is there", there)
	m.awaitCondition("taken", "Programmed", "False AddressNotAssigned")
	got := m.get("Service", "apps", "taken-postern")
	if s, _, _ := unstructured.NestedStringMap(got.Object, "spec", "selector"); len(s) != 1 || s["app"] != "theirs" || len(got.GetOwnerReferences()) > 0 {
		m.t.Errorf("it was touched: %v", got)
	}
	m.Delete(got)
	m.awaitObject("Service", "apps", "taken-postern", "is made when it may be", func(o *unstructured.Unstructured) bool { return len(o.GetOwnerReferences()) == 1 })
}
