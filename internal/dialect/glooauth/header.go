package glooauth

import (
	"slices"
	"strings"
)

// framing are the headers that belong to the connection, or decide where the
// request goes.
var framing = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// settable reports a name that is no header that authentication may set.
func (r *reader) settable(at, name string) {
	if slices.Contains(framing, strings.ToLower(name)) {
		r.fail(at, "name another header", "header %q cannot be set", name)
		return
	}
	r.headerName(at, name)
}

// headerName reports a name that is no token (RFC 9110, section 5.6.2).
func (r *reader) headerName(at, name string) {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			r.fail(at, "write a header's name", "%q is no header name", name)
			return
		}
	}
	if name == "" {
		r.fail(at, "write a header's name", "the header has no name")
	}
}
