// Package match finds what a request is for: the virtual host by its host
// name, the route by everything else in its head.
//
// Both tables are built once, off the request path, and are then read without
// locks and without allocation by any number of goroutines. A changed one is
// another that shares with it what is the same (With). A look-up costs about
// the same whether a table holds ten entries or ten thousand:
//
//	Hosts    exact map ► "*.suffix" by label ► "prefix.*" by label ► "*"
//	Router   exact index ► prefix indexes ► tries for what else there is, each
//	         leading to an entry, or to a bucket: the entries of one path, told
//	         apart by method, header or query
//
// The package knows no listener, no step and no answer: it carries whatever
// value its user put beside a pattern. Its input must have been normalized:
// it compares bytes.
package match

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

// Request is the part of a request that routes look at.
type Request struct {
	Method string
	// Path is normalized and has no query.
	Path string
	// Host is canonical; only matches on the header Host (or :authority) look
	// at it.
	Host string
	// Header has canonical names (net/textproto).
	Header http.Header
	Query  url.Values
	// Model is what the body names, where HasModel says that it was read and
	// names one.
	Model    string
	HasModel bool

	after int // matchers of a smaller rank are passed over
}

// Entry is a match and what stands behind it. It must not be changed once a
// Router has it.
type Entry[T any] struct {
	Match ir.Match
	Value T
}

// Hit is what Router.Find found.
type Hit[T any] struct {
	Value T
	// Path is the path match that took the request: a rewrite of the matched
	// prefix needs to know how much of the path that was.
	Path ir.PathMatch
}

// Router finds the first of many matches, by their Order, that takes a
// request. The zero Router takes nothing.
type Router[T any] struct {
	table  table
	hits   []Hit[T] // by rank, then those of the late ones
	models *byModel // nil: no match looks at the model
	gone   rankSet  // of entries that are in the table and not in the list
	late   *late    // entries that the table does not have; nil: there are none

	// What With needs.
	list   []*Entry[T]
	ranks  []int      // of the list's entries; late ones have theirs behind the table's
	orders []ir.Order // of the table's, by rank
}

// NewRouter returns a Router of list. An error names the index of the entry at
// fault and what is wrong with it.
func NewRouter[T any](list []*Entry[T]) (*Router[T], error) {
	r := &Router[T]{hits: make([]Hit[T], len(list)), list: list, ranks: make([]int, len(list)), orders: make([]ir.Order, len(list))}
	b := builder{regexes: rests{}, known: map[string]*head{}}
	for rank, index := range inOrder(list) {
		e := list[index]
		r.hits[rank], r.ranks[index], r.orders[rank] = e.hit(), rank, e.Match.Order
		if err := b.add(rank, &e.Match); err != nil {
			return nil, fmt.Errorf("match %d: %w", index, err)
		}
	}
	r.table = newTable(b.matchers)
	if b.models != nil {
		b.models.table, r.models = newTable(b.heads), b.models
	}
	return r, nil
}

func (e *Entry[T]) hit() Hit[T] { return Hit[T]{Value: e.Value, Path: e.Match.Path} }

// builder compiles matches in the order of their ranks.
type builder struct {
	regexes  rests
	matchers []*matcher
	heads    []*matcher // of those that look at the model
	known    map[string]*head
	models   *byModel
}

func (b *builder) add(rank int, m *ir.Match) error {
	if len(m.Model) > 0 {
		if b.models == nil {
			b.models = &byModel{heads: map[int]*head{}}
		}
		return b.models.add(rank, m, b.known, &b.heads, b.regexes)
	}
	c, err := newMatcher(m, b.regexes)
	if err != nil {
		return err
	}
	c.rank = rank
	b.matchers = append(b.matchers, c)
	return nil
}

// Find returns the entry with the smallest Order, and of equals the first,
// whose match takes req. It does not allocate, unless a header that an entry
// looks at occurs several times in the request, or entries look at the model.
// One whose model is not known is taken to name none; see Group.
func (r *Router[T]) Find(req *Request) (Hit[T], bool) {
	if r.models != nil {
		if g, ok := r.Group(req); ok {
			return g.Choose(req.Model, req.HasModel)
		}
	}
	return r.hit(r.plain(req))
}

// plain returns the place among the hits of the best entry that looks at no
// model, or math.MaxInt.
func (r *Router[T]) plain(req *Request) int {
	if r.late != nil {
		return r.either(req, req)
	}
	s := search{req: req, rank: math.MaxInt, gone: r.gone}
	r.table.find(&s)
	return s.rank
}

func (r *Router[T]) hit(at int) (Hit[T], bool) {
	if at == math.MaxInt {
		return Hit[T]{}, false
	}
	return r.hits[at], true
}

// All yields every entry that takes req, in order, whatever comes before it.
// Entries that look at the model are left out.
func (r *Router[T]) All(req *Request, yield func(Hit[T]) bool) {
	asked, askedLate := *req, *req
	for {
		at := r.either(&asked, &askedLate)
		if at == math.MaxInt || !yield(r.hits[at]) {
			return
		}
		if at < len(r.orders) {
			asked.after = at + 1
		} else {
			askedLate.after = at - len(r.orders) + 1
		}
	}
}

// inOrder returns the indexes of list in the order in which they are to win.
func inOrder[T any](list []*Entry[T]) []int {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return slices.Compare(list[a].Match.Order, list[b].Match.Order)
	})
	return order
}
