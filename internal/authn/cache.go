package authn

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

const (
	cacheShards = 16
	// bytesPerEntry is the byte budget, for each entry that a cache may hold:
	// what a token of some 500 bytes comes to when decoded.
	bytesPerEntry = 4 << 10
)

// TokenCache remembers verified tokens, so that a signature is checked once.
// It outlives authenticators: an entry is found again only by the same whole
// token, under the same provider's configuration and the same keys, and while
// the token's own nbf and exp hold. Refusals are not remembered.
//
// Count and bytes are bounded; the entry that goes is one that was not asked
// for of late (the clock algorithm).
type TokenCache struct {
	shards       [cacheShards]cacheShard
	hits, misses atomic.Uint64
}

// cacheKey is hashes of everything that a verification depends on but the time.
type cacheKey struct {
	token, config, keys [sha256.Size]byte
}

type cacheShard struct {
	mu       sync.RWMutex
	entries  map[cacheKey]*cacheEntry
	ring     []*cacheEntry
	hand     int
	bytes    int
	maxCount int
	maxBytes int
}

type cacheEntry struct {
	key  cacheKey
	v    *verified
	cost int
	at   int // index in the ring
	used atomic.Bool
}

// NewTokenCache returns a cache for about maxEntries tokens, at least 16, and
// for 4 KiB of decoded claims on average.
func NewTokenCache(maxEntries int) *TokenCache {
	c := &TokenCache{}
	each := max(1, maxEntries/cacheShards)
	for i := range c.shards {
		s := &c.shards[i]
		s.entries = map[cacheKey]*cacheEntry{}
		s.maxCount = each
		s.maxBytes = max(each*bytesPerEntry, costOf(MaxTokenBytes))
	}
	return c
}

// Hits returns how many tokens were found.
func (c *TokenCache) Hits() uint64 { return c.hits.Load() }

// Misses returns how many were not, and were verified.
func (c *TokenCache) Misses() uint64 { return c.misses.Load() }

// Len returns the number of entries, and their estimated size in bytes.
func (c *TokenCache) Len() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		entries += len(s.ring)
		bytes += s.bytes
		s.mu.RUnlock()
	}
	return entries, bytes
}

// costOf estimates what a token of so many bytes holds in memory: maps and
// strings take several times what they take as JSON.
func costOf(tokenBytes int) int { return 1<<10 + 4*tokenBytes }

func (c *TokenCache) shard(k *cacheKey) *cacheShard {
	return &c.shards[k.token[0]%cacheShards]
}

// get returns the entry of k if it holds at now.
func (c *TokenCache) get(k cacheKey, now time.Time) *verified {
	s := c.shard(&k)
	s.mu.RLock()
	e := s.entries[k]
	s.mu.RUnlock()
	if e == nil {
		return nil
	}
	switch e.v.timely(now) {
	case "":
	case textExpired:
		s.mu.Lock()
		if s.entries[k] == e {
			s.remove(e)
		}
		s.mu.Unlock()
		return nil
	default:
		return nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.v
}

// put remembers v, which holds at now.
func (c *TokenCache) put(k cacheKey, v *verified, now time.Time) {
	e := &cacheEntry{key: k, v: v, cost: costOf(v.size)}
	s := c.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[k]; old != nil {
		s.remove(old)
	}
	for len(s.ring) > 0 && (len(s.ring) >= s.maxCount || s.bytes+e.cost > s.maxBytes) {
		s.evict(now)
	}
	e.at = len(s.ring)
	s.ring = append(s.ring, e)
	s.entries[k] = e
	s.bytes += e.cost
}

// evict removes one entry: the next under the hand that has ended or was not
// used since the hand passed it last. It ends, as passing clears the mark.
func (s *cacheShard) evict(now time.Time) {
	for {
		s.hand %= len(s.ring)
		e := s.ring[s.hand]
		if !e.used.Swap(false) || e.v.timely(now) != "" {
			s.remove(e)
			return
		}
		s.hand++
	}
}

func (s *cacheShard) remove(e *cacheEntry) {
	last := len(s.ring) - 1
	s.ring[e.at] = s.ring[last]
	s.ring[e.at].at = e.at
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.entries, e.key)
	s.bytes -= e.cost
}

// digestOf hashes a whole token. Copying it to the stack spares the usual one
// an allocation.
func digestOf(raw string) [sha256.Size]byte {
	var buf [2 << 10]byte
	if len(raw) <= len(buf) {
		n := copy(buf[:], raw)
		return sha256.Sum256(buf[:n])
	}
	return sha256.Sum256([]byte(raw))
}
