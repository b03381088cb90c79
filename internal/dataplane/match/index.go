package match

import (
	"hash/maphash"
	"math"
	"slices"
	"strings"
)

// target is what a key leads to: nothing (0), a matcher that asks for nothing
// beyond its key (its rank plus one), or a bucket (the complement of its
// place among the buckets of whatever holds the target).
type target int32

// index finds the target of a text. It is a hash table of 16 bytes for each
// key beside the keys themselves, so that ten thousand keys stay in a
// processor's cache, and a look-up touches one line of it and one of the keys.
// The zero index is empty.
type index struct {
	seed    maphash.Seed
	slots   []slot // a power of two of them, at most two thirds taken
	keys    string // all keys, one after the other
	buckets []*bucket
	least   int // the smallest rank in here
}

type slot struct {
	hash, from, size uint32
	to               target // 0: the slot is free
}

// keyed is lists of matchers by key. Matchers are added in the order of their
// ranks, and so the keys are in that of their best.
type keyed struct {
	at    map[string]int
	keys  []string
	lists [][]*matcher
}

func (k *keyed) add(key string, m *matcher) {
	if k.at == nil {
		k.at = map[string]int{}
	}
	i, ok := k.at[key]
	if !ok {
		i = len(k.keys)
		k.at[key], k.keys, k.lists = i, append(k.keys, key), append(k.lists, nil)
	}
	k.lists[i] = append(k.lists[i], m)
}

// newIndex returns the index of lists by key. The one with the best matcher
// comes first, and so is found at its own place. settled are the parts of a
// request that finding the lists has proven.
func newIndex(lists *keyed, settled map[part]bool) index {
	x := index{least: math.MaxInt}
	if len(lists.keys) == 0 {
		return x
	}
	size := 4
	for 2*size < 3*len(lists.keys) {
		size *= 2
	}
	x.seed, x.slots, x.least = maphash.MakeSeed(), make([]slot, size), lists.lists[0][0].rank
	var keys strings.Builder
	for i, key := range lists.keys {
		x.put(slot{hash: x.hash(key), from: uint32(keys.Len()), size: uint32(len(key)), to: aim(lists.lists[i], settled, &x.buckets)})
		keys.WriteString(key)
	}
	x.keys = keys.String()
	return x
}

// aim returns the target for list, and puts a bucket into buckets where it
// needs one.
func aim(list []*matcher, settled map[part]bool, buckets *[]*bucket) target {
	if len(list) == 1 && list[0].settled(settled) {
		return target(list[0].rank + 1)
	}
	*buckets = append(*buckets, divide(list, settled))
	return ^target(len(*buckets) - 1)
}

func (x *index) hash(key string) uint32 { return uint32(maphash.String(x.seed, key)) }

func (x *index) put(s slot) {
	mask := uint32(len(x.slots) - 1)
	at := s.hash & mask
	for x.slots[at].to != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = s
}

// find asks what stands behind key.
func (x *index) find(key string, s *search) {
	if len(x.slots) > 0 && x.least < s.rank {
		x.lookup(key).find(x.buckets, s)
	}
}

func (x *index) lookup(key string) target {
	hash := x.hash(key)
	mask := uint32(len(x.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := &x.slots[at]
		if s.to == 0 || s.hash == hash && x.keys[s.from:s.from+s.size] == key {
			return s.to
		}
	}
}

// find leaves the best rank of what t leads to in s.
func (t target) find(buckets []*bucket, s *search) {
	switch {
	case t > 0:
		if rank := int(t - 1); rank >= s.req.after && !s.gone.has(rank) {
			s.rank = min(s.rank, rank)
		}
	case t < 0:
		buckets[^t].find(s)
	}
}

// prefixes finds the keys that a path begins with, where these have few
// lengths, or end where a segment of the path does.
type prefixes struct {
	index
	lengths []int  // of raw prefixes; nil: whole segments
	depths  uint64 // of whole segments: a bit for each number of slashes
	slashed bool   // a slash must follow a whole segment
}

// fewLengths is up to how many look-ups cost less than a walk along a trie.
const fewLengths = 4

// newSegments returns the prefixes of whole segments of lists by key.
func newSegments(lists *keyed, slashed bool) prefixes {
	p := prefixes{index: newIndex(lists, nil), slashed: slashed}
	for _, key := range lists.keys {
		p.depths |= depthBit(strings.Count(key, "/"))
	}
	return p
}

// newRaw returns the raw prefixes of lists by key; false: they have too many
// lengths.
func newRaw(lists *keyed) (p prefixes, ok bool) {
	for _, key := range lists.keys {
		if !slices.Contains(p.lengths, len(key)) {
			p.lengths = append(p.lengths, len(key))
		}
		if len(p.lengths) > fewLengths {
			return prefixes{}, false
		}
	}
	slices.Sort(p.lengths)
	p.index = newIndex(lists, nil)
	return p, true
}

// depthBit is that of n slashes; the last one is shared by all large numbers.
func depthBit(n int) uint64 { return 1 << min(n, 63) }

// find asks what stands behind each key that the path begins with.
func (p *prefixes) find(s *search) {
	path := s.req.Path
	for _, n := range p.lengths {
		if n > len(path) {
			return
		}
		p.index.find(path[:n], s)
	}
	if p.depths == 0 {
		return
	}
	for depth, i := 0, 0; ; depth, i = depth+1, i+1 {
		to := strings.IndexByte(path[i:], '/')
		if to < 0 {
			to = len(path) - i
		}
		i += to
		if p.slashed && i == len(path) {
			return
		}
		if p.depths&depthBit(depth) != 0 {
			p.index.find(path[:i], s)
		}
		if i == len(path) || p.depths>>min(depth+1, 63) == 0 {
			return
		}
	}
}
