package match

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// Values is a compiled list of ir.StringMatch, of which all must hold. The
// zero Values holds for everything.
//
// As in Envoy (config.route.v3.HeaderMatcher, QueryParameterMatcher): several
// values of one header are compared as one text, joined by "," without a
// space; of several values of a query parameter the first counts; a name that
// is absent is not taken, not even by an inverted comparison of its value,
// only by an inverted presence.
type Values struct{ list []value }

// NewStrings compiles list.
func NewStrings(list []ir.StringMatch) (*Values, error) {
	v := &Values{list: make([]value, len(list))}
	for i := range list {
		c, err := newValue(&list[i])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", list[i].Name, err)
		}
		v.list[i] = c
	}
	return v, nil
}

// Header reports whether all of v hold for h, whose names are canonical.
func (v *Values) Header(h http.Header) bool {
	for i := range v.list {
		c := &v.list[i]
		if !c.takes(h[c.header]) {
			return false
		}
	}
	return true
}

// Query reports whether all of v hold for q.
func (v *Values) Query(q url.Values) bool {
	for i := range v.list {
		c := &v.list[i]
		if !c.takes(first(q[c.name])) {
			return false
		}
	}
	return true
}

type comparison int

const (
	comparePresent comparison = iota
	compareExact
	comparePrefix
	compareSuffix
	compareRegex
)

// value is one compiled ir.StringMatch.
type value struct {
	name   string // as written: a query parameter's
	header string // canonical: a header's
	kind   comparison
	text   string
	regex  *regexp.Regexp
	invert bool
}

func newValue(m *ir.StringMatch) (value, error) {
	v := value{name: m.Name, header: textproto.CanonicalMIMEHeaderKey(m.Name), invert: m.Invert}
	if m.Name == "" {
		return v, fmt.Errorf("name is empty")
	}
	set := 0
	for _, c := range []struct {
		kind comparison
		text *string
	}{{compareExact, m.Exact}, {comparePrefix, m.Prefix}, {compareSuffix, m.Suffix}, {compareRegex, m.Regex}} {
		if c.text != nil {
			set++
			v.kind, v.text = c.kind, *c.text
		}
	}
	if set > 1 {
		return v, fmt.Errorf("%d comparisons set, want at most one", set)
	}
	if v.kind == compareRegex {
		re, err := Regex(v.text)
		if err != nil {
			return v, err
		}
		v.regex = re
	}
	return v, nil
}

func (v *value) takes(got []string) bool {
	if v.kind == comparePresent {
		return (len(got) > 0) != v.invert
	}
	if len(got) == 0 {
		return false
	}
	return v.holds(joined(got)) != v.invert
}

func (v *value) holds(got string) bool {
	switch v.kind {
	case compareExact:
		return got == v.text
	case comparePrefix:
		return strings.HasPrefix(got, v.text)
	case compareSuffix:
		return strings.HasSuffix(got, v.text)
	default:
		return v.regex.MatchString(got)
	}
}

// joined is how Envoy sees several lines of one header.
func joined(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ",")
}

func first(values []string) []string { return values[:min(len(values), 1)] }
