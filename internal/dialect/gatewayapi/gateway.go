package gatewayapi

import (
	"fmt"
	"net/netip"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// gateway is the translation of one Gateway.
type gateway struct {
	v      *resource.View
	obj    *resource.Object
	spec   *gatewayv1.GatewaySpec
	report status.Report
}

func translateGateway(v *resource.View, obj *resource.Object) (*dialect.Fragment, status.Report) {
	f := &dialect.Fragment{}
	if !parent.Ours(v, obj) {
		return f, status.Report{}
	}
	g := &gateway{v: v, obj: obj, spec: &obj.Spec.(*parent.Gateway).Spec}
	f.Referable = []dialect.Target{dialect.TargetOf(obj.Key)}
	g.unsupported()
	addresses, anywhere, fault := g.addresses()
	all := parent.Listeners(v, obj)
	served := 0
	for _, l := range all {
		t := g.serverTLS(l)
		ok := l.Attachable() && fault == nil && !slices.ContainsFunc(l.Faults, closes)
		g.tellListener(l, ok)
		f.Referable = append(f.Referable, g.section(l))
		if !ok {
			continue
		}
		served++
		listener := g.listener(l, t, addresses)
		listener.Addressing = dialect.Addressing{Any: anywhere, Before: obj.Reached, Origin: obj.Origin("spec.addresses")}
		f.Listeners = append(f.Listeners, listener)
	}
	g.tell(fault, served, len(all))
	return f, g.report
}

// closes reports whether a listener with the fault cannot be served.
func closes(f parent.Fault) bool { return !f.Partial }

func (g *gateway) section(l *parent.Listener) dialect.Target {
	t := dialect.TargetOf(g.obj.Key)
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
			Origin:    g.obj.Origin(l.Field),
		},
		Targets: []dialect.Target{g.section(l), dialect.TargetOf(g.obj.Key)},
		Owner:   g.obj.Key,
		Age:     g.obj.Created,
	}
	out.Closed = faulty(g.obj)
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

// unsupported tells what the Gateway asks for that we do not have.
func (g *gateway) unsupported() {
	if g.spec.AllowedListeners != nil && g.spec.AllowedListeners.Namespaces != nil &&
		parent.Or(g.spec.AllowedListeners.Namespaces.From, "None") != "None" {
		g.report.Add(status.Warningf(g.obj.Origin("spec.allowedListeners"), "ListenerSets are not supported").
			Fix("put the listeners into the Gateway"))
	}
	if g.spec.DefaultScope != "" && g.spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		g.report.Add(status.Errorf(g.obj.Origin("spec.defaultScope"), "default Gateways are not supported; routes without a parent are not served").
			Fix("give the routes parentRefs"))
	}
	if g.spec.TLS != nil && g.spec.TLS.Backend != nil && g.spec.TLS.Backend.ClientCertificateRef != nil {
		g.report.Add(status.Errorf(g.obj.Origin("spec.tls.backend"), "a client certificate for backends is not supported; they are shown none").
			Fix("remove it"))
	}
}

// tellListener reports one listener's faults and its conditions.
func (g *gateway) tellListener(l *parent.Listener, served bool) {
	for _, f := range l.Faults {
		g.report.Add(f.Problem(g.obj))
	}
	about := string(l.Spec.Name)
	for _, c := range []struct {
		condition, reason string
		good              bool
	}{
		{"Accepted", "Accepted", true},
		{"Conflicted", "NoConflicts", false},
		{"ResolvedRefs", "ResolvedRefs", true},
	} {
		o := status.Outcome{Object: g.obj.Status(), About: about, Condition: c.condition, OK: c.good, Reason: c.reason}
		for _, f := range l.Faults {
			if f.Condition == c.condition {
				o.OK, o.Reason, o.Message = !c.good, f.Reason, f.What
				break
			}
		}
		g.report.Outcome(o)
	}
	o := status.Outcome{Object: g.obj.Status(), About: about, Condition: "Programmed", OK: served, Reason: "Programmed"}
	if !served {
		o.Reason, o.Message = "Invalid", "the listener is not served"
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
