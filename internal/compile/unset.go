package compile

import (
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// reportUnset tells of templates that make a credential of a header which
// authentication sets out of a caller's Secret, where Secrets have nothing for
// it: such a request is refused, and nobody would know why before it comes. It
// is one problem for each header of a template, however many Secrets there are.
func (rb *routeBuilder) reportUnset() {
	var sets []*ir.AuthSet
	look := func(steps []ir.Step) {
		for _, s := range steps {
			if s.AuthSet != nil {
				sets = append(sets, s.AuthSet)
			}
			if s.Transform == nil {
				continue
			}
			for i := range s.Transform.Rules {
				if t := s.Transform.Rules[i].Request; t != nil {
					rb.reportTemplate(t, sets)
				}
			}
		}
	}
	look(rb.rt.Steps)
	if f := rb.rt.Action.Forward; f != nil {
		own := slices.Clip(sets)
		for _, b := range f.Backends {
			sets = own
			look(b.Steps)
		}
	}
}

func (rb *routeBuilder) reportTemplate(t *ir.Template, sets []*ir.AuthSet) {
	for _, set := range sets {
		for i := range set.Methods {
			k := set.Methods[i].APIKey
			if k == nil {
				continue
			}
			for at, m := range k.FromMetadata {
				missing, all := k.Entries.Missing(at), k.Entries.Len()
				if missing == 0 || m.Required { // those are refused, and told of
					continue
				}
				made := credentialOf(t, m.Header)
				if made == "" {
					continue
				}
				e := k.Entries.FirstMissing(at)
				p := status.Warningf(t.Origin, "header %s is made of %s, for which %d of %d Secrets with API keys have no data key %q, %s/%s first: requests with their keys get 403",
					made, m.Header, missing, all, m.Key, e.Namespace, e.Name)
				rb.b.report.Add(p.Fix("put the data key into the Secrets"))
			}
		}
	}
}

// credentialOf returns the credential header that a template makes of another
// header, or "". An extractor of that header is used by its name; otherwise the
// header is asked for by its own.
func credentialOf(t *ir.Template, header string) string {
	words := []string{`"` + header + `"`, `'` + header + `'`}
	for _, x := range t.Extractors {
		if strings.EqualFold(x.Header, header) {
			words = append(words, x.Name)
		}
	}
	for _, h := range slices.Concat(t.Set, t.Append) {
		reads := func(word string) bool { return strings.Contains(strings.ToLower(h.Text), strings.ToLower(word)) }
		if dataplane.IsCredentialHeader(http.CanonicalHeaderKey(h.Name)) && slices.ContainsFunc(words, reads) {
			return h.Name
		}
	}
	return ""
}
