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
	"log/slog"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/credential"
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
// again. It is for one goroutine.
type Compiler struct {
	deps   Deps
	routes map[*ir.Route]*built
	hosts  map[hostKey]*builtHost
}

// New returns a Compiler.
func New(deps Deps) *Compiler {
	deps.Forward.Keep = deps.Keep
	return &Compiler{deps: deps, routes: map[*ir.Route]*built{}}
}

// Compiled is a snapshot and what belongs to it.
type Compiled struct {
	Snapshot *dataplane.Snapshot
	Report   status.Report
	// Exposed counts the routes that carry a credential and ask nobody.
	Exposed int
	// Built counts the routes that were compiled anew.
	Built        int
	checks       []check
	certificates []shown
}

// check asks again whether something made of secret bytes can be used.
// Exactly one of the functions is set. The bytes are at fault, but where a
// credential is fetched.
type check struct {
	origin   ir.Origin
	err      func() error
	problems func() []status.Problem
	made     any // the problems are of this, whoever asks
	// fetched tells how a credential is that is fetched.
	fetched func() (credential.Status, bool)
}

// SecretProblems tells which secrets' bytes cannot be used now. The answer
// changes with the bytes, not with the snapshot.
func (c *Compiled) SecretProblems() []status.Problem {
	var out []status.Problem
	asked := map[any]bool{}
	for _, ch := range c.checks {
		if ch.fetched != nil {
			continue
		}
		if ch.problems != nil {
			if !asked[ch.made] {
				asked[ch.made] = true
				out = append(out, ch.problems()...)
			}
			continue
		}
		if err := ch.err(); err != nil {
			out = append(out, status.Errorf(ch.origin, "%v; requests for it are refused", err).Fix("correct the secret"))
		}
	}
	return out
}

// CredentialProblems tells which credentials cannot be fetched now. The answer
// changes with time.
func (c *Compiled) CredentialProblems() []status.Problem {
	var out []status.Problem
	for _, ch := range c.checks {
		if ch.fetched == nil {
			continue
		}
		s, ok := ch.fetched()
		switch {
		case !ok || s.Error == "":
		case s.Valid:
			out = append(out, status.Warningf(ch.origin, "%s: renewing it fails, and the present one ends at %s: %s", s.Name, s.Expires.UTC().Format(time.RFC3339), s.Error).
				Fix("correct what is named, or make the server reachable"))
		default:
			out = append(out, status.Errorf(ch.origin, "%s: it cannot be fetched: %s; requests that need it get 503", s.Name, s.Error).
				Fix("correct what is named, or make the server reachable"))
		}
	}
	return out
}

// run is one compilation.
type run struct {
	*Compiler
	config *ir.Config
	out    *Compiled
	used   []*built
	next   map[*ir.Route]*built
	hosts  map[hostKey]*builtHost
	open   map[*ir.Route]bool // routes that someone without a client certificate reaches
	keys   map[any]string     // of kept things, by the identity of their configuration
	// policies that were made ready for another route of this run.
	policies map[*ir.Authorization]*authz.Policies
}

// Compile returns the snapshot of cfg. It never fails as a whole: what cannot
// be built is closed and reported.
func (c *Compiler) Compile(cfg *ir.Config) *Compiled {
	r := &run{
		Compiler: c, config: cfg,
		out:  &Compiled{Snapshot: &dataplane.Snapshot{}},
		next: map[*ir.Route]*built{}, hosts: map[hostKey]*builtHost{},
		open: openRoutes(cfg), keys: map[any]string{}, policies: map[*ir.Authorization]*authz.Policies{},
	}
	for _, err := range ir.Validate(cfg) {
		r.out.Report.Add(status.Errorf(ir.Origin{Kind: "gateway", Name: "model"}, "%v", err))
	}
	r.sockets()
	c.routes, c.hosts = r.next, r.hosts
	used := r.used
	r.out.Snapshot.Release = func() {
		for _, b := range used {
			b.release()
		}
	}
	return r.out
}

// problem reports what is wrong with a piece of configuration.
func (r *run) problem(origin ir.Origin, remedy, format string, args ...any) {
	r.out.Report.Add(status.Errorf(origin, format, args...).Fix("%s", remedy))
}

// closedFor returns the stage and the report of something that cannot be
// built.
func (r *run) closedFor(origin ir.Origin, err error) dataplane.Stage {
	r.problem(origin, "correct it", "%v; its requests get 500", err)
	return dataplane.Closed(&ir.Closed{Reason: err.Error(), Origin: origin})
}
