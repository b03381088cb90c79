// Package compile makes the immutable thing that serves requests out of the
// plain data that the dialects produced. Everything that can be parsed,
// resolved or built is parsed, resolved and built here, once; a request pays
// for none of it. It does no I/O: what needs some (connection pools, key
// sets) is made by its own package and kept across snapshots.
//
//	*ir.Config ─► Compiler ─► *dataplane.Snapshot, status.Report
//	                 │
//	                 └─ keep (pools, key sets), secret.Store (derived values)
//
// It fails closed, route by route: a route of which something cannot be built
// answers 500 and says why in the report; the others are served.
package compile

import (
	"crypto/tls"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// Exposure says what becomes of a route that carries a provider's credential
// and asks nobody who they are.
type Exposure string

// The exposures.
const (
	// ExposedWarn serves it and warns: the zero value.
	ExposedWarn Exposure = ""
	// ExposedDeny closes it.
	ExposedDeny Exposure = "deny"
)

// Deps is what a Compiler builds with.
type Deps struct {
	Store   *secret.Store
	Keep    *keep.Keep
	Forward forward.Deps
	Tokens  *authn.TokenCache
	// KeyClient fetches remote key sets that no upstream carries; nil fetches
	// none at all, for resources that are looked at and not served.
	KeyClient authn.Doer
	Clock     func() time.Time
	Log       *slog.Logger
	Exposed   Exposure
	// Unserved says that the snapshot is for nobody, and only the report is
	// asked for: what was built is let go of when it is known what is wrong with
	// it, and secrets are not looked at.
	Unserved bool
	// Rehearse says that the snapshot is for dataplane.Rehearse: every step
	// tells what it does. JWKS and Answer are what is known of other servers,
	// which nobody asks; a set of keys by its URL.
	Rehearse bool
	JWKS     map[string]*authn.KeySet
	Answer   func(m *ir.AuthMethod) *authn.ServerAnswer
	// Identity says whether the Store gets a workload certificate of our own.
	Identity Identity
}

// Compiler turns configurations into snapshots, and uses what did not change
// again: what is the same pointer in two configurations is compiled once. It is
// for one goroutine.
type Compiler struct {
	// Ledger gets the problems, as status.PassCompile; nil: the Compiler has one
	// of its own. It must not be set after the first Compile.
	Ledger *status.Ledger

	deps      Deps
	routes    map[routeKey]*built
	listeners map[listenerKey]*builtListener
	upstreams map[string]*ir.Upstream // of the last configuration
	users     map[string]map[*built]bool
	names     map[string]int // of routes
	exposed   int
	checks    checks
	pairs     map[ir.KeyPair]*secret.Derived[tls.Certificate] // of KeyPairFaults
	nobody    *dataplane.Route                                // in place of each, where they are Unserved

	mu             sync.Mutex
	oldest, newest *version
}

// New returns a Compiler.
func New(deps Deps) *Compiler {
	deps.Forward.Keep = deps.Keep
	c := &Compiler{deps: deps, checks: checks{none: deps.Unserved}, nobody: &dataplane.Route{}}
	c.reset()
	return c
}

// reset makes the next snapshot one that is made from nothing.
func (c *Compiler) reset() {
	c.routes, c.listeners = map[routeKey]*built{}, map[listenerKey]*builtListener{}
	c.upstreams, c.users = nil, map[string]map[*built]bool{}
	c.names, c.exposed = map[string]int{}, 0
	c.checks.clear()
}

// Compiled is a snapshot and what belongs to it.
type Compiled struct {
	Snapshot *dataplane.Snapshot
	// Exposed counts the routes that carry a credential and ask nobody.
	Exposed int
	// Built counts the routes that were compiled anew.
	Built int

	compiler *Compiler
}

// Report returns what is wrong with what was compiled last, sorted.
func (c *Compiled) Report() status.Report { return c.compiler.Ledger.Report() }

// Routes reports whether a route of the name is in what was compiled last. It
// is for the goroutine that compiles.
func (c *Compiled) Routes(name string) bool { return c.compiler.names[name] > 0 }

// run is one compilation.
type run struct {
	*Compiler
	config *ir.Config
	out    *Compiled
	// told and asked get the problems and the checks of what is being compiled.
	told  *status.Report
	asked *[]check
	// moved says that some upstream is another; stale are the routes that look
	// at one, and hosts and doors what they are in.
	moved bool
	stale map[*built]bool
	hosts map[*builtHost]bool
	doors map[*builtListener]bool
	gone  []*built       // that nothing uses any more
	keys  map[any]string // of kept things, by the identity of their configuration
	// policies that were made ready for another route of this run.
	policies map[*ir.Authorization]*authz.Policies
}

// Compile returns the snapshot of cfg. It never fails as a whole: what cannot
// be built is closed and reported.
func (c *Compiler) Compile(cfg *ir.Config) *Compiled {
	if c.Ledger == nil {
		c.Ledger = new(status.Ledger)
	}
	r := &run{
		Compiler: c, config: cfg,
		out:   &Compiled{Snapshot: &dataplane.Snapshot{}, compiler: c},
		stale: map[*built]bool{}, hosts: map[*builtHost]bool{}, doors: map[*builtListener]bool{},
		keys: map[any]string{}, policies: map[*ir.Authorization]*authz.Policies{},
	}
	r.follow()
	r.sockets(r.compileListeners())
	r.out.Exposed = c.exposed
	r.out.Snapshot.Release = c.release(r.gone)
	return r.out
}

// follow finds the routes that look at an upstream which is another than
// before.
func (r *run) follow() {
	before, after := r.upstreams, r.config.Upstreams
	if before != nil && sameMap(before, after) {
		return
	}
	change := func(name string) {
		r.moved = true
		for b := range r.users[name] {
			r.stale[b] = true
			for _, h := range b.hosts {
				r.hosts[h], r.doors[h.listener] = true, true
			}
			if b.door != nil {
				r.doors[b.door] = true
			}
		}
	}
	for name, u := range after {
		if before[name] != u {
			change(name)
		}
	}
	for name := range before {
		if after[name] == nil {
			change(name)
		}
	}
	r.upstreams = after
	if r.moved {
		r.Ledger.Put(status.PassCompile, &r.upstreams, modelFaults(ir.ValidateUpstreams(r.config)))
	}
}

// sameMap reports whether a and b are one map, which nobody changes: there is
// no need to look into it then.
func sameMap(a, b map[string]*ir.Upstream) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// modelFaults reports where the model's own rules are broken.
func modelFaults(faults []error) status.Report {
	var out status.Report
	for _, err := range faults {
		out.Add(status.Errorf(ir.Origin{Kind: "gateway", Name: "model"}, "%v", err))
	}
	return out
}

// version is a snapshot in the order of all.
type version struct {
	released bool
	gone     []*built // what the next one does not use
	next     *version
}

// release begins a new version, after which gone is not used any more, and
// returns what ends it. Versions end in their order, whenever they are let go
// of; with the last one everything ends.
func (c *Compiler) release(gone []*built) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &version{}
	if c.newest == nil {
		c.oldest = v
	} else {
		c.newest.gone, c.newest.next = gone, v
	}
	c.newest = v
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		v.released = true
		for c.oldest != nil && c.oldest.released {
			unused := c.oldest.gone
			if c.oldest.next == nil {
				unused = c.everything()
				c.newest = nil
				c.reset()
			}
			for _, b := range unused {
				b.session.Release()
			}
			c.oldest = c.oldest.next
		}
	}
}

// everything returns all that is in use.
func (c *Compiler) everything() []*built {
	out := slices.Collect(maps.Values(c.routes))
	for _, l := range c.listeners {
		if l.carried != nil {
			out = append(out, l.carried)
		}
	}
	return out
}

// problem reports what is wrong with a piece of configuration.
func (r *run) problem(origin ir.Origin, remedy, format string, args ...any) {
	r.told.Add(status.Errorf(origin, format, args...).Fix("%s", remedy))
}

// closedFor returns the stage and the report of something that cannot be
// built.
func (r *run) closedFor(origin ir.Origin, err error) dataplane.Stage {
	r.problem(origin, "correct it", "%v; its requests get 500", err)
	return dataplane.Closed(&ir.Closed{Reason: err.Error(), Origin: origin})
}
