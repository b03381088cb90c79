// Package match finds what a request is for: the virtual host by its host
// name, the route by everything else in its head.
//
// Both tables are built once, off the request path, and are then read without
// locks and without allocation by any number of goroutines. A look-up costs
// about the same whether a table holds ten entries or ten thousand:
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

// Entry is a match and what stands behind it.
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
	// Index is the entry's in the list that the Router was made of.
	Index int
}

// Router finds the first of many matches, by their Order, that takes a
// request. The zero Router takes nothing.
type Router[T any] struct {
	table  table
	hits   []Hit[T] // by rank
	models *byModel // nil: no match looks at the model
}

// NewRouter returns a Router of entries. An error names the index of the entry
// at fault and what is wrong with it.
func NewRouter[T any](entries []Entry[T]) (*Router[T], error) {
	r := &Router[T]{hits: make([]Hit[T], len(entries))}
	matchers, regexes := make([]*matcher, 0, len(entries)), rests{}
	var heads []*matcher
	known := map[string]*head{}
	for rank, index := range ranked(entries) {
		e := &entries[index]
		r.hits[rank] = Hit[T]{Value: e.Value, Path: e.Match.Path, Index: index}
		if len(e.Match.Model) > 0 {
			if r.models == nil {
				r.models = &byModel{heads: map[int]*head{}}
			}
			if err := r.models.add(rank, &e.Match, known, &heads, regexes); err != nil {
				return nil, fmt.Errorf("match %d: %w", index, err)
			}
			continue
		}
		m, err := newMatcher(&e.Match, regexes)
		if err != nil {
			return nil, fmt.Errorf("match %d: %w", index, err)
		}
		m.rank = rank
		matchers = append(matchers, m)
	}
	r.table = newTable(matchers)
	if r.models != nil {
		r.models.table = newTable(heads)
	}
	return r, nil
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

// plain returns the rank of the best entry that looks at no model, or
// math.MaxInt.
func (r *Router[T]) plain(req *Request) int {
	s := search{req: req, rank: math.MaxInt}
	r.table.find(&s)
	return s.rank
}

func (r *Router[T]) hit(rank int) (Hit[T], bool) {
	if rank == math.MaxInt {
		return Hit[T]{}, false
	}
	return r.hits[rank], true
}

// ranked returns the indexes of entries in the order in which they are to win.
func ranked[T any](entries []Entry[T]) []int {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return slices.Compare(entries[a].Match.Order, entries[b].Match.Order)
	})
	return order
}
