package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// meshGateway is the reserved name for the sidecars of a mesh.
const meshGateway = "mesh"

// scope is a door that an object's routes are served behind: for these hosts,
// by way of these Gateways.
type scope struct {
	*door
	hosts    []string
	gateways []string // "namespace/name", or "mesh"
}

func (sc *scope) scheme() string {
	if sc.server.secure() {
		return "https"
	}
	return "http"
}

// among reports whether one of the names of gateways, as written in a
// namespace, is a way to the scope.
func (sc *scope) among(names []string, namespace string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(sc.gateways, gatewayName(n, namespace)) })
}

// gatewayName returns the full name of a Gateway that is written in a
// namespace: "name", "namespace/name", or the older "name.namespace.svc...".
func gatewayName(written, namespace string) string {
	switch {
	case written == meshGateway, strings.Contains(written, "/"):
		return written
	}
	if ns, n, ok := serviceOf(written); ok {
		return ns + "/" + n
	}
	return namespace + "/" + written
}

// bound is what came of a list of gateways.
type bound struct {
	scopes []*scope
	// passes are those where TLS is passed through.
	passes []*scope
	// mesh says that sidecars are among them, elsewhere that a Gateway is
	// another workload's, told that a name that is not there was reported.
	mesh, elsewhere, told bool
}

// bind returns where an object is served that names gateways and hosts.
// Nothing written means sidecars. at is the path of the list.
func (p *place) bind(at string, gateways, hosts, exportTo []string) *bound {
	out := &bound{mesh: len(gateways) == 0}
	for i, written := range gateways {
		full := gatewayName(written, p.Object.Namespace)
		out.mesh = out.mesh || full == meshGateway
		if full == meshGateway || p.t.opts.Mesh != nil {
			continue
		}
		ns, n, _ := strings.Cut(full, "/")
		o := p.t.v.Get(gatewayKind, ns, n)
		if o == nil {
			p.Fail(index(at, i), reading.Suggest(p.t.v, gatewayKind, ns, n), "no Gateway %q in %s; nothing is served there", n, ns)
			out.told = true
			continue
		}
		w := p.t.workloadOf(o)
		if w == nil {
			out.elsewhere = true
			continue
		}
		if !w.visible(p.Object, exportTo) {
			p.Warn("exportTo", "export it to "+w.Namespace, "it is not exported to %s, where Gateway %s runs; nothing is served there", w.Namespace, full)
			out.told = true
			continue
		}
		out.join(p.t.entries(o, w), full, p.Object.Namespace, hosts)
	}
	if out.mesh && p.t.opts.Mesh != nil && p.t.opts.Workload.visible(p.Object, exportTo) {
		p.t.joinMesh(out, hosts)
	}
	return out
}

// join adds what the entries of a Gateway serve of the hosts.
func (b *bound) join(entries []*entry, gateway, namespace string, hosts []string) {
	for _, e := range entries {
		var names []string
		for _, h := range hosts {
			names = append(names, e.hosts(namespace, h)...)
		}
		if len(names) == 0 {
			continue
		}
		list := &b.scopes
		if e.server.passes() {
			list = &b.passes
		}
		i := slices.IndexFunc(*list, func(sc *scope) bool { return sc.name == e.name })
		if i < 0 {
			*list, i = append(*list, &scope{door: e.door}), len(*list)
		}
		sc := (*list)[i]
		sc.hosts = append(sc.hosts, names...)
		slices.Sort(sc.hosts)
		sc.hosts = slices.Compact(sc.hosts)
		if !slices.Contains(sc.gateways, gateway) {
			sc.gateways = append(sc.gateways, gateway)
		}
	}
}

// tell reports an object that is served nowhere.
func (p *place) tell(b *bound) {
	if len(b.scopes)+len(b.passes) > 0 || b.told || p.t.opts.Mesh != nil {
		return
	}
	switch {
	case b.elsewhere:
		p.Warn("gateways", "serve it by a gateway with other --workload-labels", "its Gateways run on other workloads; it is not served here")
	case b.mesh:
		p.Warn("gateways", "name a Gateway", "it is for the sidecars of a mesh alone, and is not served here")
	default:
		p.Warn("gateways", "add a host to a server of the Gateway, or correct the hosts", "no server of its Gateways serves its hosts")
	}
}

// offer puts routes behind the door of a scope.
func (p *place) offer(sc *scope, routes []*dialect.Route) {
	if len(routes) == 0 {
		return
	}
	p.t.f.Hosts = append(p.t.f.Hosts, &dialect.VirtualHost{
		Listeners: []string{sc.name}, Hostnames: sc.hosts, Routes: routes,
		Owner: p.Object.Key, Age: p.Object.Created, Origin: p.Origin(""),
	})
}

// The ranks of what serves one host.
const (
	rankVirtualService = iota
	rankLLMRoute
	rankLLMProvider
)

// order ranks the routes of one host: what takes every request comes last, as
// in pilot; then by kind, then the oldest object, then by its name and
// namespace.
func order(o *resource.Object, rank int, last bool) ir.Order {
	out := ir.Order{0, int64(rank), 0}
	if last {
		out[0] = 1
	}
	if !o.Created.IsZero() {
		out[2] = o.Created.UnixNano()
	}
	return out.Text(o.Name + "." + o.Namespace)
}

// rank gives matches their order among all of a host. Those of a closed route
// keep their place: they may take everything only because nobody knows better.
func rank(matches []ir.Match, o *resource.Object, kind int, closed *ir.Closed, place ...int64) {
	for i := range matches {
		matches[i].Order = append(append(order(o, kind, closed == nil && catchAll(&matches[i])), place...), int64(i))
	}
}

// hostnames returns hosts in their canonical form; those that are none are
// reported and left out.
func (p *place) hostnames(at string, list []string) []string {
	var out []string
	for i, written := range list {
		h := hostIn(written, p.Object.Namespace)
		if !reading.IsHost(h) {
			p.Fail(index(at, i), `write a name, "*.suffix" or "*"`, "%q is no host; it is left out", written)
			continue
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// index returns the path of an element of a list.
func index(at string, i int) string {
	return fmt.Sprintf("%s[%d]", at, i)
}
