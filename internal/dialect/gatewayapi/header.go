package gatewayapi

import (
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// headers translates a header modifier, in the order that the API gives: set,
// add and remove never speak of one header.
func (r *rule) headers(f *gatewayv1.HTTPHeaderFilter, at string) ir.HeaderChanges {
	seen := map[string]bool{}
	var out ir.HeaderChanges
	for i, name := range f.Remove {
		if r.headerName(name, fmt.Sprintf("%s.remove[%d]", at, i), seen) {
			out.Remove = append(out.Remove, name)
		}
	}
	out.Set = r.headerValues(f.Set, at+".set", seen)
	out.Add = r.headerValues(f.Add, at+".add", seen)
	return out
}

func (r *rule) headerValues(list []gatewayv1.HTTPHeader, at string, seen map[string]bool) []ir.HeaderValue {
	var out []ir.HeaderValue
	for i, h := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		if !r.headerName(string(h.Name), at+".name", seen) {
			continue
		}
		if why, remedy := badValue(h.Value, maxHeader); why != "" {
			r.bad("UnsupportedValue", at+".value", remedy, "the value of header %s %s", h.Name, why)
			continue
		}
		out = append(out, ir.HeaderValue{Name: string(h.Name), Value: h.Value, Origin: r.obj.Origin(r.field + at)})
	}
	return out
}

// headerName checks a header that a filter wants to change.
func (r *rule) headerName(name, at string, seen map[string]bool) bool {
	switch {
	case !isToken(name):
		r.bad("UnsupportedValue", at, "correct it", "%q is no header name", name)
		return false
	case reading.IsFraming(name):
		r.bad("UnsupportedValue", at, "remove it; a host is changed by URLRewrite", "header %s is not a filter's to change", name)
		return false
	case seen[strings.ToLower(name)]:
		r.bad("UnsupportedValue", at, "name it once", "header %s is changed twice", name)
		return false
	}
	seen[strings.ToLower(name)] = true
	return true
}

// cors translates a CORS filter.
func (r *rule) cors(f *gatewayv1.HTTPCORSFilter, at string) *ir.CORS {
	age := int(f.MaxAge)
	if age == 0 {
		age = 5 // the API's default
	}
	if age < 0 {
		r.bad("UnsupportedValue", at+".maxAge", "use 1 or more", "%d is no age", age)
	}
	out := &ir.CORS{AllowCredentials: f.AllowCredentials != nil && *f.AllowCredentials, MaxAgeSeconds: &age, AnswerOthers: true}
	for i, o := range f.AllowOrigins {
		if o != "*" && !corsOrigin.MatchString(string(o)) {
			r.bad("UnsupportedValue", fmt.Sprintf("%s.allowOrigins[%d]", at, i), "write scheme://host:port", "%q is no origin", o)
		}
		out.AllowOrigins = append(out.AllowOrigins, string(o))
	}
	for i, m := range f.AllowMethods {
		if m != "*" && !isToken(string(m)) {
			r.bad("UnsupportedValue", fmt.Sprintf("%s.allowMethods[%d]", at, i), "correct it", "%q is no method", m)
		}
		out.AllowMethods = append(out.AllowMethods, string(m))
	}
	out.AllowHeaders = r.corsHeaders(f.AllowHeaders, at+".allowHeaders")
	out.ExposeHeaders = r.corsHeaders(f.ExposeHeaders, at+".exposeHeaders")
	return out
}

func (r *rule) corsHeaders(list []gatewayv1.HTTPHeaderName, at string) []string {
	var out []string
	for i, n := range list {
		if !isToken(string(n)) { // "*" is a token too
			r.bad("UnsupportedValue", fmt.Sprintf("%s[%d]", at, i), "correct it", "%q is no header name", n)
		}
		out = append(out, string(n))
	}
	return out
}
