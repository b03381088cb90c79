package envoyai

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	conditions "github.com/postern-gateway/postern/internal/dialect/condition"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// mostAncestors bounds a PolicyAncestorStatus.
const mostAncestors = 16

// objectStatus renders the statuses of the dialect's own kinds, as the two
// products do: the AI kinds and Backends have conditions, Envoy Gateway's
// policies an entry for each target.
func objectStatus(live map[string]any, s dialect.Standing) map[string]any {
	m := conditions.Merging{Generation: s.Object.Generation, Now: s.Now}
	switch {
	case s.Object.Group != aiGroup && s.Object.Group != envoyGroup, s.Object.GroupKind.Kind == "HTTPRouteFilter": // it has none
		return live
	case s.Object.Group == envoyGroup && strings.HasSuffix(s.Object.Kind, "Policy"):
		return ancestors(live, &s, m)
	case len(s.Outcomes) == 0:
		return live
	}
	out := maps.Clone(live)
	if out == nil {
		out = map[string]any{}
	}
	v := verdict(&s)
	if s.Object.Group == aiGroup {
		v = reconciled(v)
	}
	out["conditions"] = m.Merge(live["conditions"], []status.Outcome{v})
	return out
}

// reconciled is a verdict in the words of Envoy AI Gateway, whose condition has
// another type, and not only another status, where it is bad.
func reconciled(v status.Outcome) status.Outcome {
	if v.OK {
		v.Reason = "ReconciliationSucceeded"
	} else {
		v.Condition, v.Reason = "NotAccepted", "ReconciliationFailed"
	}
	return v
}

// verdict is what became of an object in one condition. Warnings are told in
// it, too.
func verdict(s *dialect.Standing) status.Outcome {
	v, why := s.Verdict()
	if v == dialect.Rejected || s.Unresolved() {
		return status.Outcome{Condition: "Accepted", Reason: "Invalid", Message: why}
	}
	return status.Outcome{Condition: "Accepted", OK: true, Reason: "Accepted", Message: cmp.Or(why, "in force")}
}

// ancestors has an entry for each target of a policy that is ours.
func ancestors(live map[string]any, s *dialect.Standing, m conditions.Merging) map[string]any {
	bound := map[dialect.Target][]status.Outcome{}
	for _, o := range s.Outcomes {
		if t, ok := targetIn(o); ok {
			bound[t] = append(bound[t], o)
		}
	}
	var entries []conditions.Entry
	for _, t := range slices.SortedFunc(maps.Keys(bound), func(a, b dialect.Target) int { return strings.Compare(a.String(), b.String()) }) {
		if !serves(s, t, bound[t]) {
			continue
		}
		ref := map[string]any{"group": t.Group, "kind": t.Kind, "namespace": t.Namespace, "name": t.Name}
		if t.Section != "" {
			ref["sectionName"] = t.Section
		}
		entries = append(entries, conditions.Entry{Ref: ref, Outcomes: policyConditions(s, bound[t])})
	}
	e := conditions.Entries{Merging: m, Field: "ancestorRef", Controller: parent.Controller, Most: mostAncestors}
	list := e.Merge(live["ancestors"], entries)
	if len(list) == 0 && live["ancestors"] == nil {
		return live
	}
	out := maps.Clone(live)
	if out == nil {
		out = map[string]any{}
	}
	out["ancestors"] = list
	return out
}

// policyConditions are those of a policy towards one target.
func policyConditions(s *dialect.Standing, attached []status.Outcome) []status.Outcome {
	var out []status.Outcome
	for _, o := range s.About("") {
		if o.Condition == "Accepted" {
			out = append(out, o)
		}
	}
	for _, o := range attached {
		if !o.OK {
			return append(out, status.Outcome{Condition: "Overridden", OK: true, Reason: o.Reason, Message: o.Message})
		}
	}
	return out
}

// serves reports whether a target is ours: a Gateway by its class, a route if
// any of it is served.
func serves(s *dialect.Standing, t dialect.Target, attached []status.Outcome) bool {
	if t.GroupKind == parent.GatewayKind {
		gw := s.View.Get(t.GroupKind, t.Namespace, t.Name)
		return gw != nil && parent.Ours(s.View, gw)
	}
	return slices.ContainsFunc(attached, func(o status.Outcome) bool { return o.Message != dialect.NoRouteYet })
}

// targetIn returns the target that an Attached outcome is about.
func targetIn(o status.Outcome) (dialect.Target, bool) {
	_, text, ok := strings.Cut(o.About, " on ")
	if !ok || o.Condition != "Attached" {
		return dialect.Target{}, false
	}
	kind, rest, _ := strings.Cut(text, " ")
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 {
		return dialect.Target{}, false
	}
	t := dialect.Target{GroupKind: resource.GroupKind{Group: parent.Group, Kind: kind}, Namespace: parts[0], Name: parts[1]}
	if len(parts) == 3 {
		t.Section = parts[2]
	}
	return t, true
}
