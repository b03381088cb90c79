package gloomesh

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// requireAuth is the label, of a route or of its table, by which it refuses
// everybody until an ExtAuthPolicy holds for it.
const requireAuth = "gateway.gloo.solo.io/require_auth"

// routeTable translates a root table with all that it delegates to. Another
// table's routes are translated where roots delegate to it.
func (t *translation) routeTable(o *resource.Object, s *routeTableSpec) {
	p := t.place(o, "spec")
	if s.FailureMode == freezeConfig {
		p.Warn("failureMode", "write ROUTE_REPLACEMENT", "FREEZE_CONFIG is not supported: what is broken answers 500, and never as it did before")
	}
	if bool(s.WorkloadSelectors) || bool(s.ApplyToDestinations) {
		p.Warn("", "name virtualGateways", "routes between the workloads of a mesh are not served here")
	}
	if len(s.TCP) > 0 || len(s.TLS) > 0 {
		p.Fail("", "write http", "tcp and tls routes are not supported and are not served")
	}
	p.Ignore("portalMetadata", s.PortalMetadata)
	p.Ignore("virtualServiceAnnotations", present(len(s.VirtualServiceAnnotations) > 0))
	if !isRoot(o) {
		return
	}
	w := &walk{t: t, root: o}
	var routes []built
	switch {
	case len(o.Faults) > 0:
		routes = []built{w.closedTable()}
	case len(s.HTTP) == 0:
		p.Warn("http", "write routes", "there are no routes; every request gets 404")
	default:
		routes = w.routes(t.tree(o))
	}
	base := order(o)
	for i, r := range routes {
		for j := range r.matches {
			r.matches[j].Order = append(slices.Clip(base), int64(i))
		}
	}
	t.offer(o, s, routes)
}

// order ranks the tables of one host: the heaviest first, then the oldest,
// then by namespace and name.
func order(o *resource.Object) ir.Order {
	out := ir.Order{-int64(tableWeight(o)), 0}
	if !o.Created.IsZero() {
		out[1] = o.Created.UnixNano()
	}
	return out.Text(o.Namespace + "/" + o.Name)
}

// built is a route with the ports that its matches hold on.
type built struct {
	*dialect.Route
	matches []match
}

// walk makes routes of the tree below one root.
type walk struct {
	t    *translation
	root *resource.Object
	// contradictions counts the routes left out because nothing could match
	// both them and what is above them.
	contradictions int
}

func (w *walk) routes(list []*node) []built {
	var out []built
	for _, n := range list {
		if n.route.Delegate != nil && n.actions() == 1 {
			out = append(out, w.delegate(n)...)
		} else {
			out = append(out, w.leaf(n)...)
		}
	}
	return out
}

// delegate returns the routes that a route hands over to. Where some of them
// are missing, what none of the others takes is closed.
func (w *walk) delegate(n *node) []built {
	p := w.t.place(n.table, n.at+".delegate")
	p.Ignore("allowedRoutes", n.route.Delegate.AllowedRoutes)
	before := w.contradictions
	out := w.routes(n.children)
	if n.route.Delegate.SortMethod == bySpecificity {
		slices.SortStableFunc(out, func(a, b built) int { return compareMatches(first(a.matches), first(b.matches)) })
	}
	reason := ""
	switch {
	case n.broken != nil:
		reason = n.broken.what
		p.Fail("", n.broken.remedy, "%s; what is left of its requests is closed", reason)
	case w.contradictions > before:
		reason = "a route below it can match nothing"
	default:
		return out
	}
	matches, _ := n.matchesOf()
	return append(out, w.route(n, matches, ir.Action{Closed: &ir.Closed{Reason: reason, Origin: p.Origin("")}}, nil))
}

// leaf returns the route of a node that answers by itself.
func (w *walk) leaf(n *node) []built {
	p := w.t.place(n.table, n.at)
	matches, problem := n.matchesOf()
	if problem == nil && len(matches) == 0 {
		w.contradictions++
		p.Fail("matchers", "begin its path with the parent's, and repeat its method", "no request matches both the route and those above it; it is left out")
		return nil
	}
	mark := p.Mark()
	var action ir.Action
	var steps []ir.Step
	switch count := n.actions(); {
	case count != 1:
		p.Fail("", "write one of forwardTo, delegate, redirect, directResponse", "the route has %d actions, want one; it is closed", count)
	case problem != nil:
		p.Fail("matchers", problem.remedy, "%s; the route is closed", problem.what)
	default:
		action, steps = p.action(n, matches)
	}
	if closed := p.Since(mark); closed != nil && action.Forward == nil {
		action, steps = ir.Action{Closed: closed}, nil
	}
	if action.Closed == nil && w.refused(n) {
		action, steps = ir.Action{Closed: &ir.Closed{Status: 403, Reason: requireAuth + " is set, and no ExtAuthPolicy holds here", Origin: p.Origin("")}}, nil
	}
	if len(matches) == 0 { // it takes what is above it
		matches, _ = n.above.matchesOf()
	}
	return []built{w.route(n, matches, action, steps)}
}

func (n *node) actions() int {
	count := 0
	for _, set := range []bool{n.route.ForwardTo != nil, n.route.Delegate != nil, n.route.Redirect != nil, n.route.DirectResponse != nil, bool(n.route.GraphQL)} {
		if set {
			count++
		}
	}
	return count
}

func (w *walk) route(n *node, matches []match, action ir.Action, steps []ir.Step) built {
	return built{&dialect.Route{
		Route: ir.Route{
			Name: w.root.Key.String() + "/" + cmp.Or(n.route.Name, n.section), Steps: steps, Action: action, Origin: n.table.Origin(n.at),
		},
		Targets: []dialect.Target{n.target(w.root)},
		Owner:   w.root.Key,
	}, slices.Clone(matches)}
}

// closedTable answers every request of a table that could not be read.
func (w *walk) closedTable() built {
	return built{&dialect.Route{
		Route: ir.Route{Name: w.root.Key.String(), Action: ir.Action{Closed: reading.Unread(w.root)}, Origin: w.root.Origin("")},
		Owner: w.root.Key,
	}, []match{{}}}
}

// refused reports whether a route asks for an ExtAuthPolicy and has none.
func (w *walk) refused(n *node) bool {
	asks := false
	for m := n; m != nil; m = m.above {
		asks = asks || m.route.Labels[requireAuth] == "true" || m.table.Labels[requireAuth] == "true"
	}
	return asks && !slices.ContainsFunc(w.t.v.All(extAuthPolicyKind), func(o *resource.Object) bool {
		s := o.Spec.(*extAuthPolicy).Spec
		p := w.t.place(o, "")
		return p.holds(&selection{routes: s.ApplyToRoutes, destinations: s.ApplyToDestinations, byDestination: true}, n)
	})
}

// offer puts a table's routes on the listeners that allow it.
func (t *translation) offer(o *resource.Object, s *routeTableSpec, routes []built) {
	hosts := t.hostnames(o, s.Hosts)
	served := len(hosts) == 0
	for i, r := range s.VirtualGateways {
		r = r.in(o.Namespace)
		at := fmt.Sprintf("spec.virtualGateways[%d]", i)
		gw := t.v.Get(virtualGatewayKind, r.Namespace, r.Name)
		if gw == nil {
			t.report.Add(status.Errorf(o.Origin(at), "no VirtualGateway %q in %s; nothing is served there", r.Name, r.Namespace).
				Fix("%s", reading.Suggest(t.v, virtualGatewayKind, r.Namespace, r.Name)))
			served = true // it is told
			continue
		}
		for _, d := range t.doors(gw) {
			names := d.allows(t, o, hosts)
			if len(names) == 0 {
				continue
			}
			served = true
			t.f.Hosts = append(t.f.Hosts, &dialect.VirtualHost{
				Listeners: []string{d.name}, Hostnames: names, Routes: onPort(routes, d.port),
				Owner: o.Key, Age: o.Created, Origin: o.Origin("spec"),
			})
		}
	}
	if !served {
		t.report.Add(status.Warningf(o.Origin("spec.virtualGateways"), "no listener serves this RouteTable").
			Fix("add an http listener to a VirtualGateway, or correct its allowedRouteTables"))
	}
}

// onPort returns the routes with the matches that hold on a port.
func onPort(routes []built, port int) []*dialect.Route {
	var out []*dialect.Route
	for _, r := range routes {
		var matches []ir.Match
		for _, m := range r.matches {
			if m.port == 0 || m.port == port {
				matches = append(matches, m.Match)
			}
		}
		if len(matches) > 0 {
			n := *r.Route
			n.Matches = matches
			out = append(out, &n)
		}
	}
	return out
}

// hostnames returns a table's hosts in their canonical form, without ports;
// none written means every host. The bare "*" is one too.
func (t *translation) hostnames(o *resource.Object, list []string) []string {
	if len(list) == 0 {
		return []string{"*"}
	}
	var out []string
	for i, written := range list {
		h := strings.ToLower(written)
		if host, _, err := net.SplitHostPort(h); err == nil {
			h = host
		}
		if h = strings.TrimSuffix(h, "."); !reading.IsHost(h) {
			t.report.Add(status.Errorf(o.Origin(fmt.Sprintf("spec.hosts[%d]", i)), "%q is no host; it is left out", written).
				Fix(`write a name, "*.suffix" or "*"`))
			continue
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
