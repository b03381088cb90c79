package gatewayapi

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// What the API's own validation would refuse; the patterns are those of its
// types.
var (
	token          = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+\\-.^_`|~]+$")
	pathCharacters = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$`)
	duration       = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)
	corsOrigin     = regexp.MustCompile(`^https?://((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?$`)
)

// isToken reports whether s is a token of RFC 9110, 5.6.2, as header names are.
func isToken(s string) bool { return len(s) <= 256 && token.MatchString(s) }

// framing are headers that tell where a message ends or whom it is for. A
// filter that wrote one could make two messages of one.
var framing = []string{"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "proxy-connection"}

// isFraming reports whether a filter must leave the header alone.
func isFraming(name string) bool { return slices.Contains(framing, strings.ToLower(name)) }

// hasControl reports whether s holds control characters, tabs apart: CR, LF and
// NUL in a header would split it.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return (c < ' ' && c != '\t') || c == 0x7f })
}

// badPath says why a path could never be that of a normalized request, or
// could mean two things; "": it is good.
func badPath(p string) string {
	switch {
	case !strings.HasPrefix(p, "/"):
		return "does not begin with /"
	case len(p) > maxPath:
		return "is too long"
	case strings.Contains(p, "//"):
		return "holds //"
	case strings.Contains(p, "/./"), strings.Contains(p, "/../"), strings.HasSuffix(p, "/."), strings.HasSuffix(p, "/.."):
		return "holds a dot segment"
	case strings.Contains(strings.ToLower(p), "%2f"), strings.Contains(strings.ToLower(p), "%5c"), strings.Contains(strings.ToLower(p), "%00"):
		return "holds an encoded / , \\ or NUL"
	case !pathCharacters.MatchString(p):
		return "holds characters that no path has"
	}
	return ""
}

// parseDuration reads a duration of GEP-2257.
func parseDuration(s string) (time.Duration, bool) {
	if !duration.MatchString(s) {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
