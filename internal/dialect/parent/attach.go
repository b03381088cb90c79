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
	// becomes one. None: its own kind.
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
	// Gateway that it names, or that the ListenerSet which it names is of; zero
	// where it is none of ours.
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
// may have reasons of its own to refuse. A change of what only this has read
// concerns the caller where something else becomes of a reference: of many
// routes, few have to do with one listener.
func Attach(v *resource.View, r Route, report *status.Report) []Parent {
	a := v.Ask(r.attached).(attached)
	report.Join(a.report)
	for i, ref := range r.Refs {
		a.parents[i].About = About(ref, r.Object.Namespace)
	}
	return a.parents
}

// attached is what Attach has to say.
type attached struct {
	parents []Parent
	report  status.Report
}

func (r Route) attached(v *resource.View) any {
	out := attached{parents: make([]Parent, len(r.Refs))}
	if len(r.Kinds) == 0 {
		r.Kinds = []resource.GroupKind{r.Object.GroupKind}
	}
	served := map[[2]string]bool{}
	for i := range r.Refs {
		p := attach(v, r, i, &out.report)
		p.Hosts = fresh(p.Hosts, served)
		out.parents[i] = p
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
func attach(v *resource.View, r Route, i int, report *status.Report) Parent {
	ref := r.Refs[i]
	key := parentKey(ref, r.Object.Namespace)
	fault := func(remedy, format string, args ...any) status.Problem {
		return status.Errorf(r.Object.Origin(fmt.Sprintf("%s[%d]", r.Field, i)), format, args...).Fix("%s", remedy)
	}
	refuse := func(reason, remedy, format string, args ...any) Parent {
		p := fault(remedy, format, args...)
		report.Add(p)
		return Parent{Reason: reason, Message: p.What}
	}
	if key.GroupKind != GatewayKind && key.GroupKind != ListenerSetKind {
		if r.Object.File == "" || (r.OfRoutes && key.GroupKind == HTTPRouteKind) {
			return Parent{Foreign: true}
		}
		return refuse("NoMatchingParent", "name a Gateway", "a parent of kind %s is not supported; the route is not served there", key.Kind)
	}
	obj := v.Body(key.GroupKind, key.Namespace, key.Name)
	if obj == nil {
		p := fault(missing(v, key.GroupKind, key.Namespace, key.Name), "no %s %q in %s; the route is not served there", key.Kind, key.Name, key.Namespace)
		report.Add(p.Alerting(status.ParentNotFound))
		return Parent{Reason: "NoMatchingParent", Message: p.What, Foreign: r.Object.File == ""}
	}
	if key.GroupKind == GatewayKind {
		if !Ours(v, obj) {
			return Parent{Foreign: true}
		}
		p := match(v, r, ref, holder{obj, judged(v, obj, func() []*Listener { return Listeners(v, obj) })}, refuse)
		p.Gateway = obj.Key
		return p
	}
	s := SetOf(v, obj)
	switch {
	case s.Foreign:
		return Parent{Foreign: true}
	case s.Refused != nil:
		return refuse("NoMatchingParent", "correct it", "%v is not served: %s", obj.Key, s.Refused.What)
	}
	p := match(v, r, ref, holder{obj, judged(v, obj, func() []*Listener { return s.Listeners(v) })}, refuse)
	p.Gateway = s.Gateway.Key
	return p
}

// parentKey returns the object that a reference names.
func parentKey(ref gatewayv1.ParentReference, namespace string) resource.Key {
	group := Group
	if ref.Group != nil {
		group = string(*ref.Group)
	}
	return resource.Key{
		GroupKind: resource.GroupKind{Group: group, Kind: Or(ref.Kind, GatewayKind.Kind)},
		Namespace: Or(ref.Namespace, namespace), Name: string(ref.Name),
	}
}

// judged returns the listeners of a Gateway or ListenerSet as they are for all
// routes: they are judged once. They must not be changed.
func judged(v *resource.View, obj *resource.Object, judge func() []*Listener) []*Listener {
	return v.Derived(obj, judgedKey{}, func() any { return judge() }).([]*Listener)
}

// judgedKey finds the listeners that were judged.
type judgedKey struct{}

// holder is a Gateway or a ListenerSet, with its own listeners.
type holder struct {
	obj       *resource.Object
	listeners []*Listener
}

type refusal func(reason, remedy, format string, args ...any) Parent

// match finds the listeners of a holder that take the route: by section and
// port, by kind and namespace, and by hostname. The first of these that leaves
// none is the reason, where none does.
func match(v *resource.View, r Route, ref gatewayv1.ParentReference, h holder, refuse refusal) Parent {
	named := slices.DeleteFunc(slices.Clone(h.listeners), func(l *Listener) bool {
		return !refersTo(ref, l)
	})
	if len(named) == 0 {
		return refuse("NoMatchingParent", sectionRemedy(ref, h.listeners), "%v has no such listener; the route is not served there", h.obj.Key)
	}
	whole := slices.DeleteFunc(slices.Clone(named), func(l *Listener) bool {
		return !l.Attachable() && len(l.Kinds) > 0
	})
	if len(whole) == 0 {
		return refuse("NoMatchingParent", "correct the "+h.obj.Kind, "listener %q of %v is not served; see there", named[0].Spec.Name, h.obj.Key)
	}
	allows := func(l *Listener) bool { return allowsKind(l, r.Kinds) && l.allows(v, r.Object.Namespace) }
	var hosts []Host
	for _, l := range whole { // whom a listener allows is read where its hostname is the route's
		if common := Intersect(l.Hostname(), r.Hostnames); len(common) > 0 && allows(l) {
			hosts = append(hosts, Host{Listeners: []string{l.Name}, Hostnames: common})
		}
	}
	switch {
	case len(hosts) > 0:
		return Parent{Accepted: true, Reason: "Accepted", Hosts: hosts}
	case !slices.ContainsFunc(whole, allows):
		return refuse("NotAllowedByListeners", "widen the listener's allowedRoutes, or move the route",
			"%v does not allow %s from %s; the route is not served there", h.obj.Key, names(r.Kinds[:1]), r.Object.Namespace)
	}
	return refuse("NoMatchingListenerHostname", "give the route a hostname within the listener's",
		"no listener of %v serves %s; the route is not served there", h.obj.Key, strings.Join(r.Hostnames, ", "))
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
