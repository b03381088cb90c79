package simulate

import (
	"bytes"
	"encoding/json"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/secret"
)

// Gemini simulates Google's generative models: generateContent and
// streamGenerateContent, as the Gemini API has them, by a key, and as Vertex
// AI has them, by an access token that the simulated Google gave out. Vertex AI
// serves Anthropic's models, too. See
// https://ai.google.dev/api/generate-content and
// https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.
type Gemini struct {
	keys
	cloud  *Cloud // of Vertex AI
	vertex bool
	hosts  []string
	models []string
}

// NewGemini makes the Gemini API. Without models it has any.
func NewGemini(cfg ProviderConfig) *Gemini {
	models := cfg.Models
	if len(models) == 0 {
		models = []string{"*"}
	}
	return &Gemini{keys: newKeys(cfg.Keys), hosts: cfg.Hosts, models: models}
}

// NewVertex makes Vertex AI; its callers are known by cfg.Cloud.
func NewVertex(cfg ProviderConfig) *Gemini {
	g := NewGemini(cfg)
	g.vertex, g.cloud = true, cfg.cloud()
	return g
}

// Name is "gemini" or "vertex".
func (g *Gemini) Name() string {
	if g.vertex {
		return "vertex"
	}
	return "gemini"
}

// Hosts are the configured host names.
func (g *Gemini) Hosts() []string { return g.hosts }

// Answer replies as Google would.
func (g *Gemini) Answer(r *Request) Answer {
	if g.cloud != nil {
		return g.cloud.dated(g.answer(r))
	}
	return g.answer(r)
}

func (g *Gemini) answer(r *Request) Answer {
	publisher, model, method, ok := g.target(r.URL.EscapedPath())
	switch {
	case !ok:
		return googleError(http.StatusNotFound, "NOT_FOUND", "The requested URL was not found on this server.")
	case !g.knows(r.Request):
		return googleError(http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
	case r.Method != http.MethodPost:
		return googleError(http.StatusNotFound, "NOT_FOUND", "The requested URL was not found on this server.")
	case !slices.Contains(g.models, model) && !slices.Contains(g.models, "*"):
		return googleError(http.StatusNotFound, "NOT_FOUND", "models/"+quote(model)+" is not found, or is not supported for "+quote(method)+".")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return googleError(http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
	}
	switch {
	case publisher == "anthropic" && (method == "rawPredict" || method == "streamRawPredict"):
		return g.anthropic(r, model, method == "streamRawPredict")
	case publisher == "google" && (method == "generateContent" || method == "streamGenerateContent"):
		return g.generate(r, model, method == "streamGenerateContent")
	}
	return googleError(http.StatusNotFound, "NOT_FOUND", "The method is not found.")
}

// target parts a path into whose model it names, and what is asked of it.
func (g *Gemini) target(path string) (publisher, model, method string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	publisher = "google"
	if g.vertex { // v1/projects/p/locations/l/publishers/google/models/m:method
		if len(parts) != 9 || parts[1] != "projects" || parts[3] != "locations" || parts[5] != "publishers" {
			return "", "", "", false
		}
		publisher = parts[6]
		parts = []string{parts[0], parts[7], parts[8]}
	}
	if len(parts) != 3 || !strings.HasPrefix(parts[0], "v1") || parts[1] != "models" {
		return "", "", "", false
	}
	last, err := url.PathUnescape(parts[2])
	i := strings.LastIndexByte(last, ':')
	if err != nil || i < 1 {
		return "", "", "", false
	}
	return publisher, last[:i], last[i+1:], true
}

// knows judges the caller: by a token at Vertex AI, elsewhere by a key, in its
// header or in the query.
func (g *Gemini) knows(r *http.Request) bool {
	if g.vertex {
		a, ok := g.cloud.googleAccess(r.Header)
		return ok && a.has(gcpScope)
	}
	shown := slices.Concat(r.Header.Values("X-Goog-Api-Key"), r.URL.Query()["key"])
	return len(shown) == 1 && len(r.Header.Values("Authorization")) == 0 && g.check(http.Header{"Authorization": {"Bearer " + shown[0]}}) == keyRight
}

// anthropic answers in Anthropic's API: the path names the model, the body the
// version.
func (g *Gemini) anthropic(r *Request, model string, stream bool) Answer {
	var m members
	var version string
	q, problem := parseMessages(r.Payload, true)
	switch {
	case problem != "":
		return anthropicError(http.StatusBadRequest, problem)
	case json.Unmarshal(r.Payload, &m) != nil || !m.into("anthropic_version", &version) || version != "vertex-2023-10-16":
		return anthropicError(http.StatusBadRequest, "anthropic_version: Field required")
	case m.has("model"):
		return anthropicError(http.StatusBadRequest, "model: Extra inputs are not permitted")
	case q.stream != stream:
		return anthropicError(http.StatusBadRequest, "stream: the method and the body differ")
	}
	q.model = model
	return q.answer(g.Name(), r)
}

type geminiPart struct {
	Text string `json:"text"`
}

type geminiContent struct {
	Parts []geminiPart `json:"parts"`
	Role  string       `json:"role"`
}

type geminiCandidate struct {
	Content geminiContent `json:"content"`
	Finish  string        `json:"finishReason,omitempty"`
	Index   int           `json:"index"`
}

type geminiUsage struct {
	Prompt     int `json:"promptTokenCount"`
	Candidates int `json:"candidatesTokenCount"`
	Total      int `json:"totalTokenCount"`
}

type geminiAnswer struct {
	Candidates []geminiCandidate `json:"candidates"`
	Usage      *geminiUsage      `json:"usageMetadata,omitempty"`
	Model      string            `json:"modelVersion"`
	ID         string            `json:"responseId"`
}

// parseContents reads a prompt out of a body, or says what is wrong with it.
func parseContents(body []byte) (prompt string, tokens int, problem string) {
	var m members
	if json.Unmarshal(body, &m) != nil || m == nil {
		return "", 0, "Invalid JSON payload received."
	}
	var contents []geminiContent
	switch {
	case !m.has("contents"):
		return "", 0, "* GenerateContentRequest.contents: contents is not specified"
	case !m.into("contents", &contents) || len(contents) == 0:
		return "", 0, "Invalid value at 'contents'"
	}
	for _, c := range contents {
		if c.Role != "" && c.Role != "user" && c.Role != "model" {
			return "", 0, "Please use a valid role: user, model."
		}
		text := ""
		for _, p := range c.Parts {
			text += p.Text
		}
		tokens += len(strings.Fields(text))
		if c.Role != "model" {
			prompt = text
		}
	}
	return prompt, tokens, ""
}

func (g *Gemini) generate(r *Request, model string, stream bool) Answer {
	prompt, tokens, problem := parseContents(r.Payload)
	if problem != "" {
		return googleError(http.StatusBadRequest, "INVALID_ARGUMENT", problem)
	}
	s := seedOf(g.Name(), r)
	pieces := reply(s, prompt, r.Behavior)
	whole := geminiAnswer{Model: model, ID: s.id(22), Usage: &geminiUsage{tokens, len(pieces), tokens + len(pieces)}}
	if !stream {
		return jsonAnswer(http.StatusOK, whole.with(strings.Join(pieces, ""), "STOP"))
	}
	if r.URL.Query().Get("alt") == "sse" {
		return Answer{Header: http.Header{"Content-Type": {"text/event-stream"}}, Stream: whole.stream(pieces)}
	}
	var parts [][]byte
	for i, piece := range pieces {
		parts = append(parts, whole.part(piece, i == len(pieces)-1))
	}
	return Answer{
		Header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}},
		Body:   append(append([]byte("["), bytes.Join(parts, []byte("\n,\r\n"))...), ']'),
	}
}

func (a geminiAnswer) with(text, finish string) geminiAnswer {
	a.Candidates = []geminiCandidate{{Content: geminiContent{[]geminiPart{{text}}, "model"}, Finish: finish}}
	return a
}

func (a geminiAnswer) part(piece string, last bool) []byte {
	if last {
		return encode(a.with(piece, "STOP"))
	}
	a.Usage = nil
	return encode(a.with(piece, ""))
}

func (a geminiAnswer) stream(pieces []string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i, piece := range pieces {
			if !yield(append(append([]byte("data: "), a.part(piece, i == len(pieces)-1)...), "\r\n\r\n"...)) {
				return
			}
		}
	}
}

// secrets are the keys, and what the cloud must not have shown.
func (g *Gemini) secrets() []secret.Value {
	if g.cloud != nil {
		return g.cloud.secrets()
	}
	return g.keys.secrets()
}

// Failure is Google's error of that status.
func (g *Gemini) Failure(status int) Answer {
	return googleError(status, googleStatus(status), http.StatusText(status))
}
