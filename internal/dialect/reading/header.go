package reading

import (
	"slices"
	"strings"
)

// IsToken reports whether s is a token (RFC 9110, section 5.6.2), as the names
// of headers and methods are.
func IsToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// IsFraming reports whether a header tells where a message ends or whom it is
// for. No resource may set or remove one: it could make two messages of one.
func IsFraming(header string) bool { return slices.Contains(framing, strings.ToLower(header)) }

var framing = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// HoldsCredential reports whether a header holds a secret as a rule. A value
// that is written in a resource is shown in dumps, and so cannot be one.
func HoldsCredential(header string) bool {
	return slices.Contains(credentials, strings.ToLower(header))
}

var credentials = []string{"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"}
