package istio

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// The orders of steps inside PhaseForward: host and path are rewritten after
// header edits, as Envoy's router does.
const (
	orderHeaders     = 1
	orderHostRewrite = 10
	orderPathRewrite = 11
	orderForward     = 20
)

// step names a step after the field that it comes from.
func (p *place) step(field string, phase ir.Phase, order int, s ir.Step) ir.Step {
	s.Phase, s.Order, s.Slot, s.Origin = phase, order, name+"/"+field, p.Origin(field)
	return s
}

// action reads what a route does, and what happens on the way. What cannot be
// done is reported, and the caller closes the route. whole says that a rewrite
// by uri replaces whole paths.
func (p *place) action(r *httpRoute, matches []ir.Match, sc *scope, whole bool) (ir.Action, []ir.Step) {
	n := 0
	for _, set := range []bool{len(r.Route) > 0, r.Redirect != nil, r.DirectResponse != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		p.Fail("", "write one of route, redirect, directResponse, delegate", "the route has %d actions, want one; it is closed", n)
		return ir.Action{}, nil
	}
	mark := p.Mark()
	var steps []ir.Step
	if c := r.CORSPolicy; c != nil { // as in Istio, after the security policies
		steps = append(steps, p.step("corsPolicy", ir.PhaseFilter, 0, ir.Step{CORS: p.in("corsPolicy").cors(c)}))
	}
	steps = append(steps, p.in("headers").headerSteps(r.Headers)...)
	switch {
	case r.Redirect != nil:
		return p.in("redirect").redirect(r.Redirect, sc, matches), steps
	case r.DirectResponse != nil:
		return p.in("directResponse").direct(r.DirectResponse), steps
	}
	if direct := p.in("fault").fault(r.Fault); direct != nil {
		return ir.Action{Direct: direct}, steps
	}
	steps = append(steps, p.rewrites(r.Rewrite, matches, whole)...)
	steps = append(steps, p.mirrors(r, sc)...)
	steps = append(steps, p.retrying(r)...)
	if closed := p.Since(mark); closed != nil {
		return ir.Action{Closed: closed}, nil
	}
	return p.forward(r, sc), steps
}

func (p *place) redirect(s *redirect, sc *scope, matches []ir.Match) ir.Action {
	r := &ir.Redirect{Scheme: strings.ToLower(s.Scheme), Status: cmp.Or(s.RedirectCode, 301), Origin: p.Origin("")}
	switch r.Status {
	case 301, 302, 303, 307, 308:
	default:
		p.Fail("redirectCode", "write one of 301, 302, 303, 307, 308", "%d is no status of a redirect; the route is closed", r.Status)
	}
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
		p.Fail("scheme", "write http or https", "scheme %q is not supported; the route is closed", s.Scheme)
	}
	r.Hostname = s.Authority
	if host, port, err := net.SplitHostPort(s.Authority); err == nil {
		r.Hostname = host
		r.Port, _ = strconv.Atoi(port)
	}
	if strings.ContainsFunc(r.Hostname, notHost) {
		p.Fail("authority", "write a host name", "%q is no host; the route is closed", s.Authority)
	}
	switch {
	case s.Port != nil:
		r.Port = *s.Port
	case s.DerivePort == portOfRequest:
		r.Port = sc.port
	}
	switch {
	case s.URI != "" && s.PrefixRewrite != "":
		p.Fail("uri", "keep one of them", "uri and prefixRewrite exclude each other; the route is closed")
	case s.URI != "":
		p.checkPath("uri", s.URI)
		r.Path = &ir.PathRewrite{Full: &s.URI}
	case s.PrefixRewrite != "":
		p.checkPath("prefixRewrite", s.PrefixRewrite)
		ofEverything(matches)
		r.Path = &ir.PathRewrite{Prefix: &s.PrefixRewrite}
	}
	return ir.Action{Redirect: r}
}

func (p *place) direct(s *directResponse) ir.Action {
	if s.Status < 200 || s.Status > 599 {
		p.Fail("status", "write one of 200 to 599", "%d is no status of an answer; the route is closed", s.Status)
	}
	d := &ir.Direct{Status: s.Status, Origin: p.Origin("")}
	if b := s.Body; b != nil {
		d.Body = string(b.Bytes)
		if b.String != nil {
			d.Body = *b.String
		}
	}
	if d.Body != "" {
		d.ContentType = "text/plain"
	}
	return ir.Action{Direct: d}
}

// fault reads fault injection: an abort of every request is an answer; the
// rest guards nothing, and is reported and left out.
func (p *place) fault(s *fault) *ir.Direct {
	if s == nil {
		return nil
	}
	if s.Delay != nil {
		p.Warn("delay", "remove it", "delays are not supported and have no effect")
	}
	a := s.Abort
	switch {
	case a == nil:
	case a.HTTPStatus >= 200 && a.HTTPStatus <= 599 && (a.Percentage == nil || a.Percentage.Value >= 100):
		return &ir.Direct{Status: a.HTTPStatus, Body: "fault filter abort", ContentType: "text/plain", Origin: p.Origin("abort")}
	default:
		p.Warn("abort", "abort every request with an httpStatus, or remove it", "an abort of some requests, or without httpStatus, is not supported and has no effect")
	}
	return nil
}

// notPath and notHost tell what would break out of a request line or a header.
func notPath(c rune) bool { return c <= ' ' || c == 0x7f || c == '?' || c == '#' }

func notHost(c rune) bool { return notPath(c) || c == '/' || c == '@' }

func (p *place) checkPath(field, path string) {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, notPath) {
		p.Fail(field, "write a path without query", "%q is no path; the route is closed", path)
	}
}

// ofEverything makes matches of any path matches of the prefix "/", so that it
// is known what of a path matched.
func ofEverything(matches []ir.Match) {
	for i := range matches {
		if matches[i].Path.Kind == ir.PathAny {
			matches[i].Path = ir.PathMatch{Kind: ir.PathPrefix, Value: "/"}
		}
	}
}

// rewrites reads the changes of path and host.
func (p *place) rewrites(s *rewrite, matches []ir.Match, whole bool) []ir.Step {
	if s == nil {
		return nil
	}
	at := p.in("rewrite")
	var steps []ir.Step
	if s.Authority != "" {
		if strings.ContainsFunc(s.Authority, notHost) {
			at.Fail("authority", "write a host name", "%q is no host; the route is closed", s.Authority)
		}
		steps = append(steps, p.step("rewrite.authority", ir.PhaseForward, orderHostRewrite, ir.Step{Host: &ir.HostRewrite{Literal: s.Authority}}))
	}
	path := func(field string, r ir.PathRewrite) {
		steps = append(steps, p.step("rewrite."+field, ir.PhaseForward, orderPathRewrite, ir.Step{Path: &r}))
	}
	switch r := s.URIRegexRewrite; {
	case r != nil && s.URI != "":
		at.Fail("uri", "keep one of them", "uri and uriRegexRewrite exclude each other; the route is closed")
	case r != nil:
		if r.Match == "" {
			at.Fail("uriRegexRewrite.match", "write an RE2 expression", "there is no expression; the route is closed")
		}
		path("uriRegexRewrite", ir.PathRewrite{Regex: &ir.RegexRewrite{Pattern: r.Match, Substitution: r.Rewrite}})
	case s.URI != "" && whole:
		at.checkPath("uri", s.URI)
		path("uri", ir.PathRewrite{Full: &s.URI})
	case s.URI != "":
		at.checkPath("uri", s.URI)
		ofEverything(matches)
		path("uri", ir.PathRewrite{Prefix: &s.URI})
	}
	return steps
}

// forward reads where requests go.
func (p *place) forward(r *httpRoute, sc *scope) ir.Action {
	f := &ir.Forward{Origin: p.Origin("route")}
	total := 0
	for i := range r.Route {
		at := p.in(index("route", i))
		w := &r.Route[i]
		b := at.backend(w.Destination, sc)
		b.Weight = w.Weight
		if len(r.Route) == 1 {
			b.Weight = max(b.Weight, 1)
		}
		if b.Weight < 0 {
			at.Fail("weight", "write 0 or more", "the weight is negative; its share is 0")
			b.Weight = 0
		}
		total += b.Weight
		mark := at.Mark()
		b.Steps = at.in("headers").headerSteps(w.Headers)
		if closed := at.Since(mark); closed != nil {
			b.Closed, b.Steps = closed, nil
		}
		f.Backends = append(f.Backends, b)
	}
	if total == 0 {
		p.Fail("route", "give one of them a weight", "the weights add up to 0; the route is closed")
		return ir.Action{}
	}
	return ir.Action{Forward: f}
}

// backend resolves a destination. One that leads nowhere is closed.
func (p *place) backend(d *destination, sc *scope) ir.Backend {
	at := p.in("destination")
	b := ir.Backend{Origin: at.Origin("")}
	problem := &trouble{what: "the destination names nothing", remedy: "write destination.host"}
	if d != nil && d.Host != "" {
		b.Upstream, problem = p.t.upstream(target{host: hostIn(d.Host, p.Object.Namespace), port: d.port(), subset: d.Subset, workload: sc.workload})
	}
	if problem != nil {
		b.Closed = at.nowhere(problem)
	}
	return b
}

// nowhere reports a destination that leads nowhere, and closes it.
func (p *place) nowhere(problem *trouble) *ir.Closed {
	what := fmt.Sprintf("%s; requests for it are closed", problem.what)
	origin := p.Origin(problem.field)
	p.t.report.Add(status.Errorf(origin, "%s", what).Fix("%s", problem.remedy))
	return &ir.Closed{Reason: problem.what, Origin: origin}
}
