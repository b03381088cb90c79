package kube_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/kube"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	kubesource "github.com/postern-gateway/postern/internal/source/kube"
	"github.com/postern-gateway/postern/internal/status"
	"github.com/postern-gateway/postern/test/cluster"
)

// keepAccounts follows the namespace and keeps accounts, until the test ends.
func (p *place) keepAccounts(log *slog.Logger) {
	p.t.Helper()
	dialects, err := builtin.Select([]string{"gatewayapi"}, builtin.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	kinds := builtin.Kinds(dialects)
	src, err := kubesource.New(kubesource.Config{
		Client: p.config, Kinds: kinds, Store: secret.NewStore(), Log: slog.New(slog.DiscardHandler),
		Decoder: resource.NewDecoder(kinds, resource.Options{EnvMode: resource.EnvRefuse}), Namespaces: []string{p.namespace},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	accounts, err := kube.NewAccounts(kube.Config{Client: p.config, Log: log})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		_ = src.Run(ctx, func(u source.Update) { accounts.Offer(u.Set, new(status.Ledger), status.News{}) })
	})
	work.Go(func() { accounts.Run(ctx) })
	p.t.Cleanup(func() { cancel(); work.Wait() })
}

func TestAccounts(t *testing.T) {
	p := open(t)
	p.put(`apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: class-NS}
spec: {controllerName: postern.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: other-NS}
spec: {controllerName: example.com/other}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: taken-class-NS, namespace: NS, labels: {theirs: "yes"}}
---
` + gatewayWith("edge", "class-NS", "{labels: {team: red}, annotations: {note: first}}") +
		"---\n" + gatewayWith("taken", "class-NS", "{labels: {team: red}}") +
		"---\n" + gatewayWith("foreign", "other-NS", "{labels: {team: red}}"))
	told := make(chan string, 16)
	p.keepAccounts(slog.New(slog.NewTextHandler(lines(told), nil)))

	name := "edge-class-" + p.namespace
	sa := p.account(name, "the labels", func(u *unstructured.Unstructured) bool { return u.GetLabels()["team"] == "red" })
	if sa.GetLabels()["gateway.networking.k8s.io/gateway-name"] != "edge" || sa.GetAnnotations()["note"] != "first" ||
		len(sa.GetOwnerReferences()) != 1 || sa.GetOwnerReferences()[0].Name != "edge" {
		t.Errorf("%v", sa.Object["metadata"])
	}
	p.put(gatewayWith("edge", "class-NS", "{labels: {team: blue, more: label}}"))
	p.account(name, "the change", func(u *unstructured.Unstructured) bool {
		return u.GetLabels()["team"] == "blue" && u.GetLabels()["more"] == "label" && len(u.GetAnnotations()) == 0
	})
	select {
	case line := <-told:
		if !strings.Contains(line, "is not ours") || !strings.Contains(line, "/taken") {
			t.Error(line)
		}
	case <-time.After(patience):
		t.Error("nobody is told of the account that is another's")
	}
	if u := p.get("ServiceAccount", "taken-class-"+p.namespace); len(u.GetLabels()) != 1 || u.GetLabels()["theirs"] != "yes" {
		t.Errorf("another's account was changed: %v", u.GetLabels())
	}
	if _, err := p.api("ServiceAccount").Get(context.Background(), "foreign-other-"+p.namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("another class's Gateway has an account: %v", err)
	}
}

// account returns a ServiceAccount when ok says so.
func (p *place) account(name, what string, ok func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	p.t.Helper()
	return p.objects.Await(cluster.Reference{Version: "v1", Kind: "ServiceAccount", Namespace: p.namespace, Name: name}, what, ok)
}

// lines is a writer that hands on what is written, as far as someone listens.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

// gatewayWith is a Gateway with spec.infrastructure in YAML's flow style.
func gatewayWith(name, class, infrastructure string) string {
	return `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ` + name + `, namespace: NS}
spec:
  gatewayClassName: ` + class + `
  infrastructure: ` + infrastructure + `
  listeners: [{name: http, protocol: HTTP, port: 8080}]
`
}
