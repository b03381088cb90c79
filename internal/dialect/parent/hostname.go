package parent

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// The patterns of the Gateway API's Hostname and PreciseHostname.
var (
	preciseHostname = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	wildcard        = "*."
)

// ValidPrecise reports whether h is a hostname without a wildcard: a lower
// case DNS name, no IP address, no port.
func ValidPrecise(h string) bool {
	if len(h) > 253 || !preciseHostname.MatchString(h) {
		return false
	}
	_, err := netip.ParseAddr(h)
	return err != nil
}

// ValidHostname reports whether h is a hostname, which may begin with "*.".
func ValidHostname(h string) bool {
	return len(h) <= 253 && ValidPrecise(strings.TrimPrefix(h, wildcard))
}

// Intersect returns the hostnames for which a route with those hostnames
// serves requests on a listener; "" and none mean any, which comes out as "*".
// The result is empty where they have nothing in common. A wildcard stands for
// one label or more.
func Intersect(listener string, route []string) []string {
	if len(route) == 0 {
		if listener == "" {
			return []string{"*"}
		}
		return []string{listener}
	}
	var out []string
	for _, h := range route {
		var common string
		switch {
		case listener == "" || covers(listener, h):
			common = h
		case covers(h, listener):
			common = listener
		default:
			continue
		}
		if !slices.Contains(out, common) {
			out = append(out, common)
		}
	}
	return out
}

// covers reports whether every host that narrow takes is taken by wide.
func covers(wide, narrow string) bool {
	if wide == narrow {
		return true
	}
	suffix, ok := strings.CutPrefix(wide, "*")
	return ok && strings.HasSuffix(narrow, suffix) && len(strings.TrimPrefix(narrow, "*")) > len(suffix)
}
