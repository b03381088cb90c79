package dataplane

import "slices"

// TransformMetadata is the namespace of what transformations leave where they
// name none, as in Gloo.
const TransformMetadata = "io.solo.transformation"

// Metadata is a value that a filter leaves for those after it, by namespace
// and key.
type Metadata struct {
	Namespace, Key string
	// Text is a string, or JSON if JSON is set.
	Text string
	JSON bool
	// Secret names the headers whose secret values the text was made of. Such
	// a value is never logged, nor shown to the client.
	Secret []string
}

// SetMetadata leaves m, in place of what was there.
func (e *Exchange) SetMetadata(m Metadata) {
	same := func(o Metadata) bool { return o.Namespace == m.Namespace && o.Key == m.Key }
	e.metadata = append(slices.DeleteFunc(e.metadata, same), m)
}

// Metadata returns what a filter left.
func (e *Exchange) Metadata(namespace, key string) (Metadata, bool) {
	for _, m := range e.metadata {
		if m.Namespace == namespace && m.Key == key {
			return m, true
		}
	}
	return Metadata{}, false
}
