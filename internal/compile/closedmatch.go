package compile

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// partlyClosed compiles a host that has a match which cannot be.
func (r *run) partlyClosed(h *ir.VirtualHost, routes []*built) *dataplane.VirtualHost {
	var entries []*match.Entry[*dataplane.Route]
	var owners []*ir.Route
	for i, b := range routes {
		for _, e := range b.entries {
			entries, owners = append(entries, e), append(owners, h.Routes[i])
		}
	}
	for i, e := range entries {
		_, err := normalized(e.Match.Path)
		if err == nil {
			_, err = match.NewRouter(entries[i : i+1])
		}
		if err != nil {
			entries[i] = r.closedMatch(owners[i], e.Match, err)
		}
	}
	router, err := match.NewRouter(entries)
	if err != nil { // cannot be: every entry was tried alone
		r.problem(h.Origin, "correct its matches", "host %q: %v; it is closed", h.Hostname, err)
		c := dataplane.Closed(&ir.Closed{Reason: err.Error(), Origin: h.Origin})
		router, _ = match.NewRouter([]*match.Entry[*dataplane.Route]{{Value: &dataplane.Route{Name: h.Hostname, Stages: []dataplane.Stage{c}}}})
	}
	return &dataplane.VirtualHost{Router: router}
}

// normalized returns p as requests' paths are compared with it. One that no
// request can have is an error: were it let be, a wider route with fewer
// protections would take what it was meant for.
func normalized(p ir.PathMatch) (ir.PathMatch, error) {
	tail := ""
	switch p.Kind {
	case ir.PathExact, ir.PathSegments:
	case ir.PathPrefix: // it may end inside a segment: /.well
		tail = "x"
	default:
		return p, nil
	}
	value, err := dataplane.NormalizePath(p.Value + tail)
	if err != nil {
		return p, fmt.Errorf("path %q: %w", p.Value, err)
	}
	p.Value = strings.TrimSuffix(value, tail)
	return p, nil
}

// closedMatch stands in for a match that cannot be compiled: whatever begins
// as it could have begun is answered with 500.
func (r *run) closedMatch(rt *ir.Route, m ir.Match, err error) *match.Entry[*dataplane.Route] {
	if rt.Action.Closed == nil { // else it is known already
		r.problem(rt.Origin, "correct the match", "%v; what it could match is closed", err)
	}
	wide := ir.Match{Order: m.Order, Methods: m.Methods}
	if p := literalPrefix(m.Path); p != "" {
		wide.Path = ir.PathMatch{Kind: ir.PathPrefix, Value: p}
	}
	if headOnly, ok := withoutModel(m); ok { // the model alone is at fault
		wide = headOnly
		wide.Model = []ir.StringMatch{{}}
	}
	c := &ir.Closed{Reason: err.Error(), Origin: rt.Origin}
	return &match.Entry[*dataplane.Route]{Match: wide, Value: &dataplane.Route{
		Name: rt.Name, Origin: rt.Origin, Stages: []dataplane.Stage{dataplane.Closed(c)},
	}}
}

// withoutModel returns m without its comparisons of the model, if it has some
// and can be compiled without them.
func withoutModel(m ir.Match) (ir.Match, bool) {
	had := len(m.Model) > 0
	m.Model = nil
	if _, err := normalized(m.Path); err != nil || !had {
		return m, false
	}
	_, err := match.NewRouter([]*match.Entry[int]{{Match: m}})
	return m, err == nil
}

// literalPrefix returns what every path that p takes begins with, as far as
// can be told without compiling it.
func literalPrefix(p ir.PathMatch) string {
	if p.IgnoreCase || p.Kind == ir.PathSuffix || p.Kind == ir.PathAny {
		return ""
	}
	value := p.Value
	if p.Kind != ir.PathRegex {
		return normalPrefix(value)
	}
	for len(value) > 0 && value[0] == '^' {
		value = value[1:]
	}
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$':
			if value[i] == '|' || containsAlternation(value[i:]) {
				return ""
			}
			if i > 0 && (value[i] == '*' || value[i] == '?' || value[i] == '{') {
				i-- // the byte before may be absent
			}
			return value[:i]
		}
	}
	return value
}

// normalPrefix returns as much of a path as can begin a request's.
func normalPrefix(path string) string {
	path = "/" + strings.TrimLeft(path, "/")
	for i := len(path); i > 1; i-- {
		if p, err := dataplane.NormalizePath(path[:i]); err == nil {
			return p
		}
	}
	return ""
}

// containsAlternation reports whether an alternation may stand at the top
// level of what is left of an expression.
func containsAlternation(rest string) bool {
	if !strings.Contains(rest, "|") {
		return false
	}
	depth := 0
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth <= 0 {
				return true
			}
		}
	}
	return depth != 0
}
