package parent

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/resource"
)

// Listener is one listener of a Gateway or a ListenerSet, judged by its
// specification alone; what it refers to, such as certificates, is judged by
// who serves it.
type Listener struct {
	// Name is the ir.Listener's: "namespace/gateway/section", or
	// "ListenerSet namespace/name/section".
	Name string
	// Object that it is written in, and Field its path there:
	// "spec.listeners[0]".
	Object *resource.Object
	Field  string
	Spec   gatewayv1.Listener
	// Kinds of routes that may attach.
	Kinds []resource.GroupKind
	// Faults of the listener. With one of condition Accepted or Conflicted
	// nothing attaches to it.
	Faults []Fault
}

// Hostname returns the listener's hostname; "": any.
func (l *Listener) Hostname() string { return Or(l.Spec.Hostname, "") }

// Fault returns the first fault that a condition tells of, or nil.
func (l *Listener) Fault(condition string) *Fault {
	for i := range l.Faults {
		if l.Faults[i].Condition == condition {
			return &l.Faults[i]
		}
	}
	return nil
}

// Attachable reports whether routes may attach at all.
func (l *Listener) Attachable() bool {
	return !slices.ContainsFunc(l.Faults, func(f Fault) bool {
		return f.Condition == "Accepted" || f.Condition == "Conflicted"
	})
}

// Listeners returns the listeners of a Gateway, in their order.
func Listeners(v *resource.View, gw *resource.Object) []*Listener {
	spec := &gw.Spec.(*Gateway).Spec
	out := make([]*Listener, len(spec.Listeners))
	for i, s := range spec.Listeners {
		l := &Listener{
			Name:   fmt.Sprintf("%s/%s/%s", gw.Namespace, gw.Name, s.Name),
			Object: gw,
			Field:  fmt.Sprintf("spec.listeners[%d]", i),
			Spec:   s,
		}
		l.judge()
		l.kinds(v)
		out[i] = l
	}
	for _, l := range out {
		l.rivals(out)
	}
	return out
}

func (l *Listener) fault(condition, reason, field, remedy, what string) {
	l.Faults = append(l.Faults, Fault{Condition: condition, Reason: reason, Field: l.Field + field, What: what, Remedy: remedy})
}

// judge checks what an API server would have refused, and the protocol.
func (l *Listener) judge() {
	s := l.Spec
	if s.Name == "" {
		l.fault("Accepted", "UnsupportedValue", "", "give it a name", "the listener has no name")
	}
	if s.Port < 1 || s.Port > 65535 {
		l.fault("Accepted", "PortUnavailable", ".port", "use 1 to 65535", fmt.Sprintf("%d is no port", s.Port))
	}
	if h := l.Hostname(); h != "" && !ValidHostname(h) {
		l.fault("Accepted", "UnsupportedValue", ".hostname",
			"write a lower case DNS name, which may begin with \"*.\"", fmt.Sprintf("%q is no hostname", h))
	}
	switch s.Protocol {
	case gatewayv1.HTTPProtocolType:
		if s.TLS != nil {
			l.fault("Accepted", "UnsupportedValue", ".tls", "use protocol HTTPS, or remove tls", "a listener for HTTP has no TLS")
		}
	case gatewayv1.HTTPSProtocolType:
		if s.TLS != nil && Or(s.TLS.Mode, "Terminate") != "Terminate" {
			l.fault("Accepted", "UnsupportedProtocol", ".tls.mode", "use Terminate",
				fmt.Sprintf("TLS mode %s is not supported: requests could not be seen", *s.TLS.Mode))
		}
	default:
		l.fault("Accepted", "UnsupportedProtocol", ".protocol", "use HTTP or HTTPS",
			fmt.Sprintf("protocol %s is not supported", s.Protocol))
	}
	if s.AllowedRoutes != nil && s.AllowedRoutes.Namespaces != nil {
		if _, err := selector(s.AllowedRoutes.Namespaces); err != nil {
			l.fault("Accepted", "UnsupportedValue", ".allowedRoutes.namespaces", "correct it", err.Error())
		}
	}
}

// kinds gathers the route kinds that may attach. Kinds that nothing here
// serves, or not by the listener's protocol, are told; with no list, everything
// that is routed by HTTP may.
func (l *Listener) kinds(v *resource.View) {
	isHTTP := l.Spec.Protocol == gatewayv1.HTTPProtocolType || l.Spec.Protocol == gatewayv1.HTTPSProtocolType
	if l.Spec.AllowedRoutes == nil || len(l.Spec.AllowedRoutes.Kinds) == 0 {
		if isHTTP {
			l.Kinds = []resource.GroupKind{HTTPRouteKind, GRPCRouteKind}
		}
		return
	}
	for i, k := range l.Spec.AllowedRoutes.Kinds {
		gk := resource.GroupKind{Group: Group, Kind: string(k.Kind)}
		if k.Group != nil {
			gk.Group = string(*k.Group)
		}
		if isHTTP && (gk == HTTPRouteKind || gk == GRPCRouteKind || (v.Knows(gk) && strings.HasSuffix(gk.Kind, "Route"))) {
			l.Kinds = append(l.Kinds, gk)
			continue
		}
		l.Faults = append(l.Faults, Fault{
			Condition: "ResolvedRefs", Reason: "InvalidRouteKinds", Field: fmt.Sprintf("%s.allowedRoutes.kinds[%d]", l.Field, i),
			What: fmt.Sprintf("routes of kind %v are not supported for protocol %s", gk, l.Spec.Protocol), Remedy: "use HTTPRoute with HTTP or HTTPS", Partial: true,
		})
	}
}

// sameName finds a listener of the same object and name: neither is served,
// since choosing one would be a guess.
func (l *Listener) sameName(all []*Listener) bool {
	for _, o := range all {
		if o != l && o.Spec.Name == l.Spec.Name {
			l.fault("Accepted", "UnsupportedValue", ".name", "give each a name of its own", fmt.Sprintf("two listeners are named %q", l.Spec.Name))
			return true
		}
	}
	return false
}

// rivals finds the listeners that l cannot be beside: none of them is served.
func (l *Listener) rivals(all []*Listener) {
	if l.sameName(all) {
		return
	}
	for _, o := range all {
		if o == l {
			continue
		}
		switch clash(l.Spec.Port, l.Spec.Protocol, l.Hostname(), o.Spec.Port, o.Spec.Protocol, o.Hostname()) {
		case "ProtocolConflict":
			l.fault("Conflicted", "ProtocolConflict", ".protocol", "give one of them another port",
				fmt.Sprintf("port %d is also used by listener %q, for %s", l.Spec.Port, o.Spec.Name, o.Spec.Protocol))
			return
		case "HostnameConflict":
			l.fault("Conflicted", "HostnameConflict", ".hostname", "give one of them another port or hostname",
				fmt.Sprintf("listener %q has the same port and hostname", o.Spec.Name))
			return
		}
	}
}

// clash says why two listeners cannot be on one Gateway; "": they can.
func clash(port gatewayv1.PortNumber, protocol gatewayv1.ProtocolType, hostname string,
	otherPort gatewayv1.PortNumber, otherProtocol gatewayv1.ProtocolType, otherHostname string,
) string {
	if port != otherPort {
		return ""
	}
	a, b := transport(protocol), transport(otherProtocol)
	switch {
	case a != b && a != "UDP" && b != "UDP":
		return "ProtocolConflict"
	case a == b && hostname == otherHostname:
		return "HostnameConflict"
	}
	return ""
}

// transport groups the protocols that can share a port.
func transport(p gatewayv1.ProtocolType) gatewayv1.ProtocolType {
	if p == gatewayv1.HTTPSProtocolType {
		return gatewayv1.TLSProtocolType
	}
	return p
}

// allows reports whether routes from a namespace may attach.
func (l *Listener) allows(v *resource.View, namespace string) bool {
	from := string(gatewayv1.NamespacesFromSame)
	var ns *gatewayv1.RouteNamespaces
	if l.Spec.AllowedRoutes != nil && l.Spec.AllowedRoutes.Namespaces != nil {
		ns = l.Spec.AllowedRoutes.Namespaces
		from = Or(ns.From, from)
	}
	switch gatewayv1.FromNamespaces(from) {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == l.Object.Namespace
	case gatewayv1.NamespacesFromSelector:
		match, err := selector(ns)
		return err == nil && match(namespaceLabels(v, namespace))
	}
	return false
}

// selector returns the test that a namespace's labels must pass.
func selector(ns *gatewayv1.RouteNamespaces) (func(map[string]string) bool, error) {
	from := gatewayv1.FromNamespaces(Or(ns.From, "Same"))
	switch from {
	case gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame:
		return nil, nil
	case gatewayv1.NamespacesFromSelector:
	default:
		return nil, fmt.Errorf("namespaces from %q: it is All, Same or Selector", from)
	}
	if ns.Selector == nil {
		return nil, fmt.Errorf("namespaces from Selector, without a selector")
	}
	s, err := metav1.LabelSelectorAsSelector(ns.Selector)
	if err != nil {
		return nil, fmt.Errorf("the selector of namespaces is not valid: %w", err)
	}
	return func(l map[string]string) bool { return s.Matches(labelSet(l)) }, nil
}

// namespaceLabels returns a namespace's labels. Every namespace has its name
// as a label, also where no Namespace object was read.
func namespaceLabels(v *resource.View, name string) map[string]string {
	out := map[string]string{"kubernetes.io/metadata.name": name}
	if o := v.Get(resource.NamespaceKind, "", name); o != nil {
		for k, val := range o.Labels {
			out[k] = val
		}
	}
	return out
}

// labelSet is a map of labels as selectors want to see it.
type labelSet map[string]string

// Has reports whether the label is there.
func (s labelSet) Has(label string) bool { _, ok := s[label]; return ok }

// Get returns the label's value.
func (s labelSet) Get(label string) string { return s[label] }

// Lookup returns the label's value, and whether it is there.
func (s labelSet) Lookup(label string) (string, bool) { v, ok := s[label]; return v, ok }
