package llm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// instructAnthropic joins the prompts by line feeds into the member system:
// behind the client's text, or as one more of its blocks
// (docs.anthropic.com/en/api/messages).
func instructAnthropic(d *draft, p *prompts) error {
	joined := strings.Join(slices.Concat(p.systemHead, p.systemTail), "\n")
	system := d.get("system")
	switch {
	case absent(system):
		d.set("system", quote(joined))
	case string(system) == `""`:
		d.set("system", quote(joined))
	case system[0] == '"':
		text := quote("\n" + joined)
		d.insert("system", nil, text[1:len(text)-1])
	default:
		return around(d, "system", nil, fmt.Appendf(nil, `{"type":"text","text":%s}`, quote(joined)))
	}
	return nil
}

// instructBedrock puts the prompts around the blocks of the member system
// (Bedrock's Converse).
func instructBedrock(d *draft, p *prompts) error {
	head, tail := parts(p.systemHead), parts(p.systemTail)
	if absent(d.get("system")) {
		d.set("system", array(head, tail))
		return nil
	}
	return around(d, "system", head, tail)
}

// Gemini's REST API takes its members in both spellings.
var geminiSystem = []string{"system_instruction", "systemInstruction"}

// instructGemini puts the prompts around the parts of the system instruction
// (ai.google.dev/api/generate-content).
func instructGemini(d *draft, p *prompts) error {
	head, tail := parts(p.systemHead), parts(p.systemTail)
	name := geminiSystem[0]
	if other := geminiSystem[1]; d.get(other) != nil {
		if d.get(name) != nil {
			return fmt.Errorf("%w: %q", ErrAmbiguous, name)
		}
		name = other
	}
	system := d.get(name)
	if absent(system) {
		d.set(name, fmt.Appendf(nil, `{"parts":%s}`, array(head, tail)))
		return nil
	}
	inner, err := read(system, []string{"parts"})
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if absent(inner.get("parts")) {
		inner.set("parts", array(head, tail))
	} else if err := around(inner, "parts", head, tail); err != nil {
		return err
	}
	d.set(name, inner.bytes())
	return nil
}

func array(lists ...[]byte) []byte {
	return fmt.Appendf(nil, "[%s]", bytes.Join(filled(lists...), comma))
}
