package compile

import (
	"errors"
	"fmt"

	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/ir"
)

// passthrough makes what carries a listener's connections. What protects the
// listener and cannot hold for a connection closes it.
func (r *run) passthrough(bl *builtListener, l *ir.Listener, out *dataplane.Listener) {
	bl.carried = &built{session: r.deps.Keep.Begin()}
	carrier, err := r.carrier(bl.carried, l, out.Limits)
	if err == nil && len(l.HTTP.Steps)+len(out.Stages) > 0 {
		err = errors.New("what protects its requests cannot hold for connections that are passed through")
	}
	if err != nil {
		r.problem(l.Origin, "correct it", "%v; its connections are closed", err)
		out.Closed = &ir.Closed{Reason: err.Error(), Origin: l.Origin}
		carrier, _ = forward.NewPassthrough(nil, nil, 0, r.deps.Forward)
	}
	out.Carrier = carrier
}

func (r *run) carrier(b *built, l *ir.Listener, limits dataplane.Limits) (*forward.Passthrough, error) {
	var admit []forward.Admission
	for _, s := range l.Passthrough.Policies {
		a, err := r.admission(s)
		if err != nil {
			return nil, err
		}
		admit = append(admit, a)
	}
	var routes []*forward.SNIRoute
	for _, rt := range l.Passthrough.Routes {
		routes = append(routes, r.sniRoute(b, rt))
	}
	return forward.NewPassthrough(routes, admit, limits.IdleTimeout, r.deps.Forward)
}

// admission compiles policies that decide about connections.
func (r *run) admission(s ir.Step) (forward.Admission, error) {
	if s.Authorization == nil {
		return nil, fmt.Errorf("%s: it cannot decide about a connection", s.Slot)
	}
	p, err := authz.NewPolicies(s.Authorization)
	switch {
	case err != nil:
		return nil, err
	case p.HandsOver():
		return nil, fmt.Errorf("%s: nobody can be asked about a connection", s.Slot)
	}
	return filter.NewConnectionPolicies(p, s.Slot, s.Origin), nil
}

// sniRoute compiles a route; its pools are those that requests use.
func (r *run) sniRoute(b *built, rt *ir.SNIRoute) *forward.SNIRoute {
	out := &forward.SNIRoute{Name: rt.Name, ServerNames: rt.ServerNames, Closed: rt.Closed, Origin: rt.Origin}
	for _, backend := range rt.Forward.Backends {
		out.Backends = append(out.Backends, r.carryingBackend(b, backend))
	}
	return out
}

func (r *run) carryingBackend(held *built, b ir.Backend) forward.Backend {
	out := forward.Backend{Name: b.Upstream, Weight: b.Weight, Closed: b.Closed}
	if out.Closed != nil {
		return out
	}
	u := r.config.Upstreams[b.Upstream]
	if u == nil {
		out.Closed = &ir.Closed{Reason: "upstream " + b.Upstream + " does not exist", Origin: b.Origin}
		return out
	}
	tiers := u.Tiers
	if len(tiers) == 0 {
		tiers = [][]ir.TierMember{{{Upstream: u.Name}}}
	}
	for _, members := range tiers {
		var tier []*forward.Upstream
		for _, m := range members {
			member := r.config.Upstreams[m.Upstream]
			if member == nil || member.Closed != nil {
				continue
			}
			pool, err := r.pool(held.session, member)
			if err != nil {
				r.problem(member.Origin, "correct it", "upstream %s: %v; nothing is carried to it", member.Name, err)
				continue
			}
			tier = append(tier, pool)
		}
		out.Tiers = append(out.Tiers, tier)
	}
	if u.Closed != nil {
		out.Closed = u.Closed
	}
	return out
}
