package dialect

import "sync"

// Lent are the fragments of one Translator, of which another that comes to the
// same takes the parts instead of having its own. Nil lends nothing.
type Lent struct {
	mu        sync.Mutex
	fragments map[Place]*Fragment
}

// Lend returns what the Translator makes, for others to Borrow. It is called
// before the first Update.
func (t *Translator) Lend() *Lent {
	if t.lends == nil {
		t.lends = &Lent{fragments: map[Place]*Fragment{}}
	}
	return t.lends
}

// Borrow makes a Translator of the same dialects share what is lent. It may be
// another goroutine's.
func (t *Translator) Borrow(l *Lent) { t.borrows = l }

// put makes f what is lent of a place; nil: nothing is.
func (l *Lent) put(p Place, f *Fragment) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fragments[p] = f; f == nil {
		delete(l.fragments, p)
	}
}

// share puts into f the parts of what is lent that say the same. The upstreams
// stay its own: the Merger of the lender may replace those of its fragment.
func (l *Lent) share(p Place, f *Fragment) {
	if l == nil {
		return
	}
	l.mu.Lock()
	lent := l.fragments[p]
	l.mu.Unlock()
	if lent == nil {
		return
	}
	sameAt(lent.Hosts, f.Hosts)
	sameAt(lent.SNIRoutes, f.SNIRoutes)
	sameAt(lent.Attachments, f.Attachments)
}
