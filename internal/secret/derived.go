package secret

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrMissing says that the Store holds no bytes for a Ref.
var ErrMissing = errors.New("secret not found")

// Derived is something made of secret bytes: a tls.Certificate, a header's
// value, a key index. It is made once for each version of the bytes, off the
// request path; Get is one atomic load. While the bytes are missing or do not
// parse, Get returns the error, and whoever needs the thing is closed.
type Derived[T any] struct {
	refs  []Ref
	store *Store
	parse func([]Value) (T, error)

	mu    sync.Mutex // orders renewals
	now   atomic.Pointer[made[T]]
	watch *watcher // held here, known weakly to the Store
}

type made[T any] struct {
	value T
	err   error
}

// Derive returns what parse makes of the bytes at refs, in their order, now
// and after each change of them. parse must not put bytes into its errors.
func Derive[T any](s *Store, refs []Ref, parse func([]Value) (T, error)) *Derived[T] {
	d := &Derived[T]{refs: refs, store: s, parse: parse}
	d.watch = &watcher{renew: func([]int) { d.renew() }}
	s.watch(len(refs), func(i int) Ref { return refs[i] }, d.watch)
	d.renew()
	return d
}

// Constant returns a Derived of a value that depends on no secret.
func Constant[T any](v T) *Derived[T] {
	d := &Derived[T]{}
	d.now.Store(&made[T]{value: v})
	return d
}

// Get returns the current value, or why there is none. The error names
// secrets, never their contents.
func (d *Derived[T]) Get() (T, error) {
	m := d.now.Load()
	return m.value, m.err
}

// Refs returns the secrets that d is made of.
func (d *Derived[T]) Refs() []Ref { return d.refs }

func (d *Derived[T]) renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	values := make([]Value, len(d.refs))
	for i, ref := range d.refs {
		v, ok := d.store.get(ref)
		if !ok {
			d.now.Store(&made[T]{err: fmt.Errorf("%v: %w", ref, ErrMissing)})
			return
		}
		values[i] = v
	}
	v, err := d.parse(values)
	if err != nil {
		var zero T
		d.now.Store(&made[T]{value: zero, err: err})
		return
	}
	d.now.Store(&made[T]{value: v})
}
