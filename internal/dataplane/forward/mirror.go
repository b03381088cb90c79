package forward

import (
	"errors"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// NewMirror returns the stage that sends copies of requests to u.
func NewMirror(cfg *ir.Mirror, u *Upstream, deps Deps) (dataplane.Stage, error) {
	return nil, errors.New("mirror is not there yet")
}
