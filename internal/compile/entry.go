package compile

import (
	"encoding/json"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
)

// shutEntry notes that the route has one stage, which closes it: nobody's body
// is read for it.
func (rb *routeBuilder) shutEntry() {
	rb.shut, rb.entry = true, dataplane.Entry{Proof: 1, Allowed: 1}
}

// enter notes a step whose stage is the n-th of the route, from 1 on.
func (rb *routeBuilder) enter(s ir.Step, n int) {
	switch {
	case s.JWT != nil, s.AuthSet != nil, s.Closed != nil, s.Phase == ir.PhaseAuthenticate:
		rb.entry.Proof = n
	}
	if isGuard(s) && s.Phase <= ir.PhaseAuthorize {
		rb.entry.Allowed = n
	}
}

// describe fills in what a route is besides its stages.
func (rb *routeBuilder) describe(r *dataplane.Route) {
	r.Entry = rb.entry
	r.Entry.Asks = len(rb.rt.Asks()) > 0
	r.Entry.Forwards = rb.rt.Action.Forward != nil
	if rb.looksAtModel() && !rb.shut {
		r.Entry.Key = rb.entryKey(r.Sanitize, r.Brought)
	}
	if list := rb.rt.Action.Models; list != nil {
		r.Lists = true
		for _, m := range list.Models {
			r.Models = append(r.Models, listed(m))
		}
	}
}

func (rb *routeBuilder) looksAtModel() bool {
	for _, m := range rb.rt.Matches {
		if len(m.Model) > 0 {
			return true
		}
	}
	return false
}

// entryKey tells what the stages do that find out who calls, and which headers
// are set aside for them.
func (rb *routeBuilder) entryKey(headers ...[]string) string {
	type entered struct{ policy any }
	n := 0 // stages
	var parts []any
	for _, s := range rb.rt.Steps {
		if n == rb.entry.Proof {
			break
		}
		if gathers(s) {
			continue
		}
		n++
		switch {
		case s.JWT != nil: // often shared by many routes
			parts = append(parts, s.Slot, s.Origin, rb.key(entered{s.JWT}, "entry", s.JWT))
		case s.AuthSet != nil:
			parts = append(parts, s.Slot, s.Origin, rb.key(entered{s.AuthSet}, "entry", s.AuthSet))
		default:
			parts = append(parts, s)
		}
	}
	return keep.Key("entry", []any{parts, headers})
}

// listed returns a model as OpenAI's API shows it ("The model object").
func listed(m ir.ListedModel) dataplane.Model {
	shown := struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}{m.ID, "model", 0, m.OwnedBy}
	if !m.Created.IsZero() {
		shown.Created = m.Created.Unix()
	}
	text, _ := json.Marshal(shown) // strings and a number: cannot fail
	return dataplane.Model{ID: m.ID, JSON: string(text)}
}
