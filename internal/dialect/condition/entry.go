package condition

import (
	"reflect"

	"github.com/postern-gateway/postern/internal/status"
)

// Entry is what one program says of an object towards one other: a route's
// parent, a policy's ancestor (RouteParentStatus and PolicyAncestorStatus of
// https://gateway-api.sigs.k8s.io/reference/spec/).
type Entry struct {
	// Ref names the other, as decoded.
	Ref      map[string]any
	Outcomes []status.Outcome
}

// Entries is a list of entries of several programs, each with the name of its
// controller.
type Entries struct {
	Merging
	// Field of an entry that holds the reference: parentRef, ancestorRef.
	Field string
	// Controller is our name in the list.
	Controller string
	// Most entries that the list may hold; 0: any number. Those of others stay.
	Most int
}

// Merge returns the list with ours for our entries: those that are still due
// stay in their places, the others of our controller go, new ones come last.
// live is not changed.
func (e Entries) Merge(live any, ours []Entry) []any {
	there, _ := live.([]any)
	others := 0
	for _, x := range there {
		if !e.own(x) {
			others++
		}
	}
	if e.Most > 0 && len(ours) > max(e.Most-others, 0) {
		ours = ours[:max(e.Most-others, 0)]
	}
	out := make([]any, 0, len(there)+len(ours))
	placed := make([]bool, len(ours))
	for _, x := range there {
		if !e.own(x) {
			out = append(out, x)
			continue
		}
		old := x.(map[string]any)
		for i, entry := range ours {
			if !placed[i] && reflect.DeepEqual(old[e.Field], any(entry.Ref)) {
				placed[i] = true
				out = append(out, e.entry(old, entry))
				break
			}
		}
	}
	for i, entry := range ours {
		if !placed[i] {
			out = append(out, e.entry(nil, entry))
		}
	}
	return out
}

func (e Entries) own(x any) bool {
	m, ok := x.(map[string]any)
	return ok && Text(m, "controllerName") == e.Controller
}

func (e Entries) entry(old map[string]any, entry Entry) map[string]any {
	return map[string]any{
		e.Field: entry.Ref, "controllerName": e.Controller,
		"conditions": e.Merging.Merge(old["conditions"], entry.Outcomes),
	}
}
