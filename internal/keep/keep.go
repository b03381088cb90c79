// Package keep holds what outlives a snapshot: connection pools, fetched key
// sets, credential rotators, health. A thing is found by the hash of its own
// configuration, so a reload that leaves that alone leaves the thing alone;
// it is counted, and closed when the last snapshot that used it is released.
package keep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
)

// Keep is the collection of kept things. The zero Keep is empty and ready.
type Keep struct {
	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	value any
	uses  int
}

// Session is what one snapshot uses. Begin makes one.
type Session struct {
	keep *Keep
	keys map[string]bool
}

// Begin starts a session, in which Get finds things or makes them.
func (k *Keep) Begin() *Session { return &Session{keep: k, keys: map[string]bool{}} }

// Len returns the number of things that are kept.
func (k *Keep) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.entries)
}

// Key returns the key of a thing of one kind: the kind and the hash of its
// configuration, which must be plain data.
func Key(kind string, config any) string {
	b, err := json.Marshal(config)
	if err != nil {
		panic(fmt.Sprintf("keep: %s: configuration is not plain data: %v", kind, err))
	}
	sum := sha256.Sum256(b)
	return kind + ":" + hex.EncodeToString(sum[:])
}

// Get returns the thing with the key, made by create if there is none. The
// session holds it until Release. If the thing has a Close method without
// arguments, that is called when no session holds it any more.
//
// Sessions of one Keep are filled by one goroutine; create may call Get for a
// session of its own.
func Get[T any](s *Session, key string, create func() (T, error)) (T, error) {
	if v, ok := s.find(key); ok {
		return v.(T), nil
	}
	v, err := create()
	if err != nil {
		var zero T
		return zero, err
	}
	s.add(key, v)
	return v, nil
}

// Find returns the thing with the key, if a session holds it.
func Find[T any](k *Keep, key string) (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.entries[key]; e != nil {
		return e.value.(T), true
	}
	var zero T
	return zero, false
}

func (s *Session) find(key string) (any, bool) {
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	e := s.keep.entries[key]
	if e == nil {
		return nil, false
	}
	s.holdLocked(key, e)
	return e.value, true
}

func (s *Session) add(key string, v any) {
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	if s.keep.entries == nil {
		s.keep.entries = map[string]*entry{}
	}
	e := &entry{value: v}
	s.keep.entries[key] = e
	s.holdLocked(key, e)
}

func (s *Session) holdLocked(key string, e *entry) {
	if !s.keys[key] {
		s.keys[key] = true
		e.uses++
	}
}

// Release lets go of everything that the session holds. It is safe to call
// more than once.
func (s *Session) Release() {
	for _, v := range s.letGo() {
		if c, ok := v.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// letGo returns the things that nobody holds any more.
func (s *Session) letGo() []any {
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	var unused []any
	for key := range s.keys {
		e := s.keep.entries[key]
		if e.uses--; e.uses == 0 {
			delete(s.keep.entries, key)
			unused = append(unused, e.value)
		}
	}
	s.keys = map[string]bool{}
	return unused
}

// All returns the kept things of one type, in no order.
func All[T any](k *Keep) []T {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []T
	for _, e := range k.entries {
		if v, ok := e.value.(T); ok {
			out = append(out, v)
		}
	}
	return out
}
