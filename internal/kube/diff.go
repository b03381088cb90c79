package kube

import (
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// due are the objects that may want another status than they have.
type due map[resource.Key]bool

// add takes note of what differs between two states: objects of which
// something else is said, that say something else themselves, or that are
// Gateways of which a count of routes or an address is another.
func (d due) add(before, after *state, news status.News) {
	for _, o := range news.Objects {
		d[keyOf(o)] = true
	}
	for _, o := range news.Blamed {
		d[keyOf(o)] = true
	}
	if before != nil && before.set != after.set {
		for _, k := range resource.Touched(before.set, after.set) {
			d[k] = true
		}
	}
	for _, name := range news.Moved { // "namespace/name", or longer, behind a kind where that is no Gateway
		if _, plain, ok := strings.Cut(name, " "); ok {
			name = plain
		}
		namespace, rest, _ := strings.Cut(name, "/")
		object, _, _ := strings.Cut(rest, "/")
		d[resource.Key{Namespace: namespace, Name: object}] = true
	}
}

// of returns the objects of a state that are of kinds. Of those whose group or
// kind is not told, it is each that has the name.
func (d due) of(now *state, kinds map[resource.GroupKind]*kind) map[resource.Key]bool {
	out := map[resource.Key]bool{}
	for k := range d {
		if kinds[k.GroupKind] != nil {
			if now.set.Get(k) != nil {
				out[k] = true
			}
			continue
		}
		for gk := range kinds {
			if k.Group != "" || k.Kind != "" && k.Kind != gk.Kind {
				continue
			}
			if full := (resource.Key{GroupKind: gk, Namespace: k.Namespace, Name: k.Name}); now.set.Get(full) != nil {
				out[full] = true
			}
		}
	}
	return out
}

// keyOf returns the key of an outcome's object.
func keyOf(o status.Object) resource.Key {
	return resource.Key{GroupKind: resource.GroupKind{Group: o.Group, Kind: o.Kind}, Namespace: o.Namespace, Name: o.Name}
}
