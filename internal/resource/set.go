package resource

import (
	"maps"
	"slices"
	"weak"
)

// Set is an immutable, indexed collection of objects. The zero Set is empty.
type Set struct {
	objects map[Key]*Object
	byKind  map[GroupKind]map[string][]*Object // namespace → objects, sorted by key
	known   map[GroupKind]bool
	labels  labels
	// base is the Set that With made this one of, if it still lives, and
	// changed are the keys that it touched.
	base    weak.Pointer[Set]
	changed []Key
}

// NewSet returns a Set of objects; known are the kinds that its source can
// deliver at all. Of several objects with one key the first is kept.
func NewSet(objects []*Object, known []Kind) *Set {
	s := &Set{objects: make(map[Key]*Object, len(objects)), byKind: map[GroupKind]map[string][]*Object{}, known: map[GroupKind]bool{}}
	for _, k := range known {
		s.known[k.GroupKind] = true
	}
	for _, o := range objects {
		if _, doubled := s.objects[o.Key]; doubled {
			continue
		}
		s.objects[o.Key] = o
		ns := s.byKind[o.GroupKind]
		if ns == nil {
			ns = map[string][]*Object{}
			s.byKind[o.GroupKind] = ns
		}
		ns[o.Namespace] = append(ns[o.Namespace], o)
	}
	for _, ns := range s.byKind {
		for _, list := range ns {
			slices.SortFunc(list, func(a, b *Object) int { return a.Key.Compare(b.Key) })
		}
	}
	return s
}

// With returns a Set in which changed objects replace those of the same key
// and removed keys are gone. s stays as it is.
func (s *Set) With(changed []*Object, removed []Key) *Set {
	n := &Set{objects: maps.Clone(s.objects), byKind: maps.Clone(s.byKind), known: s.known}
	touched := map[GroupKind]map[string]bool{}
	var keys []Key
	touch := func(k Key) {
		keys = append(keys, k)
		if touched[k.GroupKind] == nil {
			touched[k.GroupKind] = map[string]bool{}
		}
		touched[k.GroupKind][k.Namespace] = true
	}
	for _, k := range removed {
		delete(n.objects, k)
		touch(k)
	}
	edits := map[Key]*Object{}
	for _, o := range changed {
		n.objects[o.Key] = o
		edits[o.Key] = o
		touch(o.Key)
	}
	for gk, namespaces := range touched {
		kind := maps.Clone(n.byKind[gk])
		if kind == nil {
			kind = map[string][]*Object{}
		}
		for ns := range namespaces {
			kind[ns] = rebuild(kind[ns], edits, n.objects, gk, ns)
		}
		n.byKind[gk] = kind
	}
	s.carryLabels(n, keys)
	n.base, n.changed = weak.Make(s), keys
	return n
}

// rebuild returns the sorted list of one kind in one namespace after edits.
func rebuild(old []*Object, edits map[Key]*Object, now map[Key]*Object, gk GroupKind, ns string) []*Object {
	list := make([]*Object, 0, len(old)+1)
	for _, o := range old {
		if n := now[o.Key]; n != nil {
			list = append(list, n)
		}
	}
	for k, o := range edits {
		if k.GroupKind == gk && k.Namespace == ns {
			list = with(list, o)
		}
	}
	return list
}

// Len returns the number of objects.
func (s *Set) Len() int { return len(s.objects) }

// Get returns the object with the key, or nil.
func (s *Set) Get(k Key) *Object { return s.objects[k] }

// All returns every object of a kind, sorted by key.
func (s *Set) All(gk GroupKind) []*Object {
	var out []*Object
	for _, ns := range slices.Sorted(maps.Keys(s.byKind[gk])) {
		out = append(out, s.byKind[gk][ns]...)
	}
	return out
}

// In returns every object of a kind in one namespace, sorted by name. The
// slice must not be changed.
func (s *Set) In(gk GroupKind, namespace string) []*Object { return s.byKind[gk][namespace] }

// Knows reports whether the source can deliver objects of the kind.
func (s *Set) Knows(gk GroupKind) bool { return s.known[gk] }

// Diff returns the keys whose object differs between two sets, the added and
// the removed ones included.
func Diff(a, b *Set) []Key {
	if b.base.Value() != a {
		return a.Differs(b.objects)
	}
	var out []Key // what With did not touch is the same
	for _, k := range b.changed {
		if a.objects[k] != b.objects[k] {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, Key.Compare)
	return slices.Compact(out)
}

// Differs returns, in their order, the keys whose object in s is another than
// in objects, the added and the removed ones included.
func (s *Set) Differs(objects map[Key]*Object) []Key {
	var out []Key
	for k, o := range s.objects {
		if objects[k] != o {
			out = append(out, k)
		}
	}
	for k := range objects {
		if _, ok := s.objects[k]; !ok {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, Key.Compare)
	return out
}
