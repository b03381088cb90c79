package gloo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// redirectStatus by redirectCode.
var redirectStatus = []int{301, 302, 303, 307, 308}

// action translates what a route does; a route that delegates is another's.
func (t *translation) action(o *resource.Object, at string, rt *route) ir.Action {
	switch {
	case rt.RedirectAction != nil:
		return t.redirect(o, at+".redirectAction", rt.RedirectAction)
	case rt.DirectResponseAction != nil:
		return t.direct(o, at+".directResponseAction", rt.DirectResponseAction)
	case rt.RouteAction != nil:
		return t.forward(o, at+".routeAction", rt.RouteAction)
	}
	return t.closeAction(o, at+".graphqlApiRef", "graphqlApiRef is not supported", "use routeAction")
}

// closeAction reports why an action cannot be built, and closes its route.
func (t *translation) closeAction(o *resource.Object, at, problem, remedy string) ir.Action {
	origin := o.Origin(at)
	t.report.Add(status.Errorf(origin, "%s; the route is closed", problem).Fix("%s", remedy))
	return ir.Action{Closed: &ir.Closed{Reason: problem, Origin: origin}}
}

func (t *translation) redirect(o *resource.Object, at string, s *redirectAction) ir.Action {
	r := &ir.Redirect{
		Hostname: s.HostRedirect, StripQuery: s.StripQuery, Status: redirectStatus[s.ResponseCode], Origin: o.Origin(at),
	}
	if s.HTTPSRedirect {
		r.Scheme = "https"
	}
	if s.PortRedirect != nil {
		r.Port = *s.PortRedirect
	}
	if strings.ContainsFunc(s.HostRedirect, notHost) {
		return t.closeAction(o, at+".hostRedirect", fmt.Sprintf("%q is no host", s.HostRedirect), "write a host name")
	}
	n := 0
	if s.PathRedirect != nil {
		n, r.Path = n+1, &ir.PathRewrite{Full: s.PathRedirect}
	}
	if s.PrefixRewrite != nil {
		n, r.Path = n+1, &ir.PathRewrite{Prefix: s.PrefixRewrite}
	}
	if s.RegexRewrite != nil {
		n, r.Path = n+1, &ir.PathRewrite{Regex: regex(s.RegexRewrite)}
	}
	if n > 1 {
		return t.closeAction(o, at, "pathRedirect, prefixRewrite and regexRewrite exclude each other", "keep one of them")
	}
	return ir.Action{Redirect: r}
}

func (t *translation) direct(o *resource.Object, at string, s *directAction) ir.Action {
	if s.Status < 200 || s.Status > 599 {
		return t.closeAction(o, at+".status", fmt.Sprintf("%d is no status of an answer", s.Status), "write one of 200 to 599")
	}
	d := &ir.Direct{Status: s.Status, Body: s.Body, Origin: o.Origin(at)}
	if s.Body != "" {
		d.ContentType = "text/plain"
	}
	return ir.Action{Direct: d}
}

func (t *translation) forward(o *resource.Object, at string, s *routeAction) ir.Action {
	n := 0
	for _, set := range []bool{s.ClusterHeader != "", s.DynamicForwardProxy.set(), s.Multi != nil, s.Single != nil, s.UpstreamGroup != nil} {
		if set {
			n++
		}
	}
	f := &ir.Forward{Origin: o.Origin(at)}
	switch {
	case n != 1:
		return t.closeAction(o, at, fmt.Sprintf("the action has %d destinations, want one", n), "write one of single, multi, upstreamGroup")
	case s.Single != nil:
		b := t.backend(o, at+".single", s.Single)
		b.Weight = 1
		f.Backends = []ir.Backend{b}
	case s.Multi != nil:
		f.Backends = t.weighted(o, at+".multi.destinations", s.Multi.Destinations)
	case s.UpstreamGroup != nil:
		return t.groupAction(o, at+".upstreamGroup", f, s.UpstreamGroup.in(o.Namespace))
	default:
		return t.closeAction(o, at, "a request must not choose its own destination", "use single, multi or upstreamGroup")
	}
	if len(f.Backends) == 0 {
		return t.closeAction(o, at, "no destination has a weight", "give one a weight above 0")
	}
	return ir.Action{Forward: f}
}

// groupAction shares requests as an UpstreamGroup says.
func (t *translation) groupAction(o *resource.Object, at string, f *ir.Forward, r ref) ir.Action {
	group, spec := resource.Spec[upstreamGroup](t.v, upstreamGroupKind, r.Namespace, r.Name)
	switch {
	case group == nil:
		return t.closeAction(o, at, fmt.Sprintf("no UpstreamGroup %q in %s", r.Name, r.Namespace), t.suggest(upstreamGroupKind, r))
	case len(group.Faults) > 0:
		return ir.Action{Closed: reading.Unread(group)}
	}
	f.Backends = t.weighted(group, "spec.destinations", spec.Spec.Destinations)
	if len(f.Backends) == 0 {
		return t.closeAction(o, at, fmt.Sprintf("UpstreamGroup %v has no destination with a weight", r), "give one a weight above 0")
	}
	return ir.Action{Forward: f}
}

// upstreamGroup reports what is wrong with a group, whether it is used or not.
func (t *translation) upstreamGroup(o *resource.Object, s *upstreamGroupSpec) {
	t.weighted(o, "spec.destinations", s.Destinations)
	t.f.Upstreams = nil // a route that uses the group brings them
}

// weighted returns backends with their shares; nil if no share is above 0.
func (t *translation) weighted(o *resource.Object, at string, list []weightedDestination) []ir.Backend {
	var out []ir.Backend
	total := 0
	for i := range list {
		d := &list[i]
		here := fmt.Sprintf("%s[%d]", at, i)
		b := t.backend(o, here+".destination", &d.Destination)
		if d.Weight != nil {
			b.Weight = max(*d.Weight, 0)
		}
		total += b.Weight
		if d.Options != nil {
			for _, s := range t.destinationSettings(o, here+".options", d.Options) {
				if s.closed != nil && b.Closed == nil {
					b.Closed = s.closed
				}
				b.Steps = append(b.Steps, s.steps...)
			}
		}
		out = append(out, b)
	}
	if total == 0 {
		return nil
	}
	return out
}

// backend resolves one destination.
func (t *translation) backend(o *resource.Object, at string, d *destination) ir.Backend {
	b := ir.Backend{Origin: o.Origin(at)}
	closed := func(problem, remedy string) ir.Backend {
		t.report.Add(status.Errorf(b.Origin, "%s; requests for it are closed", problem).Fix("%s", remedy))
		b.Closed = &ir.Closed{Reason: problem, Origin: b.Origin}
		return b
	}
	switch {
	case d.Consul.set():
		return closed("consul is not supported", "write an Upstream of type static or kube")
	case d.Subset.set():
		return closed("subset is not supported", "write an Upstream for the subset")
	case d.DestinationSpec.set():
		return closed("destinationSpec is not supported", "remove it")
	case (d.Upstream == nil) == (d.Kube == nil):
		return closed("the destination names no upstream, or two", "write upstream or kube")
	case d.Upstream != nil:
		b.Upstream = t.upstreamOf(d.Upstream.in(o.Namespace))
		b.Origin = o.Origin(at + ".upstream")
		return b
	}
	b.Origin = o.Origin(at + ".kube")
	r := d.Kube.Ref.in(o.Namespace)
	u, err := service.Upstream(t.v, service.Ref{Namespace: r.Namespace, Name: r.Name, Port: d.Kube.Port}, service.Options{Dialect: name})
	if err != nil {
		return closed(serviceProblem(err))
	}
	t.f.Upstreams = append(t.f.Upstreams, u)
	b.Upstream = u.Name
	return b
}

// serviceProblem splits a service error into its words.
func serviceProblem(err error) (problem, remedy string) {
	var e *service.Error
	if errors.As(err, &e) {
		return e.What, e.Remedy
	}
	return err.Error(), "correct the reference"
}

// upstreamName is the name of an Upstream's ir.Upstream.
func upstreamName(r ref) string { return glooGroup + "/Upstream/" + r.Namespace + "/" + r.Name }

// upstreamOf returns the name of what a reference to an Upstream means. Where
// there is no such Upstream, it may be one that the product's discovery would
// have made of a Service: <namespace>-<service>-<port>.
func (t *translation) upstreamOf(r ref) string {
	n := upstreamName(r)
	if t.v.Get(upstreamKind, r.Namespace, r.Name) != nil {
		return n
	}
	for _, o := range t.v.All(resource.ServiceKind) {
		rest, ok := strings.CutPrefix(r.Name, o.Namespace+"-"+o.Name+"-")
		if !ok {
			continue
		}
		for _, port := range o.Spec.(*resource.Service).Spec.Ports {
			if fmt.Sprint(port.Port) != rest {
				continue
			}
			u, err := service.Upstream(t.v, service.Ref{Namespace: o.Namespace, Name: o.Name, Port: port.Port}, service.Options{Dialect: name})
			if err == nil {
				t.f.Upstreams = append(t.f.Upstreams, u)
				return u.Name
			}
		}
	}
	return n
}
