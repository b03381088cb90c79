// Package ir is the one plain-data model that every dialect is turned into
// and that compile makes a snapshot of. It bears no vendor's word and holds no
// behaviour beyond Validate: parsed and compiled things live elsewhere.
//
//	Config ─► Listener ─► VirtualHost ─► Route ─► Step…, Action ─► Upstream
//
// Unions are structs of pointers of which one is set. Whatever a person could
// ask "where does this come from?" about carries an Origin.
package ir

import (
	"fmt"
	"strings"
)

// Config is all that one gateway serves. Its zero value serves nothing.
type Config struct {
	Listeners []*Listener `json:"listeners,omitempty"`
	// Upstreams by name; routes name them.
	Upstreams map[string]*Upstream `json:"upstreams,omitempty"`
}

// Origin tells where a piece of configuration was written. The zero Origin is
// a default of the gateway's own.
type Origin struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Field is a path as people write it: spec.targetRefs[0].name.
	Field string `json:"field,omitempty"`
	// File and Line are empty for what comes from an API server.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// String returns "kind namespace/name: field", as far as known.
func (o Origin) String() string {
	if o.Kind == "" && o.Name == "" {
		return o.File
	}
	s := o.Object()
	if o.Field != "" {
		s += ": " + o.Field
	}
	return s
}

// Object returns "kind namespace/name".
func (o Origin) Object() string {
	if o.Namespace == "" {
		return strings.TrimSpace(o.Kind + " " + o.Name)
	}
	return fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name)
}

// Position returns "file:line", or what is known of it.
func (o Origin) Position() string {
	if o.File == "" || o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}
