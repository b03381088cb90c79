package gloomesh

import (
	"maps"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/condition"
)

// objectStatus renders the status of any kind of the dialect: its approval, in
// the member common.State, whose capital is the product's own.
func objectStatus(live map[string]any, s dialect.Standing) map[string]any {
	verdict, why := s.Verdict()
	if verdict == dialect.Unknown {
		return live
	}
	state := map[string]any{"approval": approvals[verdict], "observedGeneration": s.Object.Generation}
	if why != "" {
		state["message"] = condition.Bounded(why)
	}
	common, _ := live["common"].(map[string]any)
	return withMember(live, "common", withMember(common, "State", state))
}

// approvals are the words of common.gloo.solo.io's State.
var approvals = [...]string{dialect.Accepted: "ACCEPTED", dialect.Warned: "WARNING", dialect.Rejected: "FAILED"}

// withMember returns a copy of m with one member put in.
func withMember(m map[string]any, name string, v any) map[string]any {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]any{}
	}
	out[name] = v
	return out
}
