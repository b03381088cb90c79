package gloomesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// headers adds and removes headers.
func (p *place) headers(s *headerPolicy) {
	c := &s.Spec.Config
	mark := p.Mark()
	at := p.in("config")
	e := &ir.HeaderEdit{
		Request:  ir.HeaderChanges{Remove: c.RemoveRequestHeaders, Add: at.appended("appendRequestHeaders", c.AppendRequestHeaders)},
		Response: ir.HeaderChanges{Remove: c.RemoveResponseHeaders, Add: at.appended("appendResponseHeaders", c.AppendResponseHeaders)},
	}
	for i, h := range c.RemoveRequestHeaders {
		at.editable(fmt.Sprintf("removeRequestHeaders[%d]", i), h)
	}
	for i, h := range c.RemoveResponseHeaders {
		at.editable(fmt.Sprintf("removeResponseHeaders[%d]", i), h)
	}
	sel := selection{routes: s.Spec.ApplyToRoutes}
	if list := s.Spec.ApplyToRouteDestinations; len(list) > 0 {
		p.Fail("applyToRouteDestinations", "use applyToRoutes", "edits for some destinations of a route are not supported; the routes are closed")
		for _, one := range list {
			sel.routes = append(sel.routes, routeSelector{Route: one.Route})
		}
	}
	targets := p.selected(sel)
	p.bound(targets, sel, false)
	p.attach("HeaderManipulationPolicy", targets, []ir.Step{{Phase: ir.PhaseForward, Order: orderHeaders, Headers: e}}, p.Since(mark))
}

// appended reads headers by name, with Envoy's formatters in their values.
func (p *place) appended(field string, headers map[string]string) []ir.HeaderValue {
	var out []ir.HeaderValue
	for _, h := range slices.Sorted(maps.Keys(headers)) {
		at := field + "." + h
		p.editable(at, h)
		out = append(out, envoy.HeaderValue(&p.Place, at, h, headers[h]))
	}
	return out
}

// editable reports a name that is no header that may be edited.
func (p *place) editable(at, name string) {
	if strings.HasPrefix(name, ":") || reading.IsFraming(name) {
		p.Fail(at, "use hostRewrite or pathRewrite for the request's target", "header %q cannot be edited", name)
		return
	}
	p.headerName(at, name)
}

// headerName reports a name that no header has.
func (p *place) headerName(at, name string) {
	switch {
	case name == "":
		p.Fail(at, "write a header's name", "the header has no name")
	case !reading.IsToken(name):
		p.Fail(at, "write a header's name", "%q is no header name", name)
	}
}
