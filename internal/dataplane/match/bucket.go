package match

import "maps"

// bucket holds matchers that one look-up by path has found, by rank. A few are
// tried one after the other; many are told apart by the method, or by the
// exact value of a header or query parameter that most of them ask for.
type bucket struct {
	least int // the smallest rank in here
	list  []*matcher
	split *split // in place of list
}

// split divides a bucket by one part of the request.
type split struct {
	part part
	by   index
	rest *bucket // those that take any value, or compare otherwise; may be nil
}

// part names a part of a request.
type part struct {
	kind partKind
	name string
}

type partKind int

const (
	partMethod partKind = iota
	partHeader
	partQuery
)

// A bucket of this size is searched faster than split.
const smallBucket = 6

// divide returns the bucket of list, which is sorted by rank and not empty. It
// splits by the parts that are not used yet, as long as it pays.
func divide(list []*matcher, used map[part]bool) *bucket {
	b := &bucket{least: list[0].rank, list: list}
	if len(list) <= smallBucket {
		return b
	}
	p, ok := bestPart(list, used)
	if !ok {
		return b
	}
	by, rest := group(list, p)
	inner := map[part]bool{p: true}
	maps.Copy(inner, used)
	sp := &split{part: p, by: newIndex(&by, inner)}
	if len(rest) > 0 {
		sp.rest = divide(rest, used)
	}
	return &bucket{least: b.least, split: sp}
}

// bestPart returns the part by which list falls into the smallest pieces.
func bestPart(list []*matcher, used map[part]bool) (part, bool) {
	var best part
	least := len(list) * 3 / 4 // a split must save at least a quarter
	found := false
	for p := range countParts(list) {
		if used[p] {
			continue
		}
		by, rest := group(list, p)
		largest := 0
		for _, sub := range by.lists {
			largest = max(largest, len(sub))
		}
		cost := largest + len(rest)
		if cost < least || found && cost == least && before(p, best) {
			best, least, found = p, cost, true
		}
	}
	return best, found
}

// countParts returns the parts that many of list ask for.
func countParts(list []*matcher) map[part]int {
	parts := map[part]int{}
	for _, m := range list {
		for p := range m.parts {
			parts[p]++
		}
	}
	for p, n := range parts {
		if n < len(list)/4 {
			delete(parts, p)
		}
	}
	return parts
}

// before makes the choice between equal parts the same in each build.
func before(a, b part) bool {
	return a.kind < b.kind || a.kind == b.kind && a.name < b.name
}

// group divides list by the values that its matchers want of p, and the rest
// that wants none in particular. A matcher for several methods is in several
// groups.
func group(list []*matcher, p part) (by keyed, rest []*matcher) {
	for _, m := range list {
		wanted := m.wants(p)
		if len(wanted) == 0 {
			rest = append(rest, m)
		}
		for _, v := range wanted {
			by.add(v, m)
		}
	}
	return by, rest
}

// parts yields the parts of which m wants exact values.
func (m *matcher) parts(yield func(part) bool) {
	if len(m.methods) > 0 && !yield(part{kind: partMethod}) {
		return
	}
	for i := range m.headers {
		if v := &m.headers[i]; v.pins() && !yield(part{partHeader, v.header}) {
			return
		}
	}
	for i := range m.query {
		if v := &m.query[i]; v.pins() && !yield(part{partQuery, v.name}) {
			return
		}
	}
}

// pins reports whether v takes one value only.
func (v *value) pins() bool {
	pseudo := v.header[0] == ':' || v.header == nameHost
	return v.kind == compareExact && !v.invert && !pseudo
}

// wants returns the values of p one of which m needs; none: it takes any, or
// does not look, or compares otherwise.
func (m *matcher) wants(p part) []string {
	list := m.headers
	switch p.kind {
	case partMethod:
		return m.methods
	case partQuery:
		list = m.query
	}
	for i := range list {
		v := &list[i]
		if v.pins() && (p.kind == partHeader && v.header == p.name || p.kind == partQuery && v.name == p.name) {
			return []string{v.text}
		}
	}
	return nil
}

// settled reports whether m takes every request that its key and the values of
// the used parts have led to it.
func (m *matcher) settled(used map[part]bool) bool {
	if m.bare {
		return true
	}
	if m.regex != nil || len(m.methods) > 0 && !used[part{kind: partMethod}] {
		return false
	}
	proven := func(v *value, p part) bool {
		return v.pins() && used[p] && m.wants(p)[0] == v.text
	}
	for i := range m.headers {
		if v := &m.headers[i]; !proven(v, part{partHeader, v.header}) {
			return false
		}
	}
	for i := range m.query {
		if v := &m.query[i]; !proven(v, part{partQuery, v.name}) {
			return false
		}
	}
	return true
}

// find leaves the best rank of the matchers in b that take the request in s.
func (b *bucket) find(s *search) {
	if b.least >= s.rank {
		return
	}
	if b.split != nil {
		b.split.find(s)
		return
	}
	for _, m := range b.list {
		if m.rank >= s.rank {
			return
		}
		if m.takes(s.req) && !s.gone.has(m.rank) {
			s.rank = m.rank
			return
		}
	}
}

func (sp *split) find(s *search) {
	if v, ok := sp.part.of(s.req); ok {
		sp.by.find(v, s)
	}
	if sp.rest != nil {
		sp.rest.find(s)
	}
}

// of returns the value of p in req, as value.takes compares it.
func (p part) of(req *Request) (string, bool) {
	switch p.kind {
	case partMethod:
		return req.Method, true
	case partHeader:
		got := req.Header[p.name]
		if len(got) == 0 {
			return "", false
		}
		return joined(got), true
	default:
		got := req.Query[p.name]
		if len(got) == 0 {
			return "", false
		}
		return got[0], true
	}
}
