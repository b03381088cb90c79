package istio

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// entryOf returns the ServiceEntry that has a host, as a workload sees it: one
// of its own namespace before those of others, the oldest first.
func (t *translation) entryOf(host string, w *Workload) *resource.Object {
	var found *resource.Object
	for _, o := range t.v.All(serviceEntryKind) {
		s := &o.Spec.(*serviceEntry).Spec
		if !w.visible(o, s.ExportTo) || !slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			continue
		}
		own := o.Namespace == w.Namespace
		if found == nil || own && found.Namespace != w.Namespace || own == (found.Namespace == w.Namespace) && older(o, found) < 0 {
			found = o
		}
	}
	return found
}

// serviceEntry brings along the upstream of one port of a ServiceEntry.
func (t *translation) serviceEntry(g target, o *resource.Object) (string, *trouble) {
	s := &o.Spec.(*serviceEntry).Spec
	var ports []int
	for _, p := range s.Ports {
		ports = append(ports, p.Number)
	}
	port, problem := choosePort(g.port, ports, o.Key.String())
	if problem != nil {
		return "", problem
	}
	i := slices.Index(ports, port)
	policy, problem := t.policyFor(g, port, o.Namespace)
	if problem != nil {
		return "", problem
	}
	u := &ir.Upstream{
		Name:   fmt.Sprintf("%s:ServiceEntry/%s/%s/%s:%d%s", name, o.Namespace, o.Name, g.host, port, policy.suffix()),
		Origin: o.Origin(fmt.Sprintf("spec.ports[%d]", i)),
	}
	sp := &s.Ports[i]
	switch u.TLS, u.Closed = t.clientTLS(policy, tlsTarget{host: g.host, names: s.SubjectAltNames, inside: s.Location == meshInternal}); {
	case len(o.Faults) > 0:
		u.Closed = reading.Unread(o)
	case u.Closed == nil:
		u.Closed = s.reach(u, g.host, sp, policy.subsetLabels, o)
	}
	if u.TLS == nil && !policy.plain() && sp.secure() {
		u.TLS = &ir.ClientTLS{SNI: g.host, SubjectAltNames: s.SubjectAltNames, Origin: u.Origin}
	}
	policy.apply(u)
	return t.bring(u), nil
}

// secure reports whether a port speaks TLS by its protocol. What an
// application of a mesh would begin itself, the gateway begins: its requests
// have ended their TLS here.
func (p *servicePort) secure() bool {
	return strings.EqualFold(p.Protocol, "HTTPS") || strings.EqualFold(p.Protocol, "TLS")
}

// reach sets where the requests for a host and port go.
func (s *serviceEntrySpec) reach(u *ir.Upstream, host string, p *servicePort, labels map[string]string, o *resource.Object) *ir.Closed {
	closed := func(field, format string, args ...any) *ir.Closed {
		return &ir.Closed{Reason: fmt.Sprintf(format, args...), Origin: o.Origin(field)}
	}
	switch strings.ToUpper(p.Protocol) {
	case "", "HTTP", "HTTPS", "GRPC-WEB", "TLS", "TCP":
	case "HTTP2", "GRPC":
		u.Protocol = ir.ProtocolHTTP2
	default:
		return closed("spec.ports", "protocol %q is not supported", p.Protocol)
	}
	switch {
	case bool(s.WorkloadSelector):
		return closed("spec.workloadSelector", "workloadSelector is not supported")
	case s.Resolution == resolveDynamic || strings.Contains(host, "*"):
		return closed("spec.resolution", "a wildcard host is resolved for each request, which is not supported")
	}
	endpoints := s.Endpoints
	if len(endpoints) == 0 && s.Resolution == resolveStatic {
		for _, a := range s.Addresses {
			endpoints = append(endpoints, entryEndpoint{Address: a})
		}
	}
	if len(endpoints) == 0 {
		if s.Resolution == resolveStatic {
			return closed("spec.endpoints", "resolution is STATIC and there are no endpoints")
		}
		u.Endpoints = []ir.Endpoint{{Host: host, Port: cmp.Or(p.TargetPort, p.Number)}}
		return nil
	}
	for _, e := range endpoints {
		if !hasLabels(e.Labels, labels) {
			continue
		}
		if e.Address == "" || strings.Contains(e.Address, "/") {
			return closed("spec.endpoints", "%q is no address that can be dialled", e.Address)
		}
		if s.Resolution == resolveStatic && net.ParseIP(e.Address) == nil {
			return closed("spec.endpoints", "resolution is STATIC, and %q is no IP address", e.Address)
		}
		u.Endpoints = append(u.Endpoints, ir.Endpoint{
			Host: strings.ToLower(e.Address), Port: cmp.Or(e.Ports[p.Name], p.TargetPort, p.Number), Weight: e.Weight,
		})
	}
	return nil
}

func hasLabels(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// checkEntry reports what of a ServiceEntry leads nowhere.
func (p *place) checkEntry(s *serviceEntrySpec) {
	if len(s.Hosts) == 0 {
		p.Fail("hosts", "write hosts", "the ServiceEntry has no hosts, and nothing can lead there")
	}
	if len(s.Ports) == 0 {
		p.Fail("ports", "write ports", "the ServiceEntry has no ports, and nothing can lead there")
	}
	for i := range s.Ports {
		sp := &s.Ports[i]
		if sp.Number <= 0 || sp.Number > 65535 {
			p.Fail(fmt.Sprintf("ports[%d].number", i), "write one of 1 to 65535", "%d is no port", sp.Number)
		}
		for _, h := range s.Hosts {
			var u ir.Upstream
			if c := s.reach(&u, strings.ToLower(h), sp, nil, p.Object); c != nil {
				p.Fail(strings.TrimPrefix(c.Origin.Field, "spec."), "name hosts and ports that can be dialled", "%s; requests for %s are closed", c.Reason, h)
				return
			}
		}
	}
}
