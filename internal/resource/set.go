package resource

import (
	"maps"
	"slices"
	"sync"
)

// Set is an immutable, indexed collection of objects. The zero Set is empty.
type Set struct {
	objects shards
	byKind  map[GroupKind]map[string][]*Object // namespace → objects, sorted by key
	known   map[GroupKind]bool
	labels  labels
	access  *Access
	derived sync.Map // by derivedKey
	// id stands for this Set where it is remembered; nil: that of the zero Set.
	id *setID
	// past are the last steps by which With came to this Set, the oldest first.
	past []step
}

// setID is unlike any other. It keeps no Set alive.
type setID struct{ _ byte }

// step is one With: the Set that it was called on, and the keys that it touched.
type step struct {
	of      *setID
	touched []Key
}

// NewSet returns a Set of objects; known are the kinds that its source can
// deliver at all. Of several objects with one key the first is kept.
func NewSet(objects []*Object, known []Kind) *Set {
	s := &Set{known: map[GroupKind]bool{}, id: new(setID)}
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
	n := &Set{known: s.known, access: s.access, id: new(setID), past: s.pastWith(keys)}
	if len(keys) > s.Len() {
		n.fill(s.edited(edits))
	} else {
		n.objects, n.byKind = s.objects.with(edits), maps.Clone(s.byKind)
		n.spread(keys, edits)
	}
	s.carryLabels(n, keys)
	return n
}

// Sets remember kinship steps, and none from before one that touched more keys
// than longStep: to look at everything then is little beside the change itself.
const kinship, longStep = 64, 8192

// pastWith returns the past of a Set that With makes of s.
func (s *Set) pastWith(touched []Key) []step {
	if len(touched) > longStep {
		return nil
	}
	from := max(0, len(s.past)-(kinship-1))
	return append(slices.Clone(s.past[from:]), step{s.id, touched})
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

// parted returns, in their order, the keys that With touched on the way from a
// to b, or on the ways to both from the last that both are made of; ok says that
// such a way is remembered.
func parted(a, b *Set) (keys []Key, ok bool) {
	if keys, ok = b.since(a.id); ok {
		return inOrder(keys), true
	}
	var back []Key
	for _, last := range slices.Backward(a.past) {
		back = append(back, last.touched...)
		if on, ok := b.since(last.of); ok {
			return inOrder(append(back, on...)), true
		}
	}
	return nil, false
}

// since returns the keys that were touched on the way from a Set to this one.
func (s *Set) since(id *setID) (keys []Key, ok bool) {
	if s.id == id {
		return nil, true
	}
	from := slices.IndexFunc(s.past, func(p step) bool { return p.of == id })
	if from < 0 {
		return nil, false
	}
	for _, p := range s.past[from:] {
		keys = append(keys, p.touched...)
	}
	return keys, true
}

func inOrder(keys []Key) []Key {
	slices.SortFunc(keys, Key.Compare)
	return slices.Compact(keys)
}

// diffAccess adds to the keys that differ the one that stands for Access.
func diffAccess(a, b *Set, keys []Key) []Key {
	if a.access.Same(b.access) {
		return keys
	}
	return append(keys, accessKey)
}
