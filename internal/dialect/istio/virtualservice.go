package istio

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// virtualService translates a VirtualService with those that it delegates to.
// One without hosts is a delegate, and translated where others refer to it.
func (p *place) virtualService(s *virtualServiceSpec) {
	if len(s.Hosts) == 0 {
		if len(s.Gateways) > 0 {
			p.Fail("hosts", "write hosts, or remove gateways from a delegate", "the VirtualService has gateways and no hosts; it is not served")
		}
		return
	}
	b := p.bind("gateways", s.Gateways, p.in("").hostnames("hosts", s.Hosts), s.ExportTo)
	p.tell(b)
	if len(b.scopes)+len(b.passes) > 0 && len(s.TCP) > 0 {
		p.Fail("tcp", "write http, or tls", "tcp routes are not supported and are not served")
	}
	if len(b.scopes) > 0 && len(b.passes) == 0 && len(s.TLS) > 0 {
		p.Fail("tls", "write http, or tls.mode: PASSTHROUGH on a server", "tls routes are for servers that pass TLS through, and none of these serves its hosts; they are not served")
	}
	p.carry(s, b.passes)
	if len(b.scopes) > 0 && len(s.HTTP) == 0 && len(b.passes) == 0 {
		p.Warn("http", "write routes", "there are no http routes; every request gets 404")
	}
	for _, sc := range b.scopes {
		p.offer(sc, p.routes(s, sc))
	}
}

// leaf is a route that answers by itself, with what a delegation made of it.
type leaf struct {
	p       *place // where its route is written
	route   httpRoute
	matches []ir.Match
	name    string
	closed  *ir.Closed
}

// routes returns the routes of a VirtualService in a scope, in their order. A
// match that takes everything ends the list: what follows is never reached.
func (p *place) routes(s *virtualServiceSpec, sc *scope) []*dialect.Route {
	if len(p.Object.Faults) > 0 {
		return []*dialect.Route{p.closedRoute()}
	}
	var out []*dialect.Route
	for i := range s.HTTP {
		at := p.in(index("http", i))
		for j, l := range at.leaves(&s.HTTP[i], sc) {
			rank(l.matches, p.Object, rankVirtualService, l.closed, int64(i), int64(j))
			out = append(out, p.built(l, sc)...)
			if slices.ContainsFunc(l.matches, func(m ir.Match) bool { return catchAll(&m) }) {
				return out
			}
		}
	}
	return out
}

// closedRoute answers every request of an object that could not be read.
func (p *place) closedRoute() *dialect.Route {
	matches := []ir.Match{{}}
	rank(matches, p.Object, rankVirtualService, reading.Unread(p.Object))
	return &dialect.Route{
		Route: ir.Route{Name: p.Object.Key.String(), Matches: matches, Action: ir.Action{Closed: reading.Unread(p.Object)}, Origin: p.Object.Origin("")},
		Owner: p.Object.Key,
	}
}

// leaves returns what a route comes to in a scope: itself, or the routes of
// the VirtualService that it delegates to.
func (p *place) leaves(r *httpRoute, sc *scope) []*leaf {
	own := &leaf{p: p, route: *r, name: cmp.Or(r.Name, reading.Last(p.At))}
	own.matches, own.closed = p.matched(r.Match, sc)
	switch {
	case len(own.matches) == 0:
		return nil
	case own.closed != nil:
		return []*leaf{own}
	case r.Delegate == nil:
		return []*leaf{own}
	}
	mark := p.Mark()
	child := p.delegated(r)
	if child == nil {
		own.closed = p.Since(mark)
		return []*leaf{own}
	}
	return p.below(own, child, sc)
}

// matched returns the matches of a route that can hold in a scope; none
// written take everything.
func (p *place) matched(list []httpMatch, sc *scope) ([]ir.Match, *ir.Closed) {
	if len(list) == 0 {
		return []ir.Match{{}}, nil
	}
	var out []ir.Match
	mark := p.Mark()
	for i := range list {
		at := p.in(index("match", i))
		fits, problem := list[i].takes(sc, p.Object.Namespace)
		if problem != nil {
			at.Fail("scheme", problem.remedy, "%s; the route is closed", problem.what)
		}
		if !fits {
			continue
		}
		m, problem := list[i].matches()
		if problem != nil {
			at.Fail(problem.field, problem.remedy, "%s; the route is closed", problem.what)
		}
		out = append(out, m...)
	}
	return out, p.Since(mark)
}

// delegated finds the VirtualService that a route hands over to.
func (p *place) delegated(r *httpRoute) *resource.Object {
	at := p.in("delegate")
	ns := cmp.Or(r.Delegate.Namespace, p.Object.Namespace)
	o := p.t.v.Get(virtualServiceKind, ns, r.Delegate.Name)
	switch {
	case len(r.Route) > 0 || r.Redirect != nil || r.DirectResponse != nil:
		p.Fail("delegate", "keep one of them", "a route with delegate has no action of its own; it is closed")
		return nil
	case o == nil:
		at.Fail("name", reading.Suggest(p.t.v, virtualServiceKind, ns, r.Delegate.Name), "no VirtualService %q in %s; the route is closed", r.Delegate.Name, ns)
		return nil
	case len(o.Spec.(*virtualService).Spec.Hosts) > 0:
		at.Fail("name", "remove hosts from it", "%v has hosts, and so cannot be delegated to; the route is closed", o.Key)
		return nil
	case !exported(o.Spec.(*virtualService).Spec.ExportTo, ns, p.Object.Namespace):
		at.Fail("name", "export it to "+p.Object.Namespace, "%v is not exported to %s; the route is closed", o.Key, p.Object.Namespace)
		return nil
	}
	return o
}

// below returns the routes of a delegate within the matches above them. What
// is above gives them the settings that they lack.
func (p *place) below(above *leaf, child *resource.Object, sc *scope) []*leaf {
	if len(child.Faults) > 0 {
		above.closed = reading.Unread(child)
		return []*leaf{above}
	}
	var out []*leaf
	list := child.Spec.(*virtualService).Spec.HTTP
	for i := range list {
		c := p.t.place(child, index("spec.http", i))
		l := &leaf{p: c, route: list[i].inherit(&above.route), name: above.name + "/" + cmp.Or(list[i].Name, reading.Last(c.At))}
		own, closed := c.matched(list[i].Match, sc)
		l.closed = closed
		for _, a := range above.matches {
			for _, b := range own {
				m, fits, problem := both(a, b)
				if problem != nil {
					c.Fail("match", problem.remedy, "%s; the route is closed", problem.what)
					l.closed = &ir.Closed{Reason: problem.what, Origin: c.Origin("match")}
				}
				if fits {
					l.matches = append(l.matches, m)
				}
			}
		}
		if list[i].Delegate != nil {
			c.Fail("delegate", "write its routes here", "a delegate cannot delegate; the route is closed")
			l.closed = &ir.Closed{Reason: "a delegate cannot delegate", Origin: c.Origin("delegate")}
		}
		if len(l.matches) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// inherit returns a delegate's route with what only the route above it says.
func (r *httpRoute) inherit(above *httpRoute) httpRoute {
	out := *r
	out.Rewrite = cmp.Or(r.Rewrite, above.Rewrite)
	out.Retries = cmp.Or(r.Retries, above.Retries)
	out.Fault = cmp.Or(r.Fault, above.Fault)
	out.CORSPolicy = cmp.Or(r.CORSPolicy, above.CORSPolicy)
	out.Headers = cmp.Or(r.Headers, above.Headers)
	if !r.Timeout.Set {
		out.Timeout = above.Timeout
	}
	if r.Mirror == nil && len(r.Mirrors) == 0 {
		out.Mirror, out.Mirrors, out.MirrorPercent, out.MirrorPercentage = above.Mirror, above.Mirrors, above.MirrorPercent, above.MirrorPercentage
	}
	return out
}

// built returns the routes of a leaf. A rewrite by uri means the prefix that
// matched, or the whole path of an expression: where both are among the
// matches there are two routes.
func (p *place) built(l *leaf, sc *scope) []*dialect.Route {
	whole := func(m ir.Match) bool { return m.Path.Kind == ir.PathRegex }
	if l.route.Rewrite == nil || l.route.Rewrite.URI == "" || !slices.ContainsFunc(l.matches, whole) {
		return []*dialect.Route{p.route(l, l.matches, sc, false)}
	}
	var regexes, others []ir.Match
	for _, m := range l.matches {
		if whole(m) {
			regexes = append(regexes, m)
		} else {
			others = append(others, m)
		}
	}
	out := []*dialect.Route{p.route(l, regexes, sc, true)}
	if len(others) > 0 {
		out = append(out, p.route(l, others, sc, false))
	}
	return out
}

// route builds one route of a leaf.
func (p *place) route(l *leaf, matches []ir.Match, sc *scope, whole bool) *dialect.Route {
	action, steps := ir.Action{Closed: l.closed}, []ir.Step(nil)
	if l.closed == nil {
		mark := p.Mark()
		action, steps = l.p.action(&l.route, matches, sc, whole)
		if closed := l.p.Since(mark); closed != nil && action.Forward == nil {
			action, steps = ir.Action{Closed: closed}, nil
		}
	}
	return &dialect.Route{
		Route: ir.Route{Name: fmt.Sprintf("%v/%s", p.Object.Key, l.name), Matches: matches, Steps: steps, Action: action, Origin: l.p.Origin("")},
		Owner: p.Object.Key,
	}
}
