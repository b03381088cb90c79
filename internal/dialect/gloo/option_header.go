package gloo

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// headerSecretType is the type of a Secret whose keys are header names.
const headerSecretType = "gloo.solo.io/header"

// headers reads header edits. They run on every level; within a level the
// merge rule of all fields holds, so each level has a slot.
func (p *options) headers(slot string, s *headerManipulation, order int) {
	const field = "headerManipulation"
	if s == nil {
		return
	}
	before := p.Mark()
	e := &ir.HeaderEdit{
		Request:  p.changes(field+".request", s.RequestHeadersToAdd, s.RequestHeadersToRemove),
		Response: p.changes(field+".response", s.ResponseHeadersToAdd, s.ResponseHeadersToRemove),
	}
	if p.broken(slot, field, before) {
		return
	}
	p.slot(slot, field, ir.Step{Phase: ir.PhaseForward, Order: order, Headers: e})
}

// changes reads the edits of one side; at ends in "request" or "response", or
// "." where the fields' names have no side.
func (p *options) changes(at string, add []headerToAdd, remove []string) ir.HeaderChanges {
	toAdd, toRemove := at+"HeadersToAdd", at+"HeadersToRemove"
	if strings.HasSuffix(at, ".") {
		toAdd, toRemove = at+"headersToAdd", at+"headersToRemove"
	}
	var c ir.HeaderChanges
	for i, n := range remove {
		p.editable(fmt.Sprintf("%s[%d]", toRemove, i), n)
		c.Remove = append(c.Remove, n)
	}
	for i, h := range add {
		p.addHeader(fmt.Sprintf("%s[%d]", toAdd, i), h, &c)
	}
	return c
}

func (p *options) addHeader(at string, h headerToAdd, c *ir.HeaderChanges) {
	switch {
	case (h.Header == nil) == (h.HeaderSecretRef == nil):
		p.Fail(at, "write header or headerSecretRef", "it names no header, or two")
	case h.HeaderSecretRef != nil:
		c.Set = append(c.Set, p.secretHeaders(at+".headerSecretRef", *h.HeaderSecretRef)...)
	default:
		p.editable(at+".header.key", h.Header.Key)
		v := p.headerValue(at+".header", h.Header)
		if h.Append == nil || *h.Append {
			c.Add = append(c.Add, v)
		} else {
			c.Set = append(c.Set, v)
		}
	}
}

// headerValue reads a value with Envoy's formatters: %COMMAND%, and %% for a
// percent sign.
func (p *options) headerValue(at string, h *header) ir.HeaderValue {
	v := ir.HeaderValue{Name: h.Key, Origin: p.Origin(at)}
	if strings.ContainsAny(h.Value, "\r\n\x00") {
		p.Fail(at+".value", "write it on one line", "the value holds a line break or NUL")
		return v
	}
	literal, commands, ok := formatted(h.Value)
	switch {
	case !ok:
		p.Fail(at+".value", "write %% for a percent sign", "a percent sign begins no formatter such as %%REQ(:path)%%")
	case commands:
		v.Format = h.Value
	default:
		v.Value = literal
	}
	return v
}

// formatted looks for formatters in s: whether there are any, what s is where
// there are none, and whether every percent sign belongs to one.
func formatted(s string) (literal string, commands, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if strings.HasPrefix(s[i+1:], "%") {
			b.WriteByte('%')
			i++
			continue
		}
		n := commandLength(s[i+1:])
		if n == 0 {
			return "", false, false
		}
		commands, i = true, i+n
	}
	return b.String(), commands, true
}

// commandLength returns the length of NAME, NAME(arguments) or NAME:LENGTH
// with the percent sign behind it; 0: s begins none.
func commandLength(s string) int {
	i := 0
	for i < len(s) && (s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
		i++
	}
	if i == 0 {
		return 0
	}
	if i < len(s) && s[i] == '(' {
		end := strings.IndexByte(s[i:], ')')
		if end < 0 {
			return 0
		}
		i += end + 1
	}
	if i < len(s) && s[i] == ':' {
		for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		}
	}
	if i < len(s) && s[i] == '%' {
		return i + 1
	}
	return 0
}

// secretHeaders makes a header of every key of a Secret. The values replace
// what is there: they are credentials.
func (p *options) secretHeaders(at string, r ref) []ir.HeaderValue {
	r = r.in(p.Object.Namespace)
	_, s, missing := secretref.Find(p.t.v, p.Object, r.Namespace, r.Name)
	switch {
	case missing != nil:
		p.Fail(at, missing.Remedy, "list did not find secret %s.%s: %s", r.Namespace, r.Name, missing.What)
		return nil
	case s.Type != headerSecretType && s.Type != "Opaque" && s.Type != "":
		p.Fail(at, "make its type Opaque or "+headerSecretType, "secret %s.%s was not a Header secret", r.Namespace, r.Name)
		return nil
	case len(s.Keys) == 0:
		p.Fail(at, "put a header's name and value into its data", "secret %s.%s holds no header", r.Namespace, r.Name)
		return nil
	}
	var out []ir.HeaderValue
	for _, key := range s.Keys {
		p.editable(at, key)
		out = append(out, ir.HeaderValue{
			Name: key, Origin: p.Origin(at),
			Secret: secret.Ref{Kind: "Secret", Namespace: r.Namespace, Name: r.Name, Key: key},
		})
	}
	return out
}

// editable reports a name that is no header that may be edited.
func (p *options) editable(at, name string) {
	if strings.HasPrefix(name, ":") || reading.IsFraming(name) {
		p.Fail(at, "use hostRewrite or prefixRewrite for the request's target", "header %q cannot be edited", name)
		return
	}
	p.headerName(at, name)
}

// headerName reports a name that is no token (RFC 9110, section 5.6.2).
func (p *options) headerName(at, name string) {
	if !reading.IsToken(name) {
		p.Fail(at, "write a header's name", "%q is no header name", name)
	}
}
