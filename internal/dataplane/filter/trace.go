package filter

import (
	"errors"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
)

// traceAccept tells a rehearsal by what a caller passed. Without a trace it
// does nothing.
func traceAccept(t *dataplane.Trace, r *authn.Result) {
	if t == nil {
		return
	}
	switch {
	case r.Ignored != nil:
		t.Note("passes as nobody: " + r.Ignored.Error())
	case len(r.Identities) == 0 && r.By == "":
		t.Note("passes as nobody: there is no credential")
	}
	if r.By != "" {
		t.Note("passed by " + r.By)
	}
	if r.Ignored != nil && errors.Is(r.Ignored, authn.ErrUnasked) {
		t.Doubtful()
	}
}

// traceRules tells a rehearsal of every rule that was looked at.
func traceRules(t *dataplane.Trace, r *authz.Rules, in *authz.Input) {
	if t == nil {
		return
	}
	for _, tried := range r.Explain(in).Tried {
		t.Rule(dataplane.TracedRule{Rule: tried.Rule, Origin: tried.Origin, Matched: tried.Matched, Why: tried.Reason})
	}
}
