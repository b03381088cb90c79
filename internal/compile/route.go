package compile

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/status"
)

// built is one compiled route. Snapshots share it as long as the ir.Route and
// the upstreams that it was made of are the same; it holds what is kept for
// it until the last of them is released.
type built struct {
	route     *dataplane.Route
	upstreams []*ir.Upstream // inputs besides the route
	open      bool           // some listener of it asks nobody for a certificate
	report    status.Report
	checks    []check
	exposed   bool
	session   *keep.Session
	snapshots int
}

func (b *built) release() {
	if b.snapshots--; b.snapshots == 0 {
		b.session.Release()
	}
}

// route compiles a route, or finds it compiled.
func (r *run) route(rt *ir.Route) *built {
	if b := r.next[rt]; b != nil { // on another host of this configuration
		return b
	}
	reached := r.reached(rt)
	b := r.routes[rt]
	if b == nil || !slices.Equal(b.upstreams, reached) || b.open != r.open[rt] {
		b = r.build(rt, reached)
		r.out.Built++
	}
	b.snapshots++
	r.next[rt] = b
	r.used = append(r.used, b)
	r.out.Report.Join(b.report)
	r.out.checks = append(r.out.checks, b.checks...)
	if b.exposed {
		r.out.Exposed++
	}
	return b
}

// reached returns every upstream that a route's compilation looks at.
func (r *run) reached(rt *ir.Route) []*ir.Upstream {
	var out []*ir.Upstream
	mirrors := func(steps []ir.Step) {
		for _, s := range steps {
			if s.Mirror != nil {
				out = append(out, r.config.Upstreams[s.Mirror.Upstream])
			}
			if s.AuthSet != nil {
				for _, name := range s.AuthSet.Upstreams() {
					out = append(out, r.config.Upstreams[name])
				}
			}
			if s.Authorization != nil {
				for _, name := range s.Authorization.Upstreams() {
					out = append(out, r.config.Upstreams[name])
				}
			}
			if s.JWT != nil {
				for _, p := range s.JWT.Providers {
					if p.Keys.Remote != nil && p.Keys.Remote.Upstream != "" {
						out = append(out, r.config.Upstreams[p.Keys.Remote.Upstream])
					}
				}
			}
		}
	}
	mirrors(rt.Steps)
	if f := rt.Action.Forward; f != nil {
		for _, b := range f.Backends {
			mirrors(b.Steps)
			out = append(out, r.config.Upstreams[b.Upstream])
			out = append(out, r.config.Reached(b)...)
		}
	}
	return out
}

// build compiles a route from nothing.
func (r *run) build(rt *ir.Route, reached []*ir.Upstream) *built {
	b := &built{upstreams: reached, open: r.open[rt], session: r.deps.Keep.Begin()}
	rb := &routeBuilder{run: r, rt: rt, b: b}
	stages, guards := rb.stages()
	b.route = &dataplane.Route{Name: rt.Name, Origin: rt.Origin, Stages: stages, Guards: guards, Sanitize: rb.sanitized(), Brought: rb.brought()}
	rb.describe(b.route)
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
	for _, u := range rb.b.upstreams {
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
