package resource

import (
	"hash/fnv"
	"io"
	"slices"
	"sync"
)

// Group is a run of objects in a list that is sorted by key. It is immutable,
// and a list shares with the one that it was made of all groups but those that
// hold what changed. So what is made of a long list can be made group by
// group, and little of it again after a change (Derived).
type Group struct {
	objects []*Object

	mu      sync.Mutex
	derived []derived // used last first
}

type derived struct{ key, value any }

// maxDerived bounds what is kept with one group.
const maxDerived = 16

// Objects returns the objects, sorted by key. The slice must not be changed.
func (g *Group) Objects() []*Object { return g.objects }

// Derived returns what derive makes of the objects, and as a rule makes it once
// for each key. The key must hold everything else that the result depends on.
func (g *Group) Derived(key any, derive func([]*Object) any) any {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.IndexFunc(g.derived, func(d derived) bool { return d.key == key })
	d := derived{key: key}
	switch {
	case at >= 0:
		d = g.derived[at]
		g.derived = slices.Delete(g.derived, at, at+1)
	default:
		d.value = derive(g.objects)
		g.derived = g.derived[:min(len(g.derived), maxDerived-1)]
	}
	g.derived = slices.Insert(g.derived, 0, d)
	return d.value
}

// groups is a list in groups. Where one ends is told by its last object's key
// alone, so that equal lists have equal groups, whatever their history.
type groups []*Group

// perGroup is about how many objects a group holds.
const perGroup = 32

// ends reports whether a group ends behind the object with key k.
func ends(k Key) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, k.Namespace)
	_, _ = h.Write([]byte{0})
	_, _ = io.WriteString(h, k.Name)
	return h.Sum32()%perGroup == 0
}

// grouped returns a sorted list in groups.
func grouped(list []*Object) groups {
	var out groups
	from := 0
	for i, o := range list {
		if i == len(list)-1 || ends(o.Key) {
			out = append(out, &Group{objects: slices.Clip(list[from : i+1])})
			from = i + 1
		}
	}
	return out
}

// edited returns the groups with o in the place of what has key k; nil takes
// that away.
func (g groups) edited(k Key, o *Object) groups {
	if len(g) == 0 {
		if o == nil {
			return nil
		}
		return grouped([]*Object{o})
	}
	i, _ := slices.BinarySearchFunc(g, k, func(g *Group, k Key) int { return g.objects[len(g.objects)-1].Key.Compare(k) })
	i = min(i, len(g)-1)
	list, behind := slices.Clone(g[i].objects), i+1
	if o == nil {
		list = without(list, k)
	} else {
		list = with(list, o)
	}
	if behind < len(g) && (len(list) == 0 || !ends(list[len(list)-1].Key)) {
		list = append(list, g[behind].objects...)
		behind++
	}
	return slices.Concat(g[:i], grouped(list), g[behind:])
}

// flat returns the list. It must not be changed.
func (g groups) flat() []*Object {
	if len(g) == 1 {
		return g[0].objects
	}
	var out []*Object
	for _, part := range g {
		out = append(out, part.objects...)
	}
	return out
}
