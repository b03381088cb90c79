package match

import (
	"encoding/json"
	"fmt"

	"github.com/postern-gateway/postern/internal/ir"
)

// byModel holds the matches of a Router that look at the model which a body
// names. They are apart from the others, so that a request on a Router without
// them pays for nothing:
//
//	heads    a table of what they ask of the head, each once
//	head     the models that are told apart behind it
type byModel struct {
	table table
	heads map[int]*head // by the rank of their matcher
}

// head is what several matches ask of everything but the model.
type head struct {
	least int            // the smallest rank of its entries
	exact map[string]int // ranks of those that ask for one model by name
	rest  []modelEntry   // by rank
	ranks []int          // of all, in order
}

// modelEntry is a match that asks more of the model than one exact name.
type modelEntry struct {
	rank  int
	model []value
}

// modelName stands in StringMatch.Name, which matches of a model do not use.
const modelName = "model"

func (b *byModel) add(rank int, m *ir.Match, known map[string]*head, matchers *[]*matcher, regexes rests) error {
	v := modelEntry{rank: rank}
	for _, s := range m.Model {
		s.Name = modelName
		c, err := newValue(&s)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		v.model = append(v.model, c)
	}
	key, err := headKey(m)
	if err != nil {
		return err
	}
	h := known[key]
	if h == nil {
		c, err := newMatcher(m, regexes)
		if err != nil {
			return err
		}
		c.rank = rank
		h = &head{least: rank, exact: map[string]int{}}
		known[key], b.heads[rank] = h, h
		*matchers = append(*matchers, c)
	}
	h.add(v)
	return nil
}

// headKey tells what m asks of everything but the model.
func headKey(m *ir.Match) (string, error) {
	bare := *m
	bare.Model, bare.Order = nil, nil
	key, err := json.Marshal(&bare)
	return string(key), err
}

// add takes the entries in the order of their ranks.
func (h *head) add(e modelEntry) {
	h.ranks = append(h.ranks, e.rank)
	if len(e.model) == 1 && e.model[0].kind == compareExact && !e.model[0].invert {
		if _, ok := h.exact[e.model[0].text]; !ok {
			h.exact[e.model[0].text] = e.rank
		}
		return
	}
	h.rest = append(h.rest, e)
}

// best returns the smaller of rank and that of h's best entry which takes the
// model; got is empty if the body names none.
func (h *head) best(got []string, rank int) int {
	if len(got) > 0 {
		if r, ok := h.exact[got[0]]; ok {
			rank = min(rank, r)
		}
	}
	for i := range h.rest {
		e := &h.rest[i]
		if e.rank >= rank {
			break
		}
		if e.takes(got) {
			return e.rank
		}
	}
	return rank
}

func (e *modelEntry) takes(got []string) bool {
	for i := range e.model {
		if !e.model[i].takes(got) {
			return false
		}
	}
	return true
}

// find returns the heads that take req and have an entry before rank, in the
// order of their best entries.
func (b *byModel) find(req *Request, rank int) []*head {
	var out []*head
	asked := *req
	for {
		s := search{req: &asked, rank: rank}
		b.table.find(&s)
		if s.rank == rank {
			return out
		}
		out = append(out, b.heads[s.rank])
		asked.after = s.rank + 1
	}
}

// Group is what is left to choose from when a request's head is known and its
// body is not: matches that differ in the model alone, and the one that takes
// the request if none of them does.
type Group[T any] struct {
	router   *Router[T]
	heads    []*head
	fallback int // its place among the hits; math.MaxInt: there is none
}

// Group returns the routes between which the body's model decides; false:
// the model decides nothing, and Find tells the route.
func (r *Router[T]) Group(req *Request) (Group[T], bool) {
	if r.models == nil {
		return Group[T]{}, false
	}
	g := Group[T]{router: r, fallback: r.plain(req)}
	g.heads = r.models.find(req, g.fallback)
	return g, len(g.heads) > 0
}

// Choose returns the route for a model; named is false if the body has none.
func (g *Group[T]) Choose(model string, named bool) (Hit[T], bool) {
	var got []string
	if named {
		got = []string{model}
	}
	rank := g.fallback
	for _, h := range g.heads {
		rank = h.best(got, rank)
	}
	return g.router.hit(rank)
}

// Fallback returns the route that looks at no model, if there is one.
func (g *Group[T]) Fallback() (Hit[T], bool) { return g.router.hit(g.fallback) }

// Members yields what the model may lead to, in order; a route of several
// matches comes several times. The fallback is not among them.
func (g *Group[T]) Members(yield func(Hit[T]) bool) {
	at := make([]int, len(g.heads))
	for {
		next, from := g.fallback, -1
		for i, h := range g.heads {
			if at[i] < len(h.ranks) && h.ranks[at[i]] < next {
				next, from = h.ranks[at[i]], i
			}
		}
		if from < 0 {
			return
		}
		at[from]++
		if !yield(g.router.hits[next]) {
			return
		}
	}
}
