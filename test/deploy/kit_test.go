package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/test/cluster"
)

const (
	root  = "../.."
	chart = root + "/deploy/chart/postern"
	// patience is how long is waited for what takes seconds: only what never
	// comes takes as long.
	patience = 2 * time.Minute
)

// helm is the program that installs the chart, and where its cluster is.
type helm struct {
	t          testing.TB
	program    string
	kubeconfig string
	dir        string // that it runs in; empty: the tests' own
}

// newHelm returns helm, or skips the test where it is not built.
func newHelm(t testing.TB, kubeconfig string) *helm {
	t.Helper()
	out, err := exec.Command("sh", root+"/deploy/tools/build.sh", "where", "helm").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := strings.TrimSpace(string(out))
	if _, err := os.Stat(program); err != nil {
		t.Skip("helm is not built: run sh deploy/tools/build.sh helm (make test does)")
	}
	return &helm{t: t, program: program, kubeconfig: kubeconfig}
}

// try runs helm and returns what it says.
func (h *helm) try(args ...string) (string, error) {
	cmd := exec.Command(h.program, args...)
	home := h.t.TempDir()
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+h.kubeconfig, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is try, and the test ends where helm refuses.
func (h *helm) run(args ...string) string {
	h.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// render returns the objects that values make of the chart.
func (h *helm) render(values ...string) []*unstructured.Unstructured {
	h.t.Helper()
	list, err := cluster.Parse(h.run(append([]string{"template", "postern", chart, "--namespace", "postern-system"}, values...)...))
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// account returns a client with the token of a service account.
func account(t testing.TB, admin dynamic.Interface, cfg *rest.Config, namespace, name string) dynamic.Interface {
	t.Helper()
	r := admin.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(namespace)
	ask := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"expirationSeconds": int64(3600)},
	}}
	got, err := r.Create(context.Background(), ask, metav1.CreateOptions{}, "token")
	if err != nil {
		t.Fatalf("token of %s/%s: %v", namespace, name, err)
	}
	token, _, _ := unstructured.NestedString(got.Object, "status", "token")
	own := rest.AnonymousClientConfig(cfg)
	own.BearerToken, own.QPS, own.Burst = token, 200, 400
	d, err := dynamic.NewForConfig(own)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// right is something that somebody may or may not do.
type right struct {
	verb, group, resource, sub, namespace, name string
}

// becomes waits until an account may do something, or may not, as it was just
// granted: the API server takes a moment to know.
func becomes(t testing.TB, as dynamic.Interface, allowed bool, rights ...right) {
	t.Helper()
	for _, r := range rights {
		eventually(t, fmt.Sprintf("%+v: allowed becomes %v", r, allowed), func(context.Context) error {
			if may(t, as, r) != allowed {
				return errors.New("it is not so")
			}
			return nil
		})
	}
}

// may asks the API server what an account may do.
func may(t testing.TB, as dynamic.Interface, r right) bool {
	t.Helper()
	attributes := map[string]any{
		"verb": r.verb, "group": r.group, "resource": r.resource, "subresource": r.sub, "namespace": r.namespace, "name": r.name,
	}
	got, err := as.Resource(schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}).
		Create(context.Background(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
			"spec": map[string]any{"resourceAttributes": attributes},
		}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ok, _, _ := unstructured.NestedBool(got.Object, "status", "allowed")
	return ok
}

// eventually repeats what the API server refuses while something is new.
func eventually(t testing.TB, what string, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// gone reports that an object is no longer there.
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		err = errors.New("it is still there")
	}
	return err
}

var (
	definitions  = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	secrets      = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	bindings     = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"}
	roleBindings = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	classes      = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}
	gateways     = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}
)
