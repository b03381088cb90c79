package authz

import (
	"fmt"
	"strings"
)

// template is a path with operators: "{*}" is one segment, "{**}" any text.
type template struct {
	// literals stand around the operators: literals[0] op[0] literals[1] ...
	literals []string
	// rest says that the last operator is "{**}".
	rest bool
}

// parseTemplate reads "/a/{*}/b/{**}".
func parseTemplate(text string) (*template, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("template %q does not begin with a slash", text)
	}
	t := &template{}
	literal := ""
	for _, segment := range strings.Split(text[1:], "/") {
		literal += "/"
		switch {
		case segment == "{*}" && !t.rest, segment == "{**}" && !t.rest:
			t.rest = segment == "{**}"
			t.literals = append(t.literals, literal)
			literal = ""
		case segment == "{*}" || segment == "{**}":
			return nil, fmt.Errorf("template %q has an operator after {**}", text)
		case strings.ContainsAny(segment, "{}*"):
			return nil, fmt.Errorf("template %q: {*} and {**} must be whole segments", text)
		default:
			literal += segment
		}
	}
	t.literals = append(t.literals, literal)
	return t, nil
}

// inSegment tells what an operator takes (RFC 3986 section 3.3, without "*").
func inSegment(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("-._~%!$&'()+,;:@=", c) >= 0
}

// matches reports whether t takes all of a path.
func (t *template) matches(path string) bool {
	last := len(t.literals) - 1
	for i, literal := range t.literals {
		rest, ok := strings.CutPrefix(path, literal)
		switch {
		case !ok:
			return false
		case i == last:
			return rest == ""
		case t.rest && i == last-1:
			middle, ok := strings.CutSuffix(rest, t.literals[last])
			return ok && all(middle, func(c byte) bool { return c == '/' || inSegment(c) })
		}
		n := 0
		for n < len(rest) && inSegment(rest[n]) {
			n++
		}
		if n == 0 {
			return false
		}
		path = rest[n:]
	}
	return false
}

func all(s string, holds func(byte) bool) bool {
	for i := range len(s) {
		if !holds(s[i]) {
			return false
		}
	}
	return true
}
