package gatewayapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
)

// matches translates the rule's matches; none means every path. A match with a
// faulty path takes what it may have been meant to take, and one with another
// faulty condition stays without it. The rule is closed then: were the match
// left out, a wider rule with fewer protections would take its requests.
func (r *rule) matches() []ir.Match {
	if r.grpc != nil {
		return r.grpcMatches()
	}
	specs := r.spec.Matches
	if len(specs) == 0 {
		specs = make([]gatewayv1.HTTPRouteMatch, 1)
	}
	r.prefixed = true
	var out []ir.Match
	for i := range specs {
		at := fmt.Sprintf(".matches[%d]", i)
		path := r.path(specs[i].Path, at+".path")
		if path.Kind != ir.PathSegments {
			r.prefixed = false
		}
		m := ir.Match{Path: path}
		if method := parent.Or(specs[i].Method, ""); method != "" {
			if slices.Contains(methods, method) {
				m.Methods = []string{method}
			} else {
				r.bad("UnsupportedValue", at+".method", "use one of "+strings.Join(methods, ", "), "%q is no method", method)
			}
		}
		m.Headers = r.headerMatches(specs[i].Headers, at+".headers")
		m.Query = r.queryMatches(specs[i].QueryParams, at+".queryParams")
		m.Order = parent.Order(m)
		out = append(out, m)
		r.at = append(r.at, at)
	}
	return out
}

// methods of the API's HTTPMethod.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// The API's bounds.
const (
	maxPath       = 1024
	maxHeader     = 4096
	maxQueryParam = 1024
)

func (r *rule) path(p *gatewayv1.HTTPPathMatch, at string) ir.PathMatch {
	kind, value := "PathPrefix", "/"
	if p != nil {
		kind, value = parent.Or(p.Type, kind), parent.Or(p.Value, value)
	}
	if kind == "RegularExpression" {
		r.regex(value, maxPath, at+".value") // compile closes what a bad one may take
		return ir.PathMatch{Kind: ir.PathRegex, Value: value}
	}
	if why := badPath(value); why != "" {
		r.bad("UnsupportedValue", at+".value", "write a path that begins with / and is in its simplest form", "%q %s", value, why)
		return nearestPath(value)
	}
	switch kind {
	case "Exact":
		return ir.PathMatch{Kind: ir.PathExact, Value: value}
	case "PathPrefix":
		if value != "/" { // a prefix's trailing slash is ignored
			value = strings.TrimSuffix(value, "/")
		}
		return ir.PathMatch{Kind: ir.PathSegments, Value: value}
	}
	r.bad("UnsupportedValue", at+".type", "use Exact, PathPrefix or RegularExpression", "%q is no kind of path match", kind)
	return nearestPath(value)
}

// regex checks an RE2 expression that is compared with the whole value.
func (r *rule) regex(expr string, limit int, at string) bool {
	if len(expr) > limit {
		r.bad("UnsupportedValue", at, "shorten it", "the expression is longer than %d", limit)
		return false
	}
	if _, err := regexp.Compile(expr); err != nil {
		r.bad("UnsupportedValue", at, "write it in the syntax of RE2", "the expression is not valid: %s", describe(err))
		return false
	}
	return true
}

// headerMatches translates header conditions. Of several for one header the
// first counts, as the API says.
func (r *rule) headerMatches(specs []gatewayv1.HTTPHeaderMatch, at string) []ir.StringMatch {
	var out []ir.StringMatch
	seen := map[string]bool{}
	for i, m := range specs {
		at := fmt.Sprintf("%s[%d]", at, i)
		name := string(m.Name)
		if !isToken(name) {
			r.bad("UnsupportedValue", at+".name", "correct it", "%q is no header name", name)
			continue
		}
		if seen[strings.ToLower(name)] {
			continue
		}
		seen[strings.ToLower(name)] = true
		if c, ok := r.condition(name, parent.Or(m.Type, "Exact"), m.Value, maxHeader, at); ok {
			out = append(out, c)
		}
	}
	return out
}

// queryMatches translates query conditions; names are compared exactly.
func (r *rule) queryMatches(specs []gatewayv1.HTTPQueryParamMatch, at string) []ir.StringMatch {
	var out []ir.StringMatch
	seen := map[string]bool{}
	for i, m := range specs {
		at := fmt.Sprintf("%s[%d]", at, i)
		name := string(m.Name)
		if !isToken(name) {
			r.bad("UnsupportedValue", at+".name", "correct it", "%q is no name of a query parameter", name)
			continue
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		if c, ok := r.condition(name, parent.Or(m.Type, "Exact"), m.Value, maxQueryParam, at); ok {
			out = append(out, c)
		}
	}
	return out
}

func (r *rule) condition(name, kind, value string, limit int, at string) (ir.StringMatch, bool) {
	switch kind {
	case "Exact":
		if why, remedy := badValue(value, limit); why != "" {
			r.bad("UnsupportedValue", at+".value", remedy, "the value %s", why)
			return ir.StringMatch{}, false
		}
		return ir.StringMatch{Name: name, Exact: &value}, true
	case "RegularExpression":
		return ir.StringMatch{Name: name, Regex: &value}, r.regex(value, limit, at+".value")
	}
	r.bad("UnsupportedValue", at+".type", "use Exact or RegularExpression", "%q is no kind of match", kind)
	return ir.StringMatch{}, false
}
