package gatewayapi

import (
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Bounds of a delegation, against resources that mean harm.
const (
	maxDepth = 16
	// maxWork bounds the children and matches that one route leads to.
	maxWork = 50_000
)

// walk is the way from a route that is served through all that it delegates
// to. What a child is by itself its own translation reports; what it is under
// its parent is reported here.
type walk struct {
	report *status.Report
	work   int
}

// link is a delegating rule, as the rules below it see it: with all that it
// inherits itself.
type link struct {
	from       *rule
	matches    []ir.Match
	steps      []ir.Step
	delegators []dialect.Delegator
}

// about is a route as parent of another, in words.
func about(route resource.Key) string { return "HTTPRoute " + route.Namespace + "/" + route.Name }

// delegate returns the routes of the rule's children. Where a child is not to
// be had, what the others leave of the rule's requests gets 500. What only
// fits no rule of a child is not routed here.
func (r *rule) delegate(out *dialect.Route, f filters) []*dialect.Route {
	if f.redirect != nil {
		r.bad("IncompatibleFilters", ".filters", "remove one of them", "a rule that redirects has no backends")
	}
	children, closed := r.choose()
	if r.walk == nil {
		return nil
	}
	if whole := r.broken(f); whole != nil {
		for _, c := range children {
			r.child(c).refused = &parent.Fault{Reason: "UnsupportedValue", What: "the parent's rule answers 500: " + whole.Reason}
		}
		out.Action = ir.Action{Closed: whole}
		return []*dialect.Route{out}
	}
	l := &link{from: r, matches: out.Matches, steps: rebase(out.Steps, out.Matches)}
	l.delegators = append(slices.Clone(out.Delegators), dialect.Delegator{
		Targets: out.Targets, References: out.References, Overrides: r.overrides(), Owner: r.obj.Key, Parent: out.Parent,
	})
	var routes []*dialect.Route
	for _, c := range children {
		below, no := l.follow(c)
		routes = append(routes, below...)
		if closed == nil {
			closed = no
		}
	}
	if closed != nil {
		out.Action = ir.Action{Closed: closed}
		routes = append(routes, out)
	}
	return routes
}

// broken says why all of a delegating rule is closed.
func (r *rule) broken(f filters) *ir.Closed {
	switch {
	case r.closed != nil:
		return r.closed
	case r.fault != nil:
		return r.fault.Closed(r.obj)
	}
	return f.closed
}

// follow returns the routes of one child, or why its requests get 500.
func (l *link) follow(c chosen) ([]*dialect.Route, *ir.Closed) {
	r := l.from
	if f := l.endless(c); f != nil {
		return nil, l.stop(f)
	}
	spec := &c.obj.Spec.(*HTTPRoute).Spec
	kid := r.child(c)
	if len(spec.Hostnames) > 0 {
		kid.refused = &parent.Fault{
			Condition: "Accepted", Reason: "UnsupportedValue", Field: "spec.hostnames",
			What: fmt.Sprintf("under %v the route has the hostnames of that, and none of its own; requests for it get 500", r.obj.Key), Remedy: "remove them",
		}
		r.walk.report.Add(kid.refused.Problem(c.obj))
		return nil, kid.refused.Closed(c.obj)
	}
	h := &httpRoute{v: r.v, obj: c.obj, spec: spec, contribution: r.contribution, link: l, walk: r.walk, as: kid, closed: faulty(c.obj)}
	routes := h.rules()
	h.tellChildren()
	if kid.best == nil || len(routes) > 0 {
		kid.best = h
	}
	if r.walk.work > maxWork {
		return routes, l.stop(tooMuch(r, c))
	}
	return routes, nil
}

// endless says why a child is not followed any further.
func (l *link) endless(c chosen) *parent.Fault {
	r := l.from
	depth := 1
	for above := l; above != nil; above = above.from.link {
		if above.from.obj.Key == c.obj.Key {
			return &parent.Fault{
				Condition: "ResolvedRefs", Reason: "RefNotPermitted", Field: r.field + c.at,
				What: fmt.Sprintf("%v leads back to itself; requests for it get 500", c.obj.Key), Remedy: "break the circle",
			}
		}
		depth++
	}
	if depth > maxDepth {
		return &parent.Fault{
			Condition: "ResolvedRefs", Reason: "RefNotPermitted", Field: r.field + c.at,
			What: fmt.Sprintf("more than %d routes are below one another; requests for the next get 500", maxDepth), Remedy: "delegate in fewer steps",
		}
	}
	if r.walk.work++; r.walk.work > maxWork {
		return tooMuch(r, c)
	}
	return nil
}

func tooMuch(r *rule, c chosen) *parent.Fault {
	return &parent.Fault{
		Condition: "ResolvedRefs", Reason: "RefNotPermitted", Field: r.field + c.at,
		What: fmt.Sprintf("one route leads to more than %d others and their matches; requests for the rest get 500", maxWork), Remedy: "divide it",
	}
}

// stop reports a fault of the link, which closes what it would lead to.
func (l *link) stop(f *parent.Fault) *ir.Closed {
	r := l.from
	r.walk.report.Add(f.Problem(r.obj))
	if r.refs == nil {
		r.refs = f
	}
	return f.Closed(r.obj)
}

// child is an HTTPRoute below another, over all of the rules that lead to it.
type child struct {
	obj    *resource.Object
	parent resource.Key
	byName bool
	// refused says why it is not served there at all.
	refused *parent.Fault
	// best is a translation of it, one that is served if there is one.
	best *httpRoute
	// fits are its matches, by field, that some rule of the parent takes in;
	// misfits are the others, as each rule found.
	fits    map[string]bool
	misfits []parent.Fault
}

// child returns the record of a child under this route.
func (h *httpRoute) child(c chosen) *child {
	for _, kid := range h.children {
		if kid.obj == c.obj {
			return kid
		}
	}
	kid := &child{obj: c.obj, parent: h.obj.Key, byName: c.byName, fits: map[string]bool{}}
	h.children = append(h.children, kid)
	return kid
}

// judge notes whether a match of the child has a place under its parent.
func (c *child) judge(field, why string) {
	if why == "" {
		c.fits[field] = true
		return
	}
	if !slices.ContainsFunc(c.misfits, func(f parent.Fault) bool { return f.Field == field }) {
		c.misfits = append(c.misfits, parent.Fault{
			Condition: "Accepted", Reason: "NoMatchingParent", Field: field,
			What:   fmt.Sprintf("%s; it is not served under %v", why, c.parent),
			Remedy: "keep within what the parent's rule matches",
		})
	}
}

// tellChildren reports what became of the children under this route.
func (h *httpRoute) tellChildren() {
	for _, c := range h.children {
		c.tell(h.walk.report)
	}
}

func (c *child) tell(report *status.Report) {
	p := parent.Parent{About: about(c.parent), Accepted: true, Reason: "Accepted"}
	lost := slices.DeleteFunc(slices.Clone(c.misfits), func(f parent.Fault) bool { return c.fits[f.Field] })
	for _, f := range lost {
		problem := f.Problem(c.obj)
		if !c.byName { // it may be meant for another parent
			problem.Severity = status.Warning
		}
		report.Add(problem)
	}
	h := c.best
	if h == nil {
		h = &httpRoute{obj: c.obj, spec: &c.obj.Spec.(*HTTPRoute).Spec}
	}
	h.report = status.Report{} // its own translation says the rest
	switch {
	case c.refused != nil && c.best == nil:
		p = parent.Parent{About: p.About, Reason: c.refused.Reason, Message: c.refused.What}
	case len(lost) > 0 && len(c.fits) == 0:
		p = parent.Parent{About: p.About, Reason: lost[0].Reason, Message: lost[0].What}
	case len(lost) > 0:
		h.report.Outcome(status.Outcome{
			Object: c.obj.Status(), About: p.About, Condition: "PartiallyInvalid", OK: true, Reason: lost[0].Reason,
			Message: "Dropped Rule: " + lost[0].What,
		})
	}
	h.tell([]parent.Parent{p})
	report.Join(h.report)
}
