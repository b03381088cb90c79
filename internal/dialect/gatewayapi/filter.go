package gatewayapi

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// filters is what a list of filters comes to.
type filters struct {
	steps      []ir.Step
	references []dialect.Reference
	redirect   *ir.Redirect
	// closed is set where a filter names something that cannot be there.
	closed *ir.Closed
}

// filters translates a rule's filters, or those of one backend, which can do
// less: what answers by itself or decides before a backend is chosen is only
// for rules.
func (r *rule) filters(specs []gatewayv1.HTTPRouteFilter, at string, ofBackend bool) filters {
	var out filters
	var seen []gatewayv1.HTTPRouteFilterType
	for i := range specs {
		f := &specs[i]
		at := fmt.Sprintf("%s[%d]", at, i)
		if !r.wellFormed(f, at) {
			continue
		}
		repeats := f.Type == gatewayv1.HTTPRouteFilterRequestMirror || f.Type == gatewayv1.HTTPRouteFilterExtensionRef
		if slices.Contains(seen, f.Type) && !repeats {
			r.bad("IncompatibleFilters", at, "join the two", "a second %s", f.Type)
			continue
		}
		seen = append(seen, f.Type)
		r.filter(&out, f, at, ofBackend)
	}
	if slices.Contains(seen, gatewayv1.HTTPRouteFilterRequestRedirect) && slices.Contains(seen, gatewayv1.HTTPRouteFilterURLRewrite) {
		r.bad("IncompatibleFilters", at, "remove one of them", "RequestRedirect and URLRewrite exclude each other")
	}
	return out
}

// wellFormed checks that the filter's type and its one field agree.
func (r *rule) wellFormed(f *gatewayv1.HTTPRouteFilter, at string) bool {
	fields := map[gatewayv1.HTTPRouteFilterType]bool{
		gatewayv1.HTTPRouteFilterRequestHeaderModifier:  f.RequestHeaderModifier != nil,
		gatewayv1.HTTPRouteFilterResponseHeaderModifier: f.ResponseHeaderModifier != nil,
		gatewayv1.HTTPRouteFilterRequestRedirect:        f.RequestRedirect != nil,
		gatewayv1.HTTPRouteFilterURLRewrite:             f.URLRewrite != nil,
		gatewayv1.HTTPRouteFilterRequestMirror:          f.RequestMirror != nil,
		gatewayv1.HTTPRouteFilterCORS:                   f.CORS != nil,
		gatewayv1.HTTPRouteFilterExternalAuth:           f.ExternalAuth != nil,
		gatewayv1.HTTPRouteFilterExtensionRef:           f.ExtensionRef != nil,
	}
	set, known := fields[f.Type]
	n := 0
	for _, there := range fields {
		if there {
			n++
		}
	}
	if !known {
		r.bad("UnsupportedValue", at+".type", "use a type of the Gateway API", "%q is no type of filter", f.Type)
		return false
	}
	if !set || n != 1 {
		r.bad("UnsupportedValue", at, "set the field of its type, and no other", "the filter's type is %s, and its fields do not agree", f.Type)
		return false
	}
	return true
}

func (r *rule) filter(out *filters, f *gatewayv1.HTTPRouteFilter, at string, ofBackend bool) {
	step := func(phase ir.Phase, s ir.Step) {
		s.Phase, s.Slot, s.Origin = phase, Name+"/"+string(f.Type), r.obj.Origin(r.field+at)
		out.steps = append(out.steps, s)
	}
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
		step(ir.PhaseFilter, ir.Step{Headers: &ir.HeaderEdit{Request: r.headers(f.RequestHeaderModifier, at+".requestHeaderModifier")}})
	case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
		step(ir.PhaseFilter, ir.Step{Headers: &ir.HeaderEdit{Response: r.headers(f.ResponseHeaderModifier, at+".responseHeaderModifier")}})
	case gatewayv1.HTTPRouteFilterURLRewrite:
		at := at + ".urlRewrite"
		if name := parent.Or(f.URLRewrite.Hostname, ""); name != "" {
			if !parent.ValidPrecise(name) {
				r.bad("UnsupportedValue", at+".hostname", "write a lower case DNS name", "%q is no hostname", name)
			}
			step(ir.PhaseForward, ir.Step{Host: &ir.HostRewrite{Literal: name}})
		}
		if p := r.pathRewrite(f.URLRewrite.Path, at+".path"); p != nil {
			step(ir.PhaseForward, ir.Step{Path: p})
		}
	case gatewayv1.HTTPRouteFilterRequestMirror:
		if m := r.mirror(f.RequestMirror, at+".requestMirror"); m != nil {
			step(ir.PhaseForward, ir.Step{Mirror: m})
		}
	default:
		if ofBackend {
			r.bad("UnsupportedValue", at, "put it under the rule's filters", "%s is not supported on a backend", f.Type)
			return
		}
		r.ruleFilter(out, f, at, step)
	}
}

// ruleFilter translates the filters that only a rule can have.
func (r *rule) ruleFilter(out *filters, f *gatewayv1.HTTPRouteFilter, at string, step func(ir.Phase, ir.Step)) {
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestRedirect:
		out.redirect = r.redirect(f.RequestRedirect, at+".requestRedirect")
	case gatewayv1.HTTPRouteFilterCORS:
		step(ir.PhasePre, ir.Step{CORS: r.cors(f.CORS, at+".cors")})
	case gatewayv1.HTTPRouteFilterExtensionRef:
		r.extension(out, f.ExtensionRef, at+".extensionRef")
	case gatewayv1.HTTPRouteFilterExternalAuth:
		r.bad("UnsupportedValue", at, "use a policy of another API family for authentication",
			"the ExternalAuth filter is not supported; the rule answers 500, since it would let everyone in")
	}
}

// extension asks for an object of another dialect in the route's namespace. A
// kind that nobody reads closes the rule: a filter is never skipped.
func (r *rule) extension(out *filters, ref *gatewayv1.LocalObjectReference, at string) {
	gk := resource.GroupKind{Group: string(ref.Group), Kind: string(ref.Kind)}
	if !r.v.Knows(gk) {
		f := parent.Fault{
			Condition: "ResolvedRefs", Reason: "InvalidKind", Field: r.field + at,
			What: fmt.Sprintf("a filter of kind %v is not supported; the rule answers %s", gk, r.answer()), Remedy: "correct the group and kind, or remove the filter",
		}
		r.unresolved(f)
		out.closed = r.close(&f)
		return
	}
	out.references = append(out.references, dialect.Reference{
		Target: dialect.Target{GroupKind: gk, Namespace: r.obj.Namespace, Name: string(ref.Name)},
		Origin: r.obj.Origin(r.field + at),
	})
}
