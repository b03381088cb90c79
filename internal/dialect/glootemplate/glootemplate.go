// Package glootemplate reads the transformation template that both Gloo
// families embed: Gloo Gateway as transformationTemplate, Gloo Mesh as
// injaTemplate. It is no dialect, and imports none; what a template does is
// ir.Template's to say.
//
// Source: the transformation filter's proto in solo-io/envoy-gloo.
package glootemplate

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// Translate turns a template at a place into the model's. An error that is
// reported there means that it cannot be carried out as written; what it guards
// must close. Escape holds where the template does not say escapeCharacters.
func Translate(at reading.Place, escape bool, t *Template) *ir.Template {
	r := &reader{at}
	out := &ir.Template{
		Advanced: t.AdvancedTemplates, DontParse: t.ParseBodyBehavior == dontParse, IgnoreParseError: t.IgnoreErrorOnParse,
		Passthrough: bool(t.Passthrough), MergeExtractors: bool(t.MergeExtractorsToBody),
		Remove: t.HeadersToRemove, Escape: escape, Origin: r.Origin(""),
	}
	if t.EscapeCharacters != nil {
		out.Escape = *t.EscapeCharacters
	}
	r.extractors(t, out)
	r.body(t, out)
	r.headers(t, out)
	for i, m := range t.DynamicMetadataValues {
		if m.Key == "" {
			r.Fail(fmt.Sprintf("dynamicMetadataValues[%d].key", i), "name it", "the metadata has no key")
		}
		out.Metadata = append(out.Metadata, ir.MetadataTemplate{Namespace: m.MetadataNamespace, Key: m.Key, Text: m.Value.Text, JSON: m.JSONToProto})
	}
	if t.DataSources || t.DataSourceMaxSize {
		r.Fail("dataSources", "write the text into the template", "dataSources are not supported")
	}
	if t.StringDelimiter != "" {
		r.Fail("stringDelimiter", "remove it", "stringDelimiter is not supported")
	}
	if t.SpanTransformer {
		r.Warn("spanTransformer", "remove it", "spanTransformer is not supported and has no effect")
	}
	return out
}

type reader struct{ reading.Place }

// extractors reads them by name, so that the same template always gives the
// same model.
func (r *reader) extractors(t *Template, out *ir.Template) {
	for _, name := range slices.Sorted(maps.Keys(t.Extractors)) {
		at, e := "extractors."+name, t.Extractors[name]
		if (e.Header == nil) == !bool(e.Body) {
			r.Fail(at, "write header, or body: {}", "the extractor has no source, or two")
		}
		x := ir.Extractor{Name: name, Regex: e.Regex, Group: e.Subgroup, Mode: modes[e.Mode], Replacement: e.ReplacementText}
		if e.Header != nil {
			r.readable(at+".header", *e.Header)
			x.Header = *e.Header
		}
		if groups, ok := groups(e.Regex); ok && e.Subgroup > groups {
			r.Fail(at+".subgroup", "count the parentheses of the expression", "group %d is beyond the %d of the expression", e.Subgroup, groups)
		} else if !ok {
			r.Fail(at+".regex", "write an RE2 expression", "the expression is missing, too long or wrong")
		}
		if x.Mode != "" && x.Replacement == nil {
			r.Fail(at+".replacementText", "write it", "the mode replaces, and nothing says by what")
		}
		if x.Mode == "" && x.Replacement != nil {
			r.Warn(at+".replacementText", "write mode: SINGLE_REPLACE or REPLACE_ALL", "replacementText has no effect in the mode EXTRACT")
		}
		out.Extractors = append(out.Extractors, x)
	}
}

// maxRegex bounds an expression, as everywhere in the gateway.
const maxRegex = 4096

// groups counts the groups of an expression.
func groups(regex string) (int, bool) {
	if regex == "" || len(regex) > maxRegex {
		return 0, false
	}
	re, err := syntax.Parse(regex, syntax.Perl)
	if err != nil {
		return 0, false
	}
	return re.MaxCap(), true
}

// body reads what becomes of the body; of the alternatives at most one is set.
func (r *reader) body(t *Template, out *ir.Template) {
	n := 0
	for _, set := range []bool{t.Body != nil, bool(t.Passthrough), bool(t.MergeExtractorsToBody), t.MergeJSONKeys != nil} {
		if set {
			n++
		}
	}
	if n > 1 {
		r.Fail("body", "keep one of them", "body, passthrough, mergeExtractorsToBody and mergeJsonKeys exclude each other")
	}
	if t.Body != nil {
		out.Body = &t.Body.Text
	}
	if t.MergeJSONKeys == nil {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(t.MergeJSONKeys.JSONKeys)) {
		k := t.MergeJSONKeys.JSONKeys[path]
		out.MergeJSON = append(out.MergeJSON, ir.MergeMember{Path: path, Text: k.Tmpl.Text, OverrideEmpty: k.OverrideEmpty})
	}
	if len(out.MergeJSON) == 0 {
		r.Fail("mergeJsonKeys.jsonKeys", "write members", "mergeJsonKeys names no member")
	}
}

func (r *reader) headers(t *Template, out *ir.Template) {
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		r.editable("headers."+name, name, true)
		out.Set = append(out.Set, ir.HeaderTemplate{Name: name, Text: t.Headers[name].Text})
	}
	for i, name := range t.HeadersToRemove {
		r.editable(fmt.Sprintf("headersToRemove[%d]", i), name, false)
	}
	for i, h := range t.HeadersToAppend {
		r.editable(fmt.Sprintf("headersToAppend[%d].key", i), h.Key, false)
		out.Append = append(out.Append, ir.HeaderTemplate{Name: h.Key, Text: h.Value.Text})
	}
}

// editable reports a name that a template must not write. Pseudo-headers may
// be replaced where that is asked for: they are the request's target, as is Host.
func (r *reader) editable(at, name string, pseudo bool) {
	switch {
	case reading.IsFraming(name) && !strings.EqualFold(name, "host"):
		r.Fail(at, "name another header", "header %q cannot be edited", name)
	case pseudo && slices.Contains([]string{":path", ":method", ":authority", ":status"}, name):
	case !reading.IsToken(name):
		r.Fail(at, "write a header's name", "%q is no header name", name)
	}
}

// readable reports a name that no header has.
func (r *reader) readable(at, name string) {
	if !reading.IsToken(strings.TrimPrefix(name, ":")) {
		r.Fail(at, "write a header's name", "%q is no header name", name)
	}
}
