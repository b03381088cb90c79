package filter

import (
	"context"
	"fmt"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewBodyLimit returns the stage that lowers the listener's limit of a request
// body. Beyond it the answer is 413, at once where the length is declared.
func NewBodyLimit(cfg *ir.BodyLimit) (dataplane.Stage, error) {
	if cfg.Bytes < 0 {
		return nil, fmt.Errorf("body limit: %d bytes", cfg.Bytes)
	}
	return bodyLimit(cfg.Bytes), nil
}

type bodyLimit int64

func (l bodyLimit) Run(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if e.Length > int64(l) { // of a body in memory, too
		return dataplane.BodyAnswer(dataplane.ErrBodyTooLarge)
	}
	e.LimitBody(int64(l))
	return nil
}

// NewBuffer returns the stage that reads the whole request body before the
// request goes on; a larger one than it may hold is answered with 413, as by
// Envoy's buffer filter.
func NewBuffer(cfg *ir.Buffer) (dataplane.Stage, error) {
	if cfg.Bytes < 0 {
		return nil, fmt.Errorf("buffer: %d bytes", cfg.Bytes)
	}
	return buffer(cfg.Bytes), nil
}

type buffer int64

func (b buffer) Run(ctx context.Context, e *dataplane.Exchange) *dataplane.Answer {
	if a := bodyLimit(b).Run(ctx, e); a != nil {
		return a
	}
	_, a := e.Collect()
	return a
}
