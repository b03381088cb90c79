// Package filter holds the stages that look at a request and change it, or
// end it, before it is forwarded: CORS, authentication and authorization,
// header and path edits, redirects, limits on the body.
//
//	ir.Step ──New…──► dataplane.Stage ──Run──► Exchange, or an Answer
//
// Everything that configuration says is parsed by the constructors, which
// compile calls; a request meets ready tables and templates. Who is let in is
// decided by the packages authn and authz: the stages here ask them and write
// the answers. Choosing an upstream and speaking to it is the forwarder's.
package filter

import (
	"fmt"
	"net/http"
	"strings"
)

// headerName returns the canonical form of a header's name, or an error if it
// is none, or one that has a rewrite of its own.
func headerName(name string) (string, error) {
	if strings.EqualFold(name, "host") || strings.HasPrefix(name, ":") {
		return "", fmt.Errorf("header %q cannot be edited; there are rewrites for host and path", name)
	}
	if !isToken(name) {
		return "", fmt.Errorf("%q is not the name of a header", name)
	}
	return http.CanonicalHeaderKey(name), nil
}

// framesMessage reports whether a canonical header name belongs to the
// connection, and not to what travels over it.
func framesMessage(name string) bool {
	switch name {
	case "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive", "Proxy-Connection":
		return true
	}
	return false
}

// isToken tells a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// isFieldValue tells what may travel as the value of a header (RFC 9110
// section 5.5): no control bytes, so that it can split nothing.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isFieldBytes is isFieldValue for bytes that must not be copied.
func isFieldBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
