// Package secretref finds the Secrets that resources of every family refer to,
// and says whether they may be used: where the source reads no Secrets, where
// their owner has not granted it, and where there is none of the name. It knows
// under which names they hold certificates.
//
// It knows no family; rules of a family's own are the family's.
package secretref

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/parent"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/resource"
)

// Missing says why a Secret cannot be used, and what to do about it.
type Missing struct{ What, Remedy string }

// Find returns the Secret of a namespace that an object refers to for a
// credential, or why it cannot be used.
func Find(v *resource.View, from *resource.Object, namespace, name string) (*resource.Object, *resource.Secret, *Missing) {
	to := resource.Key{GroupKind: resource.SecretKind, Namespace: namespace, Name: name}
	if !Permitted(v, from, to) {
		return nil, nil, &Missing{
			What:   fmt.Sprintf("%v may not be used from %s", to, from.Namespace),
			Remedy: parent.GrantRemedy(from.GroupKind, from.Namespace, to),
		}
	}
	o, s := resource.Spec[resource.Secret](v, resource.SecretKind, namespace, name)
	if o == nil {
		m := None(v, []string{namespace}, name)
		return nil, nil, &m
	}
	return o, s, nil
}

// Permitted reports whether an object may take its credentials out of a
// Secret, where its own family of resources has no rule for that. Out of files
// every one may: they are of one owner. In a cluster the owner of the Secret's
// namespace says so by a ReferenceGrant, unless the gateway was told otherwise.
func Permitted(v *resource.View, from *resource.Object, to resource.Key) bool {
	if from.Namespace == to.Namespace {
		return true
	}
	a := v.Access()
	return a == nil || a.Foreign || parent.Granted(v, from.GroupKind, from.Namespace, to)
}

// Foreign reports whether the gateway was told that no grant is needed
// for the Secrets of other namespaces.
func Foreign(v *resource.View) bool {
	a := v.Access()
	return a != nil && a.Foreign
}

// None says that a Secret is in none of the namespaces, as far as they are
// read.
func None(v *resource.View, namespaces []string, name string) Missing {
	if len(namespaces) == 0 {
		return Missing{What: fmt.Sprintf("no Secret %q", name), Remedy: "create it, or correct the name"}
	}
	for _, ns := range namespaces {
		if why, remedy := v.Access().Unread(ns); why != "" {
			return Missing{What: fmt.Sprintf("Secret %q in %s is not known: %s", name, ns, why), Remedy: remedy}
		}
	}
	return Missing{
		What:   fmt.Sprintf("no Secret %q in %s", name, strings.Join(namespaces, " or ")),
		Remedy: reading.Suggest(v, resource.SecretKind, namespaces[0], name),
	}
}
