package authz

import (
	"net/netip"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// dimension is one of the plain texts that are indexed.
type dimension uint8

const (
	byID dimension = iota
	byTrustDomain
	byNamespace
	byAccount
	byServerName
	byHost
	byMethod
	byPath
	byIssuer
	bySubject
	dimensions
	byHeader
	byClaim
	byPeerAddress
	byClientAddress
	byLocalAddress
	byPort
)

// key is what a rule is filed under.
type key struct {
	dimension dimension
	name      string // of a header; or a claim's path, joined by NUL
	kind      ir.AccessKind
	value     string
	network   netip.Prefix
	port      uint16
}

// allKeys are all keys that r could be filed under.
func (r *policyRule) allKeys() []key {
	var out []key
	seen := map[key]bool{}
	add := func(c conjunct) {
		for i := range c {
			keys, _ := c[i].keys()
			for _, k := range keys {
				if !seen[k] {
					seen[k] = true
					out = append(out, k)
				}
			}
		}
	}
	for _, c := range r.from {
		add(c)
	}
	for _, c := range r.to {
		add(c)
	}
	add(r.when)
	return out
}

// bestKeys returns the keys to file r under; nil: there are none.
func (r *policyRule) bestKeys(count map[key]int) []key {
	var best []key
	lowest := 0
	consider := func(keys []key, ok bool) {
		if c := cost(keys, count); ok && (best == nil || c < lowest) {
			best, lowest = keys, c
		}
	}
	for _, part := range [][]conjunct{r.from, r.to} {
		var keys []key
		whole := len(part) > 0
		for _, c := range part {
			k, ok := c.bestKeys(count)
			whole = whole && ok
			keys = append(keys, k...)
		}
		consider(keys, whole)
	}
	for i := range r.when {
		consider(r.when[i].keys())
	}
	return best
}

// bestKeys returns the keys of the test of c that sets it apart most.
func (c conjunct) bestKeys(count map[key]int) (best []key, ok bool) {
	lowest := 0
	for i := range c {
		keys, indexed := c[i].keys()
		if n := cost(keys, count); indexed && (!ok || n < lowest) {
			best, lowest, ok = keys, n, true
		}
	}
	return best, ok
}

// cost estimates how many rules a request has to be held against because of
// keys: as many as share one with it. What nearly every request has costs
// more.
func cost(keys []key, count map[key]int) int {
	most := 0
	for _, k := range keys {
		n := count[k]
		switch {
		case k.kind == ir.AccessPresent:
			n = 16 * (n + 16)
		case k.kind == ir.AccessPrefix && len(k.value) <= 1:
			n = 8 * (n + 8)
		}
		most = max(most, n)
	}
	return most
}

// keys are what t is filed under; false: it cannot be.
func (t *policyTest) keys() ([]key, bool) {
	if t.any.empty() {
		return nil, false
	}
	out := make([]key, 0, len(t.any.cfg))
	switch d := t.dimension(); d {
	case byPeerAddress, byClientAddress, byLocalAddress:
		for _, n := range t.any.networks {
			out = append(out, key{dimension: d, network: n})
		}
	case byPort:
		for _, p := range t.any.ports {
			out = append(out, key{dimension: d, port: p})
		}
	default:
		name := strings.Join(t.key, "\x00")
		for v := range t.any.exact {
			out = append(out, key{dimension: d, name: name, value: v})
		}
		for i := range t.any.texts {
			out = append(out, t.any.texts[i].key(d, name))
		}
	}
	return out, true
}

func (t *policyTest) dimension() dimension {
	switch t.attribute {
	case ir.PeerID:
		return byID
	case ir.PeerTrustDomain:
		return byTrustDomain
	case ir.PeerNamespace:
		return byNamespace
	case ir.PeerServiceAccount:
		return byAccount
	case ir.PeerAddress:
		return byPeerAddress
	case ir.ClientAddress:
		return byClientAddress
	case ir.LocalAddress:
		return byLocalAddress
	case ir.LocalPort:
		return byPort
	case ir.ServerName:
		return byServerName
	case ir.TokenPrincipal:
		return bySubject
	case ir.TokenClaim:
		return byClaim
	case ir.RequestHost:
		return byHost
	case ir.RequestMethod:
		return byMethod
	case ir.RequestPath:
		return byPath
	}
	return byHeader
}

// key returns what every text that v matches has. A subject that could be
// anybody's is filed under its issuer.
func (v *textValue) key(d dimension, name string) key {
	k := key{dimension: d, name: name, kind: v.kind, value: v.value}
	switch v.kind {
	case ir.AccessPresent:
		if d == bySubject && v.in.kind != ir.AccessPresent {
			return v.in.key(byIssuer, "")
		}
		k.value = ""
	case ir.AccessGlob:
		k.kind = ir.AccessPrefix
		k.value, _, _ = strings.Cut(v.value, "*")
		if k.value == v.value {
			k.kind = ir.AccessExact
		}
	case ir.AccessTemplate:
		k.kind, k.value = ir.AccessPrefix, v.template.literals[0]
	}
	if k.kind == ir.AccessPrefix && k.value == "" {
		k.kind = ir.AccessPresent
	}
	return k
}
