package condition

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/status"
)

var (
	then = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	now  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func live(conditionType, state, reason string, generation int64) map[string]any {
	return map[string]any{
		"type": conditionType, "status": state, "reason": reason, "message": "",
		"observedGeneration": generation, "lastTransitionTime": Time(then),
	}
}

func at(c map[string]any, t time.Time) map[string]any {
	c["lastTransitionTime"] = Time(t)
	return c
}

// TestMerge: the time of a condition is that of its status's change, those of
// others stay, and the order too.
func TestMerge(t *testing.T) {
	m := Merging{Generation: 7, Now: now, Foreign: func(t string) bool { return strings.HasPrefix(t, "example.com/") }}
	for _, tc := range []struct {
		name     string
		live     any
		outcomes []status.Outcome
		want     []any
	}{
		{"none yet", nil, []status.Outcome{{Condition: "Accepted", OK: true, Reason: "Accepted"}},
			[]any{at(live("Accepted", "True", "Accepted", 7), now)}},
		{"another generation and reason", []any{live("Accepted", "False", "Pending", 6)}, []status.Outcome{{Condition: "Accepted", Reason: "Invalid"}},
			[]any{live("Accepted", "False", "Invalid", 7)}},
		{"another status", []any{live("Accepted", "False", "Invalid", 7)}, []status.Outcome{{Condition: "Accepted", OK: true, Reason: "Accepted"}},
			[]any{at(live("Accepted", "True", "Accepted", 7), now)}},
		{"those of others, and the order", []any{live("B", "True", "B", 7), live("example.com/x", "True", "X", 1), live("A", "True", "A", 7), live("Gone", "True", "G", 7)},
			[]status.Outcome{{Condition: "A", OK: true, Reason: "A"}, {Condition: "B", OK: true, Reason: "B"}, {Condition: "C", OK: true, Reason: "C"}},
			[]any{live("B", "True", "B", 7), live("example.com/x", "True", "X", 1), live("A", "True", "A", 7), at(live("C", "True", "C", 7), now)}},
		{"doubled there", []any{live("A", "True", "A", 7), live("A", "False", "A", 6)}, []status.Outcome{{Condition: "A", OK: true, Reason: "A"}},
			[]any{live("A", "True", "A", 7)}},
		{"what is no condition", []any{"text", map[string]any{"type": int64(1)}}, nil, []any{}},
		{"what is no list", map[string]any{}, nil, []any{}},
	} {
		if diff := cmp.Diff(tc.want, m.Merge(tc.live, tc.outcomes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// TestBounded: a message that is too long is cut between characters.
func TestBounded(t *testing.T) {
	for _, text := range []string{strings.Repeat("a", longest), strings.Repeat("é", longest), "x" + strings.Repeat("é", longest)} {
		got := Bounded(text)
		if len(got) > longest || !utf8.ValidString(got) || len(text) <= longest && got != text || len(text) > longest && !strings.HasSuffix(got, " ...") {
			t.Errorf("%d bytes became %d", len(text), len(got))
		}
	}
}

func entry(controller, name string, conditions ...any) map[string]any {
	if conditions == nil {
		conditions = []any{}
	}
	return map[string]any{"parentRef": map[string]any{"name": name}, "controllerName": controller, "conditions": conditions}
}

// TestEntries: our entries are those that are due, in their places; those of
// others stay, and so many that the list is full leave no room.
func TestEntries(t *testing.T) {
	e := Entries{Merging: Merging{Generation: 7, Now: now}, Field: "parentRef", Controller: "us", Most: 3}
	ours := func(names ...string) (out []Entry) {
		for _, n := range names {
			out = append(out, Entry{Ref: map[string]any{"name": n}, Outcomes: []status.Outcome{{Condition: "A", OK: true, Reason: "A"}}})
		}
		return out
	}
	fresh := at(live("A", "True", "A", 7), now)
	for _, tc := range []struct {
		name string
		live any
		ours []Entry
		want []any
	}{
		{"none yet", nil, ours("a"), []any{entry("us", "a", fresh)}},
		{"places, times and those of others", []any{entry("us", "b", live("A", "True", "A", 6)), entry("them", "a"), entry("us", "gone")}, ours("a", "b"),
			[]any{entry("us", "b", live("A", "True", "A", 7)), entry("them", "a"), entry("us", "a", fresh)}},
		{"nothing is due", []any{entry("them", "a"), entry("us", "a")}, nil, []any{entry("them", "a")}},
		{"it is full", []any{entry("them", "a"), entry("them", "b")}, ours("a", "b"), []any{entry("them", "a"), entry("them", "b"), entry("us", "a", fresh)}},
		{"it is more than full", []any{entry("them", "a"), entry("them", "b"), entry("them", "c"), entry("them", "d")}, ours("a"),
			[]any{entry("them", "a"), entry("them", "b"), entry("them", "c"), entry("them", "d")}},
		{"what is no entry", []any{"text"}, ours("a"), []any{"text", entry("us", "a", fresh)}},
	} {
		before, _ := tc.live.([]any)
		kept := append([]any(nil), before...)
		if diff := cmp.Diff(tc.want, e.Merge(tc.live, tc.ours)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if diff := cmp.Diff(kept, append([]any(nil), before...)); diff != "" {
			t.Errorf("%s: what was there was changed:\n%s", tc.name, diff)
		}
	}
}
