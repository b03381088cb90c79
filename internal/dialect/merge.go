package dialect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Merger puts fragments together. What did not change between two merges is
// the same pointer in both results, so that compile can tell. It is for one
// goroutine; the zero Merger is ready.
type Merger struct {
	// Addresses, if set, gives each Gateway addresses of its own; otherwise
	// listeners are at those that they name.
	Addresses Addresser

	memo    map[memoKey]*memoEntry
	shown   map[string]*ir.Upstream // the variants that were made for those who show a certificate
	offered map[string]*Listener    // of the last merge, by name
	gone    map[string]bool         // those of offered that were refused
}

type memoKey struct {
	route    *Route
	host     *VirtualHost
	listener string
}

type memoEntry struct {
	inputs []any // what the merged route was made of, besides the route
	route  *ir.Route
}

// merge is one run of a Merger.
type merge struct {
	config    *ir.Config
	report    status.Report
	attached  map[Target][]*Attachment
	referable map[Target]bool
	listeners map[string]*Listener
	addresses Addresser
	offered   map[string]*Listener // every listener there is, by name
	gone      map[string]bool      // those that are refused
	tally     map[*Attachment]*tally
	owners    map[string]map[resource.Key]bool // of hosts, by listener
	refused   map[placed]bool                  // by what separateFamilies found
	memo      map[memoKey]*memoEntry
	old       map[memoKey]*memoEntry
	variants  map[string]*ir.Upstream // of upstreams, for those who show a certificate
	oldShown  map[string]*ir.Upstream
}

// Merge returns the configuration that fragments make together, the report of
// conflicts, and of where each attachment won or who shadowed it.
func (m *Merger) Merge(fragments []*Fragment) (*ir.Config, status.Report) {
	r := &merge{
		config:    &ir.Config{Upstreams: map[string]*ir.Upstream{}},
		attached:  map[Target][]*Attachment{},
		referable: map[Target]bool{},
		listeners: map[string]*Listener{},
		addresses: m.Addresses,
		offered:   map[string]*Listener{},
		gone:      map[string]bool{},
		tally:     map[*Attachment]*tally{},
		owners:    map[string]map[resource.Key]bool{},
		memo:      map[memoKey]*memoEntry{},
		old:       m.memo,
		variants:  map[string]*ir.Upstream{},
		oldShown:  m.shown,
	}
	var hosts []*VirtualHost
	var listeners []*Listener
	var sni []*SNIRoute
	for _, f := range fragments {
		for _, u := range f.Upstreams {
			if r.config.Upstreams[u.Name] == nil {
				r.config.Upstreams[u.Name] = u
			}
		}
		for _, a := range f.Attachments {
			r.attached[a.Target] = append(r.attached[a.Target], a)
		}
		for _, t := range f.Referable {
			r.referable[t] = true
		}
		hosts = append(hosts, f.Hosts...)
		listeners = append(listeners, f.Listeners...)
		sni = append(sni, f.SNIRoutes...)
	}
	r.addListeners(listeners)
	r.tellOwners()
	r.addHosts(hosts)
	r.addSNIRoutes(sni)
	r.tellAttachments(fragments)
	m.memo, m.offered, m.gone, m.shown = r.memo, r.offered, r.gone, r.variants
	return r.config, r.report
}

// route returns the route of host on listener with all that is attached.
func (r *merge) route(rt *Route, h *VirtualHost, l *Listener) *ir.Route {
	levels, missing := r.levels(rt, h, l)
	picked := r.pick(levels, rt)
	inputs := make([]any, 0, len(picked)+4)
	for _, a := range picked {
		inputs = append(inputs, a)
	}
	for _, ref := range missing {
		inputs = append(inputs, ref.Target)
	}
	inputs = append(inputs, r.backendsThere(&rt.Route)...)
	inputs = append(inputs, r.shownNames(&rt.Route, picked, l.ClientCertificate)...)
	key := memoKey{rt, h, l.Name}
	if e := r.old[key]; e != nil && slices.Equal(e.inputs, inputs) {
		r.memo[key] = e
		r.tellRoute(rt, missing)
		return e.route
	}
	out := r.build(rt, picked, missing)
	if l.ClientCertificate != nil {
		r.showRoute(out, l.ClientCertificate)
	}
	r.memo[key] = &memoEntry{inputs: inputs, route: out}
	r.tellRoute(rt, missing)
	return out
}

// level is a target of a route, with the place of what names it: the index of
// a Delegator, then the route itself, then host and listener.
type level struct {
	Target
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
func (r *merge) levels(rt *Route, h *VirtualHost, l *Listener) (levels []level, missing []lost) {
	place := 0
	add := func(targets []Target) {
		for _, t := range targets {
			levels = append(levels, level{t, place})
		}
	}
	refer := func(list []Reference, owner resource.Key, parent string) {
		for _, ref := range list {
			if !r.referable[ref.Target] {
				missing = append(missing, lost{ref, owner, parent})
				continue
			}
			levels = append(levels, level{ref.Target, place})
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
	add(h.Targets)
	add(l.Targets)
	return levels, missing
}

// candidates returns the attachments to the targets, the one that comes first
// in its slot before the others.
func (r *merge) candidates(levels []level, rt *Route) []*Attachment {
	type candidate struct {
		*Attachment
		turn int
	}
	var found []candidate
	for _, l := range levels {
		list := r.attached[l.Target]
		if len(list) > 1 {
			list = slices.Clone(list)
			slices.SortStableFunc(list, compareAttachments)
		}
		for _, a := range list {
			if a.Listener == nil { // settings takes care of the others
				found = append(found, candidate{a, rt.turn(l.place, a.Slot)})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.turn, b.turn) })
	out := make([]*Attachment, len(found))
	for i, c := range found {
		out[i] = c.Attachment
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
func (r *merge) pick(levels []level, rt *Route) []*Attachment {
	var out []*Attachment
	taken := map[string]*Attachment{}
	for _, a := range r.candidates(levels, rt) {
		if a.Combine == First {
			if winner := taken[a.Slot]; winner != nil {
				if winner.Owner == a.Owner && winner.Origin == a.Origin {
					r.count(a).won++ // the same policy, by another way
				} else {
					r.count(a).shadowedBy(winner)
				}
				continue
			}
			taken[a.Slot] = a
		}
		r.count(a).won++
		out = append(out, a)
	}
	return out
}

func compareAttachments(a, b *Attachment) int {
	return cmp.Or(slices.Compare(a.Rank, b.Rank), a.Age.Compare(b.Age), a.Owner.Compare(b.Owner))
}

// backendsThere tells for each backend whether its upstream exists.
func (r *merge) backendsThere(rt *ir.Route) []any {
	if rt.Action.Forward == nil {
		return nil
	}
	var out []any
	for _, b := range rt.Action.Forward.Backends {
		out = append(out, r.config.Upstreams[b.Upstream] != nil)
	}
	return out
}

// build makes the ir.Route out of a route and what holds for it. Steps are
// sorted by phase and order; an attachment that could not be built, and a
// reference that leads nowhere, close the route.
func (r *merge) build(rt *Route, picked []*Attachment, missing []lost) *ir.Route {
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
func (r *merge) forward(f *ir.Forward) *ir.Forward {
	n := *f
	n.Backends = slices.Clone(f.Backends)
	for i := range n.Backends {
		b := &n.Backends[i]
		if b.Closed == nil && r.config.Upstreams[b.Upstream] == nil {
			b.Closed = &ir.Closed{Reason: "backend " + b.Upstream + " does not exist", Origin: b.Origin}
		}
	}
	return &n
}

// nearest returns the name in names most like want, or "".
func nearest(want string, names []string) string {
	best, bestCost := "", len(want)/2+1
	for _, n := range names {
		if c := distance(want, n); c < bestCost {
			best, bestCost = n, c
		}
	}
	return best
}

// Suggest returns "; did you mean X?" for the name most like want, or "".
// Problems about a name that is not there end in it.
func Suggest(want string, names []string) string {
	if n := nearest(want, names); n != "" && n != want {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// distance is the edit distance between a and b, ignoring case.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
