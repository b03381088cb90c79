package istio

import (
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/envoy"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// headerSteps reads changes of headers; p is their place. Writing Host means
// the request's host.
func (p *place) headerSteps(s *headers) []ir.Step {
	if s == nil {
		return nil
	}
	e := &ir.HeaderEdit{
		Request:  p.in("request").changes(&s.Request),
		Response: p.in("response").changes(&s.Response),
	}
	steps := []ir.Step{p.step("", ir.PhaseForward, orderHeaders, ir.Step{Headers: e})}
	steps[0].Slot = name + "/headers"
	keep := e.Request.Set[:0]
	for _, v := range e.Request.Set {
		if !isAuthority(v.Name) {
			keep = append(keep, v)
			continue
		}
		if v.Format != "" || strings.ContainsFunc(v.Value, notHost) || v.Value == "" {
			p.Fail("request.set."+v.Name, "write a host name", "the value is no host; the route is closed")
		}
		h := p.step("request.set."+v.Name, ir.PhaseForward, orderHostRewrite, ir.Step{Host: &ir.HostRewrite{Literal: v.Value}})
		h.Slot = name + "/headers"
		steps = append(steps, h)
	}
	e.Request.Set = keep
	return steps
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

func (p *place) changes(s *headerOperations) ir.HeaderChanges {
	for i, h := range s.Remove {
		p.editable(index("remove", i), h, false)
	}
	return ir.HeaderChanges{Remove: s.Remove, Set: p.values("set", s.Set), Add: p.values("add", s.Add)}
}

// values reads headers by name, with Envoy's formatters in their values.
func (p *place) values(field string, headers map[string]string) []ir.HeaderValue {
	var out []ir.HeaderValue
	for _, h := range slices.Sorted(maps.Keys(headers)) {
		at := field + "." + h
		p.editable(at, h, field == "set" && reading.Last(p.At) == "request")
		out = append(out, envoy.HeaderValue(&p.Place, at, h, headers[h]))
	}
	return out
}

// editable reports a name that is no header that may be edited.
func (p *place) editable(at, name string, host bool) {
	switch {
	case host && isAuthority(name):
	case strings.HasPrefix(name, ":"), reading.IsFraming(name):
		p.Fail(at, "use rewrite for the request's target", "header %q cannot be edited; the route is closed", name)
	case !reading.IsToken(name):
		p.Fail(at, "write a header's name", "%q is no header name; the route is closed", name)
	}
}
