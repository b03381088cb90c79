package simulate

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func officialClient(client *http.Client, key string) *openai.Client {
	c := openai.NewClient(option.WithHTTPClient(client), option.WithAPIKey(key),
		option.WithBaseURL("https://api.openai.com/v1"), option.WithMaxRetries(0))
	return &c
}

func ask(prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-3.5-turbo",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
}

func TestOfficialClientCompletes(t *testing.T) {
	_, client := start(t, Config{})
	got, err := officialClient(client, openAIKey).Chat.Completions.New(t.Context(), ask("hello there"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Model != "gpt-3.5-turbo" || got.Object != "chat.completion" || got.Created != 1767225600 {
		t.Errorf("model %q, object %q, created %d", got.Model, got.Object, got.Created)
	}
	if len(got.Choices) != 1 || got.Choices[0].FinishReason != "stop" {
		t.Fatalf("choices: %+v", got.Choices)
	}
	if text := got.Choices[0].Message.Content; !strings.HasPrefix(text, `You said "hello there".`) {
		t.Errorf("content %q does not quote the prompt", text)
	}
	if u := got.Usage; u.PromptTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage: %+v", u)
	}
}

func TestOfficialClientStreams(t *testing.T) {
	_, client := start(t, Config{})
	params := ask("hello there")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := officialClient(client, openAIKey).Chat.Completions.NewStreaming(t.Context(), params)
	var got openai.ChatCompletionAccumulator
	chunks := 0
	for stream.Next() {
		chunks++
		if !got.AddChunk(stream.Current()) {
			t.Fatalf("chunk %d does not fit", chunks)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got.Choices[0].FinishReason != "stop" || got.Choices[0].Message.Role != "assistant" {
		t.Errorf("choice: %+v", got.Choices[0])
	}
	if want := int(got.Usage.CompletionTokens) + 3; chunks != want {
		t.Errorf("%d chunks, want %d: role, content, finish, usage", chunks, want)
	}
}

func TestOfficialClientSeesErrors(t *testing.T) {
	s, client := start(t, Config{})
	_, err := officialClient(client, "sk-MARKER-wrong").Chat.Completions.New(t.Context(), ask("hello"))
	var apiErr *openai.Error
	if !errors.As(err, &apiErr) || apiErr.StatusCode != 401 || apiErr.Code != "invalid_api_key" {
		t.Errorf("wrong key: %v", err)
	}
	if err := s.Queue(Behavior{Status: 429}); err != nil {
		t.Fatal(err)
	}
	_, err = officialClient(client, openAIKey).Chat.Completions.New(t.Context(), ask("hello"))
	if !errors.As(err, &apiErr) || apiErr.StatusCode != 429 || apiErr.Code != "rate_limit_exceeded" {
		t.Errorf("queued 429: %v", err)
	}
}

func TestOfficialClientListsModels(t *testing.T) {
	_, client := start(t, Config{})
	list, err := officialClient(client, openAIKey).Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	model, err := officialClient(client, openAIKey).Models.Get(t.Context(), list.Data[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if model.ID != "gpt-3.5-turbo" {
		t.Errorf("first model %q", model.ID)
	}
}

func TestOpenAIStreamHasTheDocumentedOrder(t *testing.T) {
	_, client := start(t, Config{})
	got := do(t, client, chat(t, streamBody, "X-Simulate-Events: 2"))
	if kind := got.Header.Get("Content-Type"); kind != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q", kind)
	}
	var shape []string
	for _, event := range strings.Split(strings.TrimSuffix(string(got.body), "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if !ok {
			t.Fatalf("event %q", event)
		}
		shape = append(shape, chunkShape(data))
	}
	want := []string{"role", "content", "content", "finish stop", "[DONE]"}
	if diff := cmp.Diff(want, shape); diff != "" {
		t.Error(diff)
	}
}

// chunkShape names what a chunk is for.
func chunkShape(data string) string {
	var chunk chatChunk
	if json.Unmarshal([]byte(data), &chunk) != nil || len(chunk.Choices) != 1 {
		return data
	}
	switch c := chunk.Choices[0]; {
	case c.Delta.Role != "":
		return "role"
	case c.FinishReason != nil:
		return "finish " + *c.FinishReason
	case c.Delta.Content != nil:
		return "content"
	}
	return data
}

func TestOpenAIAnswersAreDeterministic(t *testing.T) {
	for _, body := range []string{chatBody, streamBody} {
		_, one := start(t, Config{})
		_, two := start(t, Config{})
		a := do(t, one, chat(t, body))
		b := do(t, two, chat(t, body, "X-Other: header"))
		if diff := cmp.Diff(string(a.body), string(b.body)); diff != "" {
			t.Error(diff)
		}
		c := do(t, one, chat(t, strings.Replace(body, "tale", "joke", 1)))
		if string(c.body) == string(a.body) {
			t.Error("another prompt has the same answer")
		}
	}
}

func TestOpenAIUsesItsClock(t *testing.T) {
	now := time.Unix(1234567890, 0)
	p := NewOpenAI(ProviderConfig{Keys: []string{openAIKey}, Now: func() time.Time { return now }})
	_, client := start(t, Config{Providers: []Provider{p}})
	if got := do(t, client, chat(t, chatBody)); !strings.Contains(string(got.body), `"created":1234567890`) {
		t.Errorf("body %s", got.body)
	}
}

func TestOpenAIRefusals(t *testing.T) {
	const good = "Authorization: Bearer " + openAIKey
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code, param              any
	}{
		{"no key", "POST", "/v1/chat/completions", chatBody, nil, 401, nil, nil},
		{"wrong key", "POST", "/v1/chat/completions", chatBody, []string{"Authorization: Bearer sk-MARKER"}, 401, "invalid_api_key", nil},
		{"key with a tail", "POST", "/v1/chat/completions", chatBody, []string{good + "x"}, 401, "invalid_api_key", nil},
		{"other scheme", "POST", "/v1/chat/completions", chatBody, []string{"Authorization: Basic " + openAIKey}, 401, nil, nil},
		{"bare key", "POST", "/v1/chat/completions", chatBody, []string{"Authorization: " + openAIKey}, 401, nil, nil},
		{"key elsewhere", "POST", "/v1/chat/completions", chatBody, []string{"X-Api-Key: " + openAIKey}, 401, nil, nil},
		{"two keys", "POST", "/v1/chat/completions", chatBody, []string{good, good}, 400, nil, nil},
		{"unknown path", "POST", "/v1/MARKER?q=MARKER", chatBody, []string{good}, 404, nil, nil},
		{"slash at the end", "POST", "/v1/chat/completions/", chatBody, []string{good}, 404, nil, nil},
		{"doubled slash", "POST", "/v1//chat/completions", chatBody, []string{good}, 404, nil, nil},
		{"escaped path", "POST", "/v1/chat%2fcompletions", chatBody, []string{good}, 404, nil, nil},
		{"get", "GET", "/v1/chat/completions", "", []string{good}, 405, "method_not_supported", nil},
		{"post models", "POST", "/v1/models", "", []string{good}, 405, "method_not_supported", nil},
		{"no such model in list", "GET", "/v1/models/nope", "", []string{good}, 404, "model_not_found", nil},
		{"model escaped", "GET", "/v1/models/gpt%2D4", "", []string{good}, 200, nil, nil},
		{"no json", "POST", "/v1/chat/completions", "model=gpt-4o", []string{good}, 400, nil, nil},
		{"null", "POST", "/v1/chat/completions", "null", []string{good}, 400, nil, nil},
		{"no model", "POST", "/v1/chat/completions", `{"messages":[]}`, []string{good}, 400, nil, nil},
		{"model of another case", "POST", "/v1/chat/completions", `{"MODEL":"gpt-4o","messages":[]}`, []string{good}, 400, nil, nil},
		{"last model counts", "POST", "/v1/chat/completions", `{"model":"gpt-4o","model":"nope","messages":[{"role":"user"}]}`, []string{good}, 404, "model_not_found", nil},
		{"model not a string", "POST", "/v1/chat/completions", `{"model":1}`, []string{good}, 400, "invalid_type", "model"},
		{"no messages", "POST", "/v1/chat/completions", `{"model":"gpt-4o"}`, []string{good}, 400, "missing_required_parameter", "messages"},
		{"empty messages", "POST", "/v1/chat/completions", `{"model":"gpt-4o","messages":[]}`, []string{good}, 400, "empty_array", "messages"},
		{"unknown model", "POST", "/v1/chat/completions", `{"model":"nope","messages":[{"role":"user","content":"x"}]}`, []string{good}, 404, "model_not_found", nil},
	}
	_, client := start(t, Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := do(t, client, newRequest(t, tt.method, "https://api.openai.com"+tt.path, tt.body, tt.headers...))
			if got.StatusCode != tt.status {
				t.Fatalf("status %d, want %d: %s", got.StatusCode, tt.status, got.body)
			}
			if tt.status == http.StatusOK {
				return
			}
			var body struct{ Error map[string]any }
			if err := json.Unmarshal(got.body, &body); err != nil {
				t.Fatal(err)
			}
			delete(body.Error, "message")
			want := map[string]any{"type": "invalid_request_error", "code": tt.code, "param": tt.param}
			if diff := cmp.Diff(want, body.Error); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpenAIStopsAtMaxTokens(t *testing.T) {
	_, client := start(t, Config{})
	body := strings.Replace(chatBody, "{", `{"max_completion_tokens":3,`, 1)
	var got chatCompletion
	if err := json.Unmarshal(do(t, client, chat(t, body)).body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Choices[0].FinishReason != "length" || got.Usage.CompletionTokens != 3 {
		t.Errorf("finish %q after %d tokens", got.Choices[0].FinishReason, got.Usage.CompletionTokens)
	}
}

func TestOpenAIWithoutKeysLetsNobodyIn(t *testing.T) {
	_, client := start(t, Config{Providers: []Provider{NewOpenAI(ProviderConfig{Keys: []string{""}})}})
	for _, header := range []string{"Authorization: Bearer x", "Authorization: Bearer ", "X-None: 1"} {
		if got := do(t, client, newRequest(t, "POST", openAIURL, chatBody, header)); got.StatusCode != 401 {
			t.Errorf("%s: status %d", header, got.StatusCode)
		}
	}
}

func FuzzParseChat(f *testing.F) {
	for _, body := range []string{
		chatBody, streamBody, `null`, `[]`, `{"model":null}`, `{"model":"a","messages":null}`,
		`{"model":"a","messages":[null]}`, `{"model":"a","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`,
		`{"model":"a","messages":[{"role":"user"}],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"a","messages":[{"role":"user"}],"max_tokens":1e3}`, "{\"model\":\"\xff\"}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, problem := parseChat(body)
		switch {
		case problem == nil && (req.model == "" || req.tokens < 4 || req.maxTokens < 0 || !json.Valid(body)):
			t.Errorf("accepted as %+v", req)
		case problem != nil && req != chatRequest{}:
			t.Errorf("refused with %q, yet read as %+v", problem.message, req)
		}
	})
}
