package resource

import (
	"maps"
	"slices"
	"sync"
	"weak"
)

// Set is an immutable, indexed collection of objects. The zero Set is empty.
type Set struct {
	objects shards
	byKind  map[GroupKind]map[string][]*Object // namespace → objects, sorted by key
	known   map[GroupKind]bool
	labels  labels
	access  *Access
	// base is the Set that With made this one of, if it still lives, and
	// changed are the keys that it touched.
	base    weak.Pointer[Set]
	changed []Key
	derived sync.Map // by derivedKey
}

// NewSet returns a Set of objects; known are the kinds that its source can
// deliver at all. Of several objects with one key the first is kept.
func NewSet(objects []*Object, known []Kind) *Set {
	s := &Set{known: map[GroupKind]bool{}}
	for _, k := range known {
		s.known[k.GroupKind] = true
	}
	s.fill(objects)
	return s
}

// fill puts objects into an empty Set.
func (s *Set) fill(objects []*Object) {
	s.objects, s.byKind = newShards(len(objects)), map[GroupKind]map[string][]*Object{}
	for _, o := range objects {
		if !s.objects.add(o) {
			continue
		}
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
}

// With returns a Set in which changed objects replace those of the same key
// and removed keys are gone. s stays as it is. It takes time for what changes,
// and next to none for the others.
func (s *Set) With(changed []*Object, removed []Key) *Set {
	edits := make(map[Key]*Object, len(changed)+len(removed))
	for _, k := range removed {
		edits[k] = nil
	}
	for _, o := range changed {
		edits[o.Key] = o
	}
	keys := slices.SortedFunc(maps.Keys(edits), Key.Compare)
	n := &Set{known: s.known, access: s.access}
	if len(keys) > s.Len() {
		n.fill(s.edited(edits))
	} else {
		n.objects, n.byKind = s.objects.with(edits), maps.Clone(s.byKind)
		n.spread(keys, edits)
	}
	s.carryLabels(n, keys)
	n.base, n.changed = weak.Make(s), keys
	return n
}

// edited returns all objects after edits, in no order.
func (s *Set) edited(edits map[Key]*Object) []*Object {
	all := make([]*Object, 0, s.Len()+len(edits))
	for o := range s.objects.all() {
		if _, ok := edits[o.Key]; !ok {
			all = append(all, o)
		}
	}
	for _, o := range edits {
		if o != nil {
			all = append(all, o)
		}
	}
	return all
}

// spread brings the lists by kind up to date with edits of keys, which are in
// their order.
func (s *Set) spread(keys []Key, edits map[Key]*Object) {
	type place struct {
		GroupKind
		namespace string
	}
	touched := map[place][]Key{}
	own := map[GroupKind]bool{}
	for _, k := range keys {
		at := place{k.GroupKind, k.Namespace}
		touched[at] = append(touched[at], k)
	}
	for at, keys := range touched {
		if !own[at.GroupKind] {
			own[at.GroupKind] = true
			if s.byKind[at.GroupKind] = maps.Clone(s.byKind[at.GroupKind]); s.byKind[at.GroupKind] == nil {
				s.byKind[at.GroupKind] = map[string][]*Object{}
			}
		}
		kind := s.byKind[at.GroupKind]
		kind[at.namespace] = rebuild(kind[at.namespace], keys, edits)
	}
}

// rebuild returns the sorted list of one kind in one namespace after edits of
// keys, which are in their order. What lies between them is copied as it is.
func rebuild(old []*Object, keys []Key, edits map[Key]*Object) []*Object {
	list := make([]*Object, 0, len(old)+len(keys))
	for _, k := range keys {
		i, there := find(old, k)
		list = append(list, old[:i]...)
		if o := edits[k]; o != nil {
			list = append(list, o)
		}
		if there {
			i++
		}
		old = old[i:]
	}
	return append(list, old...)
}

// Len returns the number of objects.
func (s *Set) Len() int { return s.objects.len }

// Get returns the object with the key, or nil.
func (s *Set) Get(k Key) *Object { return s.objects.get(k) }

// All returns every object of a kind, sorted by key.
func (s *Set) All(gk GroupKind) []*Object {
	var out []*Object
	for _, ns := range slices.Sorted(maps.Keys(s.byKind[gk])) {
		out = append(out, s.byKind[gk][ns]...)
	}
	return out
}

// Keys returns the key of every object of a kind, sorted.
func (s *Set) Keys(gk GroupKind) []Key {
	var out []Key
	for _, ns := range slices.Sorted(maps.Keys(s.byKind[gk])) {
		out = slices.Grow(out, len(s.byKind[gk][ns]))
		for _, o := range s.byKind[gk][ns] {
			out = append(out, o.Key)
		}
	}
	return out
}

// In returns every object of a kind in one namespace, sorted by name. The
// slice must not be changed.
func (s *Set) In(gk GroupKind, namespace string) []*Object { return s.byKind[gk][namespace] }

// Knows reports whether the source can deliver objects of the kind.
func (s *Set) Knows(gk GroupKind) bool { return s.known[gk] }

// Diff returns, in their order, the keys whose object differs between two
// sets, the added and the removed ones included. What was only Renewed does
// not differ.
func Diff(a, b *Set) []Key {
	keys := slices.DeleteFunc(Touched(a, b), func(k Key) bool {
		x, y := a.Get(k), b.Get(k)
		return x != nil && y != nil && x.renews(y)
	})
	return diffAccess(a, b, keys)
}

// Touched is Diff of objects alone, with those that were Renewed.
func Touched(a, b *Set) []Key {
	var out []Key
	if keys, ok := parted(a, b); ok { // what With did not touch is the same
		for _, k := range keys {
			if a.Get(k) != b.Get(k) {
				out = append(out, k)
			}
		}
		return out
	}
	for o := range a.objects.all() {
		if b.Get(o.Key) != o {
			out = append(out, o.Key)
		}
	}
	for o := range b.objects.all() {
		if a.Get(o.Key) == nil {
			out = append(out, o.Key)
		}
	}
	slices.SortFunc(out, Key.Compare)
	return out
}

// kinship is how many steps of With one Set may be away from another for that to
// be seen.
const kinship = 64

// parted returns, in their order, the keys that With touched on the way from a
// to b, where both are made of one Set: b of a, or a of what b is made of. ok
// says that they are known to be.
func parted(a, b *Set) (keys []Key, ok bool) {
	var back []Key
	for range 2 { // from a itself, then from what it was made of
		var on []Key
		for s, steps := b, 0; s != nil && steps < kinship; s, steps = s.base.Value(), steps+1 {
			if s == a {
				keys = append(back, on...)
				slices.SortFunc(keys, Key.Compare)
				return slices.Compact(keys), true
			}
			on = append(on, s.changed...)
		}
		back = a.changed
		if a = a.base.Value(); a == nil {
			return nil, false
		}
	}
	return nil, false
}

// diffAccess adds to the keys that differ the one that stands for Access.
func diffAccess(a, b *Set, keys []Key) []Key {
	if a.access.Same(b.access) {
		return keys
	}
	return append(keys, accessKey)
}
