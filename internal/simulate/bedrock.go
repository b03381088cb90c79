package simulate

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Bedrock simulates AWS's Bedrock runtime: Converse, ConverseStream, InvokeModel
// and InvokeModelWithResponseStream. Each request's signature is verified for
// real. See https://docs.aws.amazon.com/bedrock/latest/APIReference.
type Bedrock struct {
	*Cloud
	hosts []string
}

// NewBedrock makes a Bedrock that knows the keys of cfg.Cloud.
func NewBedrock(cfg ProviderConfig) *Bedrock { return &Bedrock{Cloud: cfg.cloud(), hosts: cfg.Hosts} }

// Name is "bedrock".
func (b *Bedrock) Name() string { return "bedrock" }

// Hosts are the configured host names.
func (b *Bedrock) Hosts() []string { return b.hosts }

// Answer replies as Bedrock would.
func (b *Bedrock) Answer(r *Request) Answer { return b.dated(b.answer(r)) }

func (b *Bedrock) answer(r *Request) Answer {
	if _, refused := b.authenticate(r, "bedrock"); refused != nil {
		return bedrockError(http.StatusForbidden, bedrockCode(refused.code), refused.text)
	}
	model, operation, ok := modelOf(r.URL.EscapedPath())
	switch {
	case !ok:
		return bedrockError(http.StatusNotFound, "UnknownOperationException", "")
	case r.Method != http.MethodPost:
		return bedrockError(http.StatusMethodNotAllowed, "UnknownOperationException", "")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return bedrockError(http.StatusUnsupportedMediaType, "ValidationException", "The body has to be application/json.")
	}
	switch operation {
	case "converse", "converse-stream":
		return b.converse(r, operation == "converse-stream")
	case "invoke", "invoke-with-response-stream":
		return b.invoke(r, model, operation != "invoke")
	}
	return bedrockError(http.StatusNotFound, "UnknownOperationException", "")
}

// modelOf parts /model/{model}/{operation}.
func modelOf(path string) (model, operation string, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 4 || parts[1] != "model" {
		return "", "", false
	}
	model, err := url.PathUnescape(parts[2])
	return model, parts[3], err == nil && model != ""
}

type bedrockText struct {
	Text string `json:"text"`
}

type bedrockUsage struct {
	Input  int `json:"inputTokens"`
	Output int `json:"outputTokens"`
	Total  int `json:"totalTokens"`
}

func usageOf(prompt string, pieces []string) bedrockUsage {
	in := len(strings.Fields(prompt))
	return bedrockUsage{in, len(pieces), in + len(pieces)}
}

type bedrockMetrics struct {
	Latency int `json:"latencyMs"`
}

// conversation is what an answer depends on; the service compares names byte
// by byte.
func conversation(body []byte) (prompt, problem string) {
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return "", "The body is not a JSON object."
	}
	var messages []struct {
		Role    string        `json:"role"`
		Content []bedrockText `json:"content"`
	}
	if !m.has("messages") || !m.into("messages", &messages) || len(messages) == 0 {
		return "", "messages: expected a list of at least one"
	}
	for _, msg := range messages {
		if msg.Role != "user" && msg.Role != "assistant" {
			return "", "messages: role has to be user or assistant"
		}
		if msg.Role != "user" {
			continue
		}
		prompt = ""
		for _, c := range msg.Content {
			prompt += c.Text
		}
	}
	return prompt, ""
}

func (b *Bedrock) converse(r *Request, stream bool) Answer {
	prompt, problem := conversation(r.Payload)
	if problem != "" {
		return bedrockError(http.StatusBadRequest, "ValidationException", problem)
	}
	pieces := reply(seedOf(b.Name(), r), prompt, r.Behavior)
	if stream {
		return converseStream(pieces, usageOf(prompt, pieces))
	}
	type message struct {
		Role    string        `json:"role"`
		Content []bedrockText `json:"content"`
	}
	var body struct {
		Output struct {
			Message message `json:"message"`
		} `json:"output"`
		StopReason string         `json:"stopReason"`
		Usage      bedrockUsage   `json:"usage"`
		Metrics    bedrockMetrics `json:"metrics"`
	}
	body.Output.Message = message{"assistant", []bedrockText{{strings.Join(pieces, "")}}}
	body.StopReason, body.Usage, body.Metrics = "end_turn", usageOf(prompt, pieces), bedrockMetrics{1}
	return jsonAnswer(http.StatusOK, body)
}

// invoke answers in Anthropic's schema, which is that of the models most asked
// for.
func (b *Bedrock) invoke(r *Request, model string, stream bool) Answer {
	var m members
	if json.Unmarshal(r.Payload, &m) != nil || m == nil {
		return bedrockError(http.StatusBadRequest, "ValidationException", "The body is not a JSON object.")
	}
	pieces := reply(seedOf(b.Name(), r), model, r.Behavior)
	if stream {
		return invokeStream(pieces)
	}
	type block struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	a := jsonAnswer(http.StatusOK, struct {
		ID      string  `json:"id"`
		Type    string  `json:"type"`
		Role    string  `json:"role"`
		Model   string  `json:"model"`
		Content []block `json:"content"`
		Stop    string  `json:"stop_reason"`
	}{"msg_" + seedOf(b.Name(), r).id(20), "message", "assistant", model, []block{{"text", strings.Join(pieces, "")}}, "end_turn"})
	a.Header.Set("X-Amzn-Bedrock-Output-Token-Count", "1")
	return a
}

// bedrockCode is the code by which Bedrock refuses what STS calls otherwise.
func bedrockCode(code string) string {
	switch code {
	case "SignatureDoesNotMatch":
		return "InvalidSignatureException"
	case "MissingAuthenticationToken", "IncompleteSignature":
		return code + "Exception"
	}
	return code
}

// Failure is an error of Bedrock of that status.
func (b *Bedrock) Failure(status int) Answer {
	code := "InternalServerException"
	switch {
	case status == http.StatusTooManyRequests:
		code = "ThrottlingException"
	case status < 500:
		code = "ValidationException"
	}
	return bedrockError(status, code, http.StatusText(status))
}

func bedrockError(status int, code, message string) Answer {
	a := jsonAnswer(status, struct {
		Message string `json:"message"`
	}{message})
	a.Header.Set("X-Amzn-Errortype", code)
	return a
}
