package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// passes reports whether a server passes TLS through.
func (s *server) passes() bool {
	return s.secure() && s.TLS != nil && s.TLS.Mode == tlsPassthrough
}

// passthrough reads a server that passes TLS through. It shows nothing and asks
// for nothing, so that nothing of the kind may be written.
func (p *place) passthrough(s *server) *ir.Passthrough {
	if s.TLS.serves() {
		p.Fail("tls", "remove the others, or write mode: SIMPLE", "with mode PASSTHROUGH, which is also meant where none is written, TLS is not ended here, and other settings of it cannot hold; the listener is closed")
	}
	return &ir.Passthrough{Origin: p.Origin("tls")}
}

// carry puts the tls routes of a VirtualService behind the doors that pass TLS
// through.
func (p *place) carry(s *virtualServiceSpec, passes []*scope) {
	if len(passes) > 0 && len(s.TLS) == 0 {
		p.Warn("tls", "write tls routes with match.sniHosts", "there are no tls routes; where TLS is passed through, connections for its hosts are closed")
	}
	for _, sc := range passes {
		if len(p.Object.Faults) > 0 {
			p.offerSNI(sc, ir.SNIRoute{Name: p.Object.Key.String(), ServerNames: sc.hosts, Closed: reading.Unread(p.Object), Origin: p.Origin("")})
			continue
		}
		for i := range s.TLS {
			p.in(index("tls", i)).sniRoute(&s.TLS[i], s.Hosts, sc)
		}
	}
}

func (p *place) offerSNI(sc *scope, rt ir.SNIRoute) {
	p.t.f.SNIRoutes = append(p.t.f.SNIRoutes, &dialect.SNIRoute{
		SNIRoute: rt, Listeners: []string{sc.name}, Owner: p.Object.Key, Age: p.Object.Created,
	})
}

// sniRoute offers one tls route in a scope.
func (p *place) sniRoute(r *tlsRoute, hosts []string, sc *scope) {
	mark := p.Mark()
	names := p.sniNames(r.Match, hosts, sc)
	closed := p.Since(mark)
	if len(names) == 0 {
		return
	}
	rt := ir.SNIRoute{Name: fmt.Sprintf("%v/%s", p.Object.Key, reading.Last(p.At)), ServerNames: names, Closed: closed, Origin: p.Origin("")}
	if len(r.Route) == 0 {
		p.Fail("route", "write route with a destination", "the route leads nowhere; it is closed")
	} else if f := p.forward(&httpRoute{Route: r.Route}, sc).Forward; f != nil {
		rt.Forward = *f
	}
	for i := range rt.Forward.Backends {
		p.in(index("route", i)).carriable(&rt.Forward.Backends[i])
	}
	if len(rt.Forward.Backends) == 0 && rt.Closed == nil {
		rt.Closed = p.Since(mark)
	}
	p.offerSNI(sc, rt)
}

// sniNames returns the server names of the matches that can hold in a scope.
func (p *place) sniNames(list []tlsMatch, hosts []string, sc *scope) []string {
	if len(list) == 0 {
		p.Fail("match", "write match with sniHosts", "the route says nothing of server names, and takes no connection")
	}
	var out []string
	for i := range list {
		m, at := &list[i], p.in(index("match", i))
		if !m.takes(sc, p.Object.Namespace) {
			continue
		}
		at.Refuse("destinationSubnets", len(m.DestinationSubnets) > 0)
		if len(m.SNIHosts) == 0 {
			at.Fail("sniHosts", "write server names", "the match has no server names, and takes no connection")
		}
		for j, written := range m.SNIHosts {
			out = append(out, at.narrowed(index("sniHosts", j), written, hosts, sc)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// narrowed returns what of a server name is served in a scope. As the product
// demands, one of the VirtualService's hosts must take it.
func (p *place) narrowed(field, written string, hosts []string, sc *scope) []string {
	name := strings.ToLower(strings.TrimSuffix(written, "."))
	switch {
	case !reading.IsHost(name) || strings.ContainsAny(name, ":[]"):
		p.Fail(field, `write a name, "*.suffix" or "*"`, "%q is no server name; the route is closed", written)
		return nil
	case !slices.ContainsFunc(hosts, func(h string) bool { return covers(hostIn(h, p.Object.Namespace), name) }):
		p.Fail(field, "add it to hosts", "%q is not among the hosts of the VirtualService; the route is closed", written)
		return nil
	}
	var out []string
	for _, h := range sc.hosts {
		if n, meet := narrower(h, name); meet {
			out = append(out, n)
		}
	}
	return out
}

// carriable closes a backend to which a client's TLS cannot be carried as it
// is.
func (p *place) carriable(b *ir.Backend) {
	mark := p.Mark()
	if len(b.Steps) > 0 {
		p.Fail("headers", "remove it", "nothing of what is passed through has headers; what depends on it is closed")
		b.Steps = nil
	}
	for _, u := range p.t.f.Upstreams {
		switch {
		case b.Closed != nil || u.Name != b.Upstream:
		case u.LLM != nil || u.Credential != nil:
			p.Fail("destination.host", "write a ServiceEntry for the host, or end TLS at the Gateway", "an LLMProvider's requests must be read, and TLS is passed through; connections for it are closed")
		case u.TLS != nil && u.TLS.Origin.Kind == destinationRuleKind.Kind:
			p.Fail("destination.host", "write tls.mode: DISABLE in the DestinationRule, or none", "%s begins TLS of its own around that of the client, which is not supported; connections for it are closed", u.TLS.Origin.Object())
		}
	}
	if b.Closed == nil {
		b.Closed = p.Since(mark)
	}
}

// takes reports whether a match can hold in a scope, server names apart.
func (m *tlsMatch) takes(sc *scope, namespace string) bool {
	switch {
	case m.Port != 0 && m.Port != sc.port:
		return false
	case len(m.Gateways) > 0:
		return sc.among(m.Gateways, namespace)
	}
	return sc.workload.has(m.SourceLabels) && (m.SourceNamespace == "" || m.SourceNamespace == sc.workload.Namespace)
}
