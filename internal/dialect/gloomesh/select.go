package gloomesh

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// selection is what a policy says of where it holds.
type selection struct {
	routes       []routeSelector
	destinations []destinationSelector
	// byDestination says that the kind can be applied to destinations: without
	// any selector it then holds for requests that go to one, and otherwise
	// for all.
	byDestination bool
}

// selected returns the routes that a policy holds for. Of a policy whose
// selectors could not be read nobody knows what it protects: it holds for all.
func (p *place) selected(s selection) []dialect.Target {
	all := slices.ContainsFunc(p.Object.Faults, func(f status.Problem) bool {
		return !strings.HasPrefix(f.Origin.Field, "spec.config") && !strings.HasPrefix(f.Origin.Field, "metadata")
	})
	var out []dialect.Target
	for _, root := range p.t.v.All(routeTableKind) {
		if !isRoot(root) {
			continue
		}
		leaves(p.t.tree(root), func(n *node) {
			if all || p.holds(&s, n) {
				out = append(out, n.target(root))
			}
		})
	}
	return out
}

// holds reports whether a policy is for a route: as a whole or by where it
// leads.
func (p *place) holds(s *selection, n *node) bool {
	if len(s.routes)+len(s.destinations) == 0 {
		return p.t.together(p.Object.Namespace, n.table.Namespace) && (!s.byDestination || n.forwards())
	}
	for i := range s.routes {
		r := &s.routes[i]
		if r.Route == nil {
			r = &routeSelector{Route: &routeLabels{}, WithDestinations: r.WithDestinations}
		}
		if p.named(r.Route, n) && (r.WithDestinations == nil || p.leadsTo(n, r.WithDestinations)) {
			return true
		}
	}
	return slices.ContainsFunc(s.destinations, func(d destinationSelector) bool { return p.leadsTo(n, &d) })
}

// named reports whether a selector names a route, or one above it that
// delegates to it: by labels of the route or of its table.
func (p *place) named(s *routeLabels, n *node) bool {
	for ; n != nil; n = n.above {
		switch {
		case s.Namespace != "" && s.Namespace != n.table.Namespace:
		case s.Workspace != "" && !p.t.inWorkspace(n.table.Namespace, s.Workspace):
		case !p.t.together(p.Object.Namespace, n.table.Namespace):
		case labelled(n.route.Labels, s.Labels), labelled(n.table.Labels, s.Labels):
			return true
		}
	}
	return false
}

// destinations returns where a route forwards to.
func (n *node) destinations() []destination {
	f := n.route.ForwardTo
	switch {
	case f == nil:
		return nil
	case len(f.Destinations) > 0:
		return f.Destinations
	}
	if d := n.table.Spec.(*routeTable).Spec.DefaultDestination; d != nil {
		return []destination{*d}
	}
	return nil
}

// forwards reports whether a route leads anywhere. One that is broken might.
func (n *node) forwards() bool { return n.route.ForwardTo != nil || n.broken != nil }

// leadsTo reports whether one of a route's destinations is selected. The
// route as a whole is then: a request must not choose the other one.
func (p *place) leadsTo(n *node, s *destinationSelector) bool {
	return slices.ContainsFunc(n.destinations(), func(d destination) bool {
		if d.Ref == nil || d.Kind != s.Kind {
			return false
		}
		if s.Port != nil && d.Port != nil && s.Port.Number != 0 && d.Port.Number != 0 && s.Port.Number != d.Port.Number {
			return false
		}
		r := d.Ref.in(n.table.Namespace)
		o := p.t.v.Get(d.Kind.of(), r.Namespace, r.Name)
		if o == nil { // it may come with any labels
			o = &resource.Object{Key: resource.Key{GroupKind: d.Kind.of(), Namespace: r.Namespace, Name: r.Name}}
		}
		return p.t.picks(s.Selector, o, p.Object.Namespace)
	})
}

// attach puts a policy on the routes that it holds for. Of several of one
// slot on a route the oldest holds.
func (p *place) attach(slot string, targets []dialect.Target, steps []ir.Step, closed *ir.Closed) {
	origin := p.Origin("")
	if len(p.Object.Faults) > 0 {
		closed = reading.Unread(p.Object)
	}
	if closed != nil {
		steps = nil
	}
	for i := range steps {
		steps[i].Slot, steps[i].Origin = name+"/"+slot, origin
	}
	for _, target := range targets {
		p.t.f.Attachments = append(p.t.f.Attachments, &dialect.Attachment{
			Target: target, Slot: name + "/" + slot, Owner: p.Object.Key, Age: p.Object.Created,
			Steps: steps, Closed: closed, Origin: origin,
		})
	}
}

// bound reports a policy that holds for nothing.
func (p *place) bound(targets []dialect.Target, s selection, guards bool) {
	if len(targets) > 0 {
		return
	}
	remedy := p.nearest(s)
	if guards {
		p.Fail("", remedy, "no route is selected, so nothing is protected")
		p.Alert(status.TargetNotFound)
		return
	}
	p.Warn("", remedy, "no route is selected, so the policy has no effect")
}

// nearest suggests a label that routes have.
func (p *place) nearest(s selection) string {
	values := map[string][]string{}
	for _, o := range p.t.v.All(routeTableKind) {
		add := func(labels map[string]string) {
			for k, v := range labels {
				values[k] = append(values[k], v)
			}
		}
		add(o.Labels)
		for _, r := range o.Spec.(*routeTable).Spec.HTTP {
			add(r.Labels)
		}
	}
	for _, r := range s.routes {
		if r.Route == nil {
			continue
		}
		for k, v := range r.Route.Labels {
			if len(values[k]) == 0 {
				continue
			}
			slices.Sort(values[k])
			if remedy := dialect.Suggest(v, values[k]); remedy != "" {
				return "label " + k + ": " + remedy
			}
		}
	}
	return "correct its selectors, or the labels of routes"
}
