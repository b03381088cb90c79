package istio

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// maxMatches bounds the matches that one written match, or a delegation, is
// multiplied into.
const maxMatches = 64

// takes reports whether a match can hold for requests of a scope: by gateway,
// port, scheme and what the gateway's own workload is.
func (m *httpMatch) takes(sc *scope, namespace string) (bool, *trouble) {
	switch {
	case m.Port != 0 && m.Port != sc.port:
		return false, nil
	case len(m.Gateways) > 0 && !sc.among(m.Gateways, namespace):
		return false, nil
	case len(m.Gateways) == 0 && !sc.workload.has(m.SourceLabels):
		return false, nil
	case len(m.Gateways) == 0 && m.SourceNamespace != "" && m.SourceNamespace != sc.workload.Namespace:
		return false, nil
	case m.Scheme == nil:
		return true, nil
	}
	fits, problem := m.Scheme.takes(sc.scheme())
	return fits || problem != nil, problem
}

// takes compares one text now.
func (m *stringMatch) takes(text string) (bool, *trouble) {
	switch {
	case m.forms() > 1:
		return false, tooMany
	case m.Exact != nil:
		return text == *m.Exact, nil
	case m.Prefix != nil:
		return strings.HasPrefix(text, *m.Prefix), nil
	case m.Regex != nil:
		re, err := compileRegex(*m.Regex)
		if err != nil {
			return false, &trouble{what: fmt.Sprintf("expression %q does not compile", *m.Regex), remedy: "write an RE2 expression"}
		}
		return re.MatchString(text), nil
	}
	return true, nil
}

func compileRegex(expr string) (*regexp.Regexp, error) {
	if len(expr) > 4096 {
		return nil, fmt.Errorf("longer than 4096 bytes")
	}
	return regexp.Compile("^(?:" + expr + ")$")
}

var tooMany = &trouble{what: "a matcher has more than one of exact, prefix and regex", remedy: "keep one of them"}

// matches returns what a written match takes. An expression that does not
// compile is compile's to report, which knows what it could take. Where else
// it cannot be told the trouble says so, and the result takes more than it
// should.
func (m *httpMatch) matches() ([]ir.Match, *trouble) {
	var out ir.Match
	var problem *trouble
	note := func(field string, p *trouble) {
		if problem == nil && p != nil {
			problem = &trouble{field: field, what: p.what, remedy: p.remedy}
		}
	}
	if m.URI != nil {
		p, trouble := m.URI.path(m.IgnoreURICase)
		out.Path = p
		note("uri", trouble)
	}
	if m.Method != nil {
		if m.Method.Exact != nil && m.Method.forms() == 1 {
			out.Methods = []string{*m.Method.Exact}
		} else {
			h, trouble := m.Method.value(":method")
			note("method", trouble)
			out.Headers = append(out.Headers, h)
		}
	}
	if m.Authority != nil {
		h, trouble := m.Authority.value(":authority")
		note("authority", trouble)
		out.Headers = append(out.Headers, lowered(h))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		s := m.Headers[name]
		note("headers."+name, checkHeader(name))
		h, trouble := s.value(name)
		note("headers."+name, trouble)
		out.Headers = append(out.Headers, h)
	}
	for _, name := range slices.Sorted(maps.Keys(m.QueryParams)) {
		s := m.QueryParams[name]
		q, trouble := s.value(name)
		note("queryParams."+name, trouble)
		out.Query = append(out.Query, q)
	}
	list, trouble := without([]ir.Match{out}, m.WithoutHeaders)
	if trouble != nil {
		note("withoutHeaders", trouble)
	}
	if problem != nil {
		return []ir.Match{{Path: out.Path}}, problem
	}
	return list, nil
}

func checkHeader(name string) *trouble {
	if name == "" || strings.HasPrefix(name, ":") && name != ":authority" && name != ":method" {
		return &trouble{what: fmt.Sprintf("header %q cannot be matched", name), remedy: "match by uri, method, authority or a header"}
	}
	return nil
}

// lowered compares a host in lower case, as requests' hosts are.
func lowered(h ir.StringMatch) ir.StringMatch {
	for _, v := range []**string{&h.Exact, &h.Prefix} {
		if *v != nil {
			s := strings.ToLower(**v)
			*v = &s
		}
	}
	if h.Regex != nil {
		s := "(?i:" + *h.Regex + ")"
		h.Regex = &s
	}
	return h
}

// path reads a path; a prefix is a raw string: /chat takes /chatter.
func (m *stringMatch) path(ignoreCase bool) (ir.PathMatch, *trouble) {
	p := ir.PathMatch{IgnoreCase: ignoreCase}
	switch {
	case m.forms() > 1:
		return ir.PathMatch{}, tooMany
	case m.Exact != nil:
		p.Kind, p.Value = ir.PathExact, *m.Exact
	case m.Prefix != nil:
		p.Kind, p.Value = ir.PathPrefix, *m.Prefix
	case m.Regex != nil:
		p.Kind, p.Value = ir.PathRegex, *m.Regex
		if ignoreCase { // case is a matter of the expression itself
			p.Value, p.IgnoreCase = "(?i:"+p.Value+")", false
		}
	default:
		return ir.PathMatch{}, nil
	}
	if p.Value == "" {
		return ir.PathMatch{}, &trouble{what: "a path matcher is empty", remedy: "write a path, or leave uri out"}
	}
	return p, nil
}

// value reads a comparison of a header or query parameter. What takes every
// value asks for presence.
func (m *stringMatch) value(name string) (ir.StringMatch, *trouble) {
	out := ir.StringMatch{Name: name}
	switch {
	case m.forms() > 1:
		return out, tooMany
	case m.everything():
	default:
		out.Exact, out.Prefix, out.Regex = m.Exact, m.Prefix, m.Regex
	}
	return out, nil
}

// everything reports whether m asks for presence alone.
func (m *stringMatch) everything() bool {
	return m.forms() == 0 || m.Prefix != nil && *m.Prefix == "" || m.Regex != nil && (*m.Regex == ".*" || *m.Regex == "*")
}

// without narrows matches to requests whose headers do not have what is
// listed. A header that is not there is an empty one, so a request passes
// either because its value differs or because there is none: two matches.
func without(list []ir.Match, headers map[string]stringMatch) ([]ir.Match, *trouble) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		s := headers[name]
		h, problem := s.value(name)
		if problem == nil {
			problem = checkHeader(name)
		}
		if problem != nil {
			return list, problem
		}
		h.Invert = true
		alternatives := []ir.StringMatch{h}
		if !s.everything() {
			if empty, _ := s.takes(""); !empty {
				alternatives = append(alternatives, ir.StringMatch{Name: name, Invert: true})
			}
		}
		if len(list)*len(alternatives) > maxMatches {
			return list, &trouble{what: "there are too many headers that must be missing", remedy: "write fewer"}
		}
		var next []ir.Match
		for _, m := range list {
			for _, a := range alternatives {
				n := m
				n.Headers = append(slices.Clip(m.Headers), a)
				next = append(next, n)
			}
		}
		list = next
	}
	return list, nil
}

// both returns what takes a request that two matches both take. fits is false
// where nothing does.
func both(a, b ir.Match) (m ir.Match, fits bool, problem *trouble) {
	m.Headers, m.Query = slices.Concat(a.Headers, b.Headers), slices.Concat(a.Query, b.Query)
	m.Methods = a.Methods
	if len(b.Methods) > 0 {
		m.Methods = b.Methods
	}
	if len(a.Methods) > 0 && len(b.Methods) > 0 && a.Methods[0] != b.Methods[0] {
		return m, false, nil
	}
	m.Path, fits, problem = bothPaths(a.Path, b.Path)
	return m, fits, problem
}

// bothPaths returns the paths that a VirtualService and its delegate both
// take. As the product has it, the delegate's path must lie within the other.
func bothPaths(a, b ir.PathMatch) (p ir.PathMatch, fits bool, problem *trouble) {
	all := func(p ir.PathMatch) bool {
		return p.Kind == ir.PathAny || p == (ir.PathMatch{Kind: ir.PathPrefix, Value: "/"})
	}
	switch {
	case all(a) && b.Kind != ir.PathAny:
		return b, true, nil
	case all(b) || a == b:
		return a, true, nil
	case a.IgnoreCase == b.IgnoreCase && a.Kind == ir.PathPrefix && (b.Kind == ir.PathPrefix || b.Kind == ir.PathExact):
		return b, begins(b.Value, a.Value, a.IgnoreCase), nil
	case a.IgnoreCase == b.IgnoreCase && a.Kind == ir.PathExact && b.Kind == ir.PathExact:
		return a, false, nil
	case a.IgnoreCase == b.IgnoreCase && a.Kind == ir.PathExact && b.Kind == ir.PathPrefix:
		return a, begins(a.Value, b.Value, a.IgnoreCase), nil
	}
	return a, true, &trouble{
		what:   fmt.Sprintf("a delegate's %s path below a %s path is not supported", b.Kind, a.Kind),
		remedy: "begin the delegate's path with the prefix above it",
	}
}

func begins(s, prefix string, ignoreCase bool) bool {
	if ignoreCase {
		s, prefix = strings.ToLower(s), strings.ToLower(prefix)
	}
	return strings.HasPrefix(s, prefix)
}

// catchAll reports whether a match takes every request.
func catchAll(m *ir.Match) bool {
	return (m.Path.Kind == ir.PathAny || m.Path.Kind == ir.PathPrefix && m.Path.Value == "/") && len(m.Methods)+len(m.Headers)+len(m.Query) == 0
}
