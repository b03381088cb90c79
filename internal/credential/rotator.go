package credential

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
)

// ErrUnavailable is what every error wraps that says that there is no
// credential now, and may be one later: the answer to the request is 503.
var ErrUnavailable = errors.New("no valid credential")

var (
	errOffline = errors.New("credentials are not fetched here")
	errExpired = errors.New("it had expired before it came")
	errClosed  = errors.New("the configuration that needed it is gone")
	errWaiting = errors.New("it is still being fetched")
)

// maxWait is how long a request waits for a credential where there is none.
const maxWait = 5 * time.Second

// Renewable is a credential that is fetched and ends: what a Rotator keeps
// fresh.
type Renewable[T any] struct {
	// Name is what people and metrics call it; it holds nothing secret.
	Name string
	// Refs are the secrets that Fetch looks at. When bytes of one of them
	// change, the credential is fetched at once.
	Refs []secret.Ref
	// Fetch gets the credential anew, and says when it ends, by the gateway's
	// clock. It is called by one goroutine at a time, and must return soon
	// after ctx has ended. Its errors are shown to people: they name secrets
	// and quote none.
	Fetch func(ctx context.Context) (T, time.Time, error)
	// Check returns why Fetch cannot succeed for want of good secret bytes; a
	// credential that was fetched before is then not used either. It is called
	// for every request. Nil: never.
	Check func() error
}

// Rotator is a Source that keeps one credential fresh in a goroutine of its
// own, until Close: what hangs there delays no other. It is fetched ahead of
// its end, by one fetch at a time; while fetching fails, the present one
// serves to its end. No request waits, unless there is no valid one at all:
// then for the fetch that is under way, maxWait at most.
//
//	fetched          due                        end
//	   ├───── serves ──┼── serves, renewing ──────┤ closed (ErrUnavailable)
//	                   └ fetch ─ fails ─ back off ─ fetch …
type Rotator[T any] struct {
	what  Renewable[T]
	clock func() time.Time
	log   *slog.Logger

	good   atomic.Pointer[lease[T]]
	wake   chan struct{} // asks for a fetch now
	cancel context.CancelFunc
	done   chan struct{}
	follow *secret.Follower // hears of changed bytes

	mu      sync.Mutex
	attempt chan struct{} // closed when the present or next fetch ends
	running bool
	state   Status
	err     error // of the last fetch
}

// lease is a credential that was fetched.
type lease[T any] struct {
	value    T
	from, to time.Time
	// until is when it is used for the last time: it must still be valid when
	// the request arrives.
	until time.Time
}

// Status is how a fetched credential is; for metrics and people.
type Status struct {
	// Name is Renewable's.
	Name string `json:"name"`
	// Valid says that requests get it now.
	Valid bool `json:"valid"`
	// Expires is when the one that was fetched last ends; zero: none was.
	Expires time.Time `json:"expires,omitzero"`
	// LastSuccess and LastTry are when fetches ended; Next is when the next
	// one begins; zero: none did, or it is under way.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	LastTry     time.Time `json:"lastTry,omitzero"`
	Next        time.Time `json:"next,omitzero"`
	// Error of the last fetch; empty: it succeeded, or none has ended.
	Error string `json:"error,omitempty"`
	// Refreshes are fetches that succeeded, Failures those that did not.
	Refreshes uint64 `json:"refreshes"`
	Failures  uint64 `json:"failures"`
}

// Statuser is whoever has a Status: every Rotator, whatever it fetches, and
// Injectors that use one.
type Statuser interface{ Status() Status }

// Statuses tells how everything is that Rotators of k keep fresh, by name.
func Statuses(k *keep.Keep) []Status {
	var out []Status
	for _, r := range keep.All[Statuser](k) {
		out = append(out, r.Status())
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// NewRotator starts to fetch what, unless d has no Client: then there is no
// network, and Get always fails.
func NewRotator[T any](what Renewable[T], d Deps) *Rotator[T] {
	d = d.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Rotator[T]{
		what: what, clock: d.Clock, log: d.Log,
		wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}),
		attempt: make(chan struct{}), running: true, // the first fetch starts at once
		state: Status{Name: what.Name},
	}
	if d.Client == nil {
		r.running, r.err = false, errOffline
		close(r.done)
		return r
	}
	first := true
	r.follow = secret.Follow(d.Store, len(what.Refs), func(i int) secret.Ref { return what.Refs[i] }, func([]int, secret.Read) {
		if !first {
			r.Renew()
		}
		first = false
	})
	go r.run(ctx)
	return r
}

// Get returns the credential. Every error but that of a broken secret wraps
// ErrUnavailable.
func (r *Rotator[T]) Get(ctx context.Context) (T, error) {
	var zero T
	if r.what.Check != nil {
		if err := r.what.Check(); err != nil {
			return zero, fmt.Errorf("%s: %w", r.what.Name, err)
		}
	}
	if v, ok := r.current(); ok {
		return v, nil
	}
	if err := r.await(ctx); err != nil {
		return zero, fmt.Errorf("%s: %w: %w", r.what.Name, ErrUnavailable, err)
	}
	if v, ok := r.current(); ok {
		return v, nil
	}
	return zero, fmt.Errorf("%s: %w: %w", r.what.Name, ErrUnavailable, errExpired)
}

// current returns the credential if it may be used now.
func (r *Rotator[T]) current() (T, bool) {
	l := r.good.Load()
	if l == nil || !r.clock().Before(l.until) {
		var zero T
		return zero, false
	}
	return l.value, true
}

// await waits for the fetch under way, or for one that is overdue, as after a
// night's sleep of the machine. While the gateway backs off after a failure
// nobody waits: a request must not speed up what is failing.
func (r *Rotator[T]) await(ctx context.Context) error {
	r.mu.Lock()
	attempt, running, err := r.attempt, r.running, r.err
	r.mu.Unlock()
	if !running {
		if err != nil {
			return err
		}
		r.Renew()
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	select {
	case <-attempt:
		return r.lastError()
	case <-ctx.Done():
		return errWaiting
	case <-r.done:
		return errClosed
	}
}

func (r *Rotator[T]) lastError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Renew asks for a fetch at once, or for another one after the one that is
// under way.
func (r *Rotator[T]) Renew() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close stops fetching and waits for it to have stopped. What was fetched
// serves to its end.
func (r *Rotator[T]) Close() {
	r.cancel()
	<-r.done
}

// Check returns why there cannot be a credential for want of good secret
// bytes, or nil.
func (r *Rotator[T]) Check() error {
	if r.what.Check == nil {
		return nil
	}
	return r.what.Check()
}

// Status tells how the credential is.
func (r *Rotator[T]) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	_, s.Valid = r.current()
	return s
}

// run fetches, and sleeps in between.
func (r *Rotator[T]) run(ctx context.Context) {
	defer close(r.done)
	failures := 0
	for {
		wait := r.renew(ctx, &failures)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-r.wake:
			timer.Stop()
			failures = 0 // something is different now
		}
		r.mu.Lock()
		r.running, r.state.Next = true, time.Time{}
		r.mu.Unlock()
	}
}

// renew fetches once, and returns how long to wait for the next time.
func (r *Rotator[T]) renew(ctx context.Context, failures *int) time.Duration {
	before := r.good.Load()
	began := r.clock()
	timed, cancel := context.WithTimeout(ctx, fetchTime(before.life()))
	value, expires, err := r.what.Fetch(timed)
	cancel()
	now := r.clock()
	if err == nil && expires.Sub(now) < minLife {
		err = errExpired
	}
	if ctx.Err() != nil {
		r.publish(errClosed, now, now)
		return 0
	}
	if err != nil {
		*failures++
		wait := backoff(*failures, before.life())
		r.publish(err, now, now.Add(wait))
		r.tell(*failures, err, before, wait)
		return wait
	}
	l := &lease[T]{value: value, from: began, to: expires, until: expires.Add(-travel(expires.Sub(began)))}
	r.good.Store(l)
	wait := max(due(l.from, l.to).Sub(now), minPause)
	r.publish(nil, now, now.Add(wait))
	if *failures > 0 {
		r.log.Info("credential is fetched again", "credential", r.what.Name, "expires", expires)
	}
	*failures = 0
	return wait
}

// life returns the lifetime of a credential; 0 of none.
func (l *lease[T]) life() time.Duration {
	if l == nil {
		return 0
	}
	return l.to.Sub(l.from)
}

// publish ends an attempt, and lets go whoever waits for it.
func (r *Rotator[T]) publish(err error, now, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.state
	s.LastTry, s.Next, s.Error, r.err = now, next, "", err
	if err != nil {
		s.Failures++
		s.Error = err.Error()
	} else {
		s.Refreshes++
		s.LastSuccess, s.Expires = now, r.good.Load().to
	}
	r.running = false
	close(r.attempt)
	r.attempt = make(chan struct{})
}

// tell logs a failure: the first of a row, and the one after which there is
// no credential any more.
func (r *Rotator[T]) tell(failures int, err error, before *lease[T], wait time.Duration) {
	now := r.clock()
	serving := before != nil && now.Before(before.until)
	ends := serving && !now.Add(wait).Before(before.until)
	switch {
	case !serving && failures == 1, ends:
		r.log.Error("credential cannot be fetched", "credential", r.what.Name, "error", err, "serving", serving)
	case failures == 1:
		r.log.Warn("credential cannot be renewed", "credential", r.what.Name, "error", err, "expires", before.to)
	}
}
