package glooauth

import "github.com/postern-gateway/postern/internal/dialect/reading"

// settable reports a name that is no header that authentication may set.
func (r *reader) settable(at, name string) {
	if reading.IsFraming(name) {
		r.fail(at, "name another header", "header %q cannot be set", name)
		return
	}
	r.headerName(at, name)
}

// headerName reports a name that no header has.
func (r *reader) headerName(at, name string) {
	switch {
	case name == "":
		r.fail(at, "write a header's name", "the header has no name")
	case !reading.IsToken(name):
		r.fail(at, "write a header's name", "%q is no header name", name)
	}
}
