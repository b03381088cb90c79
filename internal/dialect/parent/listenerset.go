package parent

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
)

// ListenerSetKind are listeners that their Gateway's owner lets others add.
var ListenerSetKind = resource.GroupKind{Group: Group, Kind: "ListenerSet"}

// ListenerSet is the spec of a ListenerSet object.
type ListenerSet struct {
	Spec gatewayv1.ListenerSetSpec `json:"spec"`
}

// Set is a ListenerSet on its way to its Gateway.
type Set struct {
	Object *resource.Object
	spec   *gatewayv1.ListenerSetSpec
	// Gateway is nil where there is none, or none that is ours; Foreign then
	// says that another program may answer for the ListenerSet.
	Gateway *resource.Object
	Foreign bool
	// Refused says why the Gateway does not take it: nil if it does.
	Refused *Fault
}

// SetOf finds the Gateway of a ListenerSet, and whether that takes it.
func SetOf(v *resource.View, obj *resource.Object) Set {
	s := Set{Object: obj, spec: &obj.Spec.(*ListenerSet).Spec}
	ref := s.spec.ParentRef
	refuse := func(reason, remedy, format string, args ...any) Set {
		s.Refused = &Fault{Condition: "Accepted", Reason: reason, Field: "spec.parentRef", What: fmt.Sprintf(format, args...), Remedy: remedy}
		return s
	}
	key := s.gateway()
	if key.GroupKind != GatewayKind {
		s.Foreign = obj.File == ""
		return refuse("Invalid", "name a Gateway", "a parent of kind %v is not supported; the listeners are not served", key.GroupKind)
	}
	gw := v.Get(GatewayKind, key.Namespace, key.Name)
	if gw == nil {
		s.Foreign = obj.File == ""
		return refuse("Invalid", missing(v, GatewayKind, key.Namespace, key.Name), "no Gateway %q in %s; the listeners are not served", ref.Name, key.Namespace)
	}
	if !Ours(v, gw) {
		s.Foreign = true
		return s
	}
	s.Gateway = gw
	if !takesSets(v, gw, obj.Namespace) {
		return refuse("NotAllowed", "widen allowedListeners of the Gateway, or move the ListenerSet",
			"Gateway %s/%s takes no ListenerSet from %s; the listeners are not served", gw.Namespace, gw.Name, obj.Namespace)
	}
	return s
}

// gateway returns the key of the parent that is named.
func (s Set) gateway() resource.Key {
	ref := s.spec.ParentRef
	group := Group
	if ref.Group != nil {
		group = string(*ref.Group)
	}
	return resource.Key{
		GroupKind: resource.GroupKind{Group: group, Kind: Or(ref.Kind, GatewayKind.Kind)},
		Namespace: Or(ref.Namespace, s.Object.Namespace), Name: string(ref.Name),
	}
}

// takesSets reports whether a Gateway takes ListenerSets from a namespace; by
// default it takes none.
func takesSets(v *resource.View, gw *resource.Object, namespace string) bool {
	allowed := gw.Spec.(*Gateway).Spec.AllowedListeners
	if allowed == nil || allowed.Namespaces == nil {
		return false
	}
	switch gatewayv1.FromNamespaces(Or(allowed.Namespaces.From, "None")) {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == gw.Namespace
	case gatewayv1.NamespacesFromSelector:
		if allowed.Namespaces.Selector == nil {
			return false
		}
		s, err := metav1.LabelSelectorAsSelector(allowed.Namespaces.Selector)
		return err == nil && s.Matches(labelSet(namespaceLabels(v, namespace)))
	}
	return false
}

// Listeners returns the set's listeners, in their order, each judged by itself.
// Which of them stand in another's way Contest finds out: routes attach to them
// all the same.
func (s Set) Listeners(v *resource.View) []*Listener {
	out := make([]*Listener, len(s.spec.Listeners))
	for i, e := range s.spec.Listeners {
		out[i] = s.listener(v, i, e)
	}
	for _, l := range out {
		l.sameName(out)
	}
	return out
}

// Contest finds the listeners of a set that cannot be beside others of the same
// Gateway: its own come first, then the older set, then that of the smaller
// namespace and name. list are the set's Listeners. All sets are looked at,
// which is too much to be done for each route.
func (s Set) Contest(v *resource.View, list []*Listener) {
	c := &contest{v: v, gateway: s.Gateway, own: Listeners(v, s.Gateway), placed: map[entry]bool{}}
	for i, l := range list {
		if reason, rival := c.conflict(entry{s.Object, i}); reason != "" {
			l.conflict(reason, rival)
		}
	}
}

func (s Set) listener(v *resource.View, i int, e gatewayv1.ListenerEntry) *Listener {
	l := &Listener{
		Name:   fmt.Sprintf("ListenerSet %s/%s/%s", s.Object.Namespace, s.Object.Name, e.Name),
		Field:  fmt.Sprintf("spec.listeners[%d]", i),
		Object: s.Object,
		Spec:   gatewayv1.Listener(e),
	}
	l.judge()
	l.kinds(v)
	return l
}

// conflict notes that another listener of the Gateway comes first. Whose that
// is, and what it says besides, is not for the set's author to know.
func (l *Listener) conflict(reason, rival string) {
	what := fmt.Sprintf("%s has the same port and hostname, and comes first", rival)
	remedy := "give this one another port or hostname"
	if reason == "ProtocolConflict" {
		what = fmt.Sprintf("port %d is used for another protocol by %s, which comes first", l.Spec.Port, rival)
		remedy = "give this one another port"
	}
	// What is wrong with it besides does not count.
	f := Fault{Condition: "Conflicted", Reason: reason, Field: l.Field, What: what, Remedy: remedy}
	accepted := f
	accepted.Condition = "Accepted"
	l.Faults = slices.Insert(l.Faults, 0, f, accepted)
}

// entry is one listener of a set.
type entry struct {
	set   *resource.Object
	index int
}

func (e entry) spec() *gatewayv1.ListenerEntry {
	return &e.set.Spec.(*ListenerSet).Spec.Listeners[e.index]
}

// before reports whether e takes precedence over o.
func (e entry) before(o entry) bool {
	if e.set == o.set {
		return e.index < o.index
	}
	return e.set.Older(o.set)
}

// contest finds out which listeners of a Gateway's sets are placed. It asks
// only for what can stand in another's way.
type contest struct {
	v       *resource.View
	gateway *resource.Object
	own     []*Listener
	sets    []*resource.Object // nil: not looked up yet
	placed  map[entry]bool
}

// conflict says why e cannot be placed, and who is in its way; "": it can.
func (c *contest) conflict(e entry) (reason, rival string) {
	spec := e.spec()
	for _, l := range c.own {
		if reason := clash(spec.Port, spec.Protocol, Or(spec.Hostname, ""), l.Spec.Port, l.Spec.Protocol, l.Hostname()); reason != "" {
			return reason, "a listener of the Gateway"
		}
	}
	for _, set := range c.others() {
		for i := range set.Spec.(*ListenerSet).Spec.Listeners {
			o := entry{set, i}
			if o == e || !o.before(e) {
				continue
			}
			s := o.spec()
			reason := clash(spec.Port, spec.Protocol, Or(spec.Hostname, ""), s.Port, s.Protocol, Or(s.Hostname, ""))
			if reason != "" && c.isPlaced(o) {
				if set == e.set {
					return reason, fmt.Sprintf("listener %q", s.Name)
				}
				return reason, "a listener of another ListenerSet"
			}
		}
	}
	return "", ""
}

// isPlaced reports whether e has its place: nothing before it is in its way,
// and by itself it can be served.
func (c *contest) isPlaced(e entry) bool {
	if is, known := c.placed[e]; known {
		return is
	}
	l := Set{Object: e.set, spec: &e.set.Spec.(*ListenerSet).Spec}.listener(c.v, e.index, *e.spec())
	is := l.Attachable()
	if is {
		reason, _ := c.conflict(e)
		is = reason == ""
	}
	c.placed[e] = is
	return is
}

// others are the sets that the Gateway takes.
func (c *contest) others() []*resource.Object {
	if c.sets != nil {
		return c.sets
	}
	c.sets = []*resource.Object{}
	for _, s := range SetsOf(c.v, c.gateway) {
		c.sets = append(c.sets, s.Object)
	}
	return c.sets
}

// SetsOf returns the ListenerSets that a Gateway of ours takes.
func SetsOf(v *resource.View, gw *resource.Object) []Set {
	var out []Set
	for _, o := range v.All(ListenerSetKind) {
		s := Set{Object: o, spec: &o.Spec.(*ListenerSet).Spec, Gateway: gw}
		if s.gateway() == gw.Key && takesSets(v, gw, o.Namespace) {
			out = append(out, s)
		}
	}
	return out
}

// missing says what to do about an object that is not there.
func missing(v *resource.View, kind resource.GroupKind, namespace, name string) string {
	var there []string
	for _, o := range v.In(kind, namespace) {
		there = append(there, o.Name)
	}
	if s := dialect.Suggest(name, there); s != "" {
		return s
	}
	return "create it, or correct the reference"
}
