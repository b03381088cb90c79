package simulate

import (
	"iter"
	"net/http"
	"strings"
)

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// chatHead is what a completion and every chunk of a stream have in common.
type chatHead struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Created           int64  `json:"created"`
	Model             string `json:"model"`
	ServiceTier       string `json:"service_tier"`
	SystemFingerprint string `json:"system_fingerprint"`
}

type chatAnswer struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type chatChoice struct {
	Index        int        `json:"index"`
	Message      chatAnswer `json:"message"`
	Logprobs     *struct{}  `json:"logprobs"`
	FinishReason string     `json:"finish_reason"`
}

type chatCompletion struct {
	chatHead
	Choices []chatChoice `json:"choices"`
	Usage   chatUsage    `json:"usage"`
}

type chatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatChunkChoice struct {
	Index        int       `json:"index"`
	Delta        chatDelta `json:"delta"`
	Logprobs     *struct{} `json:"logprobs"`
	FinishReason *string   `json:"finish_reason"`
}

type chatChunk struct {
	chatHead
	Choices []chatChunkChoice `json:"choices"`
}

// chatUsageChunk is a chunk of a stream that was asked for its usage: null in
// all of them but the last.
type chatUsageChunk struct {
	chatChunk
	Usage *chatUsage `json:"usage"`
}

// completed is the one outcome of which a completion and a stream are two
// renderings.
type completed struct {
	head   chatHead
	pieces []string
	finish string
	usage  chatUsage
}

func (o *OpenAI) chat(r *Request) Answer {
	req, refusal := parseChat(r.Payload)
	if refusal != nil {
		return openAIError(http.StatusBadRequest, refusal.message, refusal.param, refusal.code)
	}
	if !o.offers(req.model) {
		return unknownOpenAIModel(req.model)
	}
	c := o.complete(req, r)
	if !req.stream {
		return c.whole()
	}
	return Answer{
		Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}, "Cache-Control": {"no-cache"}},
		Stream: c.stream(req.includeUsage),
	}
}

func (o *OpenAI) complete(req chatRequest, r *Request) completed {
	s := seedOf(o.Name(), r)
	c := completed{
		head: chatHead{
			ID: "chatcmpl-" + s.id(29), Created: o.now().Unix(), Model: req.model,
			ServiceTier: "default", SystemFingerprint: "fp_simulated",
		},
		pieces: reply(s, req.prompt, r.Behavior),
		finish: "stop",
	}
	if req.maxTokens > 0 && len(c.pieces) > req.maxTokens {
		c.pieces, c.finish = c.pieces[:req.maxTokens], "length"
	}
	c.usage = chatUsage{PromptTokens: req.tokens, CompletionTokens: len(c.pieces), TotalTokens: req.tokens + len(c.pieces)}
	return c
}

// whole renders c as one JSON answer.
func (c completed) whole() Answer {
	c.head.Object = "chat.completion"
	return jsonAnswer(http.StatusOK, chatCompletion{
		chatHead: c.head,
		Choices: []chatChoice{{
			Message:      chatAnswer{Role: "assistant", Content: strings.Join(c.pieces, "")},
			FinishReason: c.finish,
		}},
		Usage: c.usage,
	})
}

// stream renders c as server-sent events: the role, the content piece by
// piece, the reason for the end, the usage if asked for, and [DONE].
func (c completed) stream(includeUsage bool) iter.Seq[[]byte] {
	c.head.Object = "chat.completion.chunk"
	return func(yield func([]byte) bool) {
		empty := ""
		if !yield(c.chunk(chatDelta{Role: "assistant", Content: &empty}, nil, includeUsage)) {
			return
		}
		for _, piece := range c.pieces {
			if !yield(c.chunk(chatDelta{Content: &piece}, nil, includeUsage)) {
				return
			}
		}
		if !yield(c.chunk(chatDelta{}, &c.finish, includeUsage)) {
			return
		}
		if includeUsage && !yield(sse(chatUsageChunk{chatChunk{c.head, []chatChunkChoice{}}, &c.usage})) {
			return
		}
		yield([]byte("data: [DONE]\n\n"))
	}
}

func (c completed) chunk(d chatDelta, finish *string, withUsage bool) []byte {
	chunk := chatChunk{c.head, []chatChunkChoice{{Delta: d, FinishReason: finish}}}
	if withUsage {
		return sse(chatUsageChunk{chatChunk: chunk})
	}
	return sse(chunk)
}

// sse is v as one server-sent event.
func sse(v any) []byte {
	event := append([]byte("data: "), encode(v)...)
	return append(event, "\n\n"...)
}
