package compile

import (
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// traced returns what runs for a step: the stage itself, or for a rehearsal
// one that tells of it.
func (r *run) traced(stage dataplane.Stage, s *ir.Step) dataplane.Stage {
	if !r.deps.Rehearse {
		return stage
	}
	return dataplane.Traced(stage, s.Kind(), s)
}
