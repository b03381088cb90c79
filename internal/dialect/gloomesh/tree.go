package gloomesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// node is one route of a RouteTable, as it stands in the tree of tables below
// a root. A policy sees its labels, a translation makes a route of it.
type node struct {
	table *resource.Object
	route *httpRoute
	at    string // path of the route in its table
	above *node
	// section names the route below its root: "route-1/ns.table/route-0".
	section string
	// children are the routes of the tables that it hands over to.
	children []*node
	// broken are tables below it that cannot be read, or why there are none.
	broken *trouble
}

// trouble is why something cannot be done, and what to do.
type trouble struct{ what, remedy string }

const (
	// maxDepth and maxNodes bound a tree; tables that delegate to each other
	// twice would double with each level.
	maxDepth = 16
	maxNodes = 50_000
)

// grower builds the tree below one root.
type grower struct {
	t     *translation
	nodes int
}

// tree returns the routes of a root table, with those it delegates to.
func (t *translation) tree(root *resource.Object) []*node {
	return (&grower{t: t}).table(root, nil)
}

// isRoot reports whether a table offers its routes to gateways.
func isRoot(o *resource.Object) bool { return len(o.Spec.(*routeTable).Spec.VirtualGateways) > 0 }

func (g *grower) table(o *resource.Object, above *node) []*node {
	list := o.Spec.(*routeTable).Spec.HTTP
	out := make([]*node, 0, len(list))
	for i := range list {
		n := &node{table: o, route: &list[i], at: fmt.Sprintf("spec.http[%d]", i), above: above, section: fmt.Sprintf("route-%d", i)}
		if above != nil {
			n.section = fmt.Sprintf("%s/%s.%s/%s", above.section, o.Namespace, o.Name, n.section)
		}
		if g.nodes++; n.route.Delegate != nil {
			g.delegate(n)
		}
		out = append(out, n)
	}
	return out
}

// delegate grows the tables that a route hands over to.
func (g *grower) delegate(n *node) {
	tables, problem := g.t.tables(n)
	n.broken = problem
	for _, table := range tables {
		switch {
		case n.cycle(table) != "":
			n.broken = &trouble{"delegation cycle: " + n.cycle(table), "break the cycle"}
		case n.depth() >= maxDepth || g.nodes > maxNodes:
			n.broken = &trouble{"there are too many levels or routes of delegation", "flatten them"}
		case len(table.Faults) > 0:
			n.broken = &trouble{reading.Unread(table).Reason, "correct it"}
		default:
			n.children = append(n.children, g.table(table, n)...)
		}
	}
}

func (n *node) depth() int {
	d := 0
	for ; n != nil; n = n.above {
		d++
	}
	return d
}

// cycle returns the way that leads back to a table, or "".
func (n *node) cycle(table *resource.Object) string {
	way := []string{table.Key.String()}
	for m := n; m != nil; m = m.above {
		way = append(way, m.table.Key.String())
		if m.table.Key == table.Key {
			slices.Reverse(way)
			return strings.Join(way, " > ")
		}
	}
	return ""
}

// tables returns the tables that a route's selectors pick, the heaviest
// first, of one weight the oldest.
func (t *translation) tables(n *node) ([]*resource.Object, *trouble) {
	var out []*resource.Object
	for i := range n.route.Delegate.RouteTables {
		for _, o := range t.pickTables(&n.route.Delegate.RouteTables[i], n.table.Namespace) {
			if !isRoot(o) && !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	if len(out) == 0 {
		return nil, &trouble{"no RouteTable has what the route delegates to", "correct its selector, or the tables' labels"}
	}
	slices.SortStableFunc(out, func(a, b *resource.Object) int {
		return cmp.Or(cmp.Compare(tableWeight(b), tableWeight(a)), a.Created.Compare(b.Created), a.Key.Compare(b.Key))
	})
	return out, nil
}

func tableWeight(o *resource.Object) int { return o.Spec.(*routeTable).Spec.Weight }

// pickTables reads no more than a selector needs.
func (t *translation) pickTables(s *selector, owner string) []*resource.Object {
	var candidates, out []*resource.Object
	switch {
	case s.Name != "" && s.Namespace != "":
		if o := t.v.Get(routeTableKind, s.Namespace, s.Name); o != nil {
			candidates = []*resource.Object{o}
		}
	case len(s.Labels) > 0:
		k := slices.Min(slices.Collect(maps.Keys(s.Labels))) // picks compares the others
		candidates = t.v.ByLabel(routeTableKind, k, s.Labels[k])
	case s.Namespace != "":
		candidates = t.v.In(routeTableKind, s.Namespace)
	default:
		candidates = t.v.All(routeTableKind)
	}
	for _, o := range candidates {
		if t.picks(s, o, owner) {
			out = append(out, o)
		}
	}
	return out
}

// leaves calls each for every route that answers requests: those that do not
// delegate, and those that stand in where delegation is broken.
func leaves(list []*node, each func(*node)) {
	for _, n := range list {
		leaves(n.children, each)
		if n.route.Delegate == nil || n.broken != nil {
			each(n)
		}
	}
}

// target returns what policies attach to: one route of one root.
func (n *node) target(root *resource.Object) dialect.Target {
	t := dialect.TargetOf(root.Key)
	t.Section = n.section
	return t
}
