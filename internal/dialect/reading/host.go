package reading

import "strings"

// IsHost reports whether h, in lower case, is "*", or a name or address of
// which the first label may be "*".
func IsHost(h string) bool {
	if h == "*" {
		return true
	}
	h = strings.TrimPrefix(h, "*.")
	for i := range len(h) {
		c := h[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.:[]", c) >= 0) {
			return false
		}
	}
	return h != "" && h[0] != '.' && !strings.Contains(h, "..")
}
