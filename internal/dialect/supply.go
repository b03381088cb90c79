package dialect

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

// supply is who says what an upstream is, by its name: the first holds.
type supply struct {
	name    string
	sources []supplied
	from    *ir.Upstream  // the first source, as it was when the upstream was made of it
	list    *endpointList // that it looks at; nil: its endpoints are its own
	users   map[*offer]bool
	readers map[*offer]bool // those of users that look into the upstream
}

type supplied struct {
	Place
	index int
	*ir.Upstream
}

// supplyOf returns the supply of a name, which may have no source yet.
func (m *Merger) supplyOf(name string) *supply {
	s := m.supplies[name]
	if s == nil {
		s = &supply{name: name, users: map[*offer]bool{}, readers: map[*offer]bool{}}
		m.supplies[name] = s
	}
	return s
}

// provide adds an upstream. Many routes bring the same one along: the result
// is what was there, if that says the same.
func (r *round) provide(p Place, index int, u *ir.Upstream) *ir.Upstream {
	s := r.supplyOf(u.Name)
	r.todo.supplies[u.Name] = true
	for _, other := range s.sources {
		if reflect.DeepEqual(other.Upstream, u) {
			u = other.Upstream
			break
		}
	}
	if s.from != nil && reflect.DeepEqual(s.from, u) {
		u = s.from
	}
	it := supplied{p, index, u}
	at, _ := slices.BinarySearchFunc(s.sources, it, func(a, b supplied) int {
		return cmp.Or(a.Place.Compare(b.Place), cmp.Compare(a.index, b.index))
	})
	s.sources = slices.Insert(s.sources, at, it)
	return u
}

// withdraw takes away an upstream.
func (r *round) withdraw(p Place, u *ir.Upstream) {
	s := r.supplyOf(u.Name)
	r.todo.supplies[u.Name] = true
	at, _ := slices.BinarySearchFunc(s.sources, p, func(a supplied, p Place) int { return a.Place.Compare(p) })
	for i := at; i < len(s.sources) && s.sources[i].Place == p; i++ {
		if s.sources[i].Upstream == u {
			s.sources = slices.Delete(s.sources, i, i+1)
			return
		}
	}
}

// supply brings the upstreams up to date.
func (r *round) supply() {
	for name := range r.todo.supplies {
		s := r.supplyOf(name)
		u := r.complete(s)
		was := r.upstreams[s.name]
		if u != was {
			r.setUpstream(s.name, u)
			r.dirty(s.readers)
		}
		if (u == nil) != (was == nil) {
			r.todo.names = true
			r.dirty(s.users)
		}
		if u == nil && len(s.users) == 0 {
			delete(r.supplies, s.name)
		}
	}
}

// setUpstream puts an upstream into the configuration, or takes it out.
func (r *round) setUpstream(name string, u *ir.Upstream) {
	if !r.todo.upstreams { // a configuration that is served has the others
		r.upstreams, r.todo.upstreams = maps.Clone(r.upstreams), true
	}
	if u == nil {
		delete(r.upstreams, name)
	} else {
		r.upstreams[name] = u
	}
}

// endpointList is an EndpointList, and the supplies that look at it; nobody
// may have brought it.
type endpointList struct {
	name  string
	there *EndpointList
	users map[*supply]bool
}

// discover puts another list in the place of the one of its name, or nil.
func (r *round) discover(name string, l *EndpointList) {
	e := r.listOf(name)
	e.there = l
	for s := range e.users {
		r.todo.supplies[s.name] = true
	}
	r.forget(e)
}

// listOf returns the list of a name, which may not be there yet.
func (m *Merger) listOf(name string) *endpointList {
	e := m.lists[name]
	if e == nil {
		e = &endpointList{name: name, users: map[*supply]bool{}}
		m.lists[name] = e
	}
	return e
}

// forget drops a list that is not there and that nobody looks at.
func (m *Merger) forget(e *endpointList) {
	if e.there == nil && len(e.users) == 0 {
		delete(m.lists, e.name)
	}
}

// complete returns the upstream of a supply, with the endpoints that are discovered
// for it; nil: nobody brings it. It is the one before if that says the same.
func (r *round) complete(s *supply) *ir.Upstream {
	s.from = nil
	if len(s.sources) > 0 {
		s.from = s.sources[0].Upstream
	}
	r.follow(s)
	if s.list == nil {
		return s.from
	}
	u := *s.from
	u.Endpoints = nil
	if s.list.there != nil {
		u.Endpoints = s.list.there.Endpoints
	}
	if held := r.upstreams[s.name]; held != nil && reflect.DeepEqual(held, &u) {
		return held
	}
	return &u
}

// follow makes a supply look at the list that its source names, and at no other.
func (r *round) follow(s *supply) {
	var list *endpointList
	if s.from != nil && s.from.Discovered != "" {
		list = r.listOf(s.from.Discovered)
	}
	if was := s.list; was != nil && was != list {
		delete(was.users, s)
		r.forget(was)
	}
	if s.list = list; list != nil {
		list.users[s] = true
	}
}
