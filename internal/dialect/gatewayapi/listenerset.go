package gatewayapi

import (
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// translateListenerSet adds a ListenerSet's listeners to its Gateway: they are
// at its addresses, under its rules for clients, and policies that are attached
// to it hold for them after those of the ListenerSet.
func translateListenerSet(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	set := parent.SetOf(v, obj)
	f := &dialect.Fragment{Referable: []dialect.Target{dialect.TargetOf(obj.Key)}}
	var report status.Report
	switch {
	case set.Foreign && set.Refused == nil:
		return f, report
	case set.Gateway == nil || set.Refused != nil:
		report.Add(set.Refused.Problem(obj))
		if !set.Foreign {
			tellSet(&report, obj, *set.Refused, set.Refused.Reason)
		}
		return f, report
	}
	g := newGateway(v, set.Gateway)
	addresses, anywhere, fault := g.addresses()
	if fault != nil { // which the Gateway reports
		tellSet(&report, obj, parent.Fault{Reason: "ParentNotAccepted", What: "the Gateway is not accepted: " + fault.What}, "ParentNotProgrammed")
		return f, report
	}
	all := set.Listeners(v)
	set.Contest(v, all)
	for _, l := range all {
		t := g.serverTLS(l)
		ok := l.Attachable() && !slices.ContainsFunc(l.Faults, closes)
		g.tellListener(l, ok)
		f.Referable = append(f.Referable, section(l))
		if !ok {
			continue
		}
		listener := g.listener(l, t, addresses)
		listener.Addressing = g.addressing(anywhere)
		f.Listeners = append(f.Listeners, listener)
	}
	g.tellSet(obj, len(f.Listeners), len(all))
	return f, g.report
}

// tellSet reports a ListenerSet that is not served at all.
func tellSet(report *status.Report, obj *resource.Object, f parent.Fault, programmed string) {
	report.Outcome(status.Outcome{Object: obj.Status(), Condition: "Accepted", Reason: f.Reason, Message: f.What})
	report.Outcome(status.Outcome{Object: obj.Status(), Condition: "Programmed", Reason: programmed, Message: f.What})
}

// tellSet reports the conditions of a ListenerSet that the Gateway takes. The
// Gateway counts it where one of its listeners is served.
func (g *gateway) tellSet(obj *resource.Object, served, all int) {
	accepted := status.Outcome{Object: obj.Status(), Condition: "Accepted", OK: served > 0, Reason: "Accepted"}
	programmed := status.Outcome{Object: obj.Status(), Condition: "Programmed", OK: served > 0, Reason: "Programmed"}
	if served < all || all == 0 {
		accepted.Reason, accepted.Message = "ListenersNotValid", fmt.Sprintf("%d of %d listeners are not served", all-served, all)
	}
	if served == 0 {
		programmed.Reason, programmed.Message = "ListenersNotValid", "no listener is served"
	}
	if all == 0 {
		g.report.Add(status.Errorf(obj.Origin("spec.listeners"), "the ListenerSet has no listeners").Fix("give it one"))
	}
	for _, o := range []*resource.Object{g.obj, obj} {
		if closed := faulty(o); closed != nil {
			programmed.OK, programmed.Reason, programmed.Message = false, "Invalid", "every listener answers 500: "+closed.Reason
		}
	}
	g.report.Outcome(accepted)
	g.report.Outcome(programmed)
	if served > 0 {
		g.report.Outcome(status.Outcome{
			Object: g.obj.Status(), About: obj.Key.String(), Condition: "Attached", OK: true, Reason: "Attached",
			Message: fmt.Sprintf("%d listeners", served),
		})
	}
}
