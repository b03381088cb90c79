package gloomesh

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

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

// command is one of Envoy's formatters, or an escaped percent sign.
var command = regexp.MustCompile(`%%|%[A-Z0-9_]+(?:\([^)]*\))?(?::[0-9]+)?%`)

// appended reads headers by name, with Envoy's formatters in their values.
func (p *place) appended(field string, headers map[string]string) []ir.HeaderValue {
	var out []ir.HeaderValue
	for _, h := range slices.Sorted(maps.Keys(headers)) {
		at, text := field+"."+h, headers[h]
		p.editable(at, h)
		v := ir.HeaderValue{Name: h, Origin: p.Origin(at)}
		rest := command.ReplaceAllString(text, "")
		switch {
		case strings.ContainsAny(text, "\r\n\x00"):
			p.Fail(at, "write it on one line", "the value holds a line break or NUL")
		case strings.Contains(rest, "%"):
			p.Fail(at, "write %% for a percent sign", "a percent sign begins no formatter such as %%REQ(:path)%%")
		case strings.Contains(strings.ReplaceAll(text, "%%", ""), "%"):
			v.Format = text
		default:
			v.Value = strings.ReplaceAll(text, "%%", "%")
		}
		out = append(out, v)
	}
	return out
}

// framing are the headers that an edit cannot touch: they belong to the
// connection, or decide where the request goes.
var framing = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// editable reports a name that is no header that may be edited.
func (p *place) editable(at, name string) {
	if strings.HasPrefix(name, ":") || slices.Contains(framing, strings.ToLower(name)) {
		p.Fail(at, "use hostRewrite or pathRewrite for the request's target", "header %q cannot be edited", name)
		return
	}
	p.headerName(at, name)
}

// headerName reports a name that is no token (RFC 9110, section 5.6.2).
func (p *place) headerName(at, name string) {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			p.Fail(at, "write a header's name", "%q is no header name", name)
			return
		}
	}
	if name == "" {
		p.Fail(at, "write a header's name", "the header has no name")
	}
}
