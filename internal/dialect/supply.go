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
	if held := r.upstreams[u.Name]; held != nil && reflect.DeepEqual(held, u) {
		u = held
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
		var u *ir.Upstream
		if len(s.sources) > 0 {
			u = s.sources[0].Upstream
		}
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
