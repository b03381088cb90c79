package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/ir"
)

// policy reads a policy of any kind.
func (p *place) policy(spec any) {
	switch s := spec.(type) {
	case *extAuthPolicy:
		p.extAuth(s)
	case *jwtPolicy:
		p.jwt(s)
	case *transformationPolicy:
		p.transformation(s)
	case *headerPolicy:
		p.headers(s)
	case *corsPolicy:
		p.cors(s)
	case *retryTimeoutPolicy:
		p.retryTimeout(s)
	case *guardPolicy:
		p.guard(s)
	}
}

// guard closes the routes that a policy selects whose protection we do not
// have. A policy for workloads, by its destinations, guards them behind every
// gateway.
func (p *place) guard(s *guardPolicy) {
	sel := selection{routes: s.Spec.ApplyToRoutes, destinations: s.Spec.ApplyToDestinations, byDestination: p.Object.Kind != "HTTPBufferPolicy"}
	p.Fail("", "remove it to serve these routes without it", "%s is not supported; what it would guard is closed", p.Object.Kind)
	p.attach(p.Object.Kind, p.selected(sel), nil, &ir.Closed{Reason: p.Object.Kind + " is not supported", Origin: p.Origin("")})
}

// extAuth asks callers who they are. Policies by destination and policies by
// route are asked both: neither hides the other.
func (p *place) extAuth(s *extAuthPolicy) {
	c := &s.Spec.Config
	n := 0
	for _, set := range []bool{c.Disable, c.GlooAuth != nil, bool(c.CustomAuth)} {
		if set {
			n++
		}
	}
	at := p.in("config")
	mark := p.Mark()
	var steps []ir.Step
	var closed *ir.Closed
	switch {
	case n != 1:
		at.Fail("", "write glooAuth", "the policy has %d kinds of auth, want one; what it would guard is closed", n)
	case c.Disable:
		at.Fail("disable", "remove the policy", "disable is refused by the product too; what the policy would guard is closed")
	case bool(c.CustomAuth):
		at.Fail("customAuth", "use glooAuth with passThroughAuth", "customAuth, a server of your own in the gateway's place, is not supported; what it would guard is closed")
	default:
		r := glooauth.Translate(p.t.v, glooauth.Source{Object: p.Object, At: "spec.config.glooAuth"}, c.GlooAuth, p.authOptions(c.Server))
		p.t.report.Add(r.Problems...)
		closed = r.Closed
		steps = []ir.Step{{Phase: ir.PhaseAuthenticate, AuthSet: r.Set}}
	}
	if closed == nil && steps == nil {
		closed = p.Since(mark)
	}
	p.put("ExtAuthPolicy", s.Spec.applied, steps, closed)
}

// put attaches a policy that asks callers for something, in one slot for what
// names routes and another for what names destinations.
func (p *place) put(slot string, s applied, steps []ir.Step, closed *ir.Closed) {
	sel := selection{routes: s.ApplyToRoutes, destinations: s.ApplyToDestinations, byDestination: true}
	targets := p.selected(sel)
	p.bound(targets, sel, true)
	if len(s.ApplyToRoutes) == 0 {
		slot += ".destination"
	}
	p.attach(slot, targets, steps, closed)
}

// authOptions reads the ExtAuthServer that a policy names. The gateway itself
// is the server, so one that is not there is none the worse; what bounds the
// questions to it bounds those of passThroughAuth.
func (p *place) authOptions(r *objectRef) glooauth.Options {
	var opts glooauth.Options
	if r == nil {
		return opts
	}
	to := r.in(p.Object.Namespace)
	o := p.t.v.Get(extAuthServerKind, to.Namespace, to.Name)
	if o == nil {
		return opts
	}
	s := o.Spec.(*extAuthServer).Spec
	opts.Timeout = s.RequestTimeout.Duration
	if c := s.StatusOnError; c != 0 {
		if c < 400 || c > 599 {
			p.Warn("config.server", "write one of 400 to 599 there", "the server's statusOnError %d is no status of a refusal", c)
		} else {
			opts.StatusOnError = c
		}
	}
	if b := s.RequestBody; b != nil {
		opts.BodyBytes, opts.PartialBody = max(b.MaxRequestBytes, 0), b.AllowPartialMessage
	}
	if s.ClearRouteCache || bool(s.HTTPService) {
		p.Warn("config.server", "remove them there", "the server's clearRouteCache and httpService are not supported and have no effect")
	}
	return opts
}
