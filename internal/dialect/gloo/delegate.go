package gloo

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// parent is a route that delegates, as its children see it.
type parent struct {
	section string
	targets []dialect.Target
	matcher matcher
	// inheritMatchers and inheritPath are what a child does unless it says
	// otherwise itself.
	inheritMatchers, inheritPath bool
	above                        *parent
	// object is where the route is written; the chain of them shows cycles.
	object *resource.Object
}

// merge gives a child what it inherits of its parent's matchers, and says why
// it cannot be the parent's child, or "".
func (p *parent) merge(child *route) string {
	inheritPath, inherit := p.inheritPath, p.inheritMatchers
	if child.InheritablePathMatchers != nil {
		inheritPath = *child.InheritablePathMatchers
	}
	if child.InheritableMatchers != nil {
		inherit = *child.InheritableMatchers
	}
	child.InheritablePathMatchers, child.InheritableMatchers = &inheritPath, &inherit
	child.Matchers = slices.Clone(child.Matchers)
	if len(child.Matchers) == 0 {
		child.Matchers = []matcher{{}}
	}
	for i := range child.Matchers {
		m := &child.Matchers[i]
		if inheritPath {
			m.Prefix, m.Exact, m.Regex, m.CaseSensitive = p.matcher.Prefix, nil, nil, p.matcher.CaseSensitive
		}
		if inherit {
			m.Headers = slices.Concat(p.matcher.Headers, m.Headers)
			m.QueryParameters = slices.Concat(p.matcher.QueryParameters, m.QueryParameters)
			m.Methods = slices.Concat(p.matcher.Methods, m.Methods)
		}
		if problem := p.covers(m, inherit); problem != "" {
			return problem
		}
	}
	return ""
}

// covers says why a child's matcher takes requests that its parent does not,
// or "". What a parent matches besides its path, a child must repeat.
func (p *parent) covers(m *matcher, inherited bool) string {
	prefix := *p.matcher.Prefix
	if path := pathText(m); !strings.HasPrefix(path, prefix) {
		return fmt.Sprintf("its path %q does not begin with the parent's prefix %q", path, prefix)
	}
	if inherited {
		return ""
	}
	for _, h := range p.matcher.Headers {
		if !slices.Contains(m.Headers, h) {
			return fmt.Sprintf("it does not repeat the parent's header matcher %q", h.Name)
		}
	}
	for _, q := range p.matcher.QueryParameters {
		if !slices.Contains(m.QueryParameters, q) {
			return fmt.Sprintf("it does not repeat the parent's query parameter matcher %q", q.Name)
		}
	}
	for _, method := range p.matcher.Methods {
		if !slices.Contains(m.Methods, method) {
			return fmt.Sprintf("it does not repeat the parent's method %q", method)
		}
	}
	return ""
}

// delegate returns the routes of the tables that a route hands over to. Where
// a table is missing or broken, the parent's requests are closed.
func (w *walk) delegate(o *resource.Object, at string, rt *route, p *parent, chain [][]setting) []visited {
	problem := p.prefix(rt)
	if problem != "" {
		return w.closeParent(o, at, rt, p, problem, "give a delegating route one matcher, by prefix")
	}
	tables, problem, remedy := w.tables(o, rt.DelegateAction)
	if problem != "" {
		return w.closeParent(o, at, rt, p, problem, remedy)
	}
	below := &walk{t: w.t, vs: w.vs, inherited: chain}
	var out []visited
	for len(tables) > 0 {
		n := 1
		for n < len(tables) && tableWeight(tables[n]) == tableWeight(tables[0]) {
			n++
		}
		out = append(out, below.sameWeight(o, at, rt, p, tables[:n])...)
		tables = tables[n:]
	}
	return out
}

// prefix sets the matcher that children must stay within.
func (p *parent) prefix(rt *route) string {
	slash := "/"
	p.matcher = matcher{Prefix: &slash}
	switch len(rt.Matchers) {
	case 0:
	case 1:
		m := rt.Matchers[0]
		switch {
		case m.Exact != nil || m.Regex != nil || m.ConnectMatcher.set():
			return "a route that delegates must match by prefix"
		case m.Prefix == nil:
			m.Prefix = &slash
		case *m.Prefix == "":
			return "a route that delegates must match by prefix"
		}
		p.matcher = m
	default:
		return "a route that delegates may have one matcher only"
	}
	p.inheritMatchers = rt.InheritableMatchers != nil && *rt.InheritableMatchers
	p.inheritPath = rt.InheritablePathMatchers != nil && *rt.InheritablePathMatchers
	return ""
}

// sameWeight returns the routes of tables of one weight: of one table in
// their order, of several the most specific first.
func (w *walk) sameWeight(o *resource.Object, at string, rt *route, p *parent, tables []*resource.Object) []visited {
	var out []visited
	for _, table := range tables {
		switch {
		case p.cycle(table) != "":
			out = append(out, w.closeParent(o, at, rt, p, "delegation cycle: "+p.cycle(table), "break the cycle")...)
		case len(table.Faults) > 0:
			closed := reading.Unread(table)
			out = append(out, w.closed(o, at, rt, p, closed))
		default:
			spec := table.Spec.(*routeTable).Spec
			out = append(out, w.visit(table, "spec.routes", spec.Routes, p)...)
		}
	}
	if len(tables) > 1 {
		slices.SortStableFunc(out, func(a, b visited) int { return compareMatchers(smallest(a.matchers), smallest(b.matchers)) })
		var names []string
		for _, table := range tables {
			names = append(names, table.Namespace+"/"+table.Name)
		}
		w.t.report.Add(status.Warningf(o.Origin(at+".delegateAction"), "RouteTables %s have one weight; their routes are tried most specific first", strings.Join(names, ", ")).
			Fix("give each a weight of its own"))
	}
	return out
}

// cycle returns the way that leads back to a table, or "".
func (p *parent) cycle(table *resource.Object) string {
	way := []string{table.Key.String()}
	for q := p; q != nil; q = q.above {
		way = append(way, q.object.Key.String())
		if q.object.Key == table.Key {
			slices.Reverse(way)
			return strings.Join(way, " > ")
		}
	}
	return ""
}

// closeParent reports why a route cannot delegate, and closes its requests.
func (w *walk) closeParent(o *resource.Object, at string, rt *route, p *parent, problem, remedy string) []visited {
	origin := o.Origin(at + ".delegateAction")
	w.t.report.Add(status.Errorf(origin, "%s; its requests are closed", problem).Fix("%s", remedy))
	return []visited{w.closed(o, at, rt, p, &ir.Closed{Reason: problem, Origin: origin})}
}

// closed is a route with its parent's matchers that answers with an error.
func (w *walk) closed(o *resource.Object, at string, rt *route, p *parent, c *ir.Closed) visited {
	matches, _ := matchesOf(rt.Matchers)
	return visited{&dialect.Route{
		Route: ir.Route{
			Name: w.vs.Key.String() + "/" + p.section, Matches: matches, Action: ir.Action{Closed: c}, Origin: o.Origin(at),
		},
		Targets: p.targets,
		Owner:   w.vs.Key,
	}, rt.Matchers}
}

// tables returns the RouteTables that an action picks, by weight.
func (w *walk) tables(o *resource.Object, a *delegateAction) (list []*resource.Object, problem, remedy string) {
	r := a.Ref
	if a.Name != "" || a.Namespace != "" {
		r = &ref{Name: a.Name, Namespace: a.Namespace}
	}
	switch {
	case r != nil && a.Selector != nil, r == nil && a.Selector == nil:
		return nil, "delegateAction has neither ref nor selector, or both", "write one of them"
	case r != nil:
		to := r.in(o.Namespace)
		table := w.t.v.Get(routeTableKind, to.Namespace, to.Name)
		if table == nil {
			return nil, fmt.Sprintf("no RouteTable %q in %s", to.Name, to.Namespace), w.t.suggest(routeTableKind, to)
		}
		return []*resource.Object{table}, "", ""
	}
	for _, e := range a.Selector.Expressions {
		if e.Key == "" {
			return nil, "an expression of the selector has no key", "name a label"
		}
	}
	list = w.t.selectTables(a.Selector, o.Namespace)
	if len(list) == 0 {
		return nil, "no RouteTable has what the selector asks for", "correct its labels or namespaces"
	}
	slices.SortStableFunc(list, func(x, y *resource.Object) int { return cmp.Compare(tableWeight(x), tableWeight(y)) })
	return list, "", ""
}

func (t *translation) selectTables(s *tableSelector, own string) []*resource.Object {
	var candidates, out []*resource.Object
	switch {
	case len(s.Namespaces) == 0:
		candidates = t.v.In(routeTableKind, own)
	case slices.Contains(s.Namespaces, "*"):
		candidates = t.v.All(routeTableKind)
	default:
		for _, ns := range slices.Compact(slices.Sorted(slices.Values(s.Namespaces))) {
			candidates = append(candidates, t.v.In(routeTableKind, ns)...)
		}
	}
	for _, o := range candidates {
		if labelled(o.Labels, s.Labels) && fits(o.Labels, s.Expressions) {
			out = append(out, o)
		}
	}
	return out
}

func tableWeight(o *resource.Object) int {
	if w := o.Spec.(*routeTable).Spec.Weight; w != nil {
		return *w
	}
	return 0
}

// labelled reports whether labels has all that want has.
func labelled(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// fits reports whether labels satisfies every expression, as Kubernetes'
// label selectors do.
func fits(labels map[string]string, list []expression) bool {
	for _, e := range list {
		v, there := labels[e.Key]
		ok := false
		switch e.Operator {
		case opEquals, opDoubleEquals, opIn:
			ok = there && slices.Contains(e.Values, v)
		case opNotEquals, opNotIn:
			ok = !there || !slices.Contains(e.Values, v)
		case opExists:
			ok = there
		case opDoesNotExist:
			ok = !there
		case opGreaterThan, opLessThan:
			ok = there && len(e.Values) == 1 && compareInts(v, e.Values[0], e.Operator)
		}
		if !ok {
			return false
		}
	}
	return true
}

func compareInts(a, b string, op expressionOperator) bool {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	return errX == nil && errY == nil && (op == opGreaterThan && x > y || op == opLessThan && x < y)
}
