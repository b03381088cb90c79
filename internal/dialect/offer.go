package dialect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// offer is one host's routes on one listener, with all that is attached to
// them there.
type offer struct {
	offerKey
	Place
	index int
	site  *site
	front *Listener // that the routes were merged for; nil: none is served

	routes   []merged // as the host's
	supplies []*supply
	spots    []*spot
	variants []string
	told     status.Report
	counts   []count

	accepted int // hostnames for which the listener takes the offer
	applied  int // how many times what follows was counted
	effect   []count
}

// offerKey finds an offer.
type offerKey struct {
	host     *VirtualHost
	listener string
}

// merged is a route with what it was made of.
type merged struct {
	route   *ir.Route
	picked  []*Attachment
	missing []Target
	there   []bool   // for each backend, whether its upstream exists
	shown   []string // how upstreams are called, for a listener with a certificate
}

func (a merged) sameInputs(b merged) bool {
	return slices.Equal(a.picked, b.picked) && slices.Equal(a.missing, b.missing) && slices.Equal(a.there, b.there) && slices.Equal(a.shown, b.shown)
}

// compare puts the older object's offer first.
func (o *offer) compare(p *offer) int {
	return cmp.Or(o.host.Age.Compare(p.host.Age), o.host.Owner.Compare(p.host.Owner), o.Place.Compare(p.Place), cmp.Compare(o.index, p.index))
}

// merge brings an offer's routes up to date. Those that come out as they were
// are the same pointers.
func (r *round) merge(o *offer) {
	r.release(o)
	r.todo.effects[o] = true
	for _, g := range o.groups() {
		r.todo.groups[g] = true
	}
	o.told, o.counts = status.Report{}, nil
	old, same := o.routes, o.front == o.site.listener
	o.front, o.routes = o.site.listener, nil
	if o.front == nil {
		return
	}
	look := &look{r, o}
	o.routes = make([]merged, len(o.host.Routes))
	for i, rt := range o.host.Routes {
		m, missing := look.route(rt)
		if same && i < len(old) && old[i].sameInputs(m) {
			m.route = old[i].route
		} else {
			m.route = r.build(rt, m.picked, missing)
			if o.front.ClientCertificate != nil {
				look.showRoute(m.route)
			}
		}
		o.routes[i] = m
		look.tellRoute(rt, missing)
	}
	if len(o.told.Problems) > 0 {
		r.lost[o] = true
	}
}

// release makes an offer look at nothing any more.
func (r *round) release(o *offer) {
	for _, s := range o.supplies {
		delete(s.users, o)
		delete(s.readers, o)
		if len(s.users)+len(s.sources) == 0 && s.from == nil { // else its end is still to be seen to
			delete(r.supplies, s.name)
		}
	}
	for _, s := range o.spots {
		delete(s.users, o)
		r.dispose(s)
	}
	for _, name := range o.variants {
		delete(r.variants[name].users, o)
		r.todo.variants[name] = true
	}
	o.supplies, o.spots, o.variants = nil, nil, nil
	delete(r.lost, o)
}

// drop makes an offer count for nothing.
func (r *round) drop(o *offer) {
	r.release(o)
	o.accepted = 0
	delete(r.todo.offers, o)
	r.todo.effects[o] = true
}

// tell makes what an offer says and counts hold as many times as it is
// accepted.
func (r *round) tell(o *offer) {
	r.add(o.effect, -o.applied)
	o.effect, o.applied = o.counts, o.accepted
	r.add(o.effect, o.applied)
	var told status.Report
	if o.accepted > 0 {
		told = o.told
	}
	r.Ledger.Put(status.PassMerge, o, told)
}

// look merges the routes of one offer, and notes what it looks at.
type look struct {
	r *round
	o *offer
}

func (l *look) spot(t Target) *spot {
	s := l.r.spotOf(t)
	if !s.users[l.o] {
		s.users[l.o] = true
		l.o.spots = append(l.o.spots, s)
	}
	return s
}

// supply returns an upstream's, at which the offer looks from now on.
func (l *look) supply(name string) *supply {
	s := l.r.supplyOf(name)
	if !s.users[l.o] {
		s.users[l.o] = true
		l.o.supplies = append(l.o.supplies, s)
	}
	return s
}

func (l *look) hasUpstream(name string) bool {
	l.supply(name)
	return l.r.upstreams[name] != nil
}

// route returns what a route is to be made of.
func (l *look) route(rt *Route) (m merged, missing []lost) {
	levels, missing := l.levels(rt)
	m.picked = l.pick(levels, rt)
	for _, ref := range missing {
		m.missing = append(m.missing, ref.Target)
	}
	if f := rt.Action.Forward; f != nil {
		m.there = make([]bool, len(f.Backends))
		for i, b := range f.Backends {
			m.there[i] = l.hasUpstream(b.Upstream)
		}
	}
	m.shown = l.shownNames(&rt.Route, m.picked)
	return m, missing
}

// level is a spot of a route, with the place of what names it: the index of
// a Delegator, then the route itself, then host and listener.
type level struct {
	*spot
	place int
}

// lost is a reference that leads nowhere, and who is told so.
type lost struct {
	Reference
	owner  resource.Key
	parent string
}

// levels returns the targets of a route, those of its delegators first and
// then from the narrowest to the widest, and the references that lead nowhere.
func (l *look) levels(rt *Route) (levels []level, missing []lost) {
	place := 0
	add := func(targets []Target) {
		for _, t := range targets {
			levels = append(levels, level{l.spot(t), place})
		}
	}
	refer := func(list []Reference, owner resource.Key, parent string) {
		for _, ref := range list {
			s := l.spot(ref.Target)
			if s.referable == 0 {
				missing = append(missing, lost{ref, owner, parent})
				continue
			}
			levels = append(levels, level{s, place})
		}
	}
	for i := range rt.Delegators {
		d := &rt.Delegators[i]
		place = i
		refer(d.References, d.Owner, d.Parent)
		add(d.Targets)
	}
	place = len(rt.Delegators)
	refer(rt.References, rt.Owner, rt.Parent)
	add(rt.Targets)
	place++
	add(l.o.host.Targets)
	add(l.o.front.Targets)
	return levels, missing
}

// candidates returns the attachments to the targets, the one that comes first
// in its slot before the others.
func candidates(levels []level, rt *Route) []*pinned {
	type candidate struct {
		*pinned
		turn int
	}
	var found []candidate
	for _, l := range levels {
		for _, a := range l.attached {
			if a.Listener == nil { // settings takes care of the others
				found = append(found, candidate{a, rt.turn(l.place, a.Slot)})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.turn, b.turn) })
	out := make([]*pinned, len(found))
	for i, c := range found {
		out[i] = c.pinned
	}
	return out
}

// turn returns when what is attached at a place gets its turn in a slot: each
// delegator before all that lies below it, or after it where it yields.
func (rt *Route) turn(place int, slot string) int {
	all := len(rt.Delegators)
	if place > all {
		return place
	}
	turn := 0
	for i := range min(place, all) {
		if !rt.Delegators[i].yields(slot) {
			turn++
		}
	}
	if place < all && rt.Delegators[place].yields(slot) {
		turn += all - place
	}
	return turn
}

// pick returns the attachments that hold for a route, in their order: for each
// slot the winner alone, or all of them.
func (l *look) pick(levels []level, rt *Route) []*Attachment {
	all := candidates(levels, rt)
	if len(all) == 0 {
		return nil
	}
	var out []*Attachment
	taken := map[string]*pinned{}
	for _, a := range all {
		if a.Combine == First {
			if winner := taken[a.Slot]; winner != nil {
				c := count{pinned: a}
				if winner.Owner != a.Owner || winner.Origin != a.Origin { // else it is the same policy, by another way
					c.by = winner.Owner
				}
				l.o.counts = append(l.o.counts, c)
				continue
			}
			taken[a.Slot] = a
		}
		l.o.counts = append(l.o.counts, count{pinned: a})
		out = append(out, a.Attachment)
	}
	return out
}

// build makes the ir.Route out of a route and what holds for it. Steps are
// sorted by phase and order; an attachment that could not be built, and a
// reference that leads nowhere, close the route.
func (r *round) build(rt *Route, picked []*Attachment, missing []lost) *ir.Route {
	out := rt.Route
	out.Steps = slices.Clone(rt.Steps)
	for _, a := range picked {
		if a.Closed != nil {
			out.Action = ir.Action{Closed: a.Closed}
			continue
		}
		out.Steps = append(out.Steps, a.Steps...)
	}
	slices.SortStableFunc(out.Steps, func(a, b ir.Step) int {
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Order, b.Order))
	})
	for _, ref := range missing {
		out.Action = ir.Action{Closed: &ir.Closed{Reason: fmt.Sprintf("%v does not exist", ref.Target), Origin: ref.Origin}}
	}
	if out.Action.Forward != nil {
		out.Action.Forward = r.forward(out.Action.Forward)
	}
	return &out
}

// forward closes the backends whose upstream does not exist.
func (r *round) forward(f *ir.Forward) *ir.Forward {
	n := *f
	n.Backends = slices.Clone(f.Backends)
	for i := range n.Backends {
		b := &n.Backends[i]
		if b.Closed == nil && r.upstreams[b.Upstream] == nil {
			b.Closed = &ir.Closed{Reason: "backend " + b.Upstream + " does not exist", Origin: b.Origin}
		}
	}
	return &n
}
