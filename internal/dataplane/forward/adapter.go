package forward

import (
	"errors"
	"net/http"

	"github.com/postern-gateway/postern/internal/ir"
)

type adapter interface {
	NeedsBody(path string) bool
	Adapt(r *llmRequest) (llmChange, error)
}

type llmRequest struct {
	Path, RawQuery, ContentType string
	Body                        []byte
}

type llmChange struct {
	Path, RawQuery string
	Body           []byte
	Header         http.Header
	Model          string
	Stream         bool
}

func newAdapter(*ir.LLM, []*ir.LLMOptions) (adapter, error) {
	return nil, errors.New("no LLM schema is known")
}
