package gatewayapi

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// What the API's own validation would refuse; the patterns are those of its
// types.
var (
	pathCharacters = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$`)
	duration       = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)
	corsOrigin     = regexp.MustCompile(`^https?://((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?$`)
)

// isToken reports whether s is a token of RFC 9110, 5.6.2, as header names are.
func isToken(s string) bool { return len(s) <= 256 && reading.IsToken(s) }

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

// nearestPath returns a match of what a bad path may have been meant to take:
// as far as it holds characters of a path, decoded, and in its simplest form.
func nearestPath(bad string) ir.PathMatch {
	if plain, err := url.PathUnescape(bad); err == nil {
		bad = plain
	}
	bad = strings.ReplaceAll(bad, `\`, "/")
	kind := ir.PathSegments
	if i := strings.IndexFunc(bad, func(c rune) bool { return !pathCharacters.MatchString(string(c)) }); i >= 0 {
		bad, kind = bad[:i], ir.PathPrefix
	}
	return ir.PathMatch{Kind: kind, Value: path.Clean("/" + bad)}
}

// badValue says what is wrong with the value of a header or a query parameter,
// and what to do; "": it is good.
func badValue(v string, limit int) (why, remedy string) {
	switch {
	case v == "":
		return "is empty", "write one"
	case len(v) > limit:
		return fmt.Sprintf("is longer than %d", limit), "shorten it"
	case hasControl(v):
		return "holds a line break, NUL or another control character", "write it on one line"
	}
	return "", ""
}

// parseDuration reads a duration of GEP-2257.
func parseDuration(s string) (time.Duration, bool) {
	if !duration.MatchString(s) {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
