package gloo

import (
	"cmp"
	"fmt"
	"time"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// defaultTimeout is Envoy's, which holds for every route that does not write
// another.
const defaultTimeout = 15 * time.Second

// virtualService translates a VirtualService with all RouteTables that it
// delegates to.
func (t *translation) virtualService(o *resource.Object, s *virtualServiceSpec) {
	vs := virtualHost{}
	switch {
	case s.VirtualHost != nil:
		vs = *s.VirtualHost
	case len(o.Faults) == 0:
		t.report.Add(status.Errorf(o.Origin("spec"), "there is no virtualHost; nothing is served").Fix("write virtualHost with domains and routes"))
		return
	}
	host := &dialect.VirtualHost{
		Listeners: t.listenersOf(o, s),
		Hostnames: t.domains(o, vs.Domains),
		Exclusive: true,
		Targets:   []dialect.Target{dialect.TargetOf(o.Key)},
		Owner:     o.Key,
		Age:       o.Created,
		Origin:    o.Origin("spec.virtualHost"),
	}
	w := &walk{t: t, vs: o}
	w.inherited = [][]setting{t.hostOptionsOf(o, &vs)}
	if len(o.Faults) > 0 {
		host.Routes = []*dialect.Route{closedRoute(o, reading.Unread(o))}
	} else {
		host.Routes = w.routes(vs.Routes)
	}
	t.f.Hosts = append(t.f.Hosts, host)
	if len(vs.Routes) == 0 && len(o.Faults) == 0 {
		t.report.Add(status.Warningf(o.Origin("spec.virtualHost.routes"), "there are no routes; every request gets 404").Fix("write routes"))
	}
}

// closedRoute answers every request of a virtual host with an error.
func closedRoute(o *resource.Object, closed *ir.Closed) *dialect.Route {
	return &dialect.Route{
		Route: ir.Route{
			Name: o.Key.String(), Matches: []ir.Match{{}}, Action: ir.Action{Closed: closed}, Origin: o.Origin(""),
		},
		Owner: o.Key,
	}
}

// hostOptionsOf attaches a virtual host's options, its own before those that
// it refers to, and returns them.
func (t *translation) hostOptionsOf(o *resource.Object, vh *virtualHost) []setting {
	target := dialect.TargetOf(o.Key)
	all := t.hostSettings(o, "spec.virtualHost.options", vh.Options)
	t.attach(target, []int{0}, o, all)
	if vh.OptionsConfigRefs == nil {
		vh.OptionsConfigRefs = &optionsConfigRefs{}
	}
	for i, r := range vh.OptionsConfigRefs.DelegateOptions {
		r = r.in(o.Namespace)
		at := fmt.Sprintf("spec.virtualHost.optionsConfigRefs.delegateOptions[%d]", i)
		opt, spec := resource.Spec[virtualHostOption](t.v, virtualHostOptionKind, r.Namespace, r.Name)
		if opt == nil {
			all = append(all, t.missingOptions(o, at, target, virtualHostOptionKind, r)...)
			continue
		}
		list := t.hostSettings(opt, "spec.options", spec.Spec.Options)
		t.attach(target, []int{1, i}, opt, list)
		all = append(all, list...)
	}
	if required := t.requireRBAC(); required != nil && winner([][]setting{all}, name+"/rbac") == nil {
		list := refuseAll(required)
		t.attach(target, []int{2}, required, list)
		all = append(all, list...)
	}
	return all
}

// routeOptionsOf does for a route what hostOptionsOf does for its host.
func (t *translation) routeOptionsOf(o *resource.Object, at string, rt *route, target dialect.Target) []setting {
	all := t.routeSettings(o, at+".options", rt.Options)
	t.attach(target, []int{0}, o, all)
	if rt.OptionsConfigRefs == nil {
		return all
	}
	for i, r := range rt.OptionsConfigRefs.DelegateOptions {
		r = r.in(o.Namespace)
		here := fmt.Sprintf("%s.optionsConfigRefs.delegateOptions[%d]", at, i)
		opt, spec := resource.Spec[routeOption](t.v, routeOptionKind, r.Namespace, r.Name)
		if opt == nil {
			all = append(all, t.missingOptions(o, here, target, routeOptionKind, r)...)
			continue
		}
		list := t.routeSettings(opt, "spec.options", spec.Spec.Options)
		t.attach(target, []int{1, i}, opt, list)
		all = append(all, list...)
	}
	return all
}

// missingOptions closes what refers to options that are not there: they may
// have been its protection.
func (t *translation) missingOptions(o *resource.Object, at string, target dialect.Target, gk resource.GroupKind, r ref) []setting {
	p := t.options(o, at)
	p.close("optionsConfigRefs", "", t.suggest(gk, r), "no %s %q in %s; what refers to it is closed", gk.Kind, r.Name, r.Namespace)
	t.attach(target, []int{1}, o, p.list)
	return p.list
}

// walk gathers a VirtualService's routes, depth first.
type walk struct {
	t  *translation
	vs *resource.Object
	// inherited are the settings of the levels above, narrowest first; the
	// last is the virtual host's.
	inherited [][]setting
}

// routes returns the routes in the order in which they are tried.
func (w *walk) routes(list []route) []*dialect.Route {
	found := w.visit(w.vs, "spec.virtualHost.routes", list, nil)
	out := make([]*dialect.Route, len(found))
	for i, f := range found {
		for j := range f.Matches {
			f.Matches[j].Order = ir.Order{int64(i)}
		}
		out[i] = f.Route
	}
	return out
}

// visited is a route with what tables of one weight are sorted by.
type visited struct {
	*dialect.Route
	matchers []matcher
}

// visit walks the routes of one object. Above is nil for a VirtualService.
func (w *walk) visit(o *resource.Object, at string, list []route, above *parent) []visited {
	var out []visited
	for i := range list {
		rt := list[i]
		here := fmt.Sprintf("%s[%d]", at, i)
		section := fmt.Sprintf("route-%d", i)
		if above != nil {
			section = fmt.Sprintf("%s/%s.%s/%s", above.section, o.Namespace, o.Name, section)
			if problem := above.merge(&rt); problem != "" {
				w.t.report.Add(status.Errorf(o.Origin(here+".matchers"), "%s; the route is left out", problem).
					Fix("begin its path with the parent's prefix"))
				continue
			}
		}
		out = append(out, w.route(o, here, &rt, section, above)...)
	}
	return out
}

// route translates one route, or what it delegates to.
func (w *walk) route(o *resource.Object, at string, rt *route, section string, above *parent) []visited {
	target := dialect.TargetOf(w.vs.Key)
	target.Section = section
	targets := []dialect.Target{target}
	w.t.above = w.inherited
	settings := w.t.routeOptionsOf(o, at, rt, target)
	w.t.above = nil
	chain := append([][]setting{settings}, w.inherited...)
	if above != nil {
		targets = append(targets, above.targets...)
	}
	n := actions(rt)
	if n == 1 && rt.DelegateAction != nil {
		return w.delegate(o, at, rt, &parent{section: section, targets: targets, above: above, object: o}, chain)
	}
	matches, problem := matchesOf(rt.Matchers)
	var action ir.Action
	switch {
	case n != 1:
		action = w.t.closeAction(o, at, fmt.Sprintf("the route has %d actions, want one", n), "write one of routeAction, redirectAction, directResponseAction, delegateAction")
	case problem != "":
		action = w.t.closeAction(o, at+".matchers", problem, "match by path, method, header or query parameter")
	default:
		action = w.t.action(o, at, rt)
	}
	route := &dialect.Route{
		Route: ir.Route{
			Name: w.vs.Key.String() + "/" + cmp.Or(rt.Name, section), Matches: matches,
			Steps: defaultSteps(chain), Action: action, Origin: o.Origin(at),
		},
		Targets: targets,
		Owner:   w.vs.Key,
	}
	w.checkRBAC(chain)
	return []visited{{route, rt.Matchers}}
}

func actions(rt *route) int {
	n := 0
	for _, set := range []bool{
		rt.RouteAction != nil, rt.RedirectAction != nil, rt.DirectResponseAction != nil, rt.DelegateAction != nil, rt.GraphqlAPIRef.set(),
	} {
		if set {
			n++
		}
	}
	return n
}

// winner returns the setting that holds for a slot, narrowest first.
func winner(chain [][]setting, slot string) *setting {
	for _, level := range chain {
		for i := range level {
			if level[i].slot == slot {
				return &level[i]
			}
		}
	}
	return nil
}

// defaultSteps are in force unless the route or one above it says otherwise.
func defaultSteps(chain [][]setting) []ir.Step {
	if winner(chain, name+"/timeout") != nil {
		return nil
	}
	return []ir.Step{{
		Phase: ir.PhaseForward, Order: orderForward, Slot: name + "/timeout", Timeouts: &ir.Timeouts{Request: defaultTimeout},
	}}
}

// checkRBAC warns of rules about tokens where nobody reads one.
func (w *walk) checkRBAC(chain [][]setting) {
	s := winner(chain, name+"/rbac")
	if s == nil || len(s.steps) == 0 {
		return
	}
	for _, slot := range []string{"/jwt.beforeExtAuth", "/jwt.afterExtAuth"} {
		if j := winner(chain, name+slot); j != nil && (len(j.steps) > 0 || j.closed != nil) {
			return
		}
	}
	w.t.report.Add(status.Warningf(s.origin, "no jwt verifies a token here, so rbac refuses every request").Fix("add jwt to the virtual host, or disable rbac on the route"))
}
