package envoyai

import (
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// endpoint is something that clients call, and the schemas of backends that
// take such calls as they come. What no backend of a rule takes is refused:
// requests are not translated.
type endpoint struct {
	// path is exact; in pattern, an RE2 expression, %s is the model.
	path, pattern string
	// label is what people call it.
	label   string
	schemas []string
}

// endpoints lists those of Envoy AI Gateway, and the native ones of Bedrock and
// Vertex AI.
var endpoints = []endpoint{
	{path: "/v1/chat/completions", schemas: []string{schemaOpenAI, schemaAzureOpenAI}},
	{path: "/v1/embeddings", schemas: []string{schemaOpenAI, schemaAzureOpenAI}},
	{path: "/v1/completions", schemas: []string{schemaOpenAI}},
	{path: "/v1/responses", schemas: []string{schemaOpenAI}},
	{path: "/v1/responses/input_tokens", schemas: []string{schemaOpenAI}},
	{path: "/v1/images/generations", schemas: []string{schemaOpenAI}},
	{path: "/v1/audio/speech", schemas: []string{schemaOpenAI}},
	{path: "/v1/audio/transcriptions", schemas: []string{schemaOpenAI}},
	{path: "/v1/audio/translations", schemas: []string{schemaOpenAI}},
	{path: "/anthropic/v1/messages", schemas: []string{schemaAnthropic, schemaGCPAnthropic}},
	{path: "/anthropic/v1/messages/count_tokens", schemas: []string{schemaAnthropic}},
	{path: "/cohere/v2/rerank", schemas: []string{schemaCohere}},
	{pattern: `/model/%s/(?:converse|converse-stream|count-tokens)`, label: "/model/…/converse", schemas: []string{schemaAWSBedrock}},
	{pattern: `/model/%s/(?:invoke|invoke-with-response-stream)`, label: "/model/…/invoke", schemas: []string{schemaAWSBedrock, schemaAWSAnthropic}},
	{
		pattern: `/v1(?:beta|beta1)?(?:/projects/[^/]+/locations/[^/]+/publishers/google)?/models/%s:(?:generateContent|streamGenerateContent|countTokens)`,
		label:   "/v1/models/…:generateContent", schemas: []string{schemaGCPVertexAI},
	},
}

// takenBy reports whether a backend of a schema takes such calls.
func (e *endpoint) takenBy(schema string) bool { return slices.Contains(e.schemas, schema) }

// String returns the path, or what stands for it.
func (e *endpoint) String() string {
	if e.path != "" {
		return e.path
	}
	return e.label
}

// match returns c for the endpoint; false: nothing can fit. Where the path
// holds the model, the conditions on it are part of the path.
func (e *endpoint) match(c condition) (ir.Match, bool) {
	m := ir.Match{Methods: []string{"POST"}, Headers: c.headers, Order: c.order}
	if e.path != "" {
		m.Path = ir.PathMatch{Kind: ir.PathExact, Value: e.path}
		m.Model = c.model
		return m, true
	}
	model := `[^/]+`
	switch {
	case len(c.model) > 1 || len(c.model) == 1 && c.model[0].Exact == nil:
		return ir.Match{}, false
	case len(c.model) == 1:
		model = strings.ReplaceAll(regexp.QuoteMeta(*c.model[0].Exact), ":", "(?::|%3A)")
	}
	m.Path = ir.PathMatch{Kind: ir.PathRegex, Value: strings.Replace(e.pattern, "%s", model, 1)}
	return m, true
}
