package compile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// TestCompileTellsOfUnsetCredentials holds that the report says once, for each
// template, why it lets nobody pass.
func TestCompileTellsOfUnsetCredentials(t *testing.T) {
	const part = `header Authorization is made of x-key, for which 2 of 3 Secrets with API keys have no data key "data", team/b first`
	entries := func(missing ...string) ir.APIKeyEntries {
		var groups ir.APIKeyEntries
		for _, name := range []string{"a", "b", "c"} {
			e := ir.APIKeyEntry{Namespace: "team", Name: name, Key: keyRef(name, "api-key"), Metadata: []secret.Ref{keyRef(name, "data")}}
			if strings.Contains(fmt.Sprint(missing), name) {
				e.Metadata = nil
			}
			groups = append(groups, ir.NewAPIKeyGroup([]ir.APIKeyEntry{e}))
		}
		return groups
	}
	template := func(header, text string, x ...ir.Extractor) *ir.Template {
		return &ir.Template{Set: []ir.HeaderTemplate{{Name: header, Text: text}}, Extractors: x, Origin: ir.Origin{Kind: "Policy", Name: "p", File: "in.yaml", Line: 7}}
	}
	extractor := ir.Extractor{Name: "who", Header: "X-Key", Regex: ".*"}
	for _, tc := range []struct {
		name     string
		entries  ir.APIKeyEntries
		template *ir.Template
		required bool
		early    bool
		want     string
	}{
		{"by extractor", entries("b", "c"), template("Authorization", "Bearer {{ who }}", extractor), false, false, part},
		{"by header()", entries("b", "c"), template("Authorization", `Bearer {{ header("X-Key") }}`), false, false, part},
		{"nobody has it", entries("a", "b", "c"), template("Authorization", "{{ who }}", extractor), false, false, "3 of 3 Secrets"},
		{"all have it", entries(), template("Authorization", "{{ who }}", extractor), false, false, ""},
		{"nobody at all", nil, template("Authorization", "{{ who }}", extractor), false, false, ""},
		{"no credential", entries("a"), template("x-note", "{{ who }}", extractor), false, false, ""},
		{"another header", entries("a"), template("Authorization", `{{ header("x-other") }}`), false, false, ""},
		{"an extractor that is not used", entries("a"), template("Authorization", "Bearer x", extractor), false, false, ""},
		{"required, so refused before", entries("a"), template("Authorization", "{{ who }}", extractor), true, false, ""},
		{"before authentication", entries("a"), template("Authorization", "{{ who }}", extractor), false, true, ""},
	} {
		auth := ir.Step{Phase: ir.PhaseAuthenticate, Slot: "t/auth", AuthSet: &ir.AuthSet{Methods: []ir.AuthMethod{{Name: "k", APIKey: &ir.APIKey{
			Headers: []string{"api-key"}, Entries: tc.entries,
			FromMetadata: []ir.MetadataHeader{{Header: "x-key", Key: "data", Required: tc.required}},
		}}}}}
		steps := []ir.Step{auth, {Phase: ir.PhaseFilter, Slot: "t/transform", Transform: &ir.Transform{Rules: []ir.TransformRule{{Request: tc.template}}}}}
		if tc.early {
			steps[0], steps[1] = steps[1], steps[0]
		}
		two := []*ir.Route{
			{Name: "one", Matches: prefix("/one", 1), Action: forwardTo("u"), Steps: steps},
			{Name: "two", Matches: prefix("/two", 2), Action: forwardTo("u"), Steps: steps},
		}
		c := newBench(t, ExposedWarn).Compile(config(provider(t), two...))
		said := ""
		for _, p := range c.Report().Problems {
			if strings.Contains(p.What, "is made of") {
				said += p.String() + "\n"
			}
		}
		if !strings.Contains(said, tc.want) || (said == "") != (tc.want == "") || strings.Count(said, "\n") > 1 ||
			said != "" && !(strings.HasPrefix(said, "in.yaml:7: ") && strings.Contains(said, "put the data key into the Secrets")) {
			t.Errorf("%s: the report says %q, want %q", tc.name, said, tc.want)
		}
	}
}
