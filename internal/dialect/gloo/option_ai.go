package gloo

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// ai reads what a route asks of LLM requests. The guards, and what would
// answer in a provider's place, are not built: they close their route.
func (p *options) ai(s *aiOptions) {
	const field = "ai"
	if s == nil {
		return
	}
	before := p.Mark()
	for _, g := range []struct {
		field string
		set   bool
	}{
		{"promptGuard", s.PromptGuard != nil},
		{"semanticCache", s.SemanticCache != nil},
		{"rag", s.RAG != nil},
	} {
		if g.set {
			p.Fail(field+"."+g.field, "remove it to serve these routes without it", "%s is not supported; what it would guard is closed", g.field)
		}
	}
	out := &ir.LLMOptions{Stream: s.RouteType == chatStreaming}
	for i, d := range s.Defaults {
		if d.Field == "" || !d.Value.set() {
			p.Fail(fmt.Sprintf("ai.defaults[%d]", i), "write field and value", "the default has no field, or no value")
		}
		out.Defaults = append(out.Defaults, ir.JSONMember{Name: d.Field, Value: compact(d.Value), Override: d.Override})
	}
	if e := s.PromptEnrichment; e != nil {
		out.Prepend = p.messages("ai.promptEnrichment.prepend", e.Prepend)
		out.Append = p.messages("ai.promptEnrichment.append", e.Append)
	}
	if p.broken(field, field, before) {
		return
	}
	p.put(field, ir.Step{Phase: ir.PhaseFilter, LLM: out})
}

// messages reads prompts; their roles are written in any case.
func (p *options) messages(at string, list []message) []ir.Message {
	var out []ir.Message
	for i, m := range list {
		if m.Role == "" {
			p.Fail(fmt.Sprintf("%s[%d].role", at, i), "write SYSTEM or USER", "the message has no role")
		}
		out = append(out, ir.Message{Role: strings.ToLower(m.Role), Content: m.Content})
	}
	return out
}
