package gloomesh

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// The orders of steps inside a phase: around ext auth, which has order 0, and
// where host and path are rewritten after header edits, as Envoy's router does.
const (
	orderBeforeExtAuth = -10
	orderAfterExtAuth  = 10
	orderPreAuthz      = 10
	orderPostAuthz     = -10
	orderHeaders       = 1
	orderHostRewrite   = 10
	orderPathRewrite   = 11
	orderForward       = 20
)

// redirectStatus by redirectCode.
var redirectStatus = []int{301, 302, 303, 307, 308}

// action reads what a route does, and the rewrites on the way. What cannot be
// done is reported, and the caller closes the route.
func (p *place) action(n *node, matches []match) (ir.Action, []ir.Step) {
	switch {
	case n.route.Redirect != nil:
		return p.in("redirect").redirect(n.route.Redirect), nil
	case n.route.DirectResponse != nil:
		return p.in("directResponse").direct(n.route.DirectResponse), nil
	case n.route.ForwardTo != nil:
		f := p.in("forwardTo")
		mark := f.Mark()
		steps := f.rewrites(n.route.ForwardTo, matches)
		if closed := f.Since(mark); closed != nil {
			return ir.Action{Closed: closed}, nil
		}
		return f.forward(n), steps
	}
	p.Fail("graphql", "use forwardTo", "graphql is not supported; the route is closed")
	return ir.Action{}, nil
}

func (p *place) redirect(s *redirect) ir.Action {
	r := &ir.Redirect{Hostname: s.HostRedirect, Status: redirectStatus[s.ResponseCode], Origin: p.Origin("")}
	if strings.ContainsFunc(s.HostRedirect, notHost) {
		p.Fail("hostRedirect", "write a host name", "%q is no host; the route is closed", s.HostRedirect)
	}
	if s.PathRedirect != nil {
		r.Path = &ir.PathRewrite{Full: s.PathRedirect}
	}
	return ir.Action{Redirect: r}
}

func (p *place) direct(s *directResponse) ir.Action {
	if s.Status < 200 || s.Status > 599 {
		p.Fail("status", "write one of 200 to 599", "%d is no status of an answer; the route is closed", s.Status)
	}
	d := &ir.Direct{Status: s.Status, Body: s.Body, Origin: p.Origin("")}
	if s.Body != "" {
		d.ContentType = "text/plain"
	}
	return ir.Action{Direct: d}
}

// notPath and notHost tell what would break out of a request line or a header.
func notPath(c rune) bool { return c <= ' ' || c == 0x7f || c == '?' || c == '#' }

func notHost(c rune) bool { return notPath(c) || c == '/' || c == '@' }

// rewrites reads the changes of path and host. A path is rewritten where it
// is known what of it matched: a prefix, which is replaced, or the whole.
func (p *place) rewrites(s *forwardTo, matches []match) []ir.Step {
	var steps []ir.Step
	add := func(order int, field string, step ir.Step) {
		step.Phase, step.Order, step.Slot, step.Origin = ir.PhaseForward, order, name+"/"+field, p.Origin(field)
		steps = append(steps, step)
	}
	if s.HostRewrite != nil && s.AutoHostRewrite != nil {
		p.Fail("hostRewrite", "keep one of them", "hostRewrite and autoHostRewrite exclude each other; the route is closed")
	}
	if s.PathRewrite != nil && s.RegexRewrite != nil {
		p.Fail("pathRewrite", "keep one of them", "pathRewrite and regexRewrite exclude each other; the route is closed")
	}
	if h := s.HostRewrite; h != nil {
		if *h == "" || strings.ContainsFunc(*h, notHost) {
			p.Fail("hostRewrite", "write a host name", "%q is no host; the route is closed", *h)
		}
		add(orderHostRewrite, "hostRewrite", ir.Step{Host: &ir.HostRewrite{Literal: *h}})
	}
	if s.AutoHostRewrite != nil && *s.AutoHostRewrite {
		add(orderHostRewrite, "autoHostRewrite", ir.Step{Host: &ir.HostRewrite{Auto: true}})
	}
	if s.PathRewrite != nil {
		p.checkPathRewrite(*s.PathRewrite, matches)
		add(orderPathRewrite, "pathRewrite", ir.Step{Path: &ir.PathRewrite{Prefix: s.PathRewrite}})
	}
	if r := s.RegexRewrite; r != nil {
		if r.Pattern.Regex == "" {
			p.Fail("regexRewrite.pattern.regex", "write an RE2 expression", "there is no expression; the route is closed")
		}
		add(orderPathRewrite, "regexRewrite", ir.Step{Path: &ir.PathRewrite{Regex: &ir.RegexRewrite{Pattern: r.Pattern.Regex, Substitution: r.Substitution}}})
	}
	return steps
}

func (p *place) checkPathRewrite(path string, matches []match) {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, notPath) {
		p.Fail("pathRewrite", "write a path without query", "%q is no path; the route is closed", path)
	}
	for i := range matches {
		switch m := &matches[i]; m.Path.Kind {
		case ir.PathRegex, ir.PathSuffix:
			p.Fail("pathRewrite", "use regexRewrite", "pathRewrite replaces a prefix or a whole path, and a matcher is a %s; the route is closed", m.Path.Kind)
			return
		case ir.PathAny: // every path begins with it
			m.Path = ir.PathMatch{Kind: ir.PathPrefix, Value: "/"}
		}
	}
}

// fullWeight is what the weights of a route add up to.
const fullWeight = 100

// forward reads where requests go. The weights of several destinations must
// add up to 100.
func (p *place) forward(n *node) ir.Action {
	list, at := n.route.ForwardTo.Destinations, p.in("destinations")
	if len(list) == 0 {
		d := n.table.Spec.(*routeTable).Spec.DefaultDestination
		if d == nil {
			p.Fail("", "write destinations, or the table's defaultDestination", "the route forwards to nothing; it is closed")
			return ir.Action{}
		}
		list, at = []destination{*d}, p.t.place(p.Object, "spec.defaultDestination")
	}
	total := 0
	for _, d := range list {
		total += max(d.Weight, 0)
	}
	if len(list) > 1 && total != fullWeight {
		p.Fail("destinations", "share 100 among them", "the weights add up to %d, want 100; the route is closed", total)
		return ir.Action{}
	}
	f := &ir.Forward{Origin: p.Origin("")}
	for i := range list {
		here := at
		if len(n.route.ForwardTo.Destinations) > 0 {
			here = at.in(fmt.Sprintf("[%d]", i))
		}
		b := here.backend(&list[i])
		b.Weight = max(list[i].Weight, 0)
		if len(list) == 1 {
			b.Weight = fullWeight
		}
		f.Backends = append(f.Backends, b)
	}
	return ir.Action{Forward: f}
}
