package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/kube"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	kubesource "github.com/postern-gateway/postern/internal/source/kube"
	"github.com/postern-gateway/postern/internal/status"
	"github.com/postern-gateway/postern/test/cluster"
)

// patience is how long a test waits for what takes a second: only what never
// comes takes as long.
const patience = 2 * time.Minute

// soon waits until ok, and reports whether that came.
func soon(ok func() bool) bool {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// until is soon, and the test ends where it does not come.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !soon(ok) {
		t.Fatalf("%s: not in time", what)
	}
}

// shared is the cluster of these tests.
var shared cluster.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// place is a namespace of the shared cluster, and what a test does there.
type place struct {
	t         *testing.T
	namespace string
	config    *rest.Config
	client    dynamic.Interface
	objects   *cluster.Objects
}

// opened counts the namespaces: none is ever used again, with -count either.
var opened atomic.Int64

// open makes a namespace of the shared cluster, which knows every family's kinds.
func open(t *testing.T) *place {
	t.Helper()
	c := shared.Cluster(t)
	client, config := c.Client(t)
	p := &place{t: t, config: config, client: client, objects: c.Objects(t)}
	p.namespace = fmt.Sprint(strings.NewReplacer("/", "-", "_", "-").Replace(strings.ToLower(t.Name())), "-", opened.Add(1))
	defined.Do(func() { p.objects.Define("gatewayapi", "gloo", "gloomesh", "envoyai", "istio") })
	p.put("apiVersion: v1\nkind: Namespace\nmetadata: {name: NS}\n")
	return p
}

var defined sync.Once

// put applies YAML, in which NS stands for the namespace.
func (p *place) put(text string) {
	p.t.Helper()
	p.objects.Put(placeholder.ReplaceAllString(text, p.namespace))
}

var placeholder = regexp.MustCompile(`\bNS\b`)

// gvrs are the addresses of the kinds that tests read.
var gvrs = map[string]schema.GroupVersionResource{
	"GatewayClass":     {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"},
	"Gateway":          {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"},
	"ListenerSet":      {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "listenersets"},
	"GRPCRoute":        {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"},
	"HTTPRoute":        {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
	"BackendTLSPolicy": {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "backendtlspolicies"},

	"Gloo VirtualService":   {Group: "gateway.solo.io", Version: "v1", Resource: "virtualservices"},
	"Upstream":              {Group: "gloo.solo.io", Version: "v1", Resource: "upstreams"},
	"RateLimitConfig":       {Group: "ratelimit.solo.io", Version: "v1alpha1", Resource: "ratelimitconfigs"},
	"Mesh RouteTable":       {Group: "networking.gloo.solo.io", Version: "v2", Resource: "routetables"},
	"ExtAuthPolicy":         {Group: "security.policy.gloo.solo.io", Version: "v2", Resource: "extauthpolicies"},
	"AIGatewayRoute":        {Group: "aigateway.envoyproxy.io", Version: "v1beta1", Resource: "aigatewayroutes"},
	"AIServiceBackend":      {Group: "aigateway.envoyproxy.io", Version: "v1beta1", Resource: "aiservicebackends"},
	"BackendSecurityPolicy": {Group: "aigateway.envoyproxy.io", Version: "v1beta1", Resource: "backendsecuritypolicies"},
	"Backend":               {Group: "gateway.envoyproxy.io", Version: "v1alpha1", Resource: "backends"},
	"SecurityPolicy":        {Group: "gateway.envoyproxy.io", Version: "v1alpha1", Resource: "securitypolicies"},
	"Istio VirtualService":  {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	"ServiceEntry":          {Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	"LLMProvider":           {Group: "istio.alibabacloud.com", Version: "v1beta1", Resource: "llmproviders"},

	"ServiceAccount": {Version: "v1", Resource: "serviceaccounts"},
	"Lease":          {Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	"Event":          {Group: "events.k8s.io", Version: "v1", Resource: "events"},
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

func (p *place) api(kind string) dynamic.ResourceInterface {
	r := p.client.Resource(gvrs[kind])
	if kind == "GatewayClass" {
		return r
	}
	return r.Namespace(p.namespace)
}

func (p *place) get(kind, name string) *unstructured.Unstructured {
	p.t.Helper()
	u, err := p.api(kind).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

// await returns an object when ok says so.
func (p *place) await(kind, name, what string, ok func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	p.t.Helper()
	var u *unstructured.Unstructured
	if !soon(func() bool { u = p.get(kind, name); return ok(u) }) {
		b, _ := json.MarshalIndent(u.Object, "", "  ")
		p.t.Fatalf("%s %s: %s: not in time:\n%s", kind, name, what, b)
	}
	return u
}

// awaitIdle waits until a replica has compared all that there is.
func (p *place) awaitIdle(r *replica) {
	p.t.Helper()
	until(p.t, "nothing more to be done", r.statuses.Idle)
}

// plain returns a status without the times in it, as JSON.
func plain(u *unstructured.Unstructured) string {
	c := u.DeepCopy()
	drop(c.Object["status"])
	b, err := json.MarshalIndent(c.Object["status"], "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func drop(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "lastTransitionTime")
		for _, x := range v {
			drop(x)
		}
	case []any:
		for _, x := range v {
			drop(x)
		}
	}
}

// replica follows the cluster and writes statuses as the program does.
type replica struct {
	statuses *kube.Statuses
	requests *requests
	stop     func()
}

// options of a replica.
type options struct {
	dialects []string
	config   *rest.Config // nil: an administrator's
	lead     *kube.Leader // nil: it leads without an election
	log      *slog.Logger
}

// replica starts one, which the test stops.
func (p *place) replica(o options) *replica {
	p.t.Helper()
	if len(o.dialects) == 0 {
		o.dialects = []string{"gatewayapi"}
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	dialects, err := builtin.Select(o.dialects, builtin.Options{})
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
	r := &replica{requests: &requests{}}
	config := rest.CopyConfig(p.config)
	if o.config != nil {
		config = rest.CopyConfig(o.config)
	}
	config.Wrap(r.requests.wrap)
	r.statuses, err = kube.New(kube.Config{
		Client: config, Dialects: dialects, Namespaces: []string{p.namespace}, Reporter: "postern-system", Log: o.log,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = src.Run(ctx, follower(dialects, r.statuses)) })
	work.Go(func() {
		if o.lead == nil {
			r.statuses.Run(ctx)
		} else if err := o.lead.Run(ctx, r.statuses.Run); err != nil {
			p.t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); work.Wait() })
	p.t.Cleanup(r.stop)
	return r
}

// follower translates each update, and offers what comes of it.
func follower(dialects []dialect.Dialect, to *kube.Statuses) func(source.Update) {
	ledger := new(status.Ledger)
	translator, merger := dialect.NewTranslator(dialects), &dialect.Merger{Ledger: ledger}
	return func(u source.Update) {
		if u.Set == nil {
			return
		}
		changes, _ := translator.Update(u.Set)
		for _, c := range changes {
			ledger.Put(status.PassTranslate, c.Place, c.Report)
		}
		ledger.Put(status.PassRead, "source", status.Report{Problems: u.Problems})
		merger.Update(changes)
		to.Offer(u.Set, ledger, ledger.Take())
	}

}

// requests are those that were made of the API server, as "GET /path".
type requests struct {
	mu   sync.Mutex
	list []string
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.list = append(r.list, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		return next.RoundTrip(req)
	})
}

// of counts the requests that begin so, and hold a text.
func (r *requests) of(method, text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, q := range r.list {
		if strings.HasPrefix(q, method) && strings.Contains(q, text) {
			n++
		}
	}
	return n
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
