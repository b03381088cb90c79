package gloo

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// matchesOf returns what a route matches, and what of it cannot be told: the
// route then takes more than it says, and must be closed. Without matchers a
// route takes everything.
func matchesOf(list []matcher) ([]ir.Match, string) {
	if len(list) == 0 {
		list = []matcher{{}}
	}
	out := make([]ir.Match, 0, len(list))
	problem := ""
	for i := range list {
		m, p := matchOf(&list[i])
		problem = cmp.Or(problem, p)
		out = append(out, m)
	}
	return out, problem
}

func matchOf(s *matcher) (ir.Match, string) {
	m := ir.Match{Path: pathOf(s), Methods: s.Methods}
	if n := paths(s); n > 1 {
		return m, "a matcher has more than one of prefix, exact, regex and connectMatcher"
	}
	if s.ConnectMatcher.set() {
		m.Methods = []string{"CONNECT"}
		return m, "connectMatcher is not supported: CONNECT is refused"
	}
	problem := ""
	for _, h := range s.Headers {
		if strings.HasPrefix(h.Name, ":") || h.Name == "" {
			problem = fmt.Sprintf("header matcher %q is not supported", h.Name)
			continue
		}
		m.Headers = append(m.Headers, stringMatch(h))
	}
	for _, q := range s.QueryParameters {
		m.Query = append(m.Query, stringMatch(q))
	}
	return m, problem
}

func paths(s *matcher) int {
	n := 0
	for _, set := range []bool{s.Prefix != nil, s.Exact != nil, s.Regex != nil, s.ConnectMatcher.set()} {
		if set {
			n++
		}
	}
	return n
}

// pathOf reads a path specifier; a prefix is a raw string: /chat takes
// /chatter.
func pathOf(s *matcher) ir.PathMatch {
	p := ir.PathMatch{IgnoreCase: s.CaseSensitive != nil && !*s.CaseSensitive}
	switch {
	case s.Exact != nil:
		p.Kind, p.Value = ir.PathExact, *s.Exact
	case s.Regex != nil:
		// Case is a matter of the expression itself.
		p.Kind, p.Value, p.IgnoreCase = ir.PathRegex, *s.Regex, false
	case s.Prefix != nil:
		p.Kind, p.Value = ir.PathPrefix, *s.Prefix
	default:
		p.Kind, p.Value = ir.PathPrefix, "/"
	}
	return p
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

// pathText is what the order of specificity, and delegation, compare.
func pathText(s *matcher) string {
	for _, p := range []*string{s.Exact, s.Regex, s.Prefix} {
		if p != nil {
			return *p
		}
	}
	return "/"
}

// compareMatchers orders by specificity as the product does: more methods,
// then exact before regex before prefix, then the path backwards, by which
// the longer of two prefixes comes first.
func compareMatchers(a, b *matcher) int {
	return cmp.Or(
		cmp.Compare(len(b.Methods), len(a.Methods)),
		cmp.Compare(pathRank(a), pathRank(b)),
		strings.Compare(pathText(b), pathText(a)),
	)
}

func pathRank(s *matcher) int {
	switch {
	case s.Exact != nil:
		return 0
	case s.Regex != nil:
		return 1
	}
	return 2
}

// smallest returns the matcher of a route that comes first.
func smallest(list []matcher) *matcher {
	least := &matcher{}
	for i := range list {
		if i == 0 || compareMatchers(&list[i], least) < 0 {
			least = &list[i]
		}
	}
	return least
}
