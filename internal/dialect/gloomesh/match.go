package gloomesh

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// match is an ir.Match that may hold on one port alone.
type match struct {
	ir.Match
	port int
}

// maxMatches bounds the matches of one route that delegation multiplies.
const maxMatches = 1000

// matchesOf returns what a route takes: its own matchers within those above
// it. Where they cannot be told the trouble says so, and the matches take
// more than they should; no matches at all contradict each other.
func (n *node) matchesOf() ([]match, *trouble) {
	own, problem := matchers(n.route.Matchers)
	if n.above == nil {
		return own, problem
	}
	above, p := n.above.matchesOf()
	if problem == nil {
		problem = p
	}
	if len(above)*len(own) > maxMatches {
		return above, &trouble{"delegation multiplies its matchers beyond bounds", "write fewer"}
	}
	var out []match
	for _, a := range above {
		for _, b := range own {
			m, fits, p := within(a, b)
			if problem == nil {
				problem = p
			}
			if fits {
				out = append(out, m)
			}
		}
	}
	return out, problem
}

// matchers reads a route's matchers; without any it takes everything.
func matchers(list []matcher) ([]match, *trouble) {
	if len(list) == 0 {
		return []match{{}}, nil
	}
	var problem *trouble
	out := make([]match, 0, len(list))
	for i := range list {
		m, p := matchOf(&list[i])
		if problem == nil {
			problem = p
		}
		out = append(out, m)
	}
	return out, problem
}

func matchOf(s *matcher) (match, *trouble) {
	m := match{port: s.Port}
	var problem *trouble
	if s.URI != nil {
		m.Path, problem = pathOf(s.URI)
	}
	if s.Method != "" {
		m.Methods = []string{s.Method}
	}
	for _, h := range s.Headers {
		if h.Name == "" || strings.HasPrefix(h.Name, ":") {
			problem = &trouble{fmt.Sprintf("header matcher %q is not supported", h.Name), "match by path, method, header or query parameter"}
			continue
		}
		m.Headers = append(m.Headers, stringMatch(h))
	}
	for _, q := range s.QueryParameters {
		m.Query = append(m.Query, stringMatch(q))
	}
	return m, problem
}

// pathOf reads a path; a prefix is a raw string: /chat takes /chatter.
func pathOf(s *uriMatcher) (ir.PathMatch, *trouble) {
	p := ir.PathMatch{IgnoreCase: s.IgnoreCase}
	n := 0
	for _, one := range []struct {
		kind  ir.PathKind
		value *string
	}{{ir.PathExact, s.Exact}, {ir.PathPrefix, s.Prefix}, {ir.PathRegex, s.Regex}, {ir.PathSuffix, s.Suffix}} {
		if one.value != nil {
			p.Kind, p.Value = one.kind, *one.value
			n++
		}
	}
	switch {
	case n > 1:
		return ir.PathMatch{}, &trouble{"a matcher has more than one of exact, prefix, regex and suffix", "keep one of them"}
	case n == 0:
		return ir.PathMatch{}, nil
	case p.Value == "":
		return ir.PathMatch{}, &trouble{"a path matcher is empty", `write a path, or leave uri out`}
	case p.Kind == ir.PathRegex: // case is a matter of the expression itself
		if p.IgnoreCase {
			p.Value, p.IgnoreCase = "(?i:"+p.Value+")", false
		}
	}
	return p, nil
}

func stringMatch(s valueMatcher) ir.StringMatch {
	m := ir.StringMatch{Name: s.Name, Invert: s.InvertMatch}
	switch {
	case s.Value == "":
	case s.Regex:
		m.Regex = &s.Value
	default:
		m.Exact = &s.Value
	}
	return m
}

// within returns what takes a request that both take. fits is false where
// nothing does.
func within(a, b match) (m match, fits bool, problem *trouble) {
	m = match{port: cmp.Or(a.port, b.port)}
	m.Headers = slices.Concat(a.Headers, b.Headers)
	m.Query = slices.Concat(a.Query, b.Query)
	m.Methods = a.Methods
	if len(b.Methods) > 0 {
		m.Methods = b.Methods
	}
	if a.port != 0 && b.port != 0 && a.port != b.port {
		return m, false, nil
	}
	if len(a.Methods) > 0 && len(b.Methods) > 0 && a.Methods[0] != b.Methods[0] {
		return m, false, nil
	}
	m.Path, fits, problem = bothPaths(a.Path, b.Path)
	return m, fits, problem
}

// bothPaths returns the paths that a parent and its child both take.
func bothPaths(a, b ir.PathMatch) (p ir.PathMatch, fits bool, problem *trouble) {
	switch {
	case a.Kind == ir.PathAny || a == (ir.PathMatch{Kind: ir.PathPrefix, Value: "/"}):
		return cmp.Or(b, a), true, nil
	case b.Kind == ir.PathAny || b == (ir.PathMatch{Kind: ir.PathPrefix, Value: "/"}) || a == b:
		return a, true, nil
	case a.IgnoreCase != b.IgnoreCase: // what both take has no one case
	case b.Kind == ir.PathExact:
		return b, takes(a, b.Value), nil
	case a.Kind == ir.PathExact:
		return a, takes(b, a.Value), nil
	case a.Kind == ir.PathPrefix && b.Kind == ir.PathPrefix:
		if len(a.Value) > len(b.Value) {
			a, b = b, a
		}
		return b, takes(a, b.Value), nil
	case a.Kind == ir.PathPrefix && b.Kind == ir.PathRegex && beginsWith(b.Value, a.Value):
		return b, true, nil
	}
	return a, true, &trouble{
		fmt.Sprintf("a %s matcher below a %s matcher is not supported", b.Kind, a.Kind),
		"begin the child's path with the parent's prefix",
	}
}

// takes reports whether a path match takes one path.
func takes(m ir.PathMatch, path string) bool {
	value := m.Value
	if m.IgnoreCase {
		value, path = strings.ToLower(value), strings.ToLower(path)
	}
	switch m.Kind {
	case ir.PathExact:
		return value == path
	case ir.PathPrefix:
		return strings.HasPrefix(path, value)
	case ir.PathSuffix:
		return strings.HasSuffix(path, value)
	case ir.PathRegex:
		re, err := regexp.Compile("^(?:" + m.Value + ")$")
		return err == nil && re.MatchString(path)
	}
	return true
}

// beginsWith reports whether all that an expression matches begins with a
// prefix.
func beginsWith(regex, prefix string) bool {
	if len(regex) > 4096 {
		return false
	}
	re, err := regexp.Compile(regex)
	if err != nil {
		return false
	}
	literal, _ := re.LiteralPrefix()
	return strings.HasPrefix(literal, prefix)
}

// compareMatches orders by specificity: exact before regex before prefix, the
// longer first, then more conditions beside the path.
func compareMatches(a, b match) int {
	rank := func(k ir.PathKind) int {
		switch k {
		case ir.PathExact:
			return 0
		case ir.PathRegex:
			return 1
		case ir.PathAny:
			return 3
		}
		return 2
	}
	more := func(m match) int { return len(m.Methods) + len(m.Headers) + len(m.Query) }
	return cmp.Or(
		cmp.Compare(rank(a.Path.Kind), rank(b.Path.Kind)),
		cmp.Compare(len(b.Path.Value), len(a.Path.Value)),
		cmp.Compare(more(b), more(a)),
	)
}

// first returns the match of a route that comes first by specificity.
func first(list []match) match {
	if len(list) == 0 {
		return match{}
	}
	return slices.MinFunc(list, compareMatches)
}
