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
