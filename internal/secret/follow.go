package secret

import "sync"

// Follower keeps something up to date that is made of many secrets, one piece
// of each: an index of 100,000 keys. A Derived of so many would be made anew
// as a whole for every change; what a Follower feeds hears of the pieces alone.
type Follower struct {
	mu    sync.Mutex // orders the calls of update
	watch *watcher   // held here, known weakly to the Store
}

// Read returns the bytes of the secret at a position, and whether there are
// any.
type Read func(i int) (Value, bool)

// Follow calls update with the positions of refs whose bytes are to be read:
// at once with all from 0 to n-1, and after each change with those that are
// different. Calls do not overlap, and return before Put or Drop does. A zero
// ref has no bytes. Following ends when nobody holds the Follower any more;
// update must not hold the Store's or its own caller's locks.
func Follow(s *Store, n int, ref func(i int) Ref, update func(at []int, read Read)) *Follower {
	read := func(i int) (Value, bool) { return s.get(ref(i)) }
	f := &Follower{}
	renew := func(at []int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		update(at, read)
	}
	f.watch = &watcher{renew: renew}
	s.watch(n, ref, f.watch)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	renew(all)
	return f
}
