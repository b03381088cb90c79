package parent

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/resource"
)

// Granted reports whether an object of kind from in a namespace may refer to
// the object of kind to in another: within one namespace always, across two
// only where a ReferenceGrant beside the target says so. A grant that was not
// understood in full grants nothing.
func Granted(v *resource.View, from resource.GroupKind, namespace string, to resource.Key) bool {
	if namespace == to.Namespace {
		return true
	}
	for _, o := range v.In(ReferenceGrantKind, to.Namespace) {
		if len(o.Faults) == 0 && grants(o.Spec.(*ReferenceGrant), from, namespace, to) {
			return true
		}
	}
	return false
}

func grants(g *ReferenceGrant, from resource.GroupKind, namespace string, to resource.Key) bool {
	named := false
	for _, f := range g.Spec.From {
		if string(f.Group) == from.Group && string(f.Kind) == from.Kind && string(f.Namespace) == namespace {
			named = true
		}
	}
	if !named {
		return false
	}
	for _, t := range g.Spec.To {
		if string(t.Group) != to.Group || string(t.Kind) != to.Kind {
			continue
		}
		if t.Name == nil || *t.Name == "" || string(*t.Name) == to.Name {
			return true
		}
	}
	return false
}

// GrantRemedy says which ReferenceGrant would permit a reference.
func GrantRemedy(from resource.GroupKind, namespace string, to resource.Key) string {
	return fmt.Sprintf("create a ReferenceGrant in %s from %s in %s to %s %q", to.Namespace, from.Kind, namespace, to.Kind, to.Name)
}
