package authn

import "strings"

// cookies returns the value of each cookie of a name (RFC 6265 section 4.2.1),
// in the order that they came.
func cookies(lines []string, name string) (values []string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, ok := strings.Cut(pair, "=")
			if !ok || strings.Trim(key, " \t") != name {
				continue
			}
			value = strings.Trim(value, " \t")
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			values = append(values, value)
		}
	}
	return values
}
