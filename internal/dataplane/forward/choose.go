package forward

import (
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
}

// member is one upstream of a backend, with what this route asks of it.
type member struct {
	upstream *Upstream
	adapter  *llm.Adapter // nil: requests are sent as they come
	stages   []dataplane.Stage
}

func newBackend(b *Backend, options []*ir.LLMOptions) (*backend, error) {
	out := &backend{name: b.Name, weight: max(b.Weight, 0), stages: b.Stages, closed: b.Closed}
	tiers := b.Tiers
	if len(tiers) == 0 && b.Upstream != nil {
		tiers = [][]*Upstream{{b.Upstream}}
	}
	for _, tier := range tiers {
		var members []*member
		for _, u := range tier {
			m := &member{upstream: u, stages: b.UpstreamStages[u]}
			if u.cfg.LLM != nil {
				var err error
				if m.adapter, err = llm.New(u.cfg.LLM, options); err != nil {
					return nil, err
				}
			}
			members = append(members, m)
		}
		out.tiers = append(out.tiers, members)
		out.members = append(out.members, members...)
	}
	return out, nil
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
// there is no endpoint at all.
func (x *exchange) pick() (*member, *endpoint) {
	tiers := x.backend.tiers
	if every := x.nextTier(); every > 0 && x.inTier >= every && x.tier+1 < len(tiers) {
		x.tier, x.inTier = x.tier+1, 0
	}
	for t := x.tier; t < len(tiers); t++ {
		if m := x.pickMember(tiers[t], true); m != nil {
			if t != x.tier {
				x.tier, x.inTier = t, 0
			}
			return m, m.upstream.pick(x.tried)
		}
	}
	// Nobody is well: better to try one that was failing than to refuse.
	for t := x.tier; t < len(tiers); t++ {
		if m := x.pickMember(tiers[t], false); m != nil {
			return m, m.upstream.pick(x.tried)
		}
	}
	return nil, nil
}

func (x *exchange) nextTier() int {
	if r := x.f.settings.retry; r != nil {
		return r.NextTier
	}
	return 0
}

// pickMember draws a member that is usable, and well if asked; where it can,
// one that has an endpoint not tried before.
func (x *exchange) pickMember(tier []*member, well bool) *member {
	if len(tier) == 0 {
		return nil
	}
	start := 0
	if len(tier) > 1 {
		start = int(x.f.deps.Rand() % uint64(len(tier)))
	}
	var second *member
	for i := range tier {
		m := tier[(start+i)%len(tier)]
		if !m.upstream.usable(well) {
			continue
		}
		if m.upstream.hasFresh(x.tried) {
			return m
		}
		if second == nil {
			second = m
		}
	}
	return second
}

// triedBefore reports whether an attempt went to ep.
func triedBefore(tried []*endpoint, ep *endpoint) bool { return slices.Contains(tried, ep) }
