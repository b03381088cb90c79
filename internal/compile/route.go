package compile

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/status"
)

// routeKey finds a compiled route: what it is told of depends on whether its
// listener asks nobody for a certificate.
type routeKey struct {
	*ir.Route
	open bool
}

// built is one compiled route. Snapshots share it as long as the ir.Route and
// the upstreams that it looks at are the same; it holds what is kept for it
// until the last of them is released.
type built struct {
	routeKey
	route   *dataplane.Route
	entries []*match.Entry[*dataplane.Route]
	// unmatched says that an entry has a path that no request can have.
	unmatched bool
	upstreams []string // that its compilation looks at
	report    status.Report
	checks    []check
	exposed   bool
	session   *keep.Session
	// hosts and door are what it is in.
	hosts []*builtHost
	door  *builtListener
}

// route compiles a route, or finds it compiled.
func (r *run) route(rt *ir.Route, open bool) *built {
	key := routeKey{rt, open}
	b := r.routes[key]
	if b == nil || r.stale[b] {
		b = r.build(key)
		r.routes[key] = b
		r.register(b)
		r.out.Built++
	}
	return b
}

// register takes note of what a route says and looks at.
func (r *run) register(b *built) {
	for _, name := range b.upstreams {
		if r.users[name] == nil {
			r.users[name] = map[*built]bool{}
		}
		r.users[name][b] = true
	}
	r.names[b.Name]++
	if b.exposed {
		r.exposed++
	}
	r.Compiler.checks.put(b, b.checks)
	r.Ledger.Put(status.PassCompile, b, b.report)
}

// drop forgets a route that is in nothing any more. The snapshot before holds
// it still.
func (r *run) drop(b *built) {
	if len(b.hosts) > 0 || b.door != nil {
		return
	}
	for _, name := range b.upstreams {
		if delete(r.users[name], b); len(r.users[name]) == 0 {
			delete(r.users, name)
		}
	}
	if r.names[b.Name]--; r.names[b.Name] == 0 {
		delete(r.names, b.Name)
	}
	if b.exposed {
		r.exposed--
	}
	if r.routes[b.routeKey] == b {
		delete(r.routes, b.routeKey)
	}
	r.Compiler.checks.put(b, nil)
	r.Ledger.Put(status.PassCompile, b, status.Report{})
	r.gone = append(r.gone, b)
}

// reached returns the name of every upstream that a route's compilation looks
// at, be it there or not.
func (r *run) reached(rt *ir.Route) []string {
	var out []string
	add := func(names ...string) {
		for _, name := range names {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	steps := func(steps []ir.Step) {
		for _, s := range steps {
			if s.Mirror != nil {
				add(s.Mirror.Upstream)
			}
			if s.AuthSet != nil {
				add(s.AuthSet.Upstreams()...)
			}
			if s.Authorization != nil {
				add(s.Authorization.Upstreams()...)
			}
			if s.JWT != nil {
				for _, p := range s.JWT.Providers {
					if p.Keys.Remote != nil && p.Keys.Remote.Upstream != "" {
						add(p.Keys.Remote.Upstream)
					}
				}
			}
		}
	}
	steps(rt.Steps)
	if f := rt.Action.Forward; f != nil {
		for _, b := range f.Backends {
			steps(b.Steps)
			add(b.Upstream)
			if u := r.config.Upstreams[b.Upstream]; u != nil {
				for _, tier := range u.Tiers {
					for _, member := range tier {
						add(member.Upstream)
					}
				}
			}
		}
	}
	return out
}

// build compiles a route from nothing.
func (r *run) build(key routeKey) *built {
	rt := key.Route
	b := &built{routeKey: key, upstreams: r.reached(rt), session: r.deps.Keep.Begin()}
	b.report = modelFaults(ir.ValidateRoute(r.config, rt))
	rb := &routeBuilder{run: r, rt: rt, b: b}
	stages, guards := rb.stages()
	b.route = &dataplane.Route{Name: rt.Name, Origin: rt.Origin, Stages: stages, Guards: guards, Sanitize: rb.sanitized(), Brought: rb.brought()}
	rb.describe(b.route)
	if r.deps.Unserved {
		b.route, b.checks = r.nobody, nil
	}
	for _, m := range rt.Matches {
		path, err := normalized(m.Path)
		m.Path, b.unmatched = path, b.unmatched || err != nil
		b.entries = append(b.entries, &match.Entry[*dataplane.Route]{Match: m, Value: b.route})
	}
	return b
}

// routeBuilder compiles one route.
type routeBuilder struct {
	*run
	rt *ir.Route
	b  *built
	// sanitize are headers that the steps may set, inputs those in which they
	// look for credentials.
	sanitize, inputs []string
	// guards marks the guards among the stages built so far; those of the
	// route itself are taken before its backends add theirs.
	guards []bool
	// entry is what the steps so far ask before a body is read; shut says that
	// the route is closed.
	entry    dataplane.Entry
	shut     bool
	settings forward.Settings
}

// sanitized are the headers that are removed before the first stage: all that
// a step may set, but those that hold credentials for one. From these the
// client's value goes when the step that sets them accepts the caller.
func (rb *routeBuilder) sanitized() []string {
	return slices.DeleteFunc(rb.sanitize, func(name string) bool { return slices.Contains(rb.inputs, name) })
}

// brought are the headers in which callers may bring a credential for one of
// the route's upstreams, but those in which they prove themselves to us.
func (rb *routeBuilder) brought() []string {
	var out []string
	for _, name := range rb.b.upstreams {
		u := rb.config.Upstreams[name]
		if u == nil {
			continue
		}
		for _, name := range credential.OverrideHeaders(u.Credential) {
			if !dataplane.IsCredentialHeader(name) && !slices.Contains(rb.inputs, name) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// stages returns the route's stages, the last of which answers, and which of
// them are guards. Where one
// cannot be built, the route is closed at once: before anyone is asked, so
// that a broken protection shows.
func (rb *routeBuilder) stages() ([]dataplane.Stage, []bool) {
	if rb.closedByExposure() {
		rb.shutEntry()
		return []dataplane.Stage{dataplane.Closed(&ir.Closed{Status: 403, Reason: "carries a provider credential and asks nobody; refused by --exposed=deny", Origin: rb.rt.Origin})}, nil
	}
	stages, err := rb.steps(rb.rt.Steps)
	if err != nil {
		return []dataplane.Stage{rb.closed(err)}, nil
	}
	rb.reportUnset()
	guards, entry := slices.Clone(rb.guards), rb.entry
	if rb.rt.Action.Models != nil {
		return stages, guards
	}
	last, err := rb.action()
	if err != nil {
		return []dataplane.Stage{rb.closed(err)}, nil
	}
	rb.entry = entry // the backends' steps come after the body
	if rb.rt.Action.Closed != nil {
		rb.entry.Proof = len(stages) + 1
	}
	return append(stages, last), guards
}

// closed reports err and returns the stage that closes the route.
func (rb *routeBuilder) closed(err error) dataplane.Stage {
	rb.shutEntry()
	origin := rb.rt.Origin
	if at, ok := err.(*stepError); ok {
		origin = at.origin
	}
	// No word of the route: a step of many routes is told of once.
	rb.b.report.Add(status.Errorf(origin, "%v; the routes that need it are closed", err).Fix("correct it"))
	return dataplane.Closed(&ir.Closed{Reason: err.Error(), Origin: origin})
}

// closedByExposure reports a route that carries a credential and asks nobody,
// and whether it is to be closed for that.
func (rb *routeBuilder) closedByExposure() bool {
	carries := rb.config.Carries(rb.rt)
	if len(carries) == 0 || len(rb.rt.Asks()) > 0 || rb.rt.Action.Forward == nil || !rb.b.open {
		return false
	}
	rb.b.exposed = true
	p := status.Warningf(rb.rt.Origin, "anyone who reaches %s may use the provider credential %s", rb.rt.Name, strings.Join(carries, ", "))
	if rb.deps.Exposed == ExposedDeny {
		p.Severity = status.Error
		p.What += "; closed by --exposed=deny"
	}
	rb.b.report.Add(p.Fix("ask the callers who they are, with a JWT policy for instance").Alerting(status.ExposedCredential))
	return rb.deps.Exposed == ExposedDeny
}

// action compiles what the route does in the end.
func (rb *routeBuilder) action() (dataplane.Stage, error) {
	switch a := rb.rt.Action; {
	case a.Redirect != nil:
		return filter.NewRedirect(a.Redirect)
	case a.Direct != nil:
		return filter.NewDirect(a.Direct)
	case a.Forward != nil:
		return rb.forward(a.Forward)
	case a.Closed != nil:
		return dataplane.Closed(a.Closed), nil
	}
	return dataplane.Closed(&ir.Closed{Reason: "the route has no action", Origin: rb.rt.Origin}), nil
}
