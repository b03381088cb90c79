package kube

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// keyOf returns the key of an outcome's object.
func keyOf(o status.Object) resource.Key {
	return resource.Key{GroupKind: resource.GroupKind{Group: o.Group, Kind: o.Kind}, Namespace: o.Namespace, Name: o.Name}
}

// compareObjects orders objects as a sorted report has them.
func compareObjects(a, b status.Object) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Group, b.Group),
	)
}

// run returns the outcomes at the beginning of list that are of one object.
func run(list []status.Outcome) []status.Outcome {
	n := 1
	for n < len(list) && list[n].Object == list[0].Object {
		n++
	}
	return list[:n]
}

// outcomes returns those of one object.
func (s *state) outcomes(k resource.Key) []status.Outcome {
	all, want := s.report.Outcomes, k.Status()
	i := sort.Search(len(all), func(i int) bool { return compareObjects(all[i].Object, want) >= 0 })
	if i == len(all) || all[i].Object != want {
		return nil
	}
	return run(all[i:])
}

// differing returns the objects that may want another status than before: of
// which something else is said, or that are another generation. It takes one
// walk over both reports, and compares no more than it must.
func differing(before, after *state, kinds map[resource.GroupKind]*kind) map[resource.Key]bool {
	due := map[resource.Key]bool{}
	add := func(k resource.Key) {
		if kinds[k.GroupKind] != nil && after.set.Get(k) != nil {
			due[k] = true
		}
	}
	a, b := before.report.Outcomes, after.report.Outcomes
	for len(a) > 0 || len(b) > 0 {
		var mine, theirs []status.Outcome
		c := 0
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = compareObjects(a[0].Object, b[0].Object)
		}
		if c <= 0 {
			mine = run(a)
			a = a[len(mine):]
		}
		if c >= 0 {
			theirs = run(b)
			b = b[len(theirs):]
		}
		switch {
		case c < 0: // nothing is said of it any more
			add(keyOf(mine[0].Object))
		case c > 0:
			add(keyOf(theirs[0].Object))
		default:
			k := keyOf(mine[0].Object)
			if !slices.Equal(mine, theirs) || before.set != after.set && before.set.Get(k) != after.set.Get(k) {
				add(k)
			}
		}
	}
	for _, name := range moved(before, after) {
		namespace, rest, _ := strings.Cut(name, "/")
		object, _, _ := strings.Cut(rest, "/")
		for gk := range kinds {
			add(resource.Key{GroupKind: gk, Namespace: namespace, Name: object})
		}
	}
	return due
}

// moved returns the names, "namespace/name" or longer, of the Gateways and
// listeners whose count of routes or whose addresses are others than before.
func moved(before, after *state) []string {
	names := map[string]bool{}
	compareMaps(before.report.Attached, after.report.Attached, func(a, b int) bool { return a == b }, names)
	compareMaps(before.report.Addresses, after.report.Addresses, slices.Equal, names)
	return slices.Sorted(maps.Keys(names))
}

func compareMaps[V any](a, b map[string]V, same func(V, V) bool, differ map[string]bool) {
	for name, v := range a {
		if w, ok := b[name]; !ok || !same(v, w) {
			differ[name] = true
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			differ[name] = true
		}
	}
}
