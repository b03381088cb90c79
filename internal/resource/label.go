package resource

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// labels finds objects by a label. The index of a kind's label key is made
// when it is first asked for, and carried along from Set to Set: a change of
// one object among 100,000 costs no scan.
type labels struct {
	mu    sync.Mutex
	byKey map[kindLabel]map[string]groups // value → objects, sorted by key
}

// maxIndexes bounds the indexes that are carried along; label keys that
// nobody asks for any more go with the others, and those in use come back.
const maxIndexes = 64

// maxEdits bounds the changes by which an index is put right one by one;
// beyond them it is made anew.
const maxEdits = 512

// kindLabel is a label key of one kind.
type kindLabel struct {
	GroupKind
	key string
}

// ByLabel returns every object of a kind that has the label, sorted by key.
// The slice must not be changed.
func (s *Set) ByLabel(gk GroupKind, key, value string) []*Object {
	return groups(s.GroupsByLabel(gk, key, value)).flat()
}

// InByLabel returns every object of a kind in a namespace that has the label,
// sorted by name.
func (s *Set) InByLabel(gk GroupKind, namespace, key, value string) []*Object {
	list := groups(s.GroupsByLabel(gk, key, value))
	from, _ := slices.BinarySearchFunc(list, namespace, func(g *Group, namespace string) int {
		return strings.Compare(g.objects[len(g.objects)-1].Namespace, namespace)
	})
	var out []*Object
	for _, g := range list[from:] {
		for _, o := range g.objects {
			switch {
			case o.Namespace == namespace:
				out = append(out, o)
			case o.Namespace > namespace:
				return out
			}
		}
	}
	return out
}

// Groups returns every object of a kind, sorted by key, in groups, which most
// changes leave as they are.
func (s *Set) Groups(gk GroupKind) []*Group { return s.GroupsByLabel(gk, everyLabel, "") }

// everyLabel stands for a label that every object has, with the value "". No
// object can have a label without a name.
const everyLabel = ""

// GroupsByLabel is ByLabel in groups, as Groups is All.
func (s *Set) GroupsByLabel(gk GroupKind, key, value string) []*Group {
	s.labels.mu.Lock()
	defer s.labels.mu.Unlock()
	k := kindLabel{gk, key}
	index := s.labels.byKey[k]
	if index == nil {
		lists := map[string][]*Object{}
		for _, o := range s.All(gk) {
			if v, ok := o.label(key); ok {
				lists[v] = append(lists[v], o)
			}
		}
		index = make(map[string]groups, len(lists))
		for v, list := range lists {
			index[v] = grouped(list)
		}
		if s.labels.byKey == nil {
			s.labels.byKey = map[kindLabel]map[string]groups{}
		}
		s.labels.byKey[k] = index
	}
	return index[value]
}

// carryLabels gives n the indexes of s, put right for what was touched.
func (s *Set) carryLabels(n *Set, touched []Key) {
	s.labels.mu.Lock()
	defer s.labels.mu.Unlock()
	if len(s.labels.byKey) > maxIndexes || len(touched) > maxEdits {
		return
	}
	n.labels.byKey = maps.Clone(s.labels.byKey)
	for k, old := range n.labels.byKey {
		index := old
		own := false
		edit := func(value string, key Key, o *Object) {
			if !own {
				index, own = maps.Clone(old), true
			}
			if index[value] = index[value].edited(key, o); len(index[value]) == 0 {
				delete(index, value)
			}
		}
		for _, t := range touched {
			if t.GroupKind != k.GroupKind {
				continue
			}
			before, after := s.Get(t), n.Get(t)
			if before == after {
				continue
			}
			was, had := before.label(k.key)
			is, has := after.label(k.key)
			if had && !(has && is == was) {
				edit(was, t, nil)
			}
			if has {
				edit(is, t, after)
			}
		}
		n.labels.byKey[k] = index
	}
}

// label returns a label of o, which may be nil.
func (o *Object) label(key string) (string, bool) {
	if o == nil || key == everyLabel {
		return "", o != nil
	}
	v, ok := o.Labels[key]
	return v, ok
}

func find(list []*Object, k Key) (int, bool) {
	return slices.BinarySearchFunc(list, k, func(o *Object, k Key) int { return o.Key.Compare(k) })
}

func without(list []*Object, k Key) []*Object {
	if i, ok := find(list, k); ok {
		return slices.Delete(list, i, i+1)
	}
	return list
}

func with(list []*Object, o *Object) []*Object {
	i, ok := find(list, o.Key)
	if ok {
		list[i] = o
		return list
	}
	return slices.Insert(list, i, o)
}
