// Package kube is the source of resources in a Kubernetes API server.
//
//	discovery ─► which kinds are served ─► a watch for each kind and namespace
//	                                            │ decodes on arrival
//	             Run ◄── pending entries ◄──────┘
//	              └─► secret.Store, source.Update
//
// Kinds that the cluster does not serve are no fault: they are watched as soon
// as they appear, in the first version that we read. Nothing is delivered
// until every kind has been read once, since a policy that is not known yet
// would leave its routes open. When the API server is away, what was read last
// stays; the package says so through Check and as a problem.
//
// It writes nothing to the API server.
package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// AllNamespaces as a namespace means every one.
const AllNamespaces = "*"

// gather is how long a change waits for others, so that what is applied
// together becomes one update.
const gather = 30 * time.Millisecond

// Config is what a Source reads, and with what.
type Config struct {
	// Client leads to the API server.
	Client *rest.Config
	// Decoder and the kinds that it was made with. It should have the mode
	// resource.EnvRefuse: no tenant of a cluster reads our environment.
	Decoder *resource.Decoder
	Kinds   []resource.Kind
	// Store gets the secrets.
	Store *secret.Store
	// Namespaces that are watched; none, or AllNamespaces, means every one.
	// Kinds that have no namespace are watched in any case.
	Namespaces []string
	// SecretNamespaces are those whose Secrets are read, AllNamespaces every
	// one; none means no Secret at all.
	SecretNamespaces []string
	// Referred says that where every namespace's Secrets may be read, those of
	// the namespaces are that resources refer to, each for itself. All of the
	// cluster are listed only where Secrets are chosen by label.
	Referred bool
	// ForeignSecrets lets resources use the Secrets of other namespaces without
	// a ReferenceGrant.
	ForeignSecrets bool
	// Health hears whenever what Check returns may have changed; nil: nobody.
	Health func(error)
	Log    *slog.Logger
}

// Source follows what an API server holds. Run may be called once.
type Source struct {
	cfg   Config
	api   *api
	dirty chan struct{} // something is to be delivered, or may be
	look  chan struct{} // the kinds are to be looked at

	mu      sync.Mutex
	watches map[place]*watch
	pending map[resource.Key]*entry // since the last update; nil: removed
	found   bool                    // the kinds were looked at once
	away    error                   // the API server does not answer
	held    error                   // why nothing was delivered yet; nil: it was

	// What was delivered, of the goroutine of Run.
	set       *resource.Set
	first     bool // nothing was
	delivered map[resource.Key]*entry
	wrong     map[resource.Key][]status.Problem
	problems  []status.Problem
	known     *resource.Access
	secrets   *secrets
}

var _ source.Source = (*Source)(nil)

// errUnread is why a Source is not ready at its start.
var errUnread = errors.New("the API server is not read yet")

// New returns a Source. It connects to nothing yet.
func New(cfg Config) (*Source, error) {
	a, err := newAPI(cfg.Client)
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	s := &Source{
		cfg: cfg, api: a, dirty: make(chan struct{}, 1), look: make(chan struct{}, 1),
		watches: map[place]*watch{}, pending: map[resource.Key]*entry{}, held: errUnread,
		set: resource.NewSet(nil, cfg.Kinds), first: true,
		delivered: map[resource.Key]*entry{}, wrong: map[resource.Key][]status.Problem{},
	}
	s.secrets = newSecrets(s)
	return s, nil
}

// Check returns nil if what was delivered is what the API server holds: why
// nothing was delivered yet, or that the API server is away.
func (s *Source) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil && s.away == nil {
		return s.held
	}
	return s.away
}

// Run delivers updates until ctx ends.
func (s *Source) Run(ctx context.Context, apply func(source.Update)) error {
	// The reflectors would log by themselves, each request anew.
	ctx, stop := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	var work sync.WaitGroup
	work.Go(func() { s.follow(ctx) })
	work.Go(func() { s.followDefinitions(ctx) })
	defer func() {
		stop()
		work.Wait()
		s.endAll()
		s.api.close()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.dirty:
		}
		if !pause(ctx, gather) {
			return ctx.Err()
		}
		if s.first && s.hold() {
			continue
		}
		u := s.update()
		if u == nil {
			u = s.secrets.refill(ctx)
		}
		if u != nil {
			u.Supply = s.secrets.supplier(ctx, *u)
			apply(*u)
		}
		if s.secrets.short && !s.secrets.failed {
			s.signal()
		}
	}
}

// hold reports whether the first update has to wait, and says why.
func (s *Source) hold() bool {
	s.mu.Lock()
	why := s.unreadLocked()
	changed := why != nil && (s.held == nil || why.Error() != s.held.Error())
	s.held = why
	s.mu.Unlock()
	if changed && !errors.Is(why, errUnread) {
		s.cfg.Log.Warn("nothing is served yet", "because", why)
	}
	s.report()
	return why != nil
}

// unreadLocked returns what has not been read, or nil.
func (s *Source) unreadLocked() error {
	if !s.found {
		return errUnread
	}
	for _, p := range s.placesLocked() {
		w := s.watches[p]
		switch {
		case w.synced || w.denied != nil && p.GroupKind == resource.SecretKind:
		case w.denied != nil: // it may hold the policies of all that is served
			return fmt.Errorf("%v may not be read, and what it protects would be open: grant list and watch of it: %w", p, w.denied)
		default:
			return fmt.Errorf("%w: %v", errUnread, p)
		}
	}
	for _, e := range s.pending {
		if e != nil && e.broken {
			return fmt.Errorf("nobody can tell what it concerns: %v", e.problems[0])
		}
	}
	return nil
}

// signal wakes up Run.
func (s *Source) signal() { nudge(s.dirty) }

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// report tells of the state of Check.
func (s *Source) report() {
	if s.cfg.Health != nil {
		s.cfg.Health(s.Check())
	}
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
