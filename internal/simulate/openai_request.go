package simulate

import (
	"bytes"
	"encoding/json"
	"strings"
)

// chatRequest is what a chat completion's answer depends on.
type chatRequest struct {
	model        string
	prompt       string // the text of the last user message
	tokens       int    // a rough count over all messages
	maxTokens    int    // zero: no limit
	stream       bool
	includeUsage bool
}

// refusal is a fault of a request's body, in OpenAI's terms. Its message never
// quotes the body.
type refusal struct {
	message string
	param   any
	code    any
}

func invalid(param, want string) *refusal {
	return &refusal{"Invalid type for '" + param + "': expected " + want + ".", param, "invalid_type"}
}

// members is a JSON object whose names are compared byte by byte and of whose
// doubles the last counts: unlike encoding/json on a struct, and like the
// JSON parsers behind the real services.
type members map[string]json.RawMessage

// has reports whether the member is there and not null.
func (m members) has(name string) bool {
	v, ok := m[name]
	return ok && string(v) != "null"
}

// into decodes the member, if it is there, and reports whether it had the type.
func (m members) into(name string, v any) bool {
	return !m.has(name) || json.Unmarshal(m[name], v) == nil
}

// parseChat reads the body of a chat completion.
func parseChat(body []byte) (chatRequest, *refusal) {
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return chatRequest{}, &refusal{message: "We could not parse the JSON body of your request."}
	}
	var req chatRequest
	if !m.into("model", &req.model) {
		return chatRequest{}, invalid("model", "a string")
	}
	if req.model == "" {
		return chatRequest{}, &refusal{message: "you must provide a model parameter"}
	}
	if r := req.readMessages(m); r != nil {
		return chatRequest{}, r
	}
	if r := req.readOptions(m); r != nil {
		return chatRequest{}, r
	}
	return req, nil
}

func (req *chatRequest) readMessages(m members) *refusal {
	if !m.has("messages") {
		return &refusal{"Missing required parameter: 'messages'.", "messages", "missing_required_parameter"}
	}
	var messages []members
	if !m.into("messages", &messages) {
		return invalid("messages", "an array of objects")
	}
	if len(messages) == 0 {
		return &refusal{"Invalid 'messages': expected at least one message.", "messages", "empty_array"}
	}
	for _, message := range messages {
		var role string
		if !message.into("role", &role) || role == "" {
			return &refusal{"Missing required parameter: 'messages[].role'.", "messages", "missing_required_parameter"}
		}
		text, ok := contentText(message["content"])
		if !ok {
			return invalid("messages[].content", "a string or an array of parts")
		}
		req.tokens += 4 + len(strings.Fields(text))
		if role == "user" {
			req.prompt = text
		}
	}
	return nil
}

// contentText is the text of a message's content: a string, the text parts of
// an array, or nothing.
func contentText(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return "", true
	}
	if raw[0] == '"' {
		var text string
		return text, json.Unmarshal(raw, &text) == nil
	}
	var parts []members
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	var texts []string
	for _, part := range parts {
		var text string
		if !part.into("text", &text) {
			return "", false
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " "), true
}

func (req *chatRequest) readOptions(m members) *refusal {
	if !m.into("stream", &req.stream) {
		return invalid("stream", "a boolean")
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if !m.into(name, &req.maxTokens) || req.maxTokens < 0 {
			return invalid(name, "a positive integer")
		}
	}
	var options members
	if !m.into("stream_options", &options) {
		return invalid("stream_options", "an object")
	}
	if options != nil && !req.stream {
		return &refusal{"The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", nil}
	}
	if !options.into("include_usage", &req.includeUsage) {
		return invalid("stream_options.include_usage", "a boolean")
	}
	return nil
}
