package dialect

import (
	"reflect"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

// ClientCertificate is what upstreams over TLS are shown on behalf of a
// listener's Gateway, unless their own configuration says what they are shown.
type ClientCertificate struct {
	// Name says whose it is, in the names of upstreams: "namespace/gateway".
	Name string
	Pair *ir.KeyPair
	// Closed is set where there is no certificate to show: upstreams over TLS
	// are closed then, rather than asked without one.
	Closed *ir.Closed
}

// maxTiers bounds tiers of tiers.
const maxTiers = 8

// shown returns the name of an upstream as the listener's routes use it: its
// own, or that of a variant that is shown the listener's certificate. The
// variant of the last merge is kept where nothing has changed.
func (r *merge) shown(name string, c *ClientCertificate, depth int) string {
	u := r.config.Upstreams[name]
	if u == nil || c == nil || depth > maxTiers {
		return name
	}
	variant := name + " for " + c.Name
	if r.config.Upstreams[variant] != nil {
		return variant
	}
	n := r.show(u, c, depth)
	if n == nil {
		return name
	}
	n.Name = variant
	if old := r.oldShown[variant]; old != nil && reflect.DeepEqual(old, n) {
		n = old
	}
	r.variants[variant] = n
	r.config.Upstreams[variant] = n
	return variant
}

// show returns a copy of u that is shown c, or nil where that changes nothing.
func (r *merge) show(u *ir.Upstream, c *ClientCertificate, depth int) *ir.Upstream {
	n := *u
	changed := r.showTiers(&n, c, depth)
	if t := u.TLS; t != nil && t.Certificate == nil && !t.Identity {
		changed = true
		if c.Closed != nil {
			if n.Closed == nil {
				n.Closed = c.Closed
			}
		} else {
			own := *t
			own.Certificate = c.Pair
			n.TLS = &own
		}
	}
	if !changed {
		return nil
	}
	return &n
}

// showTiers makes the tiers of n those that are shown c, and reports whether
// they differ.
func (r *merge) showTiers(n *ir.Upstream, c *ClientCertificate, depth int) bool {
	changed := false
	tiers := make([][]ir.TierMember, len(n.Tiers))
	for i, tier := range n.Tiers {
		tiers[i] = slices.Clone(tier)
		for j := range tiers[i] {
			m := &tiers[i][j]
			if name := r.shown(m.Upstream, c, depth+1); name != m.Upstream {
				m.Upstream, changed = name, true
			}
		}
	}
	if changed {
		n.Tiers = tiers
	}
	return changed
}

// showRoute makes a route that was built use upstreams as c is shown to them.
// What it shares with others is copied before it is changed.
func (r *merge) showRoute(out *ir.Route, c *ClientCertificate) {
	out.Steps = r.showSteps(out.Steps, c)
	if out.Action.Forward == nil {
		return
	}
	f := *out.Action.Forward
	f.Backends = slices.Clone(f.Backends)
	for i := range f.Backends {
		f.Backends[i].Upstream = r.shown(f.Backends[i].Upstream, c, 0)
		f.Backends[i].Steps = r.showSteps(f.Backends[i].Steps, c)
	}
	out.Action.Forward = &f
}

func (r *merge) showSteps(steps []ir.Step, c *ClientCertificate) []ir.Step {
	out := steps
	for i, s := range steps {
		if s.Mirror == nil {
			continue
		}
		if name := r.shown(s.Mirror.Upstream, c, 0); name != s.Mirror.Upstream {
			if &out[0] == &steps[0] {
				out = slices.Clone(steps)
			}
			m := *s.Mirror
			m.Upstream = name
			out[i].Mirror = &m
		}
	}
	return out
}

// shownNames returns what the upstreams of a route are called for a listener,
// and sees to it that they are there.
func (r *merge) shownNames(rt *ir.Route, picked []*Attachment, c *ClientCertificate) []any {
	if c == nil {
		return nil
	}
	var out []any
	steps := func(list []ir.Step) {
		for _, s := range list {
			if s.Mirror != nil {
				out = append(out, r.shown(s.Mirror.Upstream, c, 0))
			}
		}
	}
	steps(rt.Steps)
	for _, a := range picked {
		steps(a.Steps)
	}
	if rt.Action.Forward != nil {
		for _, b := range rt.Action.Forward.Backends {
			out = append(out, r.shown(b.Upstream, c, 0))
			steps(b.Steps)
		}
	}
	return out
}
