package deploy

import (
	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
)

// plan is what one Gateway is to run on.
type plan struct {
	gateway *resource.Object
	name    string // of its objects
	class   string
	infra   infrastructure.Infrastructure
	ports   []port
	static  []string // addresses that it asks for
	// frozen says that its parameters are wrong: what runs goes on as it is.
	frozen bool
}

// planner plans, and keeps what a change does not concern.
type planner struct {
	cfg   *Config
	set   *resource.Set
	reads resource.Reads
	plans []*plan
}

// plan returns what the Gateways of a set are to run on, in the order of their
// names.
func (p *planner) plan(set *resource.Set) []*plan {
	if p.set != nil {
		if p.set == set || !p.reads.TouchedBy(resource.ChangesOf(p.set, set, resource.Diff(p.set, set))) {
			p.set = set
			return p.plans
		}
	}
	v := resource.NewView(set)
	p.plans = nil
	for _, o := range v.All(parent.GatewayKind) {
		if parent.Ours(v, o) {
			p.plans = append(p.plans, planOf(v, o))
		}
	}
	p.set, p.reads = set, v.Reads()
	return p.plans
}

func planOf(v *resource.View, o *resource.Object) *plan {
	spec := &o.Spec.(*parent.Gateway).Spec
	p := &plan{gateway: o, class: string(spec.GatewayClassName)}
	p.name = nameOf(o.Name, p.class)
	for _, a := range spec.Addresses {
		if a.Value != "" && parent.Or(a.Type, "IPAddress") == "IPAddress" {
			p.static = append(p.static, a.Value)
		}
	}
	infra, fault := infrastructure.Of(v, o)
	p.infra, p.frozen = infra, fault != nil
	p.ports = portsOf(portNumbers(v, o))
	return p
}

// portNumbers returns the ports of a Gateway's own listeners, and of those that
// ListenerSets add to it.
func portNumbers(v *resource.View, gateway *resource.Object) []int {
	listeners := parent.Listeners(v, gateway)
	for _, s := range parent.SetsOf(v, gateway) {
		listeners = append(listeners, s.Listeners(v)...)
	}
	var out []int
	for _, l := range listeners {
		if l.Attachable() {
			out = append(out, int(l.Spec.Port))
		}
	}
	return out
}

// id returns "namespace/name" of the Gateway.
func (p *plan) id() string { return p.gateway.Namespace + "/" + p.gateway.Name }
