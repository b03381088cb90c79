package istio

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// serviceDomain is what the names of Services end in.
const serviceDomain = ".svc.cluster.local"

// hostIn returns a host in full: a name without a dot is a Service's of the
// namespace in which it was written.
func hostIn(host, namespace string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host == "*" || strings.Contains(host, ".") {
		return host
	}
	return host + "." + namespace + serviceDomain
}

// serviceOf returns the Service that a full host names.
func serviceOf(host string) (namespace, name string, ok bool) {
	rest, ok := strings.CutSuffix(host, serviceDomain)
	name, namespace, two := strings.Cut(rest, ".")
	return namespace, name, ok && two && name != "" && namespace != "" && !strings.Contains(namespace, ".")
}

// target is a destination that is being resolved for one workload.
type target struct {
	host     string // in full
	port     int    // 0: the only one
	subset   string
	workload *Workload
	// llm says that an LLMRoute leads there, by the rule of this name: a
	// provider is then meant before anything else of its host.
	llm  bool
	rule string
}

// upstream returns the name of the upstream that a target means: a Service, a
// ServiceEntry or an LLMProvider, in this order.
func (t *translation) upstream(g target) (string, *trouble) {
	if g.llm {
		if o := t.providerOf(g.host, g.workload); o != nil {
			return t.provider(g, o)
		}
	}
	if ns, name, ok := serviceOf(g.host); ok && t.v.Body(resource.ServiceKind, ns, name) != nil {
		return t.service(g, ns, name)
	}
	if o := t.entryOf(g.host, g.workload); o != nil {
		return t.serviceEntry(g, o)
	}
	if o := t.providerOf(g.host, g.workload); o != nil {
		return t.provider(g, o)
	}
	if _, _, ok := serviceOf(g.host); ok && t.opts.Mesh != nil {
		return t.unseen(g), nil
	}
	what := fmt.Sprintf("no Service, ServiceEntry or LLMProvider has the host %q", g.host)
	return "", &trouble{what: what, remedy: t.nearestHost(g.host)}
}

// nearestHost suggests a host that leads somewhere.
func (t *translation) nearestHost(want string) string {
	var names []string
	if ns, _, ok := serviceOf(want); ok {
		for _, o := range t.v.In(resource.ServiceKind, ns) {
			names = append(names, o.Name+"."+ns+serviceDomain)
		}
	}
	for _, o := range t.v.All(serviceEntryKind) {
		names = append(names, o.Spec.(*serviceEntry).Spec.Hosts...)
	}
	for _, o := range t.v.All(llmProviderKind) {
		names = append(names, o.Spec.(*llmProvider).Spec.Host)
	}
	if s := dialect.Suggest(want, names); s != "" {
		return s
	}
	return "create it, or correct the host"
}

// choosePort returns the port that is meant; without one, the only port.
func choosePort(want int, ports []int, whose string) (int, *trouble) {
	switch {
	case want == 0 && len(ports) == 1:
		return ports[0], nil
	case want == 0:
		return 0, &trouble{what: fmt.Sprintf("%s has %d ports, and none is named", whose, len(ports)), remedy: "write port.number"}
	case !slices.Contains(ports, want):
		return 0, &trouble{what: fmt.Sprintf("%s has no port %d", whose, want), remedy: fmt.Sprintf("its ports are %v", ports)}
	}
	return want, nil
}

// unseen brings along the upstream of a Service whose object is not there: on
// the workload's side, the name of the egress gateway is enough.
func (t *translation) unseen(g target) string {
	port := cmp.Or(g.port, httpPort)
	return t.bring(&ir.Upstream{
		Name: fmt.Sprintf("%s:%s:%d", name, g.host, port), Endpoints: []ir.Endpoint{{Host: g.host, Port: port}},
		TLS: t.meshTLS(&policy{}), Origin: ir.Origin{Kind: "--mesh", Name: g.host},
	})
}

const httpPort = 80

// service brings along the upstream of a Service's port.
func (t *translation) service(g target, namespace, name string) (string, *trouble) {
	_, svc := service.Read(t.v, namespace, name)
	port := g.port
	if len(svc.Spec.Ports) > 0 || port == 0 {
		var ports []int
		for _, p := range svc.Spec.Ports {
			ports = append(ports, p.Port)
		}
		var problem *trouble
		if g.llm && g.port == 0 && slices.Contains(ports, httpPort) {
			port = httpPort // as the request came
		}
		if port, problem = choosePort(port, ports, fmt.Sprintf("Service %s/%s", namespace, name)); problem != nil {
			return "", problem
		}
	}
	policy, problem := t.policyFor(g, port, namespace)
	if problem != nil {
		return "", problem
	}
	if len(policy.subsetLabels) > 0 {
		return "", &trouble{what: fmt.Sprintf("subset %q selects pods by their labels, which a gateway does not see", g.subset), remedy: "make a Service for the subset"}
	}
	ref := service.Ref{Namespace: namespace, Name: name, Port: port}
	tls, closed := t.clientTLS(policy, tlsTarget{host: g.host, inside: true})
	u, err := service.Upstream(t.v, ref, service.Options{Dialect: nameOf, TLS: tls})
	if err != nil {
		if e := (*service.Error)(nil); errors.As(err, &e) {
			return "", &trouble{what: e.What, remedy: e.Remedy}
		}
		return "", &trouble{what: err.Error(), remedy: "correct the reference"}
	}
	u.Name += policy.suffix()
	u.Closed = closed
	policy.apply(u)
	return t.bring(u), nil
}

// nameOf is how upstreams of Services are told from other dialects'.
const nameOf = name

// bring adds an upstream to the fragment, once.
func (t *translation) bring(u *ir.Upstream) string {
	if !slices.ContainsFunc(t.f.Upstreams, func(other *ir.Upstream) bool { return other.Name == u.Name }) {
		t.f.Upstreams = append(t.f.Upstreams, u)
	}
	return u.Name
}
