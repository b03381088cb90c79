package authn

import (
	"net/http"
	"slices"
	"strings"
)

// externalPatterns are the names of an ir.ExternalHTTP that have a "*" at one
// end.
type externalPatterns struct{ request, upstream, client, success namePatterns }

// namePatterns are names of headers, lower case, with a "*" at one end.
type namePatterns []string

// patternsIn takes the patterns out of a list of names.
func patternsIn(names *[]string) (out namePatterns) {
	*names = slices.DeleteFunc(slices.Clone(*names), func(name string) bool {
		is := strings.HasPrefix(name, "*") || strings.HasSuffix(name, "*")
		if is {
			out = append(out, strings.ToLower(name))
		}
		return is
	})
	return out
}

// take reports whether a header's name fits one of the patterns.
func (p namePatterns) take(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(p, func(pattern string) bool {
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			return strings.HasSuffix(name, suffix)
		}
		return strings.HasPrefix(name, strings.TrimSuffix(pattern, "*"))
	})
}

// of returns the names in a head that fit, sorted; none that frames a message.
func (p namePatterns) of(h http.Header) []string {
	if len(p) == 0 {
		return nil
	}
	var out []string
	for name := range h {
		if !hopHeader(name) && p.take(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
