package gatewayapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// httpRoute is the translation of one HTTPRoute, by itself or under another, or
// of a GRPCRoute.
type httpRoute struct {
	v      *resource.View
	obj    *resource.Object
	spec   *gatewayv1.HTTPRouteSpec
	grpc   *gatewayv1.GRPCRouteSpec // whose matches count; nil: it is an HTTPRoute
	report status.Report
	*contribution

	closed  *ir.Closed    // every rule answers so
	invalid *parent.Fault // the first fault of a rule
	dropped int           // rules that are closed or gone for a fault
	refs    *parent.Fault // the first reference that does not resolve

	walk     *walk    // nil: nobody serves the route, and it leads to nothing
	link     *link    // what delegates to it; nil: it stands by itself
	as       *child   // what it is to the one that delegates to it
	children []*child // what it delegates to, as it came
}

// contribution is what a route and those below it bring along together.
type contribution struct {
	upstreams map[string]*ir.Upstream
	order     []string // names of upstreams, as they came
	policies  []policyUse
}

func translateHTTPRoute(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	return newHTTPRoute(v, obj, &obj.Spec.(*HTTPRoute).Spec).translate()
}

func newHTTPRoute(v *resource.View, obj *resource.Object, spec *gatewayv1.HTTPRouteSpec) *httpRoute {
	return &httpRoute{v: v, obj: obj, spec: spec, contribution: &contribution{upstreams: map[string]*ir.Upstream{}}}
}

func (h *httpRoute) translate() (*dialect.Fragment, status.Report) {
	f := &dialect.Fragment{Referable: []dialect.Target{dialect.TargetOf(h.obj.Key)}}
	if h.closed = faulty(h.obj); h.closed != nil && h.grpc != nil {
		h.closed.Status = http.StatusServiceUnavailable
	}
	h.unsupported()
	hostnames, known := h.hostnames()
	parents := parent.Attach(h.v, parent.Route{
		Object: h.obj, Refs: h.spec.ParentRefs, Field: "spec.parentRefs", Hostnames: hostnames, OfRoutes: h.grpc == nil,
	}, &h.report)
	if known && attached(parents) {
		h.walk = &walk{report: &h.report}
	}
	rules := h.rules() // for their problems also where nobody serves them
	if h.walk != nil {
		h.serve(f, parents, rules)
		h.tellChildren()
	}
	h.tell(parents)
	return f, h.report
}

// serve puts the rules on the hosts of each parent.
func (h *httpRoute) serve(f *dialect.Fragment, parents []parent.Parent, rules []*dialect.Route) {
	for _, p := range parents {
		routes := forParent(rules, p.About)
		for _, host := range p.Hosts {
			f.Hosts = append(f.Hosts, &dialect.VirtualHost{
				Listeners: host.Listeners, Hostnames: host.Hostnames, Routes: routes,
				Family: h.kind(), Owner: h.obj.Key, Age: h.obj.Created, Origin: h.obj.Origin("spec.hostnames"),
			})
		}
	}
	for _, name := range h.order {
		f.Upstreams = append(f.Upstreams, h.upstreams[name])
	}
}

func attached(parents []parent.Parent) bool {
	for _, p := range parents {
		if len(p.Hosts) > 0 {
			return true
		}
	}
	return false
}

// forParent returns the routes as reported for one parent: the route's own,
// and through the route those that it delegates to.
func forParent(rules []*dialect.Route, about string) []*dialect.Route {
	out := make([]*dialect.Route, len(rules))
	for i, r := range rules {
		c := *r
		if len(c.Delegators) == 0 {
			c.Parent = about
		} else {
			c.Delegators = slices.Clone(c.Delegators)
			c.Delegators[0].Parent = about
		}
		out[i] = &c
	}
	return out
}

// unsupported tells what the route asks for as a whole that we do not have.
func (h *httpRoute) unsupported() {
	if len(h.spec.ParentRefs) == 0 && h.spec.UseDefaultGateways == gatewayv1.GatewayDefaultScopeAll {
		h.report.Add(status.Errorf(h.obj.Origin("spec.useDefaultGateways"), "default Gateways are not supported; the route is not served").
			Fix("name a Gateway in parentRefs"))
	}
	if _, known := inherits(h.obj); !known {
		h.report.Add(status.Warningf(h.obj.Origin("metadata.annotations"), "annotation %s is neither true nor false, and counts as false", inheritAnnotation).
			Fix("write \"true\", or remove it"))
	}
}

// hostnames returns the valid ones. A route with an invalid one is closed on
// the others; where no valid one is left, known is false: no host at all is
// better than every host.
func (h *httpRoute) hostnames() (valid []string, known bool) {
	for i, name := range h.spec.Hostnames {
		if parent.ValidHostname(string(name)) {
			valid = append(valid, string(name))
			continue
		}
		f := parent.Fault{
			Condition: "Accepted", Reason: "UnsupportedValue", Field: fmt.Sprintf("spec.hostnames[%d]", i),
			What: fmt.Sprintf("%q is no hostname", name), Remedy: "write a lower case DNS name without a port; it may begin with \"*.\"",
		}
		h.report.Add(f.Problem(h.obj))
		if h.closed == nil {
			h.closed = h.close(&f)
		}
	}
	unreadable := slices.ContainsFunc(h.obj.Faults, func(p status.Problem) bool {
		return strings.HasPrefix(p.Origin.Field, "spec.hostname")
	})
	return valid, len(valid) > 0 || (len(h.spec.Hostnames) == 0 && !unreadable)
}

// rules translates every rule. Without any, the API's default stands: one that
// takes everything, and has no backend.
func (h *httpRoute) rules() []*dialect.Route {
	specs := h.spec.Rules
	if len(specs) == 0 {
		specs = make([]gatewayv1.HTTPRouteRule, 1)
	}
	names := map[string]bool{}
	var out []*dialect.Route
	for i := range specs {
		r := &rule{httpRoute: h, spec: &specs[i], field: fmt.Sprintf("spec.rules[%d]", i), index: i}
		if name := parent.Or(specs[i].Name, ""); name != "" {
			if names[name] {
				r.bad("UnsupportedValue", ".name", "give each a name of its own", "two rules are named %q", name)
			}
			names[name] = true
		}
		routes := r.translate()
		if r.fault != nil {
			h.dropped++
			if h.invalid == nil {
				h.invalid = r.fault
			}
		}
		out = append(out, routes...)
	}
	return out
}

// unresolved notes a reference that does not resolve.
func (h *httpRoute) unresolved(f parent.Fault) {
	h.report.Add(f.Problem(h.obj))
	if h.refs == nil {
		h.refs = &f
	}
}

// tell reports the conditions of each parent.
func (h *httpRoute) tell(parents []parent.Parent) {
	for _, p := range parents {
		if p.Foreign {
			continue
		}
		h.report.Outcome(h.accepted(p))
		refs := status.Outcome{Object: h.obj.Status(), About: p.About, Condition: "ResolvedRefs", OK: true, Reason: "ResolvedRefs"}
		if h.refs != nil {
			refs.OK, refs.Reason, refs.Message = false, h.refs.Reason, h.refs.What
		}
		h.report.Outcome(refs)
		if p.Accepted && p.Gateway.Name != "" {
			h.tellPolicies(p)
		}
	}
}

// accepted returns the Accepted condition for a parent that takes the route:
// false where nothing of the route is served as written. A part that is not
// shows as PartiallyInvalid.
func (h *httpRoute) accepted(p parent.Parent) status.Outcome {
	o := status.Outcome{Object: h.obj.Status(), About: p.About, Condition: "Accepted", OK: p.Accepted, Reason: p.Reason, Message: p.Message}
	switch {
	case !p.Accepted:
	case h.closed != nil:
		o.OK, o.Reason, o.Message = false, "UnsupportedValue", h.closed.Reason
	case h.invalid == nil:
	case h.dropped >= max(len(h.spec.Rules), 1):
		o.OK, o.Reason, o.Message = false, h.invalid.Reason, h.invalid.What
	default:
		h.report.Outcome(status.Outcome{
			Object: h.obj.Status(), About: p.About, Condition: "PartiallyInvalid", OK: true, Reason: h.invalid.Reason,
			Message: "Dropped Rule: in part, the route answers " + h.answer() + ": " + h.invalid.What,
		})
	}
	return o
}
