package envoyai

import (
	"github.com/postern-gateway/postern/internal/resource"
)

// targetKey returns the object that a target names.
func targetKey(t targetRef, namespace string) resource.Key {
	return resource.Key{GroupKind: resource.GroupKind{Group: t.Group, Kind: t.Kind}, Namespace: namespace, Name: t.Name}
}
