package dialect

import (
	"maps"
	"reflect"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
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

// ClientCertificates returns those of the last merge, of each Gateway with
// listeners once.
func (m *Merger) ClientCertificates() []*GatewayCertificate {
	found := map[resource.Key]*GatewayCertificate{}
	for _, l := range m.offered {
		if c := l.ClientCertificate; c != nil && c.Pair != nil {
			found[l.gateway()] = &GatewayCertificate{Gateway: l.Gateway, Pair: c.Pair, object: l.gateway()}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *GatewayCertificate) int { return a.object.Compare(b.object) })
}

// GatewayCertificate is what one Gateway shows to upstreams.
type GatewayCertificate struct {
	Gateway string // "namespace/name"
	Pair    *ir.KeyPair
	object  resource.Key
}

// Refused returns the report of a certificate whose bytes cannot be used, as
// why says. The upstreams that it would be shown to refuse requests; they say
// so themselves.
func (c *GatewayCertificate) Refused(why error) status.Report {
	var r status.Report
	r.Add(status.Errorf(c.Pair.Origin, "%v; %v has nothing to show to its backends over TLS, and requests for them are refused", why, c.object).
		Fix("correct the secret"))
	r.Outcome(status.Outcome{
		Object: c.object.Status(), Condition: "ResolvedRefs", Reason: "InvalidClientCertificateRef",
		Message: "the client certificate for backends: " + why.Error(),
	})
	return r
}

// maxTiers bounds tiers of tiers.
const maxTiers = 8

// variant is an upstream as it is shown a certificate, and the offers whose
// routes use it.
type variant struct {
	upstream *ir.Upstream
	users    map[*offer]bool
}

// shown returns the name of an upstream as the offer's routes use it: its own,
// or that of a variant that is shown the listener's certificate. The variant
// there was is kept where nothing has changed.
func (l *look) shown(name string, depth int) string {
	c := l.o.front.ClientCertificate
	s := l.supply(name)
	s.readers[l.o] = true
	u := l.r.upstreams[name]
	if u == nil || c == nil || depth > maxTiers {
		return name
	}
	n := l.show(u, c, depth)
	if n == nil {
		return name
	}
	n.Name = name + " for " + c.Name
	v := l.r.variants[n.Name]
	if v == nil {
		v = &variant{users: map[*offer]bool{}}
		l.r.variants[n.Name] = v
	}
	if v.upstream == nil || !reflect.DeepEqual(v.upstream, n) {
		v.upstream = n
		l.r.setUpstream(n.Name, n)
	}
	if !v.users[l.o] {
		v.users[l.o] = true
		l.o.variants = append(l.o.variants, n.Name)
	}
	return n.Name
}

// unshow takes away the variants that nobody uses any more.
func (r *round) unshow() {
	for name := range r.todo.variants {
		if v := r.variants[name]; v != nil && len(v.users) == 0 {
			delete(r.variants, name)
			r.setUpstream(name, nil)
		}
	}
}

// show returns a copy of u that is shown c, or nil where that changes nothing.
func (l *look) show(u *ir.Upstream, c *ClientCertificate, depth int) *ir.Upstream {
	n := *u
	changed := l.showTiers(&n, depth)
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

// showTiers makes the tiers of n those that are shown the certificate, and reports whether
// they differ.
func (l *look) showTiers(n *ir.Upstream, depth int) bool {
	changed := false
	tiers := make([][]ir.TierMember, len(n.Tiers))
	for i, tier := range n.Tiers {
		tiers[i] = slices.Clone(tier)
		for j := range tiers[i] {
			m := &tiers[i][j]
			if name := l.shown(m.Upstream, depth+1); name != m.Upstream {
				m.Upstream, changed = name, true
			}
		}
	}
	if changed {
		n.Tiers = tiers
	}
	return changed
}

// showRoute makes a route that was built use upstreams as the listener's certificate is shown to them.
// What it shares with others is copied before it is changed.
func (l *look) showRoute(out *ir.Route) {
	out.Steps = l.showSteps(out.Steps)
	if out.Action.Forward == nil {
		return
	}
	f := *out.Action.Forward
	f.Backends = slices.Clone(f.Backends)
	for i := range f.Backends {
		f.Backends[i].Upstream = l.shown(f.Backends[i].Upstream, 0)
		f.Backends[i].Steps = l.showSteps(f.Backends[i].Steps)
	}
	out.Action.Forward = &f
}

func (l *look) showSteps(steps []ir.Step) []ir.Step {
	out := steps
	for i, s := range steps {
		if s.Mirror == nil {
			continue
		}
		if name := l.shown(s.Mirror.Upstream, 0); name != s.Mirror.Upstream {
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
func (l *look) shownNames(rt *ir.Route, picked []*Attachment) []string {
	if l.o.front.ClientCertificate == nil {
		return nil
	}
	var out []string
	steps := func(list []ir.Step) {
		for _, s := range list {
			if s.Mirror != nil {
				out = append(out, l.shown(s.Mirror.Upstream, 0))
			}
		}
	}
	steps(rt.Steps)
	for _, a := range picked {
		steps(a.Steps)
	}
	if rt.Action.Forward != nil {
		for _, b := range rt.Action.Forward.Backends {
			out = append(out, l.shown(b.Upstream, 0))
			steps(b.Steps)
		}
	}
	return out
}
