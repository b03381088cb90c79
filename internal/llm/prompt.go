package llm

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// schema says where a wire API keeps the messages of a chat.
type schema struct {
	messages string // the member that holds them
	// message is one of them.
	message func(role, text string) []byte
	// instruct adds system prompts, where they are not among the messages;
	// nil: they are.
	instruct func(d *draft, p *prompts) error
	// system holds the members that instruct governs.
	system []string
	// api is where chats go behind the version segment; empty: it depends on
	// the model.
	api string
	// bodyStream says that the body asks for streaming, by a member.
	bodyStream bool
	// usage says that streams tell their usage only when asked to.
	usage bool
}

var schemas = map[string]schema{
	"openai":    {messages: "messages", message: openaiMessage, api: "chat/completions", bodyStream: true, usage: true},
	"anthropic": {messages: "messages", message: openaiMessage, instruct: instructAnthropic, system: []string{"system"}, api: "messages", bodyStream: true},
	"cohere":    {messages: "messages", message: openaiMessage, api: "rerank", bodyStream: true},
	"gemini":    {messages: "contents", message: geminiMessage, instruct: instructGemini, system: geminiSystem},
	"bedrock":   {messages: "messages", message: bedrockMessage, instruct: instructBedrock, system: []string{"system"}},
}

func openaiMessage(role, text string) []byte {
	return fmt.Appendf(nil, `{"role":%s,"content":%s}`, quote(role), quote(text))
}

func bedrockMessage(role, text string) []byte {
	return fmt.Appendf(nil, `{"role":%s,"content":[{"text":%s}]}`, quote(role), quote(text))
}

func geminiMessage(role, text string) []byte {
	if role == "assistant" {
		role = "model"
	}
	return fmt.Appendf(nil, `{"role":%s,"parts":[{"text":%s}]}`, quote(role), quote(text))
}

// prompts are the messages that a route puts around the client's.
type prompts struct {
	head, tail             []byte // of the messages: JSON values joined by commas
	systemHead, systemTail []string
}

func newPrompts(s schema, opts []*ir.LLMOptions) *prompts {
	p := &prompts{}
	var head, tail [][]byte
	for _, o := range opts {
		head = append(head, s.split(o.Prepend, &p.systemHead)...)
		tail = append(tail, s.split(o.Append, &p.systemTail)...)
	}
	p.head, p.tail = bytes.Join(head, comma), bytes.Join(tail, comma)
	return p
}

var comma = []byte{','}

// split returns messages in the schema's form, and puts the system prompts
// elsewhere if the schema does.
func (s schema) split(messages []ir.Message, system *[]string) [][]byte {
	var out [][]byte
	for _, m := range messages {
		role := strings.ToLower(m.Role)
		if s.instruct != nil && (role == "system" || role == "developer") {
			*system = append(*system, m.Content)
			continue
		}
		out = append(out, s.message(role, m.Content))
	}
	return out
}

func (p *prompts) empty() bool {
	return len(p.head)+len(p.tail) == 0 && !p.instructs()
}

func (p *prompts) instructs() bool { return len(p.systemHead)+len(p.systemTail) > 0 }

// apply puts p into d. A body without messages is left to the provider to
// refuse.
func (p *prompts) apply(s schema, d *draft) error {
	if p.instructs() {
		if err := s.instruct(d, p); err != nil {
			return err
		}
	}
	if len(p.head)+len(p.tail) == 0 || d.get(s.messages) == nil {
		return nil
	}
	return around(d, s.messages, p.head, p.tail)
}

// around puts elements before and behind those of an array.
func around(d *draft, name string, head, tail []byte) error {
	array := d.get(name)
	if array[0] != '[' {
		return fmt.Errorf("%w: %q", ErrMember, name)
	}
	if array[space(array, 1)] == ']' {
		d.insert(name, bytes.Join(filled(head, tail), comma), nil)
		return nil
	}
	if len(head) > 0 {
		head = append(bytes.Clone(head), ',')
	}
	if len(tail) > 0 {
		tail = append([]byte{','}, tail...)
	}
	d.insert(name, head, tail)
	return nil
}

func filled(lists ...[]byte) [][]byte {
	var out [][]byte
	for _, l := range lists {
		if len(l) > 0 {
			out = append(out, l)
		}
	}
	return out
}

func absent(value []byte) bool { return value == nil || string(value) == "null" }

// parts returns texts as JSON objects with a member text, joined by commas.
func parts(texts []string) []byte {
	out := make([][]byte, len(texts))
	for i, t := range texts {
		out[i] = fmt.Appendf(nil, `{"text":%s}`, quote(t))
	}
	return bytes.Join(out, comma)
}
