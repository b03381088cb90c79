package dialect

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// door is a listener that is served, with what is attached to it.
type door struct {
	*Listener
	origin    *Listener    // as it was offered, at whatever address
	base      *ir.Listener // without what routes there are
	otherwise *offer       // nil: there is none
	out       *ir.Listener
}

// addListeners decides anew which listeners are served, the older object's
// first. The same hostname twice on one socket, and TLS beside plain text on
// one, refuse the later.
func (r *round) addListeners() {
	type socket struct {
		address string
		port    int
	}
	var doors []*door
	var fronted []count
	taken := map[socket][]*Listener{}
	all := r.inOrder()
	rule := &ruling{offered: map[string]*Listener{}}
	for _, l := range all {
		rule.offered[l.Name] = l
	}
	for _, l := range rule.place(all, r.Addresses) {
		var rival *Listener
		var why string
		addresses := l.Addresses
		if len(addresses) == 0 {
			addresses = []string{""}
		}
		for _, a := range addresses {
			for _, other := range taken[socket{a, l.Port}] {
				if w := conflict(l, other); w != "" {
					rival, why = other, w
				}
			}
		}
		if rival != nil {
			rule.refuseListener(l, rival, why)
			continue
		}
		for _, a := range addresses {
			taken[socket{a, l.Port}] = append(taken[socket{a, l.Port}], l)
		}
		n := l.Listener
		n.HTTP, n.TLS = r.settings(l, &fronted)
		doors = append(doors, &door{Listener: l, origin: rule.offered[l.Name], base: &n})
	}
	rule.tellOwners()
	r.offered, r.gone, r.faulty = rule.offered, rule.gone, rule.faulty
	r.Ledger.Put(status.PassMerge, (*door)(nil), rule.report)
	r.add(r.fronted, -1)
	r.add(fronted, 1)
	r.fronted = fronted
	r.open(doors)
}

// inOrder returns the listeners of all fragments, the older object's first.
func (m *Merger) inOrder() []*Listener {
	var all []*Listener
	for _, p := range slices.SortedFunc(maps.Keys(m.listeners), Place.Compare) {
		all = append(all, m.listeners[p]...)
		if len(m.listeners[p]) == 0 {
			delete(m.listeners, p)
		}
	}
	slices.SortStableFunc(all, func(a, b *Listener) int {
		return cmp.Or(a.Age.Compare(b.Age), a.Owner.Compare(b.Owner))
	})
	return all
}

// open makes doors what is served in place of those before, with what they
// have in common.
func (r *round) open(doors []*door) {
	before := map[*Listener]*door{}
	served := map[string]*Listener{}
	for _, d := range r.served {
		before[d.origin] = d
		served[d.Name] = nil
	}
	for _, d := range doors {
		r.front(d.Listener, 1)
		was := before[d.origin]
		if was == nil {
			served[d.Name] = d.Listener
			r.otherwise(d)
			continue
		}
		delete(before, d.origin)
		d.Listener, d.otherwise = was.Listener, was.otherwise // routes see nothing of its address
		served[d.Name] = d.Listener
		if reflect.DeepEqual(was.base, d.base) {
			d.base, d.out = was.base, was.out
		}
	}
	for _, d := range r.served {
		r.front(d.Listener, -1)
	}
	for _, d := range before {
		if d.otherwise != nil {
			r.drop(d.otherwise)
		}
	}
	r.served = doors
	for name, l := range served {
		s := r.site(name)
		r.todo.sites[s] = true
		if s.listener == l {
			continue
		}
		s.listener = l
		for _, g := range s.groups {
			r.todo.groups[g] = true
			for i := range g.claims {
				r.todo.offers[g.claims[i].offer] = true
			}
		}
	}
}

// front counts a listener at the spots that it stands for.
func (r *round) front(l *Listener, n int) {
	for _, t := range l.Targets {
		s := r.spotOf(t)
		s.fronts += n
		r.dispose(s)
	}
}

// otherwise makes the offer of what no route takes.
func (r *round) otherwise(d *door) {
	if d.Otherwise == nil {
		return
	}
	d.otherwise = &offer{offerKey: offerKey{d.Otherwise, d.Name}, site: &site{name: d.Name, listener: d.Listener}, accepted: 1}
	r.todo.offers[d.otherwise] = true
}

// assemble returns the listener with its routes.
func (d *door) assemble(s *site, sni []*ir.SNIRoute) *ir.Listener {
	n := *d.base
	n.Hosts = slices.Clone(s.hosts)
	if d.otherwise != nil {
		n.Otherwise = d.otherwise.routes[0].route
	}
	if n.Passthrough != nil {
		p := *n.Passthrough
		p.Routes = sni
		n.Passthrough = &p
	}
	return &n
}

// conflict says why a cannot share a socket with b, or "".
func conflict(a, b *Listener) string {
	if a.Secure() != b.Secure() {
		return "ProtocolConflict"
	}
	if a.Hostname == b.Hostname {
		return "HostnameConflict"
	}
	return ""
}

func (r *ruling) refuseListener(l, rival *Listener, why string) {
	hostname, remedy := "for every hostname", "give one of them another port or hostname"
	if l.Hostname != "" {
		hostname = fmt.Sprintf("for hostname %q", l.Hostname)
	}
	msg := fmt.Sprintf("port %d %s is taken by %v; this listener is not served", l.Port, hostname, rival.Owner)
	if why == "ProtocolConflict" {
		msg = fmt.Sprintf("port %d is taken by %v, and of the two one is TLS and one is not; this listener is not served", l.Port, rival.Owner)
		remedy = "give one of them another port"
	}
	r.report.Add(status.Errorf(l.Origin, "%s", msg).Fix("%s", remedy))
	r.refuse(l, Refusal{Condition: "Conflicted", Reason: why, Message: msg})
}
