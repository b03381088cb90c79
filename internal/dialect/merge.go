package dialect

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Merger puts fragments together, and does again only what a change concerns:
//
//	Change ─► supplies (upstreams by name)  ─┐
//	       ─► spots (what is at a Target)   ─┼─► offers ─► sites ─► ir.Config
//	       ─► listeners, hosts, SNI routes  ─┘   (routes)  (hosts)
//
// Supplies and spots know the offers that look at them, so a policy that comes
// is put on the routes for which it holds, and the others are not looked at.
// What did not change between two results is the same pointer in both, so that
// compile can tell; the results are the same as from nothing. It is for one
// goroutine. The zero Merger is ready.
type Merger struct {
	// Ledger gets what is to be told, as status.PassMerge; nil: Merge's report
	// alone has it. It must not be set after the first Update.
	Ledger *status.Ledger
	// Addresses, if set, gives each Gateway addresses of its own; otherwise
	// listeners are at those that they name. It must not be set later either.
	Addresses Addresser

	fragments []*Fragment // of Merge
	supplies  map[string]*supply
	spots     map[Target]*spot
	listeners map[Place][]*Listener
	served    []*door              // in their order
	offered   map[string]*Listener // every listener there is, by name
	gone      map[string]bool      // those of them that are refused
	faulty    map[string]bool      // those of gone that are at fault themselves
	fronted   []count              // what the listeners' settings are made of
	sites     map[string]*site
	offers    map[offerKey]*offer
	rivalled  map[resource.Key]bool // objects that another family keeps from a site
	lost      map[*offer]bool       // those with a name that leads nowhere
	sni       map[Place][]*SNIRoute
	carried   map[string][]*ir.SNIRoute // by listener
	upstreams map[string]*ir.Upstream   // never changed in place
	variants  map[string]*variant       // of upstreams, for those who show a certificate
}

// round is one Update.
type round struct {
	*Merger
	todo todo
}

// todo is what is not as it was.
type todo struct {
	supplies map[string]bool
	spots    map[*spot]bool
	offers   map[*offer]bool // to be merged
	effects  map[*offer]bool // to be told and counted, at least
	groups   map[*group]bool
	sites    map[*site]bool
	tallies  map[*pinned]bool
	owners   map[resource.Key]bool // of whom perhaps something else is to be told
	variants map[string]bool       // that perhaps nobody uses any more
	// upstreams says that there are others, in a map of this round's own.
	upstreams bool
	// listeners and SNI routes are few, and are done all together.
	listeners, sni bool
	// names says that there are others of upstreams, or of what can be
	// referred to.
	names bool
}

func (m *Merger) begin() *round {
	if m.supplies == nil {
		m.supplies, m.spots = map[string]*supply{}, map[Target]*spot{}
		m.listeners, m.sni = map[Place][]*Listener{}, map[Place][]*SNIRoute{}
		m.sites, m.offers, m.lost, m.rivalled = map[string]*site{}, map[offerKey]*offer{}, map[*offer]bool{}, map[resource.Key]bool{}
		m.upstreams, m.variants = map[string]*ir.Upstream{}, map[string]*variant{}
		if m.Ledger == nil {
			m.Ledger = new(status.Ledger)
		}
	}
	return &round{m, todo{
		supplies: map[string]bool{}, spots: map[*spot]bool{}, offers: map[*offer]bool{}, effects: map[*offer]bool{},
		groups: map[*group]bool{}, sites: map[*site]bool{}, tallies: map[*pinned]bool{}, owners: map[resource.Key]bool{}, variants: map[string]bool{},
	}}
}

// Update returns the configuration that all fragments make together after
// changes.
func (m *Merger) Update(changes []Change) *ir.Config {
	r := m.begin()
	for i := range changes {
		r.takeAway(&changes[i])
	}
	for i := range changes {
		r.put(&changes[i])
	}
	r.supply()
	for s := range r.todo.spots {
		r.todo.listeners = r.todo.listeners || s.fronts > 0
		r.dirty(s.users)
		r.dispose(s)
	}
	if r.todo.names {
		r.dirty(m.lost)
	}
	if r.todo.listeners {
		r.addListeners()
	}
	for o := range r.todo.offers {
		r.merge(o)
	}
	r.unshow()
	r.separateFamilies()
	for g := range r.todo.groups {
		r.settle(g)
	}
	for o := range r.todo.effects {
		r.tell(o)
	}
	if r.todo.sni || len(m.sni) > 0 && (r.todo.names || r.todo.listeners) {
		r.addSNIRoutes()
	}
	config := r.config()
	for a := range r.todo.tallies {
		r.tellAttachment(a)
	}
	return config
}

// Merge returns the configuration that fragments make together, the report of
// conflicts, and of where each attachment won or who shadowed it. It is Update
// for fragments whose places are those in the list.
func (m *Merger) Merge(fragments []*Fragment) (*ir.Config, status.Report) {
	var changes []Change
	for i := range max(len(fragments), len(m.fragments)) {
		c := Change{Place: Place{Dialect: i}}
		if i < len(m.fragments) {
			c.Before = m.fragments[i]
		}
		if i < len(fragments) {
			c.After = fragments[i]
		}
		if c.Before != c.After {
			changes = append(changes, c)
		}
	}
	m.fragments = slices.Clone(fragments)
	config := m.Update(changes)
	return config, m.Ledger.Report()
}

func (r *round) dirty(offers map[*offer]bool) {
	for o := range offers {
		r.todo.offers[o] = true
	}
}

// takeAway removes what the fragment before held and the one after does not.
func (r *round) takeAway(c *Change) {
	before, after := c.fragments()
	for _, u := range only(before.Upstreams, after.Upstreams) {
		r.withdraw(c.Place, u.it)
	}
	for _, a := range only(before.Attachments, after.Attachments) {
		r.detach(c.Place, a.it)
	}
	for _, h := range only(before.Hosts, after.Hosts) {
		r.removeHost(h.it)
	}
}

// put adds what the fragment after holds and the one before did not.
func (r *round) put(c *Change) {
	before, after := c.fragments()
	for _, u := range only(after.Upstreams, before.Upstreams) {
		after.Upstreams[u.index] = r.provide(c.Place, u.index, u.it)
	}
	for _, a := range only(after.Attachments, before.Attachments) {
		r.attach(c.Place, a.index, a.it)
	}
	for _, h := range only(after.Hosts, before.Hosts) {
		r.addHost(c.Place, h.index, h.it)
	}
	r.refer(before.Referable, after.Referable)
	if !slices.Equal(before.Listeners, after.Listeners) {
		r.listeners[c.Place], r.todo.listeners = after.Listeners, true
	}
	if !slices.Equal(before.SNIRoutes, after.SNIRoutes) {
		r.sni[c.Place], r.todo.sni = after.SNIRoutes, true
		if len(after.SNIRoutes) == 0 {
			delete(r.sni, c.Place)
		}
	}
}

// fragments returns the fragment before and the one after, none being empty.
func (c *Change) fragments() (before, after *Fragment) {
	return cmp.Or(c.Before, &Fragment{}), cmp.Or(c.After, &Fragment{})
}

// element is one of a list, with its place there.
type element[T any] struct {
	index int
	it    *T
}

// only returns the elements of a list that another does not have.
func only[T any](list, other []*T) []element[T] {
	if slices.Equal(list, other) {
		return nil
	}
	has := make(map[*T]bool, len(other))
	for _, e := range other {
		has[e] = true
	}
	var out []element[T]
	for i, e := range list {
		if !has[e] {
			out = append(out, element[T]{i, e})
		}
	}
	return out
}

// config puts the result together. Listeners that are as they were are the
// same pointers.
func (r *round) config() *ir.Config {
	c := &ir.Config{Upstreams: r.upstreams}
	for s := range r.todo.sites {
		s.list()
		attached := status.Report{}
		if n := s.attached(); n > 0 {
			attached.Attached = map[string]int{s.name: n}
		}
		r.Ledger.Put(status.PassMerge, s, attached)
	}
	for _, d := range r.served {
		s := r.site(d.Name)
		if d.out == nil || r.todo.sites[s] || r.todo.sni || d.otherwise != nil && r.todo.effects[d.otherwise] {
			d.out = d.assemble(s, r.carried[d.Name])
		}
		c.Listeners = append(c.Listeners, d.out)
	}
	for s := range r.todo.sites {
		if len(s.owners)+len(s.groups) == 0 && s.listener == nil {
			delete(r.sites, s.name)
		}
	}
	return c
}
