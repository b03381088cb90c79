package resource

import "slices"

// Access says which Secrets the source of a Set reads, and who may use them. A
// Set without one is of files, which are all their reader's own: every Secret
// is read, and may be used from every namespace.
type Access struct {
	// Namespaces whose Secrets are read; nil: all of them.
	Namespaces []string
	// Denied are those of them whose Secrets the API server refuses to show.
	Denied []string
	// Foreign lets resources use the Secrets of other namespaces without a
	// ReferenceGrant.
	Foreign bool
}

// Unread returns why no Secret of a namespace is known and what to do about
// it; nothing where they are read.
func (a *Access) Unread(namespace string) (why, remedy string) {
	switch {
	case a == nil:
		return "", ""
	case a.Namespaces != nil && !slices.Contains(a.Namespaces, namespace):
		return "Secrets are not read there", "name " + namespace + " in --secret-namespaces"
	case slices.Contains(a.Denied, namespace), slices.Contains(a.Denied, ""):
		return "the API server lets nobody read Secrets there", "grant get, list and watch of secrets in " + namespace
	}
	return "", ""
}

// Same reports whether a and b say the same.
func (a *Access) Same(b *Access) bool {
	if a == nil || b == nil {
		return a == b
	}
	return (a.Namespaces == nil) == (b.Namespaces == nil) && slices.Equal(a.Namespaces, b.Namespaces) &&
		slices.Equal(a.Denied, b.Denied) && a.Foreign == b.Foreign
}

// accessKey stands for a Set's Access among the keys that a View records.
var accessKey = Key{GroupKind: GroupKind{Group: "postern.dev", Kind: "Access"}}

// WithAccess returns s with another Access.
func (s *Set) WithAccess(a *Access) *Set {
	n := s.With(nil, nil)
	n.access = a
	return n
}

// Access returns what is known of the reading of Secrets; nil: they are of
// files.
func (v *View) Access() *Access {
	v.note(subject{ofObject, accessKey.GroupKind, "", ""})
	return v.set.access
}
