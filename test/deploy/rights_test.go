package deploy

import (
	"context"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/test/cluster"
)

// spaces are namespaces that exist in TestRights, each with a Secret: of the
// release, of a fixed gateway, and of somebody else.
var spaces = []string{"postern-system", "istio-system", "apps", "kube-system"}

// TestRights takes the tokens of the chart's accounts and tries what they may
// do: Secrets of the release's namespace and of its gateways', and no others;
// statuses of the families that are read, by the controller alone.
func TestRights(t *testing.T) {
	newHelm(t, "")
	c := cluster.ForTest(t, cluster.Options{})
	h := newHelm(t, c.Kubeconfig)
	objects := c.Objects(t)
	for _, n := range spaces {
		if n != "kube-system" {
			objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + n + "}\n")
		}
		objects.Put("apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: " + n + "}\nstringData: {token: t}\n")
	}
	admin, cfg := c.Client(t)
	h.run("install", "postern", chart, "--namespace", "postern-system", "--set", "dialects.istio=true",
		"--set", "gateways[0].name=egress,gateways[0].namespace=istio-system,gateways[0].ports[0].name=http,gateways[0].ports[0].port=80")
	accounts := []struct{ name, namespace, account string }{
		{"controller", "postern-system", "postern-controller"},
		{"data plane", "istio-system", "postern-egress"},
	}
	for _, a := range accounts {
		t.Run(a.name, func(t *testing.T) {
			as := account(t, admin, cfg, a.namespace, a.account)
			becomes(t, as, true, []right{
				{"list", "gateway.networking.k8s.io", "gateways", "", "", ""},
				{"watch", "networking.istio.io", "virtualservices", "", "apps", ""},
				{"list", "", "services", "", "apps", ""},
				{"watch", "apiextensions.k8s.io", "customresourcedefinitions", "", "", ""},
			}...)
			readsSecretsOf(t, as, "postern-system", "istio-system")
			writesNoSecret(t, as)
			for _, r := range []right{
				{"list", "gateway.solo.io", "virtualservices", "", "apps", ""}, // not among its families
				{"patch", "gateway.networking.k8s.io", "gateways", "", "apps", ""},
				{"delete", "gateway.networking.k8s.io", "httproutes", "", "apps", ""},
				{"patch", "networking.istio.io", "virtualservices", "", "apps", ""},
				{"patch", "gateway.solo.io", "virtualservices", "status", "apps", ""},
				{"create", "", "pods", "", "apps", ""},
				{"create", "", "pods", "exec", "apps", ""},
				{"create", "", "serviceaccounts", "token", "apps", ""},
				{"impersonate", "", "users", "", "", ""},
				{"escalate", "rbac.authorization.k8s.io", "clusterroles", "", "", ""},
				{"bind", "rbac.authorization.k8s.io", "clusterroles", "", "", ""},
				{"create", "rbac.authorization.k8s.io", "clusterroles", "", "", ""},
				{"create", "rbac.authorization.k8s.io", "roles", "", "postern-system", ""},
				{"create", "rbac.authorization.k8s.io", "rolebindings", "", "istio-system", ""},
				{"create", "rbac.authorization.k8s.io", "rolebindings", "", "apps", "postern-data-planes-read-secrets"},
				{"delete", "rbac.authorization.k8s.io", "clusterrolebindings", "", "", "cluster-admin"},
				{"list", "coordination.k8s.io", "leases", "", "kube-system", ""},
				{"patch", "apiextensions.k8s.io", "customresourcedefinitions", "", "", ""},
				{"patch", "", "nodes", "", "", ""},
			} {
				if may(t, as, r) {
					t.Errorf("may %+v", r)
				}
			}
		})
	}
	t.Run("the controller writes", func(t *testing.T) {
		controllerWrites(t, account(t, admin, cfg, "postern-system", "postern-controller"))
	})
	t.Run("a data plane writes nothing", func(t *testing.T) {
		as := account(t, admin, cfg, "istio-system", "postern-egress")
		for _, r := range writes {
			if may(t, as, r) {
				t.Errorf("may %+v", r)
			}
		}
	})
	t.Run("the controller passes on what it has, and no more", func(t *testing.T) { passesOn(t, account(t, admin, cfg, "postern-system", "postern-controller")) })
	t.Run("every namespace, if that is asked for", func(t *testing.T) {
		h.run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values", "--set", "secretNamespaces={*}")
		for _, a := range accounts {
			readsSecretsOf(t, account(t, admin, cfg, a.namespace, a.account), spaces...)
		}
	})
	t.Run("some namespaces alone", func(t *testing.T) {
		h.run("upgrade", "postern", chart, "--namespace", "postern-system", "--reuse-values", "--set", "secretNamespaces={apps},namespaces={apps}")
		for _, a := range accounts {
			as := account(t, admin, cfg, a.namespace, a.account)
			readsSecretsOf(t, as, "apps")
			for n, want := range map[string]bool{"apps": true, "istio-system": false, "": false} {
				for _, r := range []string{"gateways", "httproutes"} {
					becomes(t, as, want, right{"list", "gateway.networking.k8s.io", r, "", n, ""})
				}
			}
			becomes(t, as, false, right{"create", "apps", "deployments", "", "istio-system", ""})
		}
	})
}

// writes are what the controller writes.
var writes = []right{
	{"patch", "gateway.networking.k8s.io", "gateways", "status", "apps", "edge"},
	{"patch", "gateway.networking.k8s.io", "gatewayclasses", "status", "", "postern"},
	{"patch", "networking.istio.io", "virtualservices", "status", "apps", ""},
	{"create", "apps", "deployments", "", "apps", ""},
	{"patch", "", "services", "", "apps", ""},
	{"create", "", "serviceaccounts", "", "apps", ""},
	{"create", "policy", "poddisruptionbudgets", "", "apps", ""},
	{"create", "networking.k8s.io", "networkpolicies", "", "apps", ""},
	{"create", "autoscaling", "horizontalpodautoscalers", "", "apps", ""},
	{"create", "events.k8s.io", "events", "", "apps", ""},
	{"update", "coordination.k8s.io", "leases", "", "postern-system", ""},
	{"create", "rbac.authorization.k8s.io", "rolebindings", "", "istio-system", "postern-data-planes-read-secrets"},
}

func controllerWrites(t *testing.T, as dynamic.Interface) {
	becomes(t, as, true, writes...)
}

// readsSecretsOf asks for Secrets in every namespace: those named answer, and
// no others, neither one by one nor as lists.
func readsSecretsOf(t *testing.T, as dynamic.Interface, namespaces ...string) {
	t.Helper()
	allowed := map[string]bool{}
	for _, n := range namespaces {
		allowed[n] = true
	}
	ctx, all := context.Background(), len(namespaces) == len(spaces)
	for _, n := range spaces {
		becomes(t, as, allowed[n], right{"get", "", "secrets", "", n, "key"}, right{"list", "", "secrets", "", n, ""})
		_, got := as.Resource(secrets).Namespace(n).Get(ctx, "key", metav1.GetOptions{})
		_, listed := as.Resource(secrets).Namespace(n).List(ctx, metav1.ListOptions{})
		for _, err := range []error{got, listed} {
			if allowed[n] && err != nil {
				t.Errorf("Secrets of %s: %v", n, err)
			}
			if !allowed[n] && !apierrors.IsForbidden(err) {
				t.Errorf("Secrets of %s are read: %v", n, err)
			}
		}
	}
	becomes(t, as, all, right{"list", "", "secrets", "", "", ""})
	if _, err := as.Resource(secrets).List(ctx, metav1.ListOptions{}); apierrors.IsForbidden(err) == all {
		t.Errorf("Secrets of all namespaces: %v", err)
	}
}

func writesNoSecret(t *testing.T, as dynamic.Interface) {
	t.Helper()
	ctx := context.Background()
	for _, n := range spaces {
		r := as.Resource(secrets).Namespace(n)
		made := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "mine"}}}
		_, created := r.Create(ctx, made, metav1.CreateOptions{})
		_, patched := r.Patch(ctx, "key", "application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
		deleted := r.Delete(ctx, "key", metav1.DeleteOptions{})
		for _, err := range []error{created, patched, deleted} {
			if !apierrors.IsForbidden(err) {
				t.Errorf("a Secret of %s is written: %v", n, err)
			}
		}
	}
}

// passesOn binds the chart's roles to the account of a data plane, as the
// controller does, and tries to bind others.
func passesOn(t *testing.T, as dynamic.Interface) {
	bind := func(namespace, name, role string) error {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": name},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "edge-postern", "namespace": "apps"}},
		}}
		r := as.Resource(bindings).Namespace("")
		if namespace != "" {
			o.SetKind("RoleBinding")
			r = as.Resource(roleBindings).Namespace(namespace)
		}
		_, err := r.Apply(context.Background(), name, o, metav1.ApplyOptions{FieldManager: "postern-controller"})
		return err
	}
	for _, c := range []struct {
		what, namespace, name, role string
		allowed                     bool
	}{
		{"what belongs to no namespace", "", "postern-data-planes-read-cluster", "postern-read-cluster", true},
		{"the resources", "", "postern-data-planes-read", "postern-read", true},
		{"Secrets of a namespace that is named", "istio-system", "postern-data-planes-read-secrets", "postern-read-secrets", true},
		{"Secrets of another", "apps", "postern-data-planes-read-secrets", "postern-read-secrets", false},
		{"Secrets of all", "", "postern-data-planes-read-secrets", "postern-read-secrets", false},
		{"a binding of another name", "", "postern-more", "postern-read", false},
		{"another role by a name of ours", "postern-system", "postern-data-planes-read-secrets", "system:node", false},
		{"everything by a name of ours", "", "postern-data-planes-read-secrets", "cluster-admin", false},
	} {
		t.Run(c.what, func(t *testing.T) {
			err := bind(c.namespace, c.name, c.role)
			if c.allowed && err != nil || !c.allowed && !apierrors.IsForbidden(err) {
				t.Errorf("allowed should be %v: %v", c.allowed, err)
			}
		})
	}
}
