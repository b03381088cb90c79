package istio

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// llmRoute translates the rules of an LLMRoute for the Gateways that it names.
func (p *place) llmRoute(s *llmRouteSpec) {
	host := strings.ToLower(s.Host)
	if !reading.IsHost(host) || strings.Contains(host, "*") {
		p.Fail("host", "write the provider's DNS name", "%q is no host; the route is not served", s.Host)
		return
	}
	b := p.bind("gateways", s.Gateways, []string{host}, nil)
	p.tell(b)
	if len(b.passes) > 0 {
		p.Warn("gateways", "end TLS there: write mode: SIMPLE", "a server of its Gateways passes TLS through, and requests that nobody reads are not routed there")
	}
	p.checkGateways(s)
	if len(s.Rules) == 0 {
		p.Warn("rules", "write rules", "there are no rules; every request gets 404")
	}
	for _, sc := range b.scopes {
		p.offer(sc, p.llmRoutes(s, sc))
	}
}

// checkGateways reports gateways of a rule that the route as a whole does not
// name: they can never hold.
func (p *place) checkGateways(s *llmRouteSpec) {
	named := []string{meshGateway}
	if len(s.Gateways) > 0 {
		named = nil
	}
	for _, g := range s.Gateways {
		named = append(named, gatewayName(g, p.Object.Namespace))
	}
	for i, r := range s.Rules {
		for j, m := range r.Matches {
			for k, g := range m.Gateways {
				if !slices.Contains(named, gatewayName(g, p.Object.Namespace)) {
					p.Warn(fmt.Sprintf("rules[%d].matches[%d].gateways[%d]", i, j, k), "name it in spec.gateways too", "the route does not name gateway %q, so this cannot hold", g)
				}
			}
		}
	}
}

// llmRoutes returns the routes of a scope, in their order; the first that
// takes a request wins.
func (p *place) llmRoutes(s *llmRouteSpec, sc *scope) []*dialect.Route {
	if len(p.Object.Faults) > 0 {
		r := p.closedRoute()
		rank(r.Matches, p.Object, rankLLMRoute, reading.Unread(p.Object))
		return []*dialect.Route{r}
	}
	var out []*dialect.Route
	for i := range s.Rules {
		r := &s.Rules[i]
		at := p.in(index("rules", i))
		matches, closed := at.llmMatches(r.Matches, sc)
		if len(matches) == 0 {
			continue
		}
		rank(matches, p.Object, rankLLMRoute, closed, int64(i))
		action := ir.Action{Closed: closed}
		if closed == nil {
			action = at.llmForward(r, sc)
		}
		out = append(out, &dialect.Route{
			Route: ir.Route{Name: fmt.Sprintf("%v/%s", p.Object.Key, cmp.Or(r.Name, reading.Last(at.At))), Matches: matches, Action: action, Origin: at.Origin("")},
			Owner: p.Object.Key,
		})
		if slices.ContainsFunc(matches, func(m ir.Match) bool { return catchAll(&m) }) {
			break
		}
	}
	return out
}

// llmMatches returns the matches of a rule that can hold in a scope; none
// written take everything. Unlike a VirtualService's, all fields of one must
// hold: what is for a workload's labels is for no gateway without them.
func (p *place) llmMatches(list []llmMatch, sc *scope) ([]ir.Match, *ir.Closed) {
	if len(list) == 0 {
		return []ir.Match{{}}, nil
	}
	var out []ir.Match
	mark := p.Mark()
	for i, m := range list {
		if len(m.Gateways) > 0 && !sc.among(m.Gateways, p.Object.Namespace) || !sc.workload.has(m.SourceLabels) {
			continue
		}
		h := httpMatch{Headers: m.Headers}
		matches, problem := h.matches()
		if problem != nil {
			p.in(index("matches", i)).Fail(problem.field, problem.remedy, "%s; the rule is closed", problem.what)
		}
		out = append(out, matches...)
	}
	return out, p.Since(mark)
}

// llmForward reads where the requests of a rule go. Without any weight all
// backends have the same.
func (p *place) llmForward(r *llmRule, sc *scope) ir.Action {
	f := &ir.Forward{Origin: p.Origin("backendRefs")}
	even := !slices.ContainsFunc(r.BackendRefs, func(b llmBackend) bool { return b.Weight != nil })
	total := 0
	for i := range r.BackendRefs {
		ref := &r.BackendRefs[i]
		at := p.in(index("backendRefs", i))
		b := at.llmBackend(ref, r.Name, sc)
		switch {
		case even:
			b.Weight = 1
		case ref.Weight == nil:
			at.Warn("weight", "write a weight", "the other backends have a weight and this one has none: no request goes there")
		case *ref.Weight < 0:
			at.Fail("weight", "write 0 or more", "the weight is negative; no request goes there")
		default:
			b.Weight = *ref.Weight
		}
		total += b.Weight
		f.Backends = append(f.Backends, b)
	}
	if total == 0 {
		mark := p.Mark()
		p.Fail("backendRefs", "write a backend with a weight", "the rule leads nowhere; it is closed")
		return ir.Action{Closed: p.Since(mark)}
	}
	return ir.Action{Forward: f}
}

// llmBackend resolves one backend of a rule. One that leads nowhere is closed.
func (p *place) llmBackend(r *llmBackend, rule string, sc *scope) ir.Backend {
	b := ir.Backend{Origin: p.Origin("")}
	var problem *trouble
	g := target{rule: rule, llm: true, workload: sc.workload}
	switch o := r.BackendRef; {
	case (r.ProviderHost != "") == (o != nil):
		problem = &trouble{what: "a backend has either providerHost or backendRef", remedy: "write one of them"}
	case o == nil:
		g.host = hostIn(r.ProviderHost, p.Object.Namespace)
	case o.Group != "" || o.Kind != "" && o.Kind != resource.ServiceKind.Kind:
		problem = &trouble{field: "backendRef.kind", what: fmt.Sprintf("backends of kind %s are not supported", o.Kind), remedy: "name a Service"}
	default:
		g.host, g.port = hostIn(o.Name, cmp.Or(o.Namespace, p.Object.Namespace)), o.Port
	}
	if problem == nil {
		b.Upstream, problem = p.t.upstream(g)
	}
	if problem != nil {
		b.Closed = p.nowhere(problem)
		return b
	}
	if r.HostRewrite != "" {
		if strings.ContainsFunc(r.HostRewrite, notHost) {
			b.Closed = p.nowhere(&trouble{field: "hostRewrite", what: fmt.Sprintf("%q is no host", r.HostRewrite), remedy: "write a host name"})
			return b
		}
		b.Steps = []ir.Step{p.step("hostRewrite", ir.PhaseForward, orderHostRewrite, ir.Step{Host: &ir.HostRewrite{Literal: r.HostRewrite}})}
	}
	return b
}
