package secret

import (
	"bytes"
	"sync"
	"sync/atomic"
	"weak"
)

// Store holds the bytes of every secret that a source has read, and the
// workload certificate of the gateway's own. It is written by these alone, off
// the request path, and read through Derived values.
// The zero Store is not usable; NewStore makes one.
type Store struct {
	mu       sync.Mutex
	values   map[Ref]Value
	watchers map[Ref][]watch
	version  atomic.Uint64
}

// NewStore returns an empty Store.
func NewStore() *Store {
	return &Store{values: map[Ref]Value{}, watchers: map[Ref][]watch{}}
}

// watcher is the untyped half of a Derived or a Follower: what the Store calls
// when bytes that it was made of have changed, with the positions of their
// refs. The Store knows it weakly, so that it lives as long as the snapshot
// that holds it, and no longer.
type watcher struct{ renew func(at []int) }

// watch is a watcher's interest in one ref, which is the one at a position
// among its refs.
type watch struct {
	by weak.Pointer[watcher]
	at int
}

// stale is a watcher to call, and with what.
type stale struct {
	w  *watcher
	at []int
}

// Put sets values and renews everything derived from those that differ. It
// reports whether any did.
func (s *Store) Put(values map[Ref]Value) bool {
	s.mu.Lock()
	var changed []Ref
	for ref, v := range values {
		old, ok := s.values[ref]
		if ok && bytes.Equal(old.b, v.b) {
			continue
		}
		s.values[ref] = v
		changed = append(changed, ref)
	}
	stale := s.affectedLocked(changed)
	s.mu.Unlock()
	return s.renew(changed, stale)
}

// Drop removes values, and renews what was derived from them: it fails from
// then on. A source drops after the snapshot that used the values has been
// replaced.
func (s *Store) Drop(refs []Ref) bool {
	s.mu.Lock()
	var changed []Ref
	for _, ref := range refs {
		if _, ok := s.values[ref]; ok {
			delete(s.values, ref)
			changed = append(changed, ref)
		}
	}
	stale := s.affectedLocked(changed)
	s.mu.Unlock()
	return s.renew(changed, stale)
}

// Has reports whether the Store holds bytes for ref.
func (s *Store) Has(ref Ref) bool {
	_, ok := s.get(ref)
	return ok
}

// Version counts the changes so far; it grows with every Put or Drop that
// changed something.
func (s *Store) Version() uint64 { return s.version.Load() }

// Len returns the number of values held.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

func (s *Store) get(ref Ref) (Value, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[ref]
	return v, ok
}

func (s *Store) renew(changed []Ref, affected []*stale) bool {
	if len(changed) == 0 {
		return false
	}
	s.version.Add(1)
	for _, a := range affected {
		a.w.renew(a.at)
	}
	return true
}

// affectedLocked returns the living watchers of refs, each once, and forgets
// the dead.
func (s *Store) affectedLocked(refs []Ref) []*stale {
	seen := map[*watcher]*stale{}
	var out []*stale
	for _, ref := range refs {
		living := s.watchers[ref][:0]
		for _, p := range s.watchers[ref] {
			w := p.by.Value()
			if w == nil {
				continue
			}
			living = append(living, p)
			a := seen[w]
			if a == nil {
				a = &stale{w: w}
				seen[w] = a
				out = append(out, a)
			}
			a.at = append(a.at, p.at)
		}
		if len(living) == 0 {
			delete(s.watchers, ref)
			continue
		}
		s.watchers[ref] = living
	}
	return out
}

// watch registers w for n refs, and forgets the dead beside it. A zero ref is
// passed over.
func (s *Store) watch(n int, ref func(i int) Ref, w *watcher) {
	by := weak.Make(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		r := ref(i)
		if r.IsZero() {
			continue
		}
		list := s.watchers[r]
		if len(list) > 0 && len(list)&(len(list)-1) == 0 { // amortised: at powers of two
			living := list[:0]
			for _, p := range list {
				if p.by.Value() != nil {
					living = append(living, p)
				}
			}
			list = living
		}
		s.watchers[r] = append(list, watch{by, i})
	}
}
