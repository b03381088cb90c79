package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// How statuses are written.
const (
	// settle is how long a change waits for the next, so that what changes often
	// is written a few times a second.
	settle = 200 * time.Millisecond
	// many objects of one kind are read as a list.
	many = 200
	// writers work on single objects, and as many on lists: each as fast as the API
	// server answers, and so few that it has time for its watchers.
	writers = 2
)

// Statuses writes what became of the objects that were translated into their
// statuses. Offer may be called at any time; only while Run goes on is
// anything written.
type Statuses struct {
	cfg    Config
	client dynamic.Interface
	kinds  map[resource.GroupKind]*kind
	latest atomic.Pointer[state]
	news   chan struct{}

	// Of one Run. Between two nothing is due: the next begins with everything.
	running bool // under mu
	due     due  // under mu
	objects workqueue.TypedRateLimitingInterface[resource.Key]
	lists   workqueue.TypedRateLimitingInterface[resource.GroupKind]
	mu      sync.Mutex
	muted   map[resource.GroupKind]string // kinds that cannot be written, and why

	seen          atomic.Pointer[state] // what was queued
	left          atomic.Int64          // items of the queues that are not done
	written, read atomic.Uint64
}

// New returns Statuses. It connects to nothing yet.
func New(cfg Config) (*Statuses, error) {
	if cfg.Rate == 0 {
		cfg.Rate = defaultRate
	}
	if cfg.Resync == 0 {
		cfg.Resync = defaultResync
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	client, err := cfg.client()
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	return &Statuses{
		cfg: cfg, client: client, kinds: kindsOf(cfg.Dialects),
		news: make(chan struct{}, 1), muted: map[resource.GroupKind]string{},
	}, nil
}

// Offer makes a Set, and what the ledger says of it, what statuses are written
// of; news are what is new in the ledger. It takes time for these alone, and is
// for one goroutine.
func (s *Statuses) Offer(set *resource.Set, ledger *status.Ledger, news status.News) {
	if set == nil {
		return
	}
	before := s.latest.Load()
	now := &state{set: set, ledger: ledger}
	if before == nil || len(news.Moved) > 0 {
		now.attached, now.addresses = ledger.Gateways()
	} else {
		now.attached, now.addresses = before.attached, before.addresses
	}
	s.mu.Lock()
	if s.running {
		if s.due == nil {
			s.due = due{}
		}
		s.due.add(before, now, news)
	}
	s.latest.Store(now)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// take returns the latest state, and what is due since it was last called.
func (s *Statuses) take() (*state, due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.due
	s.due = nil
	return s.latest.Load(), due
}

// Written counts the statuses that were written, and Read the requests for
// objects and lists of them.
func (s *Statuses) Written() uint64 { return s.written.Load() }

// Read counts the requests for objects and lists of them.
func (s *Statuses) Read() uint64 { return s.read.Load() }

// Run writes statuses until ctx ends; then it has stopped. It may be called
// again, by who has become the leader again, and never twice at once.
func (s *Statuses) Run(ctx context.Context) {
	ctx = klog.NewContext(ctx, logr.Discard())
	s.run(true)
	defer s.run(false)
	s.objects = newQueue[resource.Key](500*time.Millisecond, time.Minute, &s.left)
	s.lists = newQueue[resource.GroupKind](time.Second, 5*time.Minute, &s.left)
	var work sync.WaitGroup
	for range writers {
		work.Go(func() { each(ctx, s.objects, &s.left, s.write) })
	}
	work.Go(func() { each(ctx, s.lists, &s.left, s.compare) })
	s.follow(ctx)
	s.objects.ShutDown()
	s.lists.ShutDown()
	work.Wait()
}

// run begins or ends taking note of what is due.
func (s *Statuses) run(running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.due, s.muted = running, nil, map[resource.GroupKind]string{}
}

// newQueue returns a queue of what is tried again after least at first, and
// after most at last. left counts what is in it until that is done: who looks
// while a worker takes an item sees it.
func newQueue[K comparable](least, most time.Duration, left *atomic.Int64) workqueue.TypedRateLimitingInterface[K] {
	q := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{Queue: counted[K]{workqueue.DefaultQueue[K](), left}})
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[K](least, most),
		workqueue.TypedRateLimitingQueueConfig[K]{
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[K]{Queue: q}),
		})
}

// counted counts what is put into a queue.
type counted[K comparable] struct {
	workqueue.Queue[K]
	left *atomic.Int64
}

// Push implements workqueue.Queue.
func (c counted[K]) Push(k K) {
	c.left.Add(1)
	c.Queue.Push(k)
}

// each does what is queued; what fails comes again, later each time.
func each[K comparable](ctx context.Context, q workqueue.TypedRateLimitingInterface[K], left *atomic.Int64, do func(context.Context, K) error) {
	for {
		k, end := q.Get()
		if end {
			return
		}
		if err := do(ctx, k); err == nil || ctx.Err() != nil {
			q.Forget(k)
		} else {
			q.AddRateLimited(k)
		}
		q.Done(k)
		left.Add(-1)
	}
}

// follow queues what a report changes, and everything at the start and now and
// then.
func (s *Statuses) follow(ctx context.Context) {
	resync := time.NewTicker(s.cfg.Resync)
	defer resync.Stop()
	whole := true
	for {
		now, due := s.take()
		switch {
		case now == nil:
		case whole:
			s.all(now)
			whole = false
		default:
			s.queue(due.of(now, s.kinds))
		}
		s.seen.Store(now)
		select {
		case <-ctx.Done():
			return
		case <-resync.C:
			whole = true
		case <-s.news:
			if !pause(ctx, settle) {
				return
			}
		}
	}
}

// all queues every kind of which there is an object, those with the fewest
// first: a Gateway need not wait for thousands of routes.
func (s *Statuses) all(now *state) {
	count := func(gk resource.GroupKind) int { return len(now.set.All(gk)) }
	for _, gk := range slices.SortedFunc(maps.Keys(s.kinds), func(a, b resource.GroupKind) int {
		return cmp.Or(cmp.Compare(count(a), count(b)), cmp.Compare(a.String(), b.String()))
	}) {
		if count(gk) > 0 {
			s.lists.Add(gk)
		}
	}
}

// queue queues objects one by one, and kinds of which there are many at once.
func (s *Statuses) queue(due map[resource.Key]bool) {
	byKind := map[resource.GroupKind][]resource.Key{}
	for k := range due {
		byKind[k.GroupKind] = append(byKind[k.GroupKind], k)
	}
	for gk, keys := range byKind {
		if len(keys) > many {
			s.lists.Add(gk)
			continue
		}
		for _, k := range keys {
			s.objects.Add(k)
		}
	}
}

// errMuted says that a kind's statuses cannot be written now.
var errMuted = errors.New("statuses of the kind cannot be written")

// mute takes note that a kind cannot be written, and tells it once.
func (s *Statuses) mute(gk resource.GroupKind, why string, err error) error {
	s.mu.Lock()
	before := s.muted[gk]
	s.muted[gk] = why
	s.mu.Unlock()
	if before != why {
		s.cfg.Log.Warn("statuses are not written", "kind", gk.String(), "because", why, "error", err)
		s.lists.AddRateLimited(gk)
	}
	return errMuted
}

func (s *Statuses) isMuted(gk resource.GroupKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.muted[gk] != ""
}

// unmute takes note that a kind was written.
func (s *Statuses) unmute(gk resource.GroupKind) {
	s.mu.Lock()
	before := s.muted[gk]
	delete(s.muted, gk)
	s.mu.Unlock()
	if before != "" {
		s.cfg.Log.Info("statuses are written again", "kind", gk.String())
	}
}

// Kinds returns the kinds whose statuses are written, in order.
func (s *Statuses) Kinds() []string {
	var out []string
	for gk := range maps.Keys(s.kinds) {
		out = append(out, gk.String())
	}
	slices.Sort(out)
	return out
}

// pause waits, and reports whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
