package gatewayapi

import (
	"fmt"
	"net/netip"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/infrastructure"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// gateway is the translation of one Gateway, or of a ListenerSet of it.
type gateway struct {
	v      *resource.View
	obj    *resource.Object
	spec   *gatewayv1.GatewaySpec
	report status.Report
	// shown is the client certificate for backends; noCertificate says why there
	// is none to show, where one is asked for.
	shown         *dialect.ClientCertificate
	noCertificate *parent.Fault
}

func newGateway(v *resource.View, obj *resource.Object) *gateway {
	g := &gateway{v: v, obj: obj, spec: &obj.Spec.(*parent.Gateway).Spec}
	g.readClientCertificate()
	return g
}

func translateGateway(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	f := &dialect.Fragment{}
	if !parent.Ours(v, obj) {
		return f, status.Report{}
	}
	g := newGateway(v, obj)
	f.Referable = []dialect.Target{dialect.TargetOf(obj.Key)}
	g.unsupported()
	addresses, anywhere, fault := g.addresses()
	g.tellClientCertificate()
	all := parent.Listeners(v, obj)
	served := 0
	for _, l := range all {
		t := g.serverTLS(l)
		ok := l.Attachable() && fault == nil && !slices.ContainsFunc(l.Faults, closes)
		g.tellListener(l, ok)
		f.Referable = append(f.Referable, section(l))
		if !ok {
			continue
		}
		served++
		listener := g.listener(l, t, addresses)
		listener.Addressing = g.addressing(anywhere)
		f.Listeners = append(f.Listeners, listener)
	}
	g.tell(fault, served, len(all))
	g.parameters()
	return f, g.report
}

// parameters tells what is wrong with the parameters of what the Gateway runs
// on. That closes nothing: it goes on as it runs. Out of files nothing is made
// for a Gateway, and the parameters may be another product's.
func (g *gateway) parameters() {
	if g.obj.File != "" {
		return
	}
	if _, f := infrastructure.Of(g.v, g.obj); f != nil {
		g.report.Add(f.Problem(g.obj))
		g.report.Outcome(status.Outcome{Object: g.obj.Status(), Condition: f.Condition, Reason: f.Reason, Message: f.What})
	}
}

// closes reports whether a listener with the fault cannot be served.
func closes(f parent.Fault) bool { return !f.Partial }

// section returns what policies for the listener alone are attached to.
func section(l *parent.Listener) dialect.Target {
	t := dialect.TargetOf(l.Object.Key)
	t.Section = string(l.Spec.Name)
	return t
}

func (g *gateway) listener(l *parent.Listener, t *ir.ServerTLS, addresses []string) *dialect.Listener {
	out := &dialect.Listener{
		Listener: ir.Listener{
			Name:      l.Name,
			Gateway:   g.obj.Namespace + "/" + g.obj.Name,
			Addresses: addresses,
			Port:      int(l.Spec.Port),
			Hostname:  l.Hostname(),
			TLS:       t,
			Origin:    l.Object.Origin(l.Field),
		},
		Targets:           []dialect.Target{section(l), dialect.TargetOf(l.Object.Key)},
		ClientCertificate: g.shown,
		Owner:             l.Object.Key,
		Age:               l.Object.Created,
	}
	if out.Closed = faulty(l.Object); l.Object == g.obj {
		return out
	}
	out.Targets = append(out.Targets, dialect.TargetOf(g.obj.Key))
	if out.Closed == nil {
		out.Closed = faulty(g.obj)
	}
	return out
}

// faulty closes what an object carries that says less than its author meant.
func faulty(o *resource.Object) *ir.Closed {
	if len(o.Faults) == 0 {
		return nil
	}
	return &ir.Closed{Reason: "not understood in full: " + o.Faults[0].What, Origin: o.Faults[0].Origin}
}

// addresses reads spec.addresses. An address without a value leaves the choice
// to us, as anywhere says.
func (g *gateway) addresses() (named []string, anywhere bool, fault *parent.Fault) {
	for i, a := range g.spec.Addresses {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		if kind := parent.Or(a.Type, "IPAddress"); kind != "IPAddress" {
			return nil, false, &parent.Fault{
				Condition: "Accepted", Reason: "UnsupportedAddress", Field: field + ".type",
				What: "an address of type " + kind + " is not supported", Remedy: "use IPAddress, or remove the address",
			}
		}
		if a.Value == "" {
			anywhere = true
			continue
		}
		ip, err := netip.ParseAddr(a.Value)
		if err != nil || ip.Zone() != "" {
			return nil, false, &parent.Fault{
				Condition: "Accepted", Reason: "UnsupportedAddress", Field: field + ".value",
				What: fmt.Sprintf("%q is no IP address", a.Value), Remedy: "correct it",
			}
		}
		if s := ip.String(); !slices.Contains(named, s) {
			named = append(named, s)
		}
	}
	return named, anywhere, nil
}

// addressing is what the Gateway asks for besides the addresses that it names.
func (g *gateway) addressing(anywhere bool) dialect.Addressing {
	return dialect.Addressing{Any: anywhere, Before: g.obj.Reached, Of: g.obj.Key, Origin: g.obj.Origin("spec.addresses")}
}

// unsupported tells what the Gateway asks for that we do not have.
func (g *gateway) unsupported() {
	if g.spec.DefaultScope != "" && g.spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		g.report.Add(status.Errorf(g.obj.Origin("spec.defaultScope"), "default Gateways are not supported; routes without a parent are not served").
			Fix("give the routes parentRefs"))
	}
}

// tellListener reports one listener's faults and its conditions.
func (g *gateway) tellListener(l *parent.Listener, served bool) {
	for _, f := range l.Faults {
		g.report.Add(f.Problem(l.Object))
	}
	about := string(l.Spec.Name)
	tell := func(condition, reason string, good bool) *parent.Fault {
		o := status.Outcome{Object: l.Object.Status(), About: about, Condition: condition, OK: good, Reason: reason}
		f := l.Fault(condition)
		if f != nil {
			o.OK, o.Reason, o.Message = !good, f.Reason, f.What
		}
		g.report.Outcome(o)
		return f
	}
	tell("Accepted", "Accepted", true)
	conflict := tell("Conflicted", "NoConflicts", false)
	if f := tell("ResolvedRefs", "ResolvedRefs", true); f != nil && l.Object == g.obj {
		g.report.Outcome(status.Outcome{
			Object: g.obj.Status(), Condition: "ResolvedRefs", Reason: "ListenersNotResolved", Message: fmt.Sprintf("listener %s: %s", about, f.What),
		})
	}
	o := status.Outcome{Object: l.Object.Status(), About: about, Condition: "Programmed", OK: served, Reason: "Programmed"}
	if !served {
		o.Reason, o.Message = "Invalid", "the listener is not served"
		if conflict != nil && l.Object != g.obj {
			o.Reason = conflict.Reason
		}
	}
	g.report.Outcome(o)
}

// tell reports the Gateway's own conditions.
func (g *gateway) tell(fault *parent.Fault, served, all int) {
	accepted := status.Outcome{Object: g.obj.Status(), Condition: "Accepted", OK: true, Reason: "Accepted"}
	programmed := status.Outcome{Object: g.obj.Status(), Condition: "Programmed", OK: true, Reason: "Programmed"}
	if closed := faulty(g.obj); closed != nil {
		programmed.OK, programmed.Reason, programmed.Message = false, "Invalid", "every listener answers 500: "+closed.Reason
	}
	switch {
	case fault != nil:
		g.report.Add(fault.Problem(g.obj))
		accepted.OK, accepted.Reason, accepted.Message = false, fault.Reason, fault.What
	case all == 0:
		g.report.Add(status.Errorf(g.obj.Origin("spec.listeners"), "the Gateway has no listeners").Fix("give it one"))
		accepted.OK, accepted.Reason, accepted.Message = false, "ListenersNotValid", "no listeners"
	case served < all:
		accepted.OK = served > 0
		accepted.Reason, accepted.Message = "ListenersNotValid", fmt.Sprintf("%d of %d listeners are not served", all-served, all)
	}
	if served == 0 {
		programmed.OK, programmed.Reason, programmed.Message = false, "Invalid", "no listener is served"
	}
	g.report.Outcome(accepted)
	g.report.Outcome(programmed)
}
