package gloomesh

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// virtualDestination makes an upstream of each port, out of those of the
// Services and ExternalServices that it selects. What spreads over clusters
// is here the one cluster's.
func (p *place) virtualDestination(s *virtualDestinationSpec) {
	mark := p.Mark()
	p.Refuse("externalWorkloads", s.ExternalWorkloads)
	p.Ignore("clientMode", s.ClientMode)
	if len(s.Services)+len(s.ExternalServices) == 0 {
		p.Fail("services", "write services, or externalServices", "the VirtualDestination selects nothing")
	}
	if len(s.Ports) == 0 {
		p.Fail("ports", "write ports", "the VirtualDestination has no ports, and nothing can lead there")
	}
	closed := p.Since(mark)
	seen := map[int]bool{}
	for i, v := range s.Ports {
		at := p.in(fmt.Sprintf("ports[%d]", i))
		if seen[v.Number] {
			at.Fail("number", "give each port a number of its own", "port %d is written twice; the first holds", v.Number)
			continue
		}
		seen[v.Number] = true
		u := &ir.Upstream{
			Name:   upstreamName(virtualDestinationKind, p.Object.Namespace, p.Object.Name, v.Number),
			Origin: at.Origin(""), Closed: closed,
		}
		to := v.TargetPort
		if to == nil || *to == (portRef{}) {
			to = &portRef{Number: v.Number}
		}
		if tier := at.members(s, to); len(tier) > 0 {
			u.Tiers = [][]ir.TierMember{tier}
		} else if u.Closed == nil {
			at.Fail("", "correct the selectors, or targetPort", "nothing that is selected has the port; requests for it are closed")
			u.Closed = &ir.Closed{Reason: "nothing that is selected has the port", Origin: u.Origin}
		}
		if len(p.Object.Faults) > 0 {
			u.Closed = reading.Unread(p.Object)
		}
		p.t.f.Upstreams = append(p.t.f.Upstreams, u)
	}
}

// members returns the upstreams behind one port.
func (p *place) members(s *virtualDestinationSpec, to *portRef) []ir.TierMember {
	var out []ir.TierMember
	add := func(name string, problem *trouble) {
		if problem == nil {
			out = append(out, ir.TierMember{Upstream: name})
		}
	}
	each := func(gk resource.GroupKind, list []selector, use func(*resource.Object)) {
		for _, o := range p.t.v.All(gk) {
			for i := range list {
				if p.t.picks(&list[i], o, p.Object.Namespace) {
					use(o)
					break
				}
			}
		}
	}
	if len(s.Services) > 0 {
		each(resource.ServiceKind, s.Services, func(o *resource.Object) {
			add(p.t.service(objectRef{Name: o.Name, Namespace: o.Namespace}, to))
		})
	}
	if len(s.ExternalServices) > 0 {
		each(externalServiceKind, s.ExternalServices, func(o *resource.Object) {
			add(p.t.declared(externalServiceKind, objectRef{Name: o.Name, Namespace: o.Namespace}, to))
		})
	}
	return out
}
