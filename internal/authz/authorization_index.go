package authz

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// index finds the rules that could match. A rule is filed under keys, of which
// a request must have one for the rule to match: those of the part of the rule
// (its sources, its operations, or one of its conditions) that sets it apart
// most. What asks for nothing that could be a key is tried always.
//
//	request ──► its values ──► exact, prefixes, suffixes ──► rules ──► policyRule.matches
//
// An index only rules out. Whether a rule matches, the rule itself says.
type index struct {
	always []int32
	texts  [dimensions]textIndex
	// headers and claims by name; those of a header's name are looked up for
	// each header of a request, or of the index, whichever are fewer.
	headers  map[string]*textIndex
	claims   []claimIndex
	networks [3]networkIndex
	ports    map[uint16][]int32
}

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

// search is one look-up.
type search struct {
	rules []*policyRule
	facts *facts
	best  int32
}

// try tries the rules of a list, which is in ascending order, up to the best
// one so far.
func (s *search) try(list []int32) {
	for _, i := range list {
		if i >= s.best {
			return
		}
		if s.rules[i].matches(s.facts) {
			s.best = i
			return
		}
	}
}

func newIndex(rules []*policyRule) *index {
	x := &index{headers: map[string]*textIndex{}, ports: map[uint16][]int32{}}
	count := map[key]int{}
	for _, r := range rules {
		for _, k := range r.allKeys() {
			count[k]++
		}
	}
	for i, r := range rules {
		keys := r.bestKeys(count)
		if keys == nil {
			x.always = append(x.always, int32(i))
		}
		for _, k := range keys {
			x.file(k, int32(i))
		}
	}
	x.sort()
	return x
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

// file puts rule i under k.
func (x *index) file(k key, i int32) {
	switch k.dimension {
	case byPeerAddress, byClientAddress, byLocalAddress:
		x.networks[k.dimension-byPeerAddress].add(k.network, i)
	case byPort:
		x.ports[k.port] = addTo(x.ports[k.port], i)
	case byHeader:
		if x.headers[k.name] == nil {
			x.headers[k.name] = &textIndex{}
		}
		x.headers[k.name].add(&k, i)
	case byClaim:
		path := strings.Split(k.name, "\x00")
		at := slices.IndexFunc(x.claims, func(c claimIndex) bool { return slices.Equal(c.path, path) })
		if at < 0 {
			at = len(x.claims)
			x.claims = append(x.claims, claimIndex{path: path, texts: &textIndex{}})
		}
		x.claims[at].texts.add(&k, i)
	default:
		x.texts[k.dimension].add(&k, i)
	}
}

// addTo adds a rule to a list, once.
func addTo(list []int32, i int32) []int32 {
	if len(list) > 0 && list[len(list)-1] == i {
		return list
	}
	return append(list, i)
}

// sort makes ready what look-ups go through in order: the longest first.
func (x *index) sort() {
	for i := range x.texts {
		x.texts[i].sort()
	}
	for _, t := range x.headers {
		t.sort()
	}
	for i := range x.claims {
		x.claims[i].texts.sort()
	}
}

// visit tries the rules that could match.
func (x *index) visit(s *search) {
	f := s.facts
	s.try(x.always)
	for d := range x.texts {
		if t := &x.texts[d]; !t.empty() {
			t.visit(s, f.dimension(dimension(d)))
		}
	}
	x.visitHeaders(s)
	for i := range x.claims {
		if f.token == nil {
			break
		}
		c := &x.claims[i]
		switch v := authn.LookUp(f.token.Claims, c.path).(type) {
		case string:
			c.texts.visit(s, v)
		case []any:
			for _, e := range v {
				if text, ok := e.(string); ok {
					c.texts.visit(s, text)
				}
			}
		}
	}
	x.networks[0].visit(s, f.in.PeerAddress)
	x.networks[1].visit(s, f.in.Client)
	x.networks[2].visit(s, f.in.Local.Addr())
	if len(x.ports) > 0 {
		s.try(x.ports[f.in.Local.Port()])
	}
}

// fewHeaders is up to how many indexed headers each is looked up in the
// request, and not each of the request's in the index.
const fewHeaders = 8

func (x *index) visitHeaders(s *search) {
	if len(x.headers) <= fewHeaders {
		for name, t := range x.headers {
			t.visit(s, s.facts.header(name))
		}
		return
	}
	for name := range s.facts.in.Header {
		if t := x.headers[name]; t != nil {
			t.visit(s, s.facts.header(name))
		}
	}
	for _, name := range [...]string{":authority", ":method", ":path", ":scheme"} {
		if t := x.headers[name]; t != nil {
			t.visit(s, s.facts.header(name))
		}
	}
}

// dimension returns the text that a dimension indexes.
func (f *facts) dimension(d dimension) string {
	switch d {
	case byID:
		return f.id
	case byTrustDomain:
		return f.trustDomain
	case byNamespace:
		return f.namespace
	case byAccount:
		return f.account
	case byServerName:
		return f.in.ServerName
	case byHost:
		return f.in.Authority
	case byMethod:
		return f.in.Method
	case byPath:
		return f.in.Path
	case byIssuer:
		return f.issuer
	}
	return f.subject
}

// claimIndex is the index of one claim.
type claimIndex struct {
	path  []string
	texts *textIndex
}

// textIndex finds rules by one text.
type textIndex struct {
	exact, prefix, suffix map[string][]int32
	// prefixes and suffixes are the lengths that occur.
	prefixes, suffixes []int
	present            []int32
}

func (t *textIndex) add(k *key, i int32) {
	file := func(m *map[string][]int32) {
		if *m == nil {
			*m = map[string][]int32{}
		}
		(*m)[k.value] = addTo((*m)[k.value], i)
	}
	switch k.kind {
	case ir.AccessExact:
		file(&t.exact)
	case ir.AccessPrefix:
		file(&t.prefix)
		t.prefixes = append(t.prefixes, len(k.value))
	case ir.AccessSuffix:
		file(&t.suffix)
		t.suffixes = append(t.suffixes, len(k.value))
	default:
		t.present = addTo(t.present, i)
	}
}

func (t *textIndex) sort() {
	for _, list := range []*[]int{&t.prefixes, &t.suffixes} {
		slices.SortFunc(*list, func(a, b int) int { return cmp.Compare(a, b) })
		*list = slices.Clip(slices.Compact(*list))
	}
}

func (t *textIndex) empty() bool {
	return t.exact == nil && t.prefix == nil && t.suffix == nil && len(t.present) == 0
}

func (t *textIndex) visit(s *search, text string) {
	if text == "" {
		return
	}
	s.try(t.present)
	if t.exact != nil {
		s.try(t.exact[text])
	}
	for _, n := range t.prefixes {
		if n > len(text) {
			break
		}
		s.try(t.prefix[text[:n]])
	}
	for _, n := range t.suffixes {
		if n > len(text) {
			break
		}
		s.try(t.suffix[text[len(text)-n:]])
	}
}

// networkIndex finds rules by an address.
type networkIndex struct {
	rules map[netip.Prefix][]int32
	bits  [2][]int // lengths that occur, of IPv4 and IPv6
}

func (x *networkIndex) add(n netip.Prefix, i int32) {
	if x.rules == nil {
		x.rules = map[netip.Prefix][]int32{}
	}
	x.rules[n] = addTo(x.rules[n], i)
	list := &x.bits[family(n.Addr())]
	if !slices.Contains(*list, n.Bits()) {
		*list = append(*list, n.Bits())
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (x *networkIndex) visit(s *search, a netip.Addr) {
	if x.rules == nil || !a.IsValid() {
		return
	}
	a = a.Unmap().WithZone("")
	for _, bits := range x.bits[family(a)] {
		if n, err := a.Prefix(bits); err == nil {
			s.try(x.rules[n])
		}
	}
}
