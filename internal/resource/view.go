package resource

// View is how a dialect reads a Set. It records every object, list and
// absence that was read, so that a change repeats only the translations that
// it can concern. A View serves one translation, in one goroutine.
type View struct {
	set   *Set
	read  map[subject]struct{}
	asked []Question
}

// NewView returns a View of s with nothing read yet.
func NewView(s *Set) *View { return &View{set: s, read: map[subject]struct{}{}} }

func (v *View) note(s subject) { v.read[s] = struct{}{} }

// Get returns the object, or nil.
func (v *View) Get(gk GroupKind, namespace, name string) *Object {
	v.note(subject{ofObject, gk, namespace, name})
	return v.set.Get(Key{GroupKind: gk, Namespace: namespace, Name: name})
}

// Body is Get for who looks at neither labels nor annotations of the object: a
// change of these alone does not concern the reader.
func (v *View) Body(gk GroupKind, namespace, name string) *Object {
	v.note(subject{ofBody, gk, namespace, name})
	return v.set.Get(Key{GroupKind: gk, Namespace: namespace, Name: name})
}

// All returns every object of a kind, sorted by namespace and name.
func (v *View) All(gk GroupKind) []*Object {
	v.note(subject{of: ofKind, GroupKind: gk})
	return v.set.All(gk)
}

// Keys returns the key of every object of a kind, sorted by namespace and
// name. Only objects that come or go concern the reader.
func (v *View) Keys(gk GroupKind) []Key {
	v.note(subject{of: ofKeys, GroupKind: gk})
	return v.set.Keys(gk)
}

// Groups is All in groups: what is made of a long list is then made again only
// in part.
func (v *View) Groups(gk GroupKind) []*Group {
	v.note(subject{of: ofKind, GroupKind: gk})
	return v.set.Groups(gk)
}

// In returns every object of a kind in a namespace, sorted by name.
func (v *View) In(gk GroupKind, namespace string) []*Object {
	v.note(subject{ofNamespace, gk, namespace, ""})
	return v.set.In(gk, namespace)
}

// ByLabel returns every object of a kind with the label, in all namespaces,
// sorted by namespace and name. The slice must not be changed. Only changes
// of objects that have the label, or had it, concern the reader.
func (v *View) ByLabel(gk GroupKind, key, value string) []*Object {
	v.note(subject{ofLabel, gk, key, value})
	return v.set.ByLabel(gk, key, value)
}

// InByLabel is ByLabel of one namespace.
func (v *View) InByLabel(gk GroupKind, namespace, key, value string) []*Object {
	v.note(subject{ofLabelIn, gk, key, labelIn(namespace, value)})
	return v.set.InByLabel(gk, namespace, key, value)
}

// GroupsByLabel is ByLabel in groups, as Groups is All.
func (v *View) GroupsByLabel(gk GroupKind, key, value string) []*Group {
	v.note(subject{ofLabel, gk, key, value})
	return v.set.GroupsByLabel(gk, key, value)
}

// Knows reports whether objects of the kind can be there at all.
func (v *View) Knows(gk GroupKind) bool { return v.set.Knows(gk) }

// Derived returns what derive makes of an object, and as a rule makes it once
// for each key and Set, whoever asks. It must not be changed. derive may look at
// the object, and at what the Set Knows.
func (v *View) Derived(o *Object, key any, derive func() any) any {
	k := derivedKey{o, key}
	if made, ok := v.set.derived.Load(k); ok {
		return made
	}
	made, _ := v.set.derived.LoadOrStore(k, derive())
	return made
}

// derivedKey finds what was derived of an object.
type derivedKey struct {
	*Object
	key any
}

// Spec returns the object's spec as *T, or nil where it is absent.
func Spec[T any](v *View, gk GroupKind, namespace, name string) (*Object, *T) {
	o := v.Get(gk, namespace, name)
	if o == nil {
		return nil, nil
	}
	return o, o.Spec.(*T)
}
