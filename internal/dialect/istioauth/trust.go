package istioauth

import (
	"slices"
	"strings"
)

// clusterLocal stands for the mesh's own trust domain, whatever its name.
const clusterLocal = "cluster.local"

// trustDomains are the mesh's own: first the one that it has, then those that
// it had.
func (m *Mesh) trustDomains() []string {
	return append([]string{m.TrustDomain}, m.TrustDomainAliases...)
}

// sameTrustDomains returns the trust domains that a name stands for.
func (m *Mesh) sameTrustDomains(name string) []string {
	if own := m.trustDomains(); slices.Contains(own, name) {
		return unique(own)
	}
	return []string{name}
}

// samePrincipals returns the principals that one stands for: where its trust
// domain is one of the mesh's own, the same in all of them.
func (m *Mesh) samePrincipals(principal string) []string {
	domain, rest, _ := strings.Cut(principal, "/")
	own := m.trustDomains()
	if strings.Count(rest, "/") != 3 || domain == "*" ||
		domain != clusterLocal && !slices.ContainsFunc(own, func(d string) bool { return alike(domain, d) }) {
		return []string{principal}
	}
	var out []string
	for _, d := range own {
		if suffix, ok := strings.CutPrefix(domain, "*"); ok && strings.HasSuffix(d, suffix) {
			out = append(out, principal)
		} else {
			out = append(out, d+"/"+rest)
		}
	}
	return unique(out)
}

// alike reports whether one of two names matches the other: equal, or with a
// wildcard at one end of either.
func alike(a, b string) bool {
	fits := func(text, pattern string) bool {
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			return strings.HasSuffix(text, suffix)
		}
		prefix, ok := strings.CutSuffix(pattern, "*")
		return ok && strings.HasPrefix(text, prefix)
	}
	return a == b || fits(a, b) || fits(b, a)
}

// unique returns list without repetitions, in its order.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
