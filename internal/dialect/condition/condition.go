// Package condition puts outcomes into lists of conditions, as the statuses of
// most kinds have them (https://kubernetes.io/docs/reference/using-api/api-concepts,
// the type metav1.Condition), in the form in which an API server's objects are
// decoded: maps, slices, strings and int64.
//
//	[]status.Outcome ──Merge──► []any of conditions
//	conditions that are there ──┘ (their times, and what others wrote)
//
// It is no dialect; those whose kinds have conditions share it.
package condition

import (
	"slices"
	"time"

	"github.com/postern-gateway/postern/internal/status"
)

// Merging says how outcomes become conditions.
type Merging struct {
	// Generation of the object that the outcomes are of.
	Generation int64
	Now        time.Time
	// Foreign reports whether a condition type that has no outcome is left as
	// it is; nil: none is.
	Foreign func(conditionType string) bool
}

// Merge returns the conditions that outcomes of one respect make, in place of
// those of the same type in live, and in their order; lastTransitionTime stays
// where the status does. live is what was decoded of an API server's list, or
// nil, and is not changed.
func (m Merging) Merge(live any, outcomes []status.Outcome) []any {
	there, _ := live.([]any)
	out := make([]any, 0, len(outcomes))
	written := map[string]bool{}
	for _, c := range there {
		c, ok := c.(map[string]any)
		if !ok {
			continue
		}
		t := Text(c, "type")
		if written[t] {
			continue
		}
		i := slices.IndexFunc(outcomes, func(o status.Outcome) bool { return o.Condition == t })
		switch {
		case i >= 0:
			written[t] = true
			out = append(out, m.condition(c, outcomes[i]))
		case m.Foreign != nil && m.Foreign(t):
			out = append(out, c)
		}
	}
	for _, o := range outcomes {
		if !written[o.Condition] {
			written[o.Condition] = true
			out = append(out, m.condition(nil, o))
		}
	}
	return out
}

// condition returns one condition, whose live form is old.
func (m Merging) condition(old map[string]any, o status.Outcome) map[string]any {
	c := map[string]any{
		"type": o.Condition, "status": "False", "reason": o.Reason, "message": Bounded(o.Message),
		"observedGeneration": m.Generation, "lastTransitionTime": Time(m.Now),
	}
	if o.OK {
		c["status"] = "True"
	}
	if since := Text(old, "lastTransitionTime"); since != "" && Text(old, "status") == c["status"] {
		c["lastTransitionTime"] = since
	}
	return c
}

// Time returns a time as conditions have it.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// longest is what a metav1.Condition's message may hold, in bytes.
const longest = 32768

// Bounded cuts a message to what a condition may hold.
func Bounded(message string) string {
	if len(message) <= longest {
		return message
	}
	const more = " ..."
	cut := longest - len(more)
	for cut > 0 && message[cut]&0xC0 == 0x80 { // within a character
		cut--
	}
	return message[:cut] + more
}

// Text returns a member that is a string, or "".
func Text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}
