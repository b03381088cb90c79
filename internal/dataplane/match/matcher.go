package match

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// matcher is one compiled ir.Match. Where it is found in a table already
// proves its path, but for a regular expression.
type matcher struct {
	rank    int  // its place in the order of all matches; the smallest wins
	bare    bool // asks for nothing but its path
	path    ir.PathMatch
	literal string         // what a PathRegex begins with
	regex   *regexp.Regexp // what follows there
	methods []string
	headers []value
	query   []value
}

func newMatcher(m *ir.Match, regexes rests) (*matcher, error) {
	c := &matcher{path: m.Path, methods: m.Methods}
	if err := c.compilePath(regexes); err != nil {
		return nil, fmt.Errorf("path %q: %w", m.Path.Value, err)
	}
	headers, err := NewStrings(m.Headers)
	if err != nil {
		return nil, fmt.Errorf("header %w", err)
	}
	query, err := NewStrings(m.Query)
	if err != nil {
		return nil, fmt.Errorf("query parameter %w", err)
	}
	c.headers, c.query = headers.list, query.list
	c.bare = len(c.methods)+len(c.headers)+len(c.query) == 0 && c.regex == nil
	for i := range c.headers {
		if err := c.headers[i].checkPseudo(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (m *matcher) compilePath(regexes rests) error {
	switch m.path.Kind {
	case ir.PathAny, ir.PathExact, ir.PathPrefix, ir.PathSegments, ir.PathSuffix:
		return nil
	case ir.PathRegex:
		expr := m.path.Value
		if m.path.IgnoreCase {
			expr = "(?i:" + expr + ")"
		}
		var err error
		m.literal, m.regex, err = regexes.compile(expr)
		return err
	}
	return fmt.Errorf("kind %q does not exist", m.path.Kind)
}

// The names under which a request's own line and host can be matched as if
// they were headers.
const (
	nameHost      = "Host"
	nameAuthority = ":authority"
	nameMethod    = ":method"
)

func (v *value) checkPseudo() error {
	if !strings.HasPrefix(v.header, ":") || v.header == nameAuthority || v.header == nameMethod {
		return nil
	}
	return fmt.Errorf("header %q: cannot be matched as a header", v.name)
}

// takes reports whether m takes req, given that its path was found.
func (m *matcher) takes(req *Request) bool {
	if m.rank < req.after {
		return false
	}
	if m.bare {
		return true
	}
	if len(m.methods) > 0 && !slices.Contains(m.methods, req.Method) {
		return false
	}
	for i := range m.headers {
		if v := &m.headers[i]; !v.takesHeader(req) {
			return false
		}
	}
	for i := range m.query {
		if v := &m.query[i]; !v.takes(first(req.Query[v.name])) {
			return false
		}
	}
	return m.regex == nil || m.regex.MatchString(req.Path[len(m.literal):])
}

func (v *value) takesHeader(req *Request) bool {
	switch v.header {
	case nameHost, nameAuthority:
		return v.takesOne(req.Host)
	case nameMethod:
		return v.takesOne(req.Method)
	}
	return v.takes(req.Header[v.header])
}

func (v *value) takesOne(got string) bool {
	if v.kind == comparePresent {
		return !v.invert
	}
	return v.holds(got) != v.invert
}
