package compile

import (
	"fmt"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/keep"
)

// forward compiles the stage that sends requests on.
func (rb *routeBuilder) forward(f *ir.Forward) (dataplane.Stage, error) {
	backends := make([]forward.Backend, len(f.Backends))
	for i, b := range f.Backends {
		var err error
		if backends[i], err = rb.backend(b); err != nil {
			return nil, &stepError{b.Origin, err}
		}
	}
	return forward.New(backends, rb.settings, rb.deps.Forward)
}

// backend compiles one weighted share of a route.
func (rb *routeBuilder) backend(b ir.Backend) (forward.Backend, error) {
	out := forward.Backend{Name: b.Upstream, Weight: b.Weight, Closed: b.Closed}
	u := rb.config.Upstreams[b.Upstream]
	switch {
	case out.Closed != nil:
		return out, nil
	case u == nil:
		out.Closed = &ir.Closed{Reason: "upstream " + b.Upstream + " does not exist", Origin: b.Origin}
		return out, nil
	case u.Closed != nil:
		out.Closed = u.Closed
		return out, nil
	}
	var err error
	if out.Stages, err = rb.steps(b.Steps); err != nil {
		return out, err
	}
	if len(u.Tiers) > 0 {
		out.Tiers, err = rb.tiers(u, &out)
		return out, err
	}
	out.Upstream, err = rb.member(u, &out)
	return out, err
}

// member returns the pool of one upstream of a backend, and gives the backend
// the stages that run for each attempt on it.
func (rb *routeBuilder) member(u *ir.Upstream, b *forward.Backend) (*forward.Upstream, error) {
	pool, err := rb.upstream(u)
	if err != nil || len(u.Steps) == 0 {
		return pool, err
	}
	for _, s := range u.Steps {
		if s.Transform != nil { // the body and the answer are beyond an attempt's stages
			return nil, &stepError{s.Origin, fmt.Errorf("%s: a transformation cannot run for each attempt", s.Slot)}
		}
	}
	if b.UpstreamStages == nil {
		b.UpstreamStages = map[*forward.Upstream][]dataplane.Stage{}
	}
	b.UpstreamStages[pool], err = rb.steps(u.Steps)
	return pool, err
}

// tiers compiles the members of a failover group. A closed member is left
// out: its requests go to the others of its tier.
func (rb *routeBuilder) tiers(u *ir.Upstream, b *forward.Backend) ([][]*forward.Upstream, error) {
	var out [][]*forward.Upstream
	b.Weights = nil
	for _, members := range u.Tiers {
		var tier []*forward.Upstream
		var weights []int
		for _, member := range members {
			m := rb.config.Upstreams[member.Upstream]
			if m == nil || m.Closed != nil {
				continue
			}
			pool, err := rb.member(m, b)
			if err != nil {
				return nil, err
			}
			tier, weights = append(tier, pool), append(weights, member.Weight)
		}
		if len(tier) > 0 {
			out, b.Weights = append(out, tier), append(b.Weights, weights)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("upstream %s: no member can be used", u.Name)
	}
	return out, nil
}

// upstream returns the kept pool of an upstream that the route uses.
func (rb *routeBuilder) upstream(u *ir.Upstream) (*forward.Upstream, error) {
	pool, err := rb.pool(rb.b.session, u)
	if err != nil {
		return nil, &stepError{u.Origin, fmt.Errorf("upstream %s: %w", u.Name, err)}
	}
	if usesIdentity(u) {
		if err := rb.needsIdentity(); err != nil {
			return nil, &stepError{u.Origin, fmt.Errorf("upstream %s: %w", u.Name, err)}
		}
		if rb.deps.Identity == IdentityAssumed {
			return pool, nil
		}
	}
	rb.b.checks = append(rb.b.checks, check{origin: u.Origin, err: pool.CheckTLS})
	if u.Credential != nil {
		origin := u.Credential.Origin
		if origin == (ir.Origin{}) {
			origin = u.Origin
		}
		rb.b.checks = append(rb.b.checks, check{origin: origin, err: pool.CheckCredential}, check{origin: origin, fetched: pool.Credential})
	}
	return pool, nil
}

// pool returns the kept pool of an upstream, held by a session.
func (r *run) pool(session *keep.Session, u *ir.Upstream) (*forward.Upstream, error) {
	pool, err := keep.Get(session, r.poolKey(u), func() (*forward.Upstream, error) {
		pool, err := forward.NewUpstream(u, r.deps.Forward)
		if pool != nil { // err is of secret bytes, which Check tells of
			return pool, nil
		}
		return nil, err
	})
	if err == nil {
		pool.SetEndpoints(u.Endpoints)
	}
	return pool, err
}

func (r *run) poolKey(u *ir.Upstream) string { return r.key(u, "upstream", lasting(u)) }

// lasting returns what of an upstream tells it from others: all but endpoints
// that are discovered. A pool gets these while it serves.
func lasting(u *ir.Upstream) *ir.Upstream {
	if u == nil || u.Discovered == "" {
		return u
	}
	n := *u
	n.Endpoints = nil
	return &n
}

// refill gives the pool of an upstream other endpoints, where it is in use.
func (r *run) refill(u *ir.Upstream) {
	if pool, ok := keep.Find[*forward.Upstream](r.deps.Keep, r.poolKey(u)); ok {
		pool.SetEndpoints(u.Endpoints)
	}
}

// key returns the key of a kept thing, worked out once for each identity.
func (r *run) key(identity any, kind string, config any) string {
	k := r.keys[identity]
	if k == "" {
		k = keep.Key(kind, config)
		r.keys[identity] = k
	}
	return k
}
