package llm

import (
	"errors"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

func TestAdaptFillsThePath(t *testing.T) {
	const azure, vertex = "/openai/deployments/{model}/{api}?api-version=2024", "/v1/models/{model}"
	for _, tt := range []struct {
		name, path, stream, model string
		requested, body           string
		want, query               string
		err                       error
	}{
		{name: "an API", path: "/v1beta/openai/{api}", requested: "/v1/embeddings", want: "/v1beta/openai/embeddings"},
		{name: "an API of several segments", path: "/v1/{api}", requested: "/x/v1/audio/speech", want: "/v1/audio/speech"},
		{name: "the last version counts", path: "/p/{api}", requested: "/v1/v2/completions", want: "/p/completions"},
		{name: "no API", path: "/v1/{api}", requested: "/openai", want: "/v1/chat/completions"},
		{name: "an unknown API", path: "/v1/{api}", requested: "/v1/admin", want: "/v1/chat/completions"},
		{name: "the body's model", path: azure, requested: "/v1/embeddings", body: `{"model":"gpt-4o"}`, want: "/openai/deployments/gpt-4o/embeddings", query: "api-version=2024"},
		{name: "the configured model", path: azure, model: "m", requested: "/v1/chat/completions", body: `{"model":"gpt-4o"}`, want: "/openai/deployments/m/chat/completions", query: "api-version=2024"},
		{name: "streamed", path: vertex + ":raw", stream: vertex + ":stream", body: `{"model":"c@1","stream":true}`, want: "/v1/models/c@1:stream"},
		{name: "no model", path: azure, body: `{}`, err: ErrModel},
		{name: "no body", path: azure, err: ErrModel},
		{name: "no JSON", path: azure, body: `{"model":"m"`, err: ErrSyntax},
		{name: "two models", path: azure, body: `{"model":"a","model":"b"}`, err: ErrAmbiguous},
		{name: "a number", path: azure, body: `{"model":1}`, err: ErrModel},
		{name: "a model that climbs", path: azure, body: `{"model":".."}`, err: ErrModel},
		{name: "a model with a slash", path: azure, body: `{"model":"a/b"}`, err: ErrModel},
		{name: "a model with an escape", path: azure, body: `{"model":"a%2fb"}`, err: ErrModel},
		{name: "a model with a query", path: azure, body: `{"model":"a?b"}`, err: ErrModel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := adapter(t, ir.LLM{Schema: "openai", Path: tt.path, StreamPath: tt.stream, Model: tt.model})
			r := &Request{Path: tt.requested}
			if a.NeedsBody(r.Path) {
				r.Body = []byte(tt.body)
			}
			c, err := a.Adapt(r)
			if !errors.Is(err, tt.err) || c.Path != tt.want || c.RawQuery != tt.query {
				t.Errorf("%s?%s, %v; want %s?%s, %v", c.Path, c.RawQuery, err, tt.want, tt.query, tt.err)
			}
		})
	}
}
