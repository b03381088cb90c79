package gatewayapi

import (
	"github.com/postern-gateway/postern/internal/dialect"
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

// suggest returns the remedy for an object that is not there.
func suggest(v *resource.View, want resource.Key) string {
	var there []string
	for _, o := range v.In(want.GroupKind, want.Namespace) {
		there = append(there, o.Name)
	}
	if s := dialect.Suggest(want.Name, there); s != "" {
		return s
	}
	return "create it, or correct the name"
}
