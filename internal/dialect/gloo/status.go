package gloo

import (
	"maps"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/condition"
)

// reportedBy is our name in statuses.
const reportedBy = "postern"

// states are the words of core.solo.io's Status.
var states = [...]string{dialect.Accepted: "Accepted", dialect.Warned: "Warning", dialect.Rejected: "Rejected"}

// objectStatus renders the status of any kind of the dialect: one entry for
// each installation that reports, by its namespace, so that ours stands beside
// that of a Gloo (core.solo.io's NamespacedStatuses).
func objectStatus(live map[string]any, s dialect.Standing) map[string]any {
	verdict, why := s.Verdict()
	if verdict == dialect.Unknown {
		return live
	}
	if s.Object.GroupKind == rateLimitConfigKind {
		return withMembers(live, limitStatus(verdict, why, s.Object.Generation))
	}
	entry := map[string]any{
		"state": states[verdict], "reportedBy": reportedBy,
		"details": map[string]any{"observedGeneration": s.Object.Generation},
	}
	if why != "" {
		entry["reason"] = condition.Bounded(why)
	}
	entries, _ := live["statuses"].(map[string]any)
	return withMembers(live, map[string]any{"statuses": withMembers(entries, map[string]any{s.Reporter: entry})})
}

// limitStatus is a RateLimitConfig's, which knows one reporter only.
func limitStatus(verdict dialect.Verdict, why string, generation int64) map[string]any {
	state := "ACCEPTED"
	if verdict == dialect.Rejected {
		state = "REJECTED"
	}
	return map[string]any{"state": state, "message": condition.Bounded(why), "observedGeneration": generation}
}

// withMembers returns a copy of m with members put in.
func withMembers(m, members map[string]any) map[string]any {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]any{}
	}
	maps.Copy(out, members)
	return out
}
