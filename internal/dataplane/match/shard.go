package match

import (
	"hash/maphash"
	"maps"
	"slices"
)

// shards is a map in many small ones, so that a changed copy shares all but
// those that it touches.
type shards[T any] struct {
	seed maphash.Seed
	list []map[string]T // as many as a power of two
}

// perShard is about how many entries a shard holds.
const perShard = 64

// newShards returns empty shards with room for n entries.
func newShards[T any](n int) shards[T] {
	count := 1
	for count*perShard < n {
		count *= 2
	}
	s := shards[T]{seed: maphash.MakeSeed(), list: make([]map[string]T, count)}
	for i := range s.list {
		s.list[i] = make(map[string]T, n/count)
	}
	return s
}

func (s *shards[T]) at(key string) int {
	if len(s.list) == 1 {
		return 0
	}
	return int(maphash.String(s.seed, key) & uint64(len(s.list)-1))
}

// of returns the map that holds a key, if one does.
func (s *shards[T]) of(key string) map[string]T {
	if len(s.list) == 0 {
		return nil
	}
	return s.list[s.at(key)]
}

// copied returns shards in which the keys may be changed.
func (s *shards[T]) copied(keys []string) shards[T] {
	if len(s.list) == 0 {
		return newShards[T](len(keys))
	}
	n := shards[T]{seed: s.seed, list: slices.Clone(s.list)}
	own := make(map[int]bool, len(keys))
	for _, key := range keys {
		if i := n.at(key); !own[i] {
			own[i], n.list[i] = true, maps.Clone(n.list[i])
		}
	}
	return n
}
