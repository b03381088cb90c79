package dialect

import (
	"cmp"
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
	// Address, if it is set, is at fault in place of the listener: its Gateway
	// cannot be reached there. Condition and Reason are not looked at then.
	Address string
	Message string
	// Partly says that the listener is served all the same.
	Partly bool
}

// Refused returns the report of listeners of the last merge that turned out
// later not to be served: because a port could not be bound, or bytes are no
// certificate. It is the whole of what is to be said of them: the outcomes of
// an object of which no listener is left are among it.
func (m *Merger) Refused(list []Refusal) status.Report {
	r := &ruling{offered: m.offered, gone: maps.Clone(m.gone), faulty: maps.Clone(m.faulty)}
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
	faulty  map[string]bool      // those of them that are at fault themselves
}

// refuse reports why a listener is not served.
func (r *ruling) refuse(l *Listener, f Refusal) {
	if f.Address != "" {
		f.Condition, f.Reason = "Programmed", "Pending"
		r.tellAddress(l, f)
		if f.Partly {
			return
		}
	}
	o := status.Outcome{Object: l.Owner.Status(), About: l.section(), Condition: f.Condition, Reason: f.Reason, Message: f.Message, OK: true}
	o.OK = o.Bad()
	r.report.Outcome(o)
	if f.Condition == "ResolvedRefs" && l.Owner == l.gateway() {
		o.About, o.Reason, o.Message = "", "ListenersNotResolved", fmt.Sprintf("listener %s: %s", o.About, o.Message)
		r.report.Outcome(o)
	}
	if f.Partly {
		return
	}
	if r.gone == nil {
		r.gone, r.faulty = map[string]bool{}, map[string]bool{}
	}
	r.gone[l.Name] = true
	if f.Condition != "Programmed" {
		r.faulty[l.Name] = true
		o = status.Outcome{Object: l.Owner.Status(), About: l.section(), Condition: "Programmed", Reason: "Invalid", Message: f.Message}
		r.report.Outcome(o)
	}
}

// tellAddress reports a Gateway that cannot be reached at an address, whether
// it names the address or was given it.
func (r *ruling) tellAddress(l *Listener, f Refusal) {
	reason := "AddressNotAssigned"
	if slices.Contains(l.Addresses, f.Address) {
		reason = "AddressNotUsable"
	}
	r.report.Outcome(status.Outcome{Object: l.gateway().Status(), Condition: "Programmed", Reason: reason, Message: f.Message})
}

// gateway returns the object whose listener it is, be it the owner or not.
func (l *Listener) gateway() resource.Key { return cmp.Or(l.Addressing.Of, l.Owner) }

// section returns what outcomes about the listener alone are about.
func (l *Listener) section() string {
	if len(l.Targets) == 0 {
		return ""
	}
	return l.Targets[0].Section
}

// tellOwners reports the objects that are left without a listener that is
// served, and those that have one that is at fault.
func (r *ruling) tellOwners() {
	all, lost, faulty := map[resource.Key][]*Listener{}, map[resource.Key]int{}, map[resource.Key]int{}
	for _, l := range r.offered {
		all[l.Owner] = append(all[l.Owner], l)
		if r.gone[l.Name] {
			lost[l.Owner]++
		}
		if r.faulty[l.Name] {
			faulty[l.Owner]++
		}
	}
	for _, owner := range slices.SortedFunc(maps.Keys(lost), resource.Key.Compare) {
		r.tellOwner(all[owner], lost[owner], faulty[owner])
	}
}

// tellOwner reports the object that all of these listeners are of. One that is
// left with none but such as are at fault is not accepted.
func (r *ruling) tellOwner(all []*Listener, lost, faulty int) {
	owner, gateway := all[0].Owner, all[0].gateway()
	accepted := status.Outcome{Object: owner.Status(), Condition: "Accepted", OK: faulty < len(all), Reason: "ListenersNotValid"}
	if faulty > 0 {
		accepted.Message = fmt.Sprintf("%d of %d listeners are not served", lost, len(all))
		r.report.Outcome(accepted)
	}
	if lost < len(all) {
		return
	}
	programmed := status.Outcome{Object: owner.Status(), Condition: "Programmed", Reason: "Invalid", Message: "no listener is served"}
	switch {
	case faulty == 0:
		programmed.Reason = "Pending"
	case owner != gateway:
		programmed.Reason = accepted.Reason
	}
	r.report.Outcome(programmed)
	if owner != gateway && !accepted.OK {
		r.report.Outcome(status.Outcome{
			Object: gateway.Status(), About: owner.String(), Condition: "Attached", Reason: accepted.Reason, Message: programmed.Message,
		})
	}
}
