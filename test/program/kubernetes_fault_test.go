package program

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	state "github.com/postern-gateway/postern/internal/status"
	"github.com/postern-gateway/postern/test/cluster"
)

// faulty is two replicas on one cluster, of which the second is reached by a
// link that can be cut, and callers that never rest.
type faulty struct {
	t        *testing.T
	cluster  *cluster.Cluster
	objects  *cluster.Objects
	link     *link
	replicas []*program
	redirect []string // addresses of the Gateway
	callers  *callers
	changes  int
}

// gatewayPort is the port of the Gateway beside the Gloo routes.
const gatewayPort = "9091"

func newFaulty(t *testing.T) *faulty {
	c := cluster.ForTest(t, cluster.Options{})
	f := &faulty{t: t, cluster: c, objects: c.Objects(t), link: newLink(t, c)}
	f.objects.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}")
	f.objects.Put(guardedKinds)
	f.objects.Define("gatewayapi")
	for _, o := range []string{keyAuthConfig, guarded("/change-0"), apiKey("stays"), redirecting("gw", "postern.dev/gateway-controller", gatewayPort)} {
		f.objects.Put(o)
	}
	var calls []call
	for _, kubeconfig := range []string{c.Kubeconfig, f.link.kubeconfig} {
		gw := freeAddr(t)
		p := run(t, nil, settings{kubeconfig: kubeconfig, args: []string{
			"--dialects", "gloo,gatewayapi", "--access-log", "", "--port", gatewayPort + "=" + gw, "--leader-election-namespace", "default",
		}})
		f.replicas, f.redirect = append(f.replicas, p), append(f.redirect, gw)
		addr := p.addr("8080")
		calls = append(calls,
			call{addr, "/always", "stays", func(status int, _ time.Time) bool { return status == 200 }},
			call{addr, "/always", "", func(status int, _ time.Time) bool { return status == 401 }},
			call{addr, "/always", "unknown", func(status int, _ time.Time) bool { return status == 401 }})
	}
	f.callers = callAll(t, 100, calls...)
	return f
}

// converge changes objects, and waits until every replica serves that and
// statuses tell of it.
func (f *faulty) converge(when string) {
	f.t.Helper()
	f.changes++
	path := fmt.Sprint("/change-", f.changes)
	f.objects.Put(guarded(path))
	host := fmt.Sprintf("change-%d.example.com", f.changes)
	f.objects.Put(redirectTo(host))
	for i, p := range f.replicas {
		p.await(when+": it is told that the API server answers", p.hears)
		q := request{url: "http://" + p.addr("8080") + path, header: map[string]string{"api-key": "MARKER-stays"}}
		awaitReply(f.t, fmt.Sprintf("%s: replica %d serves a change", when, i), q, status(200))
		f.redirects(when, i, host)
	}
	f.told(when)
}

// hears reports whether the status says nothing of an API server that is away.
func (p *program) hears() bool {
	p.t.Helper()
	return !slices.ContainsFunc(p.report().Problems, func(s state.Problem) bool { return strings.Contains(s.What, "does not answer") })
}

// redirects waits until a replica redirects to a host.
func (f *faulty) redirects(when string, replica int, host string) {
	f.t.Helper()
	awaitReply(f.t, fmt.Sprintf("%s: replica %d redirects to %s", when, replica, host), request{url: "http://" + f.redirect[replica] + "/"},
		func(r reply) bool { return strings.Contains(r.header.Get("Location"), host) })
}

// told waits until the status of the route is of its last generation.
func (f *faulty) told(when string) {
	f.t.Helper()
	ref := cluster.Reference{Version: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Namespace: "default", Name: "gw"}
	f.objects.Await(ref, when+": the status of the change", func(u *unstructured.Unstructured) bool {
		parents, _, _ := unstructured.NestedSlice(u.Object, "status", "parents")
		for _, p := range parents {
			conditions, _, _ := unstructured.NestedSlice(p.(map[string]any), "conditions")
			for _, c := range conditions {
				if c := c.(map[string]any); c["type"] == "Accepted" {
					return c["status"] == "True" && c["observedGeneration"] == u.GetGeneration()
				}
			}
		}
		return false
	})
}

// redirectTo is the route of the Gateway gw.
func redirectTo(host string) string {
	all := strings.Split(redirecting("gw", "postern.dev/gateway-controller", gatewayPort), "---")
	return strings.ReplaceAll(all[len(all)-1], "hostname: example.com", "hostname: "+host)
}

// TestKubernetesFaults takes away one part after the other of what two
// replicas live on. They serve on, no request fails, no route opens, and when
// the part is back, what has changed meanwhile is served and told.
func TestKubernetesFaults(t *testing.T) {
	f := newFaulty(t)
	f.converge("at first")
	away := func(p *program) { p.await("it is told that the API server is away", func() bool { return !p.hears() }) }
	for _, fault := range []struct {
		name string
		do   func()
		undo func()
	}{
		{"the API server is killed", func() {
			f.cluster.Kill("kube-apiserver")
			away(f.replicas[0])
		}, func() {
			if err := f.cluster.Restart(context.Background(), "kube-apiserver"); err != nil {
				t.Fatal(err)
			}
		}},
		{"the API server hangs", func() { f.cluster.Pause("kube-apiserver") }, func() { f.cluster.Resume("kube-apiserver") }},
		{"etcd hangs", func() { f.cluster.Pause("etcd") }, func() { f.cluster.Resume("etcd") }},
		{"watches are cut", func() {
			f.link.cut()
			away(f.replicas[1])
			f.objects.Put(redirectTo("meanwhile.example.com")) // the first alone hears
			f.redirects("cut off", 0, "meanwhile")
		}, func() {
			f.link.mend()
			f.redirects("mended", 1, "meanwhile")
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			fault.do()
			f.callers.more(f.replicas[0], 100)
			fault.undo()
			f.converge("afterwards")
		})
	}
	t.Run("the version of a kind is switched", func(t *testing.T) { f.switchVersion() })
	f.callers.end(t)
	t.Run("the definition of a policy is removed", func(t *testing.T) { f.removeDefinition() })
}

// serveVersions serves some versions of HTTPRoute, of v1 and v1beta1.
func (f *faulty) serveVersions(served ...string) {
	f.t.Helper()
	text, err := os.ReadFile("../../deploy/crds/gatewayapi.yaml")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, u := range f.objects.Parsed(string(text)) {
		if u.GetName() != "httproutes.gateway.networking.k8s.io" {
			continue
		}
		versions, _, _ := unstructured.NestedSlice(u.Object, "spec", "versions")
		for _, v := range versions {
			v := v.(map[string]any)
			v["served"] = strings.Contains(strings.Join(served, " ")+" ", v["name"].(string)+" ")
		}
		_ = unstructured.SetNestedSlice(u.Object, versions, "spec", "versions")
		f.objects.PutObject(u)
	}
}

// switchVersion takes away the version of HTTPRoute that is read, while one of
// the replicas cannot hear of it: each reads another one, and both serve on.
func (f *faulty) switchVersion() {
	f.link.cut()
	f.serveVersions("v1beta1")
	beta := strings.ReplaceAll(redirectTo("beta.example.com"), "networking.k8s.io/v1\nkind: HTTPRoute", "networking.k8s.io/v1beta1\nkind: HTTPRoute")
	f.objects.Put(beta)
	f.redirects("another version", 0, "beta")
	f.callers.more(f.replicas[0], 50)
	if got := send(f.t, request{url: "http://" + f.redirect[1] + "/"}); got.status != http.StatusMovedPermanently {
		f.t.Errorf("the replica that still reads the other version: %v", got)
	}
	f.link.mend()
	f.redirects("the other hears of it", 1, "beta")
	f.serveVersions("v1", "v1beta1")
	f.converge("both versions again")
}

// removeDefinition removes what a route is protected by, with its definition:
// the route is closed, and open again for callers with a key when it is back.
func (f *faulty) removeDefinition() {
	crd := f.objects.Parsed(cluster.Definition("enterprise.gloo.solo.io", "v1", "AuthConfig", "authconfigs", false))[0]
	f.objects.Delete(crd)
	ask := func(p *program, key string) request {
		return request{url: "http://" + p.addr("8080") + "/always", header: map[string]string{"api-key": key}}
	}
	for _, p := range f.replicas {
		awaitReply(f.t, "it is closed", ask(p, "MARKER-stays"), func(r reply) bool {
			if anonymous := send(f.t, ask(p, "")); anonymous.status == 200 {
				f.t.Fatal("security row 9: the route is open without its policy")
			}
			return r.status != 200
		})
	}
	f.objects.Put(guardedKinds)
	f.objects.Put(keyAuthConfig)
	for _, p := range f.replicas {
		awaitReply(f.t, "it serves again", ask(p, "MARKER-stays"), status(200))
		if got := send(f.t, ask(p, "")); got.status != 401 {
			f.t.Errorf("without a key: %v", got)
		}
	}
	f.converge("the definition is back")
}
