package program

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/internal/simulate"
	"github.com/postern-gateway/postern/test/cluster"
)

// author creates and changes objects as kubectl does, and hears what the API
// server says.
type author struct {
	t        *testing.T
	client   dynamic.Interface
	mu       sync.Mutex
	warnings []string
}

// HandleWarningHeader takes a warning of the API server.
func (a *author) HandleWarningHeader(_ int, _, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.warnings = append(a.warnings, text)
}

func newAuthor(t *testing.T, c *cluster.Cluster) *author {
	t.Helper()
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	a := &author{t: t}
	cfg.WarningHandler = a
	if a.client, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	return a
}

// apply creates or changes the objects of a text, in their order, and returns
// what the API server says: the first refusal, and the warnings.
func (a *author) apply(text string) (refusal string, warnings string) {
	a.t.Helper()
	return a.send(text, metav1.ApplyOptions{FieldManager: "author", Force: true})
}

// asked reports whether the API server refuses an object that is wrong, with
// what a webhook says. Nothing is changed.
func (a *author) asked(says string) func() bool {
	return func() bool {
		refusal, _ := a.send(strings.NewReplacer("name: guarded", "name: probe", "virtualHost:", "virtualHosts: {}\n  virtualHost:").Replace(guarded("/probe")),
			metav1.ApplyOptions{FieldManager: "author", DryRun: []string{metav1.DryRunAll}})
		return strings.Contains(refusal, says)
	}
}

func (a *author) send(text string, o metav1.ApplyOptions) (refusal, warnings string) {
	a.t.Helper()
	a.mu.Lock()
	a.warnings = nil
	a.mu.Unlock()
	list, err := cluster.Parse(text)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, u := range list {
		gvk := u.GroupVersionKind()
		r := a.client.Resource(schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"}).Namespace(u.GetNamespace())
		if _, err := r.Apply(context.Background(), u.GetName(), u, o); err != nil {
			refusal = err.Error()
			break
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return refusal, strings.Join(a.warnings, "\n")
}

// writePair writes a server's key pair as a mounted Secret has it.
func writePair(t *testing.T, ca *simulate.CA, dir string) {
	t.Helper()
	pair, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var webhookLine = regexp.MustCompile(`postern: webhook at (\S+)\n`)

// validating is the configuration that has an API server ask a webhook.
func validating(url string, ca []byte) string {
	return `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: postern}
webhooks:
- name: check.postern.dev
  clientConfig: {url: "` + url + `", caBundle: ` + base64.StdEncoding.EncodeToString(ca) + `}
  rules: [{apiGroups: [gateway.solo.io, gloo.solo.io, enterprise.gloo.solo.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: ["*"]}]
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 30
  failurePolicy: Fail
`
}

// toProvider is an Upstream with a provider's key, and a route to it.
const toProvider = `
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: openai, namespace: default}
spec: {ai: {openai: {authToken: {secretRef: {name: openai, namespace: default}}}}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: open, namespace: default}
spec: {virtualHost: {domains: [open.example.com], routes: [{routeAction: {single: {upstream: {name: openai}}}}]}}
`

// TestKubernetesWebhook refuses, by a real API server, what check calls errors,
// and says why to who writes it.
func TestKubernetesWebhook(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{})
	objects := c.Objects(t)
	objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	objects.Put(guardedKinds)
	objects.Put(`
apiVersion: v1
kind: Secret
metadata: {name: openai, namespace: default}
stringData: {Authorization: MARKER-key}
`)
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writePair(t, ca, dir)
	p := run(t, nil, settings{kubeconfig: c.Kubeconfig, args: []string{
		"--dialects", "gloo", "--read-only", "--exposed", "deny", "--webhook", "127.0.0.1:0", "--webhook-cert", dir,
	}})
	m := webhookLine.FindStringSubmatch(p.err.String())
	if m == nil {
		t.Fatalf("no webhook; standard error:\n%s", p.err)
	}
	objects.Put(validating(m[1], ca.PEM()))
	a := newAuthor(t, c)
	broken := strings.Replace(guarded("/one"), "name: guarded", "name: broken", 1)
	p.await("the API server asks", a.asked("virtualHosts")) // it takes notice of the configuration by and by
	for _, tc := range []struct {
		name, yaml string
		refused    []string // what the refusal says; none: it is admitted
		warned     string
	}{
		{"a reference to nothing", strings.ReplaceAll(broken, "keys", "nowhere"), []string{`admission webhook "check.postern.dev" denied the request`, "VirtualService default/broken", "nowhere"}, ""},
		{"a misspelt field", strings.Replace(guarded("/one"), "virtualHost:", "virtualHosts: {}\n  virtualHost:", 1), []string{"virtualHosts", "did you mean"}, ""},
		{"what a route refers to", keyAuthConfig, nil, "no Secret has the labels"},
		{"a Secret's owner is not asked", apiKey("stays"), nil, ""},
		{"a route that is right", guarded("/one"), nil, ""},
		{"a secret where none may be", strings.Replace(keyAuthConfig, "headerName: api-key", `headerName: "MARKER key"`, 1), []string{"headerName"}, ""},
		{"a provider's key without a guard", toProvider, []string{"VirtualService default/open", "closed by --exposed=deny"}, ""},
		{"a provider's key with a guard", strings.Replace(toProvider, "domains: [open.example.com]", "domains: [open.example.com], options: {extauth: {configRef: {name: keys, namespace: default}}}", 1), nil, ""},
		{"a Secret that only this object refers to", strings.NewReplacer("name: openai", "name: other").Replace(toProvider), []string{`no Secret "other"`}, ""},
		{"another kind", "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: default}\nspec: 5", []string{"spec"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.t = t
			var refusal, warnings string
			p.await("an answer by one who knows what was created before", func() bool {
				refusal, warnings = a.apply(tc.yaml)
				return refusal == "" || len(tc.refused) > 0 && !slices.ContainsFunc(tc.refused, func(want string) bool { return !strings.Contains(refusal, want) })
			})
			for _, want := range tc.refused {
				if !strings.Contains(refusal, want) {
					t.Errorf("refused with %q, which does not say %q", refusal, want)
				}
			}
			if len(tc.refused) == 0 && refusal != "" {
				t.Errorf("refused: %s", refusal)
			}
			if !strings.Contains(warnings, tc.warned) {
				t.Errorf("warnings: %q", warnings)
			}
			if strings.Contains(refusal+warnings, "MARKER-key") {
				t.Errorf("security row 8: a secret is shown: %s %s", refusal, warnings)
			}
		})
	}
	a.t = t
	t.Run("an old fault does not hinder a change elsewhere", func(t *testing.T) {
		objects.Delete(objects.Parsed(validating(m[1], ca.PEM()))[0])
		p.await("nobody asks", func() bool { return !a.asked("virtualHosts")() })
		objects.Put(strings.ReplaceAll(broken, "keys", "nowhere"))
		p.await("it is read", func() bool { return strings.Contains(p.err.String(), "VirtualService default/broken") })
		objects.Put(validating(m[1], ca.PEM()))
		p.await("the API server asks again", a.asked("virtualHosts"))
		p.await("the change is admitted", func() bool {
			refusal, _ := a.apply(strings.NewReplacer("keys", "nowhere", "/one", "/two").Replace(broken))
			return refusal == ""
		})
	})
	t.Run("its certificate is replaced", func(t *testing.T) {
		other, err := simulate.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		writePair(t, other, dir)
		objects.Put(validating(m[1], other.PEM()))
		p.await("the new one is trusted", a.asked("virtualHosts"))
	})
}
