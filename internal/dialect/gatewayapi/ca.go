package gatewayapi

import (
	"github.com/postern-gateway/postern/internal/dialect/backendtls"
	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// caRef is a reference to a certificate authority's bundle, and its field.
type caRef struct {
	key   resource.Key
	field string
}

// authorities returns the bundles that refs lead to, and a fault for each ref
// that leads to none.
func authorities(v *resource.View, from resource.GroupKind, namespace string, refs []caRef) ([]ir.Bytes, []parent.Fault) {
	list := make([]backendtls.Ref, len(refs))
	for i, r := range refs {
		list[i] = backendtls.Ref{Key: r.key, Field: r.field}
	}
	return backendtls.Authorities(v, from, namespace, list)
}
