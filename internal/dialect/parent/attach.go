package parent

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Route is what Attach must know of a route object.
type Route struct {
	Object *resource.Object
	// Kinds by which a listener may allow it, such as HTTPRoute for whatever
	// becomes one. Empty: its own kind.
	Kinds []resource.GroupKind
	// Refs are its parentRefs, and Field their path.
	Refs  []gatewayv1.ParentReference
	Field string
	// OfRoutes says that parents may also be HTTPRoutes. Whether these take the
	// route is for the caller to say: here they are Foreign.
	OfRoutes bool
	// Hostnames, already valid; none: any.
	Hostnames []string
}

// Parent is what became of one parentRef.
type Parent struct {
	// About is the reference in words, for outcomes: see About.
	About string
	// Gateway that it names; zero where it is none of ours.
	Gateway resource.Key
	// Foreign says that another program answers for it: no outcome is due.
	Foreign bool
	// Accepted tells whether the route is served there; Reason and Message
	// are the condition's.
	Accepted        bool
	Reason, Message string
	// Hosts to serve there. A host of a listener that an earlier reference of
	// the route already serves is not repeated.
	Hosts []Host
}

// Host is a set of hostnames that a route serves on listeners.
type Host struct {
	// Listeners by ir.Listener.Name.
	Listeners []string
	Hostnames []string
}

// About returns a parentRef in words: "Gateway ns/name", with "/section" and
// ":port" where it has them.
func About(ref gatewayv1.ParentReference, routeNamespace string) string {
	s := fmt.Sprintf("%s %s/%s", Or(ref.Kind, "Gateway"), Or(ref.Namespace, routeNamespace), ref.Name)
	if section := Or(ref.SectionName, ""); section != "" {
		s += "/" + section
	}
	if ref.Port != nil {
		s += fmt.Sprintf(":%d", *ref.Port)
	}
	return s
}

// Attach says where a route is served, reference by reference, and reports the
// references that lead nowhere. The Accepted outcomes are the caller's, which
// may have reasons of its own to refuse.
func Attach(v *resource.View, r Route, report *status.Report) []Parent {
	if len(r.Kinds) == 0 {
		r.Kinds = []resource.GroupKind{r.Object.GroupKind}
	}
	out := make([]Parent, len(r.Refs))
	served := map[[2]string]bool{}
	for i, ref := range r.Refs {
		field := fmt.Sprintf("%s[%d]", r.Field, i)
		p := attach(v, r, ref, field, report)
		p.About = About(ref, r.Object.Namespace)
		p.Hosts = fresh(p.Hosts, served)
		out[i] = p
	}
	return out
}

// fresh leaves out what is served already, and groups listeners that serve the
// same hostnames.
func fresh(hosts []Host, served map[[2]string]bool) []Host {
	var out []Host
	for _, h := range hosts {
		listener := h.Listeners[0]
		h.Hostnames = slices.DeleteFunc(h.Hostnames, func(name string) bool {
			k := [2]string{listener, name}
			doubled := served[k]
			served[k] = true
			return doubled
		})
		if len(h.Hostnames) == 0 {
			continue
		}
		same := slices.IndexFunc(out, func(o Host) bool { return slices.Equal(o.Hostnames, h.Hostnames) })
		if same < 0 {
			out = append(out, h)
			continue
		}
		out[same].Listeners = append(out[same].Listeners, listener)
	}
	return out
}

// attach judges one reference.
func attach(v *resource.View, r Route, ref gatewayv1.ParentReference, field string, report *status.Report) Parent {
	group, kind := Group, Or(ref.Kind, "Gateway")
	if ref.Group != nil {
		group = string(*ref.Group)
	}
	refuse := func(reason, remedy, format string, args ...any) Parent {
		p := status.Errorf(r.Object.Origin(field), format, args...)
		p.Remedy = remedy
		report.Add(p)
		return Parent{Reason: reason, Message: p.What}
	}
	if (resource.GroupKind{Group: group, Kind: kind}) != GatewayKind {
		if r.Object.File == "" || (r.OfRoutes && group == Group && kind == HTTPRouteKind.Kind) {
			return Parent{Foreign: true}
		}
		return refuse("NoMatchingParent", "name a Gateway", "a parent of kind %s is not supported; the route is not served there", kind)
	}
	ns := Or(ref.Namespace, r.Object.Namespace)
	gw := v.Get(GatewayKind, ns, string(ref.Name))
	if gw == nil {
		p := refuse("NoMatchingParent", missing(v, ns, string(ref.Name)), "no Gateway %q in %s; the route is not served there", ref.Name, ns)
		p.Foreign = r.Object.File == ""
		return p
	}
	if !Ours(v, gw) {
		return Parent{Foreign: true}
	}
	p := match(v, r, ref, gw, refuse)
	p.Gateway = gw.Key
	return p
}

type refusal func(reason, remedy, format string, args ...any) Parent

// match finds the listeners of gw that take the route, by section and port,
// then by kind and namespace, then by hostname; where one step leaves none,
// its reason is the answer.
func match(v *resource.View, r Route, ref gatewayv1.ParentReference, gw *resource.Object, refuse refusal) Parent {
	all := Listeners(v, gw)
	named := slices.DeleteFunc(slices.Clone(all), func(l *Listener) bool {
		return !refersTo(ref, l)
	})
	if len(named) == 0 {
		return refuse("NoMatchingParent", sectionRemedy(ref, all), "Gateway %s/%s has no such listener; the route is not served there", gw.Namespace, gw.Name)
	}
	whole := slices.DeleteFunc(slices.Clone(named), func(l *Listener) bool {
		return !l.Attachable() && len(l.Kinds) > 0
	})
	if len(whole) == 0 {
		return refuse("NoMatchingParent", "correct the Gateway", "listener %q of Gateway %s/%s is not served; see there", named[0].Spec.Name, gw.Namespace, gw.Name)
	}
	allowed := slices.DeleteFunc(whole, func(l *Listener) bool {
		return !allowsKind(l, r.Kinds) || !l.allows(v, gw, r.Object.Namespace)
	})
	if len(allowed) == 0 {
		return refuse("NotAllowedByListeners", "widen the listener's allowedRoutes, or move the route",
			"Gateway %s/%s does not allow %s from %s; the route is not served there", gw.Namespace, gw.Name, names(r.Kinds[:1]), r.Object.Namespace)
	}
	var hosts []Host
	for _, l := range allowed {
		if common := Intersect(l.Hostname(), r.Hostnames); len(common) > 0 {
			hosts = append(hosts, Host{Listeners: []string{l.Name}, Hostnames: common})
		}
	}
	if len(hosts) == 0 {
		return refuse("NoMatchingListenerHostname", "give the route a hostname within the listener's",
			"no listener of Gateway %s/%s serves %s; the route is not served there", gw.Namespace, gw.Name, strings.Join(r.Hostnames, ", "))
	}
	return Parent{Accepted: true, Reason: "Accepted", Hosts: hosts}
}

func refersTo(ref gatewayv1.ParentReference, l *Listener) bool {
	if section := Or(ref.SectionName, ""); section != "" && section != string(l.Spec.Name) {
		return false
	}
	return ref.Port == nil || *ref.Port == l.Spec.Port
}

func allowsKind(l *Listener, kinds []resource.GroupKind) bool {
	return slices.ContainsFunc(kinds, func(k resource.GroupKind) bool { return slices.Contains(l.Kinds, k) })
}

func missing(v *resource.View, namespace, name string) string {
	var there []string
	for _, o := range v.In(GatewayKind, namespace) {
		there = append(there, o.Name)
	}
	if s := dialect.Suggest(name, there); s != "" {
		return s
	}
	return "create it, or correct the reference"
}

func sectionRemedy(ref gatewayv1.ParentReference, all []*Listener) string {
	var there []string
	for _, l := range all {
		there = append(there, fmt.Sprintf("%s (port %d)", l.Spec.Name, l.Spec.Port))
	}
	if s := Or(ref.SectionName, ""); s != "" {
		var sections []string
		for _, l := range all {
			sections = append(sections, string(l.Spec.Name))
		}
		if hint := dialect.Suggest(s, sections); hint != "" {
			return hint
		}
	}
	return "its listeners are " + strings.Join(there, ", ")
}
