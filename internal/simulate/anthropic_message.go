package simulate

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
)

// messagesRequest is what the answer to messages depends on.
type messagesRequest struct {
	model     string
	prompt    string // the text of the last user message
	tokens    int    // a rough count over all messages
	maxTokens int
	stream    bool
}

// parseMessages reads the body of messages, or says what is wrong with it. A
// model is the caller's to ask for: where Vertex AI serves, the path names it.
func parseMessages(body []byte, needsMax bool) (q messagesRequest, problem string) {
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return q, "The request body is not valid JSON"
	}
	switch {
	case !m.into("model", &q.model):
		return q, "model: Input should be a valid string"
	case !m.into("stream", &q.stream):
		return q, "stream: Input should be a valid boolean"
	case needsMax && !m.has("max_tokens"):
		return q, "max_tokens: Field required"
	case !m.into("max_tokens", &q.maxTokens) || needsMax && q.maxTokens < 1:
		return q, "max_tokens: Input should be greater than or equal to 1"
	case !m.has("messages"):
		return q, "messages: Field required"
	}
	var messages []members
	if !m.into("messages", &messages) {
		return q, "messages: Input should be a valid list"
	}
	if len(messages) == 0 {
		return q, "messages: at least one message is required"
	}
	if system, ok := contentText(m["system"]); !ok {
		return q, "system: Input should be a valid string or list"
	} else {
		q.tokens = len(strings.Fields(system))
	}
	for i, msg := range messages {
		var role string
		if !msg.into("role", &role) || role != "user" && role != "assistant" {
			return q, fmt.Sprintf("messages.%d.role: Input should be 'user' or 'assistant'", i)
		}
		text, ok := contentText(msg["content"])
		if !ok || !msg.has("content") {
			return q, fmt.Sprintf("messages.%d.content: Input should be a valid string or list", i)
		}
		q.tokens += 4 + len(strings.Fields(text))
		if role == "user" {
			q.prompt = text
		}
	}
	return q, ""
}

type anthropicUsage struct {
	Input  int `json:"input_tokens"`
	Output int `json:"output_tokens"`
}

type anthropicBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type anthropicMessage struct {
	ID       string           `json:"id"`
	Type     string           `json:"type"`
	Role     string           `json:"role"`
	Model    string           `json:"model"`
	Content  []anthropicBlock `json:"content"`
	Stop     *string          `json:"stop_reason"`
	Sequence *string          `json:"stop_sequence"`
	Usage    anthropicUsage   `json:"usage"`
}

// answer is the reply of a provider that speaks this API.
func (q messagesRequest) answer(provider string, r *Request) Answer {
	s := seedOf(provider, r)
	pieces, stop := reply(s, q.prompt, r.Behavior), "end_turn"
	if q.maxTokens > 0 && len(pieces) > q.maxTokens {
		pieces, stop = pieces[:q.maxTokens], "max_tokens"
	}
	m := anthropicMessage{ID: "msg_" + s.id(24), Type: "message", Role: "assistant", Model: q.model, Usage: anthropicUsage{q.tokens, len(pieces)}}
	if q.stream {
		return Answer{
			Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}, "Cache-Control": {"no-cache"}},
			Stream: m.stream(pieces, stop),
		}
	}
	m.Content, m.Stop = []anthropicBlock{{"text", strings.Join(pieces, "")}}, &stop
	return jsonAnswer(http.StatusOK, m)
}

// event is one named server-sent event, whose data name it again.
func event(name, rest string) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: {\"type\":%q%s}\n\n", name, name, rest)
}

// stream renders m as events: its beginning, one block, the reason for its end.
func (m anthropicMessage) stream(pieces []string, stop string) iter.Seq[[]byte] {
	output := m.Usage.Output
	m.Content, m.Usage.Output = []anthropicBlock{}, 1
	events := [][]byte{
		event("message_start", `,"message":`+string(encode(m))),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
		event("ping", ""),
	}
	for _, piece := range pieces {
		events = append(events, event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":`+string(encode(piece))+`}`))
	}
	return slices.Values(append(events,
		event("content_block_stop", `,"index":0`),
		event("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":%d}`, stop, output)),
		event("message_stop", ""),
	))
}
