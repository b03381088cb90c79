package dialect

import (
	"fmt"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Refusal is why a listener is not served, or not as its author meant.
type Refusal struct {
	// Listener is its ir.Listener.Name.
	Listener string
	// Condition and Reason in which it shows: one of those that are named for
	// a fault, such as Conflicted, is true then, and others are false.
	Condition, Reason string
	Message           string
	// Partly says that the listener is served all the same.
	Partly bool
}

// Refused returns the report of listeners of the last merge that turned out
// later not to be served: because a port could not be bound, or bytes are no
// certificate. It is the whole of what is to be said of them: the outcomes of
// an object of which no listener is left are among it.
func (m *Merger) Refused(list []Refusal) status.Report {
	r := &ruling{offered: m.offered, gone: maps.Clone(m.gone)}
	for _, f := range list {
		if l := m.offered[f.Listener]; l != nil {
			r.refuse(l, f)
		}
	}
	r.tellOwners()
	return r.report
}

// ruling decides which listeners are served.
type ruling struct {
	report  status.Report
	offered map[string]*Listener // every listener there is, by name
	gone    map[string]bool      // those that are refused
}

// refuse reports why a listener is not served.
func (r *ruling) refuse(l *Listener, f Refusal) {
	o := status.Outcome{Object: l.Owner.Status(), About: l.section(), Condition: f.Condition, Reason: f.Reason, Message: f.Message, OK: true}
	o.OK = o.Bad()
	r.report.Outcome(o)
	if f.Partly {
		return
	}
	if r.gone == nil {
		r.gone = map[string]bool{}
	}
	r.gone[l.Name] = true
	if f.Condition != "Programmed" {
		o.Condition, o.OK, o.Reason = "Programmed", false, "Invalid"
		r.report.Outcome(o)
	}
}

// section returns what outcomes about the listener alone are about.
func (l *Listener) section() string {
	if len(l.Targets) == 0 {
		return ""
	}
	return l.Targets[0].Section
}

// tellOwners reports the objects that are left without a listener.
func (r *ruling) tellOwners() {
	served, lost := map[resource.Key]bool{}, map[resource.Key]int{}
	for _, l := range r.offered {
		if r.gone[l.Name] {
			lost[l.Owner]++
		} else {
			served[l.Owner] = true
		}
	}
	for _, owner := range slices.SortedFunc(maps.Keys(lost), resource.Key.Compare) {
		n := lost[owner]
		if served[owner] {
			continue
		}
		msg := fmt.Sprintf("none of %d listeners is served", n)
		if n == 1 {
			msg = "the listener is not served"
		}
		r.report.Outcome(status.Outcome{Object: owner.Status(), Condition: "Programmed", Reason: "Invalid", Message: msg})
	}
}
