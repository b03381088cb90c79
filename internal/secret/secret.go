// Package secret owns sensitive bytes: the callers' and the providers' keys.
//
// Everything else in Postern passes a Ref around, which says where the bytes
// are, and holds what was made of them in a Derived. The bytes themselves sit
// in one Store, and come out through Value.Reveal alone, so that a search for
// that word finds every place that touches them.
//
//	source ──Put──► Store ──► Derived[T] ──Get──► request path
//	                  ▲ Ref
//	               ir.Config
package secret

import (
	"fmt"
	"log/slog"
)

// redacted is what a Value prints as, whatever the verb or the encoder.
const redacted = "[redacted]"

// Value is sensitive bytes. Its zero value is empty. It prints as [redacted]
// through fmt, slog and encoding/json; Reveal is the one way to the bytes.
type Value struct{ b []byte }

// NewValue returns a Value of the bytes of b, which the caller must not change
// afterwards.
func NewValue(b []byte) Value { return Value{b: b} }

// Reveal returns the bytes. The caller must neither change nor keep them, nor
// put them into an error, a log line, a metric or an answer.
func (v Value) Reveal() []byte { return v.b }

// IsZero reports whether the value is empty.
func (v Value) IsZero() bool { return len(v.b) == 0 }

// String returns [redacted].
func (v Value) String() string { return redacted }

// Format writes [redacted] for every verb, %x and %#v included.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns [redacted].
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [redacted]; encoding/json uses it too.
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Ref names sensitive bytes without holding them: one key of a Secret, or one
// secret field of another resource. The zero Ref names nothing. A Ref may be
// printed and logged.
type Ref struct {
	// Kind is "Secret", or the group and kind of the resource whose field it
	// is, such as "gloo.solo.io/Upstream".
	Kind string `json:"kind"`
	// Namespace and Name are the resource's.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Key is the Secret's data key, or the path of the field.
	Key string `json:"key"`
}

// IsZero reports whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// String returns a form for people: "Secret default/hftoken[Authorization]".
func (r Ref) String() string {
	if r.IsZero() {
		return "no secret"
	}
	return fmt.Sprintf("%s %s/%s[%s]", r.Kind, r.Namespace, r.Name, r.Key)
}
