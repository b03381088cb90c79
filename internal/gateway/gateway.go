package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// Config is what a Gateway is made of.
type Config struct {
	Source   source.Source
	Store    *secret.Store
	Pipeline *Pipeline
	Ports    Ports
	Recorder dataplane.Recorder
	// BodyBudget bounds all request bodies held in memory together.
	BodyBudget int64
	// DrainLimit is how long requests may go on after the end was asked for.
	DrainLimit time.Duration
	// DrainDelay is how long connections and requests are still taken before
	// that, while clients are asked to leave and Check says that it drains: so
	// long others may take until they send nobody here.
	DrainDelay time.Duration
	// Deaf says that no port is bound: resources are followed and reported on,
	// and nothing is served.
	Deaf bool
	// Patient says that nothing need be bound at the start: the machine may get
	// the addresses of Gateways later.
	Patient bool
	// Upgraded ends the connections that were upgraded, when draining.
	Upgraded interface{ Close() }
	// Reloaded hears of each update that is served, and of each Refresh.
	Reloaded func(*Applied)
	// Problems are those of what is no resource; nil: there are none.
	Problems func() []status.Problem
	// Beside is what else is known of resources; nil: nothing.
	Beside func(*resource.Set) status.Report
	Clock  func() time.Time
	// After is how a time is waited for; nil: time.After.
	After func(time.Duration) <-chan time.Time
	Log   *slog.Logger
}

// Applied is an update that is served.
type Applied struct {
	*Result
	// Ledger holds what became of the user's resources, and News is what is new
	// of that; Totals count it. The Ledger goes on with the updates to come.
	Ledger *status.Ledger
	News   status.News
	Totals status.Totals
	// Took is the time from the source's update until it was served.
	Took time.Duration
	// First says that it is the one that the gateway starts with; Changed,
	// that it is another snapshot than before.
	First, Changed bool
}

// Gateway serves what a source delivers.
type Gateway struct {
	cfg       Config
	listeners *Listeners
	budget    *dataplane.Budget
	applying  sync.Mutex
	ended     bool // by applying: everything was let go of
	now       atomic.Pointer[Applied]
	unbound   chan struct{} // says that ports could not be bound
	ready     chan struct{}
	once      sync.Once
	draining  atomic.Bool
}

// New returns a Gateway; Run starts it.
func New(cfg Config) *Gateway {
	g := &Gateway{cfg: cfg, budget: dataplane.NewBudget(cfg.BodyBudget), unbound: make(chan struct{}, 1), ready: make(chan struct{})}
	if cfg.After == nil {
		g.cfg.After = time.After
	}
	g.listeners = NewListeners(cfg.Ports, func() *dataplane.Handler {
		return dataplane.NewHandler(cfg.Recorder, g.budget, cfg.Log, cfg.Clock)
	}, cfg.Log)
	return g
}

// Run serves until ctx ends, then drains. It returns the source's error if
// that ends first, and an error if at the start no port at all can be bound
// and nobody said to be Patient.
func (g *Gateway) Run(ctx context.Context) error {
	asked := ctx
	ctx, stop := context.WithCancel(context.WithoutCancel(asked))
	defer stop()
	defer context.AfterFunc(asked, func() { g.part(ctx, stop) })()
	connections, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	endRebinding := g.beginRebinding(ctx)
	var refused error
	err := g.cfg.Source.Run(ctx, func(u source.Update) {
		if refused != nil {
			return
		}
		if refused = g.apply(connections, u); refused != nil {
			stop()
		}
	})
	endRebinding()
	g.drain(ctx, cut)
	if refused != nil || ctx.Err() != nil {
		return refused
	}
	return err
}

// part goes on for DrainDelay after the end was asked for, and asks clients to
// leave: what is revoked meanwhile is revoked here, too.
func (g *Gateway) part(ctx context.Context, stop func()) {
	defer stop()
	if g.cfg.DrainDelay <= 0 {
		return
	}
	g.draining.Store(true)
	g.listeners.Part()
	t := time.NewTimer(g.cfg.DrainDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// apply makes an update what is served: build, swap, then let go of the old.
// The first of them must have a port to be served on, if it names any and
// nobody said to be Patient.
func (g *Gateway) apply(ctx context.Context, u source.Update) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	began := g.cfg.Clock()
	old := g.now.Load()
	result := g.cfg.Pipeline.Apply(u)
	a := &Applied{Result: result, First: old == nil, Changed: old == nil || old.Compiled != result.Compiled}
	var unbound []Unbound
	if a.Changed && !g.cfg.Deaf {
		unbound = g.listeners.Apply(ctx, result.Compiled.Snapshot)
		result.bound(unbound, g.listeners.Reached())
	}
	a.Took = g.cfg.Clock().Sub(began)
	g.cfg.Store.Drop(result.dropped)
	g.review(a)
	g.now.Store(a)
	if a.Changed && old != nil {
		old.Compiled.Snapshot.Release()
	}
	if n := len(result.Compiled.Snapshot.Sockets); a.First && n > 0 && len(unbound) == n && !g.cfg.Patient {
		return unboundError(unbound)
	}
	if len(unbound) > 0 {
		select {
		case g.unbound <- struct{}{}:
		default: // it is said already
		}
	}
	g.once.Do(func() { close(g.ready) })
	if g.cfg.Reloaded != nil {
		g.cfg.Reloaded(a)
	}
	return nil
}

// review looks again at what is wrong, and fills in what is known of it.
func (g *Gateway) review(a *Applied) {
	var own []status.Problem
	var beside status.Report
	if g.cfg.Problems != nil {
		own = g.cfg.Problems()
	}
	if g.cfg.Beside != nil {
		beside = g.cfg.Beside(a.Set)
	}
	a.Ledger = a.pipeline.ledger
	release := a.Ledger.Hold()
	a.Result.review(own, beside)
	release()
	a.News, a.Totals = a.Ledger.Take(), a.Ledger.Totals()
}

// Refresh looks again at what is wrong, when bytes have changed that are not
// the source's.
func (g *Gateway) Refresh() {
	g.applying.Lock()
	defer g.applying.Unlock()
	old := g.now.Load()
	if old == nil || g.ended {
		return
	}
	g.tellAgain(old.Result)
}

// tellAgain looks again at what is wrong with what is served, and says what is
// new.
func (g *Gateway) tellAgain(r *Result) {
	a := &Applied{Result: r}
	g.review(a)
	g.now.Store(a)
	if g.cfg.Reloaded != nil {
		g.cfg.Reloaded(a)
	}
}

// unboundError says that no port could be bound, with the reason of each.
func unboundError(unbound []Unbound) error {
	errs := []error{errors.New("no port could be bound")}
	for _, u := range unbound {
		errs = append(errs, errors.New(u.Problem().String()))
	}
	return errors.Join(errs...)
}

// drain ends accepting, waits for what is under way, and lets go of
// everything. At the limit, what is left is cut, on ports that were freed
// before, too.
func (g *Gateway) drain(ctx context.Context, cut context.CancelFunc) {
	g.draining.Store(true)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.DrainLimit)
	defer cancel()
	kept := context.AfterFunc(limit, func() {
		cut()
		g.endUpgraded()
	})
	g.listeners.Drain(limit)
	kept()
	g.endUpgraded()
	g.applying.Lock()
	defer g.applying.Unlock()
	g.ended = true
	if a := g.now.Load(); a != nil {
		a.Compiled.Snapshot.Release()
	}
}

func (g *Gateway) endUpgraded() {
	if g.cfg.Upgraded != nil {
		g.cfg.Upgraded.Close()
	}
}

// Ready is closed when the first update is served.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Check returns nil when the gateway serves, and why it does not otherwise.
func (g *Gateway) Check() error {
	switch {
	case g.draining.Load():
		return fmt.Errorf("draining")
	case g.now.Load() == nil:
		return fmt.Errorf("the resources are not read yet")
	}
	return nil
}

// Report returns what became of the user's resources, and which credentials
// cannot be fetched now.
func (g *Gateway) Report() status.Report {
	a := g.now.Load()
	if a == nil {
		return status.Report{}
	}
	out := a.Ledger.Report()
	if live := a.Compiled.CredentialProblems(); len(live) > 0 {
		out.Add(live...)
		out.Sort()
	}
	return out
}

// Alerts returns the problems that a person must act on, those of credentials
// that cannot be fetched now among them, and the objects that they are of; nil
// before the first update.
func (g *Gateway) Alerts() (*resource.Set, []status.Problem) {
	a := g.now.Load()
	if a == nil {
		return nil, nil
	}
	return a.Set, append(a.Ledger.Alerts(), a.Compiled.CredentialProblems()...)
}

// IR returns the configuration that is served. It must not be changed.
func (g *Gateway) IR() *ir.Config {
	if a := g.now.Load(); a != nil {
		return a.Config
	}
	return &ir.Config{}
}

// Budget returns the budget of held request bodies.
func (g *Gateway) Budget() *dataplane.Budget { return g.budget }

// Listeners returns the bound ports.
func (g *Gateway) Listeners() *Listeners { return g.listeners }
