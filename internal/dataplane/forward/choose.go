package forward

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/llm"
)

// backend is a compiled Backend.
type backend struct {
	name   string
	weight int
	stages []dataplane.Stage
	closed *ir.Closed
	tiers  [][]*member
	// members are those of all tiers.
	members []*member
	retry   *ir.Retry // nil: a failed attempt is final
	// whole says that every attempt needs the body in memory.
	whole bool
}

// member is one upstream of a backend, with what this route asks of it.
type member struct {
	upstream *Upstream
	weight   uint64
	model    string       // the one that it is asked for in place of the request's
	adapter  *llm.Adapter // nil: requests are sent as they come
	stages   []dataplane.Stage
}

// failover is how a backend of several tiers is tried where no retry policy
// says otherwise: each tier once, without waiting, for whatever keeps an
// upstream from answering well.
func failover(tiers int) *ir.Retry {
	return &ir.Retry{
		Attempts: tiers - 1, NextTier: 1, OnConnect: true, OnReset: true, OnTimeout: true, On5xx: true,
		Statuses: []int{http.StatusTooManyRequests}, BackoffBase: 1, BackoffMax: 1,
	}
}

func newBackend(b *Backend, s *Settings) (*backend, error) {
	out := &backend{name: b.Name, weight: max(b.Weight, 0), stages: b.Stages, closed: b.Closed, retry: s.Retry}
	tiers := b.Tiers
	if len(tiers) == 0 && b.Upstream != nil {
		tiers = [][]*Upstream{{b.Upstream}}
	}
	if out.retry == nil && len(tiers) > 1 {
		out.retry, out.whole = failover(len(tiers)), true
	}
	for t, tier := range tiers {
		var members []*member
		for i, u := range tier {
			m := &member{upstream: u, weight: b.share(t, i), stages: b.UpstreamStages[u]}
			if u.cfg.LLM != nil {
				var err error
				if m.adapter, err = llm.New(u.cfg.LLM, s.LLM); err != nil {
					return nil, err
				}
				m.model = u.cfg.LLM.Model
			}
			for _, s := range m.stages {
				n, ok := dataplane.As[interface{ NeedsBody() bool }](s)
				out.whole = out.whole || ok && n.NeedsBody()
			}
			members = append(members, m)
		}
		out.tiers = append(out.tiers, members)
		out.members = append(out.members, members...)
	}
	return out, nil
}

// share returns the weight of a member of a tier.
func (b *Backend) share(tier, i int) uint64 {
	if tier >= len(b.Weights) || i >= len(b.Weights[tier]) {
		return 1
	}
	return uint64(max(b.Weights[tier][i], 1))
}

// choose returns a backend by weight, or nil if none has any.
func (f *forwarder) choose() *backend {
	if f.total == 0 {
		return nil
	}
	if len(f.backends) == 1 {
		return f.backends[0]
	}
	n := f.deps.Rand() % f.total
	for _, b := range f.backends {
		if n < uint64(b.weight) {
			return b
		}
		n -= uint64(b.weight)
	}
	return nil
}

// pick returns where the next attempt goes: a member of the tier that is due
// and one of its endpoints, those not yet tried first. It returns nil if
// there is no endpoint at all, or none that the caller may use.
func (x *exchange) pick() (*member, *endpoint) {
	tiers := x.backend.tiers
	if x.hasNextTier() {
		x.tier, x.inTier = x.tier+1, 0
	}
	for t := x.tier; t < len(tiers); t++ {
		if m := x.pickMember(t, true); m != nil {
			if t != x.tier {
				x.tier, x.inTier = t, 0
			}
			return m.next(x.tried)
		}
	}
	// Nobody is well: better to try one that was failing than to refuse.
	for t := x.tier; t < len(tiers); t++ {
		if m := x.pickMember(t, false); m != nil {
			return m.next(x.tried)
		}
	}
	return nil, nil
}

// next returns m with one of its endpoints, or nil if the last one has gone
// since m was found to have some.
func (m *member) next(tried []*endpoint) (*member, *endpoint) {
	ep := m.upstream.pick(tried)
	if ep == nil && m.upstream.cfg.Closed == nil {
		return nil, nil
	}
	return m, ep
}

// pickMember draws a member by weight that is usable, well if asked, and not
// barred; where it can, one that has an endpoint not tried before.
func (x *exchange) pickMember(t int, well bool) *member {
	tier := x.backend.tiers[t]
	if len(tier) == 1 { // nothing to draw
		if m := tier[0]; m.upstream.usable(well) && !x.barred(t, m) {
			return m
		}
		return nil
	}
	var second *member
	var room [8]*member
	left := append(room[:0], tier...)
	for len(left) > 0 {
		i := x.draw(left)
		m := left[i]
		left = slices.Delete(left, i, i+1)
		switch {
		case !m.upstream.usable(well) || x.barred(t, m):
		case m.upstream.hasFresh(x.tried):
			return m
		case second == nil:
			second = m
		}
	}
	return second
}

// draw returns the index of a member, by weight.
func (x *exchange) draw(members []*member) int {
	total := uint64(0)
	for _, m := range members {
		total += m.weight
	}
	n := x.f.deps.Rand() % total
	for i, m := range members {
		if n < m.weight {
			return i
		}
		n -= m.weight
	}
	return 0
}

// barred reports whether the policies forbid an attempt on a member: behind
// the first tier, one that is asked for another model than the request names
// must be allowed by all of them. Of the first tier the route itself says that
// its model stands for the one that was named.
func (x *exchange) barred(t int, m *member) bool {
	if t == 0 || m.model == "" || m.model == x.e.Model {
		return false
	}
	if x.allowed == nil {
		x.allowed = map[string]bool{}
	}
	ok, asked := x.allowed[m.model]
	if !asked {
		ok = x.e.AllowsModel(m.model)
		x.allowed[m.model] = ok
		if !ok {
			x.skipped = fmt.Sprintf("upstream %s was left out: the caller may not use model %q", m.upstream.cfg.Name, m.model)
			x.f.deps.Log.Info("failover", "decision", x.e.Record.Decision, "skipped", x.skipped)
		}
	}
	return !ok
}

// triedBefore reports whether an attempt went to ep.
func triedBefore(tried []*endpoint, ep *endpoint) bool { return slices.Contains(tried, ep) }
