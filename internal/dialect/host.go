package dialect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// site is a listener as hosts see it, by its name; nobody may serve it.
type site struct {
	name     string
	listener *Listener // nil: none is served
	// owners count their hosts here, also where none is served: whose fault
	// that is, their routes are attached.
	owners map[resource.Key][]*offer
	// families count their offers; of objects that are refused for another
	// family's, refused tells the other.
	families map[string]int
	refused  map[resource.Key]resource.Key
	groups   map[string]*group // by hostname
	hosts    []*ir.VirtualHost // sorted by hostname
	// settled are the groups that have another host than in hosts.
	settled []*group
}

// group is everyone who offers something for one hostname of a listener.
type group struct {
	site     *site
	hostname string
	claims   []claim // the older object first
	host     *ir.VirtualHost
}

type claim struct {
	*offer
	accepted bool
}

// site returns the site of a listener, which may be unknown.
func (m *Merger) site(name string) *site {
	s := m.sites[name]
	if s == nil {
		s = &site{name: name, owners: map[resource.Key][]*offer{}, families: map[string]int{}, groups: map[string]*group{}}
		m.sites[name] = s
	}
	return s
}

// groups returns where an offer claims a hostname.
func (o *offer) groups() []*group {
	var out []*group
	for _, hostname := range o.host.Hostnames {
		if g := o.site.groups[hostname]; g != nil && !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

func (r *round) addHost(p Place, index int, h *VirtualHost) {
	for _, name := range h.Listeners {
		key := offerKey{h, name}
		if r.offers[key] != nil { // the listener is named twice
			continue
		}
		s := r.site(name)
		o := &offer{offerKey: key, Place: p, index: index, site: s}
		s.enter(o)
		if r.rivalled[h.Owner] {
			r.todo.owners[h.Owner] = true
		}
		r.offers[key] = o
		r.todo.offers[o], r.todo.sites[s] = true, true
		for _, hostname := range h.Hostnames {
			g := s.groups[hostname]
			if g == nil {
				g = &group{site: s, hostname: hostname}
				s.groups[hostname] = g
			}
			if at, there := g.find(o); !there { // else the hostname is named twice
				g.claims = slices.Insert(g.claims, at, claim{offer: o})
			}
			r.todo.groups[g] = true
		}
	}
}

func (r *round) removeHost(h *VirtualHost) {
	for _, name := range h.Listeners {
		o := r.offers[offerKey{h, name}]
		if o == nil {
			continue
		}
		s := o.site
		s.leave(o)
		if r.rivalled[h.Owner] {
			r.todo.owners[h.Owner] = true
		}
		for _, g := range o.groups() {
			if at, there := g.find(o); there {
				g.claims = slices.Delete(g.claims, at, at+1)
			}
			r.todo.groups[g] = true
		}
		r.drop(o)
		delete(r.offers, o.offerKey)
		r.todo.sites[s] = true
	}
}

// enter counts an offer among its owner's.
func (s *site) enter(o *offer) {
	owner := o.host.Owner
	s.owners[owner] = append(s.owners[owner], o)
	if f := o.host.Family; f != "" {
		s.families[f]++
	}
}

func (s *site) leave(o *offer) {
	owner := o.host.Owner
	s.owners[owner] = slices.DeleteFunc(s.owners[owner], func(other *offer) bool { return other == o })
	if len(s.owners[owner]) == 0 {
		delete(s.owners, owner)
	}
	if f := o.host.Family; f != "" {
		if s.families[f]--; s.families[f] == 0 {
			delete(s.families, f)
		}
	}
}

// takes reports whether an offer may be on the site at all.
func (s *site) takes(o *offer) bool {
	if s.listener == nil {
		return false
	}
	_, no := s.refused[o.host.Owner]
	return !no
}

// attached counts the objects whose routes are attached.
func (s *site) attached() int { return len(s.owners) - len(s.refused) }

// find returns the place of an offer's claim.
func (g *group) find(o *offer) (int, bool) {
	return slices.BinarySearchFunc(g.claims, o, func(c claim, o *offer) int { return c.compare(o) })
}

// settle decides which claims of a group hold, and puts their routes together.
func (r *round) settle(g *group) {
	var told status.Report
	var there holders
	var routes []*ir.Route
	for i := range g.claims {
		c := &g.claims[i]
		var rival *offer
		takes := g.site.takes(c.offer)
		if takes {
			rival = there.rival(c.offer)
		}
		if rival != nil {
			refuseHost(&told, c.host, rival.host, g.hostname)
		}
		if accepted := takes && rival == nil; c.accepted != accepted {
			c.accepted = accepted
			r.todo.effects[c.offer] = true
			if c.offer.accepted++; !accepted {
				c.offer.accepted -= 2
			}
		}
		if !c.accepted {
			continue
		}
		there.add(c.offer)
		for j := range c.routes {
			routes = append(routes, c.routes[j].route)
		}
	}
	r.Ledger.Put(status.PassMerge, g, told)
	if len(g.claims) == 0 {
		delete(g.site.groups, g.hostname)
	}
	g.become(there.first, routes)
	r.todo.sites[g.site] = true
}

// become gives the group its host, which is of the first who offered something.
func (g *group) become(first *offer, routes []*ir.Route) {
	was := g.host
	if g.host = nil; first != nil {
		g.host = &ir.VirtualHost{Hostname: g.hostname, Origin: first.host.Origin, Routes: routes}
		if was != nil && was.Origin == g.host.Origin && slices.Equal(was.Routes, routes) {
			g.host = was
		}
	}
	if g.host != was {
		g.site.settled = append(g.site.settled, g)
	}
}

// holders are those who have a hostname, while it is settled.
type holders struct {
	first, other, exclusive *offer // other: the first of another owner
}

func (h *holders) add(o *offer) {
	switch {
	case h.first == nil:
		h.first = o
	case h.other == nil && o.host.Owner != h.first.host.Owner:
		h.other = o
	}
	if o.host.Exclusive {
		h.exclusive = o
	}
}

// rival returns who keeps o from the hostname, if anyone.
func (h *holders) rival(o *offer) *offer {
	switch {
	case h.exclusive != nil && h.exclusive.host.Owner != o.host.Owner:
		return h.exclusive
	case !o.host.Exclusive || h.first == nil:
		return nil
	case h.first.host.Owner != o.host.Owner:
		return h.first
	}
	return h.other
}

func refuseHost(report *status.Report, h, rival *VirtualHost, hostname string) {
	msg := fmt.Sprintf("host %q is taken by %v", hostname, rival.Owner)
	report.Add(status.Errorf(h.Origin, "%s", msg).Fix("a host belongs to one %s on a listener; give it another host, or join the two", h.Owner.Kind))
	report.Outcome(status.Outcome{
		Object: h.Owner.Status(), About: hostname,
		Condition: "Accepted", Reason: "Conflicted", Message: msg,
	})
}

// list brings the site's hosts up to date.
func (s *site) list() {
	if len(s.settled) > 64+len(s.hosts)/8 { // most of them
		s.hosts = nil
		for _, g := range s.groups {
			if g.host != nil {
				s.hosts = append(s.hosts, g.host)
			}
		}
		slices.SortFunc(s.hosts, func(a, b *ir.VirtualHost) int { return cmp.Compare(a.Hostname, b.Hostname) })
		s.settled = nil
	}
	for _, g := range s.settled {
		at, there := slices.BinarySearchFunc(s.hosts, g.hostname, func(h *ir.VirtualHost, name string) int { return cmp.Compare(h.Hostname, name) })
		switch {
		case g.host == nil && there:
			s.hosts = slices.Delete(s.hosts, at, at+1)
		case g.host != nil && there:
			s.hosts[at] = g.host
		case g.host != nil:
			s.hosts = slices.Insert(s.hosts, at, g.host)
		}
	}
	s.settled = nil
}
