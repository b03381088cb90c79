package gatewayapi

import (
	"fmt"
	"net/http"
	"regexp"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// GRPCRoute is the spec of a GRPCRoute object.
type GRPCRoute struct {
	Spec gatewayv1.GRPCRouteSpec `json:"spec"`
}

// translateGRPCRoute translates a GRPCRoute. gRPC is HTTP/2, and but for its
// matches a GRPCRoute says the same things in the same fields as an HTTPRoute:
// it is translated as one.
func translateGRPCRoute(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	spec := &obj.Spec.(*GRPCRoute).Spec
	h := newHTTPRoute(v, obj, asHTTP(spec))
	h.grpc = spec
	if len(spec.ParentRefs) == 0 && spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeAll {
		h.report.Add(status.Warningf(obj.Origin("spec.parentRefs"), "the route has no parent, and is not served").Fix("name a Gateway"))
	}
	return h.translate()
}

// asHTTP returns what an HTTPRoute would say in a GRPCRoute's place, matches
// apart. Indices of rules, filters and backends are the same in both.
func asHTTP(g *gatewayv1.GRPCRouteSpec) *gatewayv1.HTTPRouteSpec {
	out := &gatewayv1.HTTPRouteSpec{CommonRouteSpec: g.CommonRouteSpec, Hostnames: g.Hostnames}
	for _, r := range g.Rules {
		rule := gatewayv1.HTTPRouteRule{Name: r.Name, Filters: asHTTPFilters(r.Filters), SessionPersistence: r.SessionPersistence}
		for _, b := range r.BackendRefs {
			rule.BackendRefs = append(rule.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: b.BackendRef, Filters: asHTTPFilters(b.Filters)})
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func asHTTPFilters(list []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	var out []gatewayv1.HTTPRouteFilter
	for _, f := range list {
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type:                   gatewayv1.HTTPRouteFilterType(f.Type),
			RequestHeaderModifier:  f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier,
			RequestMirror:          f.RequestMirror,
			ExtensionRef:           f.ExtensionRef,
		})
	}
	return out
}

// What the API's validation would refuse in a match of type Exact.
var (
	grpcService = regexp.MustCompile(`^\.?[a-zA-Z_][a-zA-Z_0-9]*(\.[a-zA-Z_][a-zA-Z_0-9]*)*$`)
	grpcMethod  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z_0-9]*$`)
)

// anySegment is the expression for a service or method that may be any.
const anySegment = "[^/]+"

// grpcMatches translates the matches of a GRPCRoute's rule; none means every
// call. What is faulty takes what it may have been meant to take, as with an
// HTTPRoute, and closes the rule.
func (r *rule) grpcMatches() []ir.Match {
	specs := []gatewayv1.GRPCRouteMatch{{}}
	if r.index < len(r.grpc.Rules) && len(r.grpc.Rules[r.index].Matches) > 0 {
		specs = r.grpc.Rules[r.index].Matches
	}
	var out []ir.Match
	for i := range specs {
		at := fmt.Sprintf(".matches[%d]", i)
		m := ir.Match{Path: r.grpcPath(specs[i].Method, at+".method")}
		headers := make([]gatewayv1.HTTPHeaderMatch, len(specs[i].Headers))
		for j, h := range specs[i].Headers {
			headers[j] = gatewayv1.HTTPHeaderMatch{Type: (*gatewayv1.HeaderMatchType)(h.Type), Name: gatewayv1.HTTPHeaderName(h.Name), Value: h.Value}
		}
		m.Headers = r.headerMatches(headers, at+".headers")
		m.Order = grpcOrder(specs[i].Method, len(m.Headers))
		out = append(out, m)
		r.at = append(r.at, at)
	}
	return out
}

// grpcPath returns the paths of a method match: "/service/method".
func (r *rule) grpcPath(m *gatewayv1.GRPCMethodMatch, at string) ir.PathMatch {
	if m == nil {
		return ir.PathMatch{Kind: ir.PathSegments, Value: "/"}
	}
	service, method := parent.Or(m.Service, ""), parent.Or(m.Method, "")
	kind := parent.Or(m.Type, "Exact")
	switch {
	case service == "" && method == "":
		r.bad("UnsupportedValue", at, "name a service, a method or both", "it names neither a service nor a method")
		return ir.PathMatch{Kind: ir.PathSegments, Value: "/"}
	case kind == "RegularExpression":
		good := r.regex(service, maxPath, at+".service")
		if !r.regex(method, maxPath, at+".method") || !good {
			return ir.PathMatch{Kind: ir.PathSegments, Value: "/"}
		}
		return grpcRegex(service, method)
	case kind != "Exact":
		r.bad("UnsupportedValue", at+".type", "use Exact or RegularExpression", "%q is no kind of match", kind)
		return ir.PathMatch{Kind: ir.PathSegments, Value: "/"}
	case service != "" && (!grpcService.MatchString(service) || len(service) > maxPath):
		r.bad("UnsupportedValue", at+".service", "write it as in package.Service", "%q is no name of a gRPC service", service)
		return ir.PathMatch{Kind: ir.PathSegments, Value: "/"}
	case method != "" && (!grpcMethod.MatchString(method) || len(method) > maxPath):
		r.bad("UnsupportedValue", at+".method", "write the method's name alone", "%q is no name of a gRPC method", method)
		return ir.PathMatch{Kind: ir.PathSegments, Value: "/"}
	case method == "":
		return ir.PathMatch{Kind: ir.PathPrefix, Value: "/" + service + "/"}
	case service == "":
		return grpcRegex("", method)
	}
	return ir.PathMatch{Kind: ir.PathExact, Value: "/" + service + "/" + method}
}

// grpcRegex matches whole paths by expressions for the service and the method;
// "": any.
func grpcRegex(service, method string) ir.PathMatch {
	part := func(expr string) string {
		if expr == "" {
			return anySegment
		}
		return "(?:" + expr + ")"
	}
	return ir.PathMatch{Kind: ir.PathRegex, Value: "/" + part(service) + "/" + part(method)}
}

// grpcOrder returns the place of a match among all of one host: the longer
// service first, then the longer method, then more headers. As with paths,
// what is exact comes before expressions.
func grpcOrder(m *gatewayv1.GRPCMethodMatch, headers int) ir.Order {
	rank, service, method := int64(3), 0, 0
	if m != nil {
		service, method = len(parent.Or(m.Service, "")), len(parent.Or(m.Method, ""))
		if rank = 0; parent.Or(m.Type, "Exact") != "Exact" {
			rank = 1
		}
	}
	return ir.Order{rank, -int64(service), -int64(method), -int64(headers), 0}
}

// kind is that of the route, for names.
func (h *httpRoute) kind() string { return h.obj.Kind }

// close returns a fault as a reason to answer with an error: 500 for HTTP, and
// UNAVAILABLE for gRPC, as which its clients read 503.
func (h *httpRoute) close(f *parent.Fault) *ir.Closed {
	c := f.Closed(h.obj)
	if h.grpc != nil {
		c.Status = http.StatusServiceUnavailable
	}
	return c
}

// answer is what requests get that are closed, in words.
func (h *httpRoute) answer() string {
	if h.grpc != nil {
		return "UNAVAILABLE"
	}
	return "500"
}
