package resource

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"
)

// shards is a map of objects by key in many small maps, so that a Set shares
// with the one that it was made of all but those that hold what changed. The
// zero shards is empty.
type shards struct {
	seed maphash.Seed
	list []map[Key]*Object // as many as a power of two
	len  int
}

// perShard is about how many objects a shard holds.
const perShard = 64

// newShards returns empty shards with room for n objects.
func newShards(n int) shards {
	count := 1
	for count*perShard < n {
		count *= 2
	}
	s := shards{seed: maphash.MakeSeed(), list: make([]map[Key]*Object, count)}
	for i := range s.list {
		s.list[i] = make(map[Key]*Object, n/count)
	}
	return s
}

// at returns the shard of a key.
func (s *shards) at(k Key) int {
	return int(maphash.Comparable(s.seed, k) & uint64(len(s.list)-1))
}

func (s *shards) get(k Key) *Object {
	if len(s.list) == 0 {
		return nil
	}
	return s.list[s.at(k)][k]
}

// add puts an object into shards that nobody shares, and reports whether its
// key was free.
func (s *shards) add(o *Object) bool {
	m := s.list[s.at(o.Key)]
	if m[o.Key] != nil {
		return false
	}
	m[o.Key] = o
	s.len++
	return true
}

// with returns the shards after edits: objects by key, nil for one that goes.
func (s *shards) with(edits map[Key]*Object) shards {
	if len(edits) == 0 {
		return *s
	}
	if s.len+len(edits) > 4*perShard*len(s.list) {
		return s.grown(edits)
	}
	n := shards{seed: s.seed, list: slices.Clone(s.list), len: s.len}
	own := make(map[int]bool, len(edits))
	for k, o := range edits {
		i := n.at(k)
		if !own[i] {
			own[i], n.list[i] = true, maps.Clone(n.list[i])
		}
		was := n.list[i][k]
		switch {
		case o != nil:
			n.list[i][k] = o
		case was != nil:
			delete(n.list[i], k)
		}
		n.len += there(o) - there(was)
	}
	return n
}

func there(o *Object) int {
	if o == nil {
		return 0
	}
	return 1
}

// grown is with, into more shards.
func (s *shards) grown(edits map[Key]*Object) shards {
	n := newShards(s.len + len(edits))
	for _, o := range edits {
		if o != nil {
			n.add(o)
		}
	}
	for o := range s.all() {
		if _, ok := edits[o.Key]; !ok {
			n.add(o)
		}
	}
	return n
}

// all yields every object, in no order.
func (s *shards) all() iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		for _, m := range s.list {
			for _, o := range m {
				if !yield(o) {
					return
				}
			}
		}
	}
}
