// Package resource owns the decoded form of the user's Kubernetes-style
// objects: Object, the Set that holds them, the View through which a dialect
// reads a Set, and the decoder that makes objects of YAML with file and line.
//
//	YAML ──Decode──► Object ──► Set ──View──► dialect.Translate
//	         │
//	         └─► secret.Store (sensitive bytes never enter an Object)
//
// It knows the core kinds (Secret, ConfigMap, Namespace, Service,
// EndpointSlice); every other kind is described to it by a Kind value.
package resource

import (
	"cmp"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// GroupKind names a kind apart from its version. The core group is "".
type GroupKind struct{ Group, Kind string }

// String returns "group/Kind", or "Kind" for the core group.
func (g GroupKind) String() string {
	if g.Group == "" {
		return g.Kind
	}
	return g.Group + "/" + g.Kind
}

// Key identifies an object in a Set. Namespace is empty for cluster-scoped
// kinds.
type Key struct {
	GroupKind
	Namespace, Name string
}

// String returns "Kind namespace/name".
func (k Key) String() string { return k.Status().String() }

// Status returns the key in the form that outcomes carry.
func (k Key) Status() status.Object {
	return status.Object{Group: k.Group, Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}
}

// Compare orders keys by namespace, name, group, kind.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		strings.Compare(k.Namespace, o.Namespace),
		strings.Compare(k.Name, o.Name),
		strings.Compare(k.Group, o.Group),
		strings.Compare(k.Kind, o.Kind),
	)
}

// Kind describes one kind of resource to the decoder and the sources. A
// dialect lists its kinds; builtin hands them on.
type Kind struct {
	GroupKind
	// Versions that are read, preferred first: "v1", "v1alpha1".
	Versions []string
	// Plural is the resource's name in the API: "virtualservices".
	Plural string
	// Cluster says that objects of the kind have no namespace.
	Cluster bool
	// New returns a pointer to an empty spec struct, into which the decoder
	// puts the object's fields besides apiVersion, kind, metadata and status:
	// a struct with a Spec field for most kinds.
	New func() any
	// SecretFields are paths of string fields that hold sensitive bytes:
	// "spec.ai.openai.authToken.inline"; "*" stands for one map key or list
	// index. The struct's field at such a path has type secret.Ref.
	SecretFields []string
	// KeepSecrets, if set, says of an object, its secret fields apart, whether
	// their bytes are kept. They are not read otherwise: no variable in them is
	// put in, and their Refs lead to nothing. It is not asked of objects with
	// faults, whose bytes are not kept either.
	KeepSecrets func(o *Object) bool
	// ProtoJSON reads the kind as proto-JSON does: snake_case aliases of
	// every declared field, numbers in strings. Users' own map keys are left
	// as they are.
	ProtoJSON bool
	// Vital are the names of fields that say what an object concerns: for a
	// policy, its targets. With a fault there nobody can tell what would be
	// left unprotected, so the whole file is broken, as by a missing name.
	Vital []string
	// Open lists paths below which unknown fields are not reported; "" is the
	// whole object, "*" as in SecretFields.
	Open []string
}

// Object is one decoded resource. It is immutable.
type Object struct {
	Key
	Version     string
	Labels      map[string]string
	Annotations map[string]string
	// Created is the creationTimestamp; zero for objects out of files.
	Created    time.Time
	Generation int64
	// Spec is what Kind.New returned, filled.
	Spec any
	// File is where the object was read; empty for an API server.
	File string
	// Lines tells where in File each field was written.
	Lines Lines
	// Faults are the object's fields that could not be decoded: unknown,
	// doubled, of the wrong type. Spec holds the others. An object with faults
	// says less than its author meant: its dialect closes what it protects or
	// carries. The source reports them; a dialect need not.
	Faults []status.Problem
	// Reached are the addresses in the status of the object, as it was first
	// read from an API server: a hint for who hands addresses out, and for
	// nothing else, since a change of them is no change of the object.
	Reached []string
	// UID and ResourceVersion are an API server's.
	UID, ResourceVersion string
}

// Origin returns where the field at path was written; a path that has no line
// of its own gets the nearest enclosing one's.
func (o *Object) Origin(path string) ir.Origin {
	return ir.Origin{
		Kind: o.Kind, Namespace: o.Namespace, Name: o.Name,
		Field: path, File: o.File, Line: o.Lines.At(path),
	}
}

// Older reports whether o takes precedence over p by age: the earlier
// creation, then namespace and name. Objects out of files are all of one age.
func (o *Object) Older(p *Object) bool {
	if !o.Created.Equal(p.Created) {
		return o.Created.Before(p.Created)
	}
	return o.Key.Compare(p.Key) < 0
}

// Same reports whether o and p say the same at the same place, their secrets'
// bytes apart, so that one may stand for the other.
func (o *Object) Same(p *Object) bool { return reflect.DeepEqual(o, p) }

// Says reports whether o and p say the same, so that nothing need be
// translated anew: their versions may differ, which in an API server change
// with the status and with fields that are kept apart.
func (o *Object) Says(p *Object) bool {
	c := *o
	c.ResourceVersion, c.Generation, c.Reached = p.ResourceVersion, p.Generation, p.Reached
	return c.Same(p)
}

// relabelled reports whether o and p, which differ, differ in nothing but their
// labels and annotations.
func (o *Object) relabelled(p *Object) bool {
	if maps.Equal(o.Labels, p.Labels) && maps.Equal(o.Annotations, p.Annotations) {
		return false
	}
	c := *o
	c.Labels, c.Annotations = p.Labels, p.Annotations
	return c.Says(p)
}

// Renewed returns o as p is, of which Says holds: with p's versions. Between
// the two Diff finds no difference.
func (o *Object) Renewed(p *Object) *Object {
	c := *o
	c.ResourceVersion, c.Generation = p.ResourceVersion, p.Generation
	return &c
}

// renews reports whether one of o and p is the other, Renewed.
func (o *Object) renews(p *Object) bool {
	return o.Generation != p.Generation && o.Spec == p.Spec && o.Says(p)
}
