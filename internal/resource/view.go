package resource

// View is how a dialect reads a Set. It records every object, list and
// absence that was read, so that a change repeats only the translations that
// it can concern. A View serves one translation, in one goroutine.
type View struct {
	set  *Set
	keys map[Key]struct{}
	all  map[GroupKind]struct{}
	in   map[kindIn]struct{}
	// labels that were asked for, with their values.
	labels map[labelRead]struct{}
}

// labelRead is a question for the objects of a kind with one label.
type labelRead struct {
	kindLabel
	value string
}

type kindIn struct {
	GroupKind
	namespace string
}

// NewView returns a View of s with nothing read yet.
func NewView(s *Set) *View {
	return &View{set: s, keys: map[Key]struct{}{}, all: map[GroupKind]struct{}{}, in: map[kindIn]struct{}{}, labels: map[labelRead]struct{}{}}
}

// Get returns the object, or nil.
func (v *View) Get(gk GroupKind, namespace, name string) *Object {
	k := Key{GroupKind: gk, Namespace: namespace, Name: name}
	v.keys[k] = struct{}{}
	return v.set.Get(k)
}

// All returns every object of a kind, sorted by namespace and name.
func (v *View) All(gk GroupKind) []*Object {
	v.all[gk] = struct{}{}
	return v.set.All(gk)
}

// In returns every object of a kind in a namespace, sorted by name.
func (v *View) In(gk GroupKind, namespace string) []*Object {
	v.in[kindIn{gk, namespace}] = struct{}{}
	return v.set.In(gk, namespace)
}

// ByLabel returns every object of a kind with the label, in all namespaces,
// sorted by namespace and name. The slice must not be changed. Only changes
// of objects that have the label, or had it, concern the reader.
func (v *View) ByLabel(gk GroupKind, key, value string) []*Object {
	v.labels[labelRead{kindLabel{gk, key}, value}] = struct{}{}
	return v.set.ByLabel(gk, key, value)
}

// GroupsByLabel is ByLabel in groups: what is made of a long list is then made
// again only in part.
func (v *View) GroupsByLabel(gk GroupKind, key, value string) []*Group {
	v.labels[labelRead{kindLabel{gk, key}, value}] = struct{}{}
	return v.set.GroupsByLabel(gk, key, value)
}

// Knows reports whether objects of the kind can be there at all.
func (v *View) Knows(gk GroupKind) bool { return v.set.Knows(gk) }

// Spec returns the object's spec as *T, or nil where it is absent.
func Spec[T any](v *View, gk GroupKind, namespace, name string) (*Object, *T) {
	o := v.Get(gk, namespace, name)
	if o == nil {
		return nil, nil
	}
	return o, o.Spec.(*T)
}

// Reads tells which changes can alter what a translation saw.
type Reads struct {
	keys   map[Key]struct{}
	all    map[GroupKind]struct{}
	in     map[kindIn]struct{}
	labels map[labelRead]struct{}
}

// Reads returns what v has recorded so far.
func (v *View) Reads() Reads { return Reads{keys: v.keys, all: v.all, in: v.in, labels: v.labels} }

// Changes are keys whose objects changed, made ready to be held against many
// Reads. The zero Changes are none.
type Changes struct {
	keys map[Key]struct{}
	all  map[GroupKind]struct{}
	in   map[kindIn]struct{}
	// labels that the objects had or have.
	labels map[labelRead]struct{}
}

// ChangesOf returns the changes of keys from one Set to another.
func ChangesOf(before, after *Set, keys []Key) Changes {
	c := Changes{
		keys: make(map[Key]struct{}, len(keys)), all: map[GroupKind]struct{}{},
		in: map[kindIn]struct{}{}, labels: map[labelRead]struct{}{},
	}
	for _, k := range keys {
		for _, o := range []*Object{before.Get(k), after.Get(k)} {
			if o == nil {
				continue
			}
			for key, value := range o.Labels {
				c.labels[labelRead{kindLabel{o.GroupKind, key}, value}] = struct{}{}
			}
		}
		c.keys[k] = struct{}{}
		c.all[k.GroupKind] = struct{}{}
		c.in[kindIn{k.GroupKind, k.Namespace}] = struct{}{}
	}
	return c
}

// TouchedBy reports whether one of the changes can alter what was read. It
// takes time for what is fewer, the changes or what was read.
func (r Reads) TouchedBy(c Changes) bool {
	return meet(r.keys, c.keys) || meet(r.all, c.all) || meet(r.in, c.in) || meet(r.labels, c.labels)
}

// meet reports whether two sets have an element in common.
func meet[K comparable](a, b map[K]struct{}) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for k := range a {
		if _, ok := b[k]; ok {
			return true
		}
	}
	return false
}
