package match

import (
	"math"
	"math/bits"
	"reflect"
	"slices"
	"sort"
)

// A Router that a change was made to has the table of the one before: entries
// that are no longer there are gone, and those that came are late, in a small
// table of their own. When both have become many, the table is made anew.
//
//	search ─► late ─► the rank from which on the table's come after it
//	              └─► table, up to there ─► the table's, else the late one

// rankSet is a set of ranks. The zero set is empty.
type rankSet []uint64

func (r rankSet) has(rank int) bool { return len(r) > 0 && r[rank>>6]&(1<<(rank&63)) != 0 }

// count returns how many ranks are in the set.
func (r rankSet) count() int {
	n := 0
	for _, word := range r {
		n += bits.OnesCount64(word)
	}
	return n
}

// late is what was not there when the table was made.
type late struct {
	table table
	// before has for each, by its rank among the late ones, the first rank of
	// the table that comes after it.
	before []int
}

// manyLate is the share of the table that may be gone or late: one in so many.
const manyLate = 64

// With returns the Router of list. It takes time for the entries that are
// other pointers than in r, and next to none for the others, which a few passes
// over numbers are for. r stays as it is. An error is as NewRouter's.
func (r *Router[T]) With(list []*Entry[T]) (*Router[T], error) {
	c := &change[T]{before: r, hits: slices.Clone(r.hits), gone: slices.Clone(r.gone), ranks: make([]int, 0, len(list)), list: list}
	if !c.compare() || c.moved && r.models != nil {
		return NewRouter(list)
	}
	n := *r
	n.hits, n.list, n.ranks, n.gone = c.hits, list, c.ranks, c.gone
	if !c.moved {
		return &n, nil
	}
	if ok, err := n.arrange(); !ok || err != nil {
		return NewRouter(list)
	}
	return &n, nil
}

// change finds out how a list differs from a Router's.
type change[T any] struct {
	before *Router[T]
	list   []*Entry[T]
	hits   []Hit[T]
	gone   rankSet
	ranks  []int // of the list's entries so far; isNew: it has none yet
	moved  bool  // the matches are not the same ones, in the same order
}

const isNew = -1

// compare walks along both lists. It gives up, and returns false, where they
// have little in common.
func (c *change[T]) compare() bool {
	old, list, ranks := c.before.list, c.list, c.before.ranks
	for {
		same := 0
		for same < len(old) && same < len(list) && old[same] == list[same] {
			same++
		}
		c.ranks = append(c.ranks, ranks[:same]...)
		old, list, ranks = old[same:], list[same:], ranks[same:]
		if len(old)+len(list) == 0 {
			return true
		}
		x, y, ok := meet(old, list)
		if !ok {
			return false
		}
		c.replace(old[:x], list[:y], ranks[:x])
		old, list, ranks = old[x:], list[y:], ranks[x:]
	}
}

// replace puts entries into the place of others.
func (c *change[T]) replace(old, list []*Entry[T], ranks []int) {
	if len(old) == len(list) {
		for i, e := range list {
			c.replaceOne(old[i], e, ranks[i])
		}
		return
	}
	for _, rank := range ranks {
		c.remove(rank)
	}
	for range list {
		c.insert()
	}
}

func (c *change[T]) replaceOne(old, e *Entry[T], rank int) {
	if reflect.DeepEqual(&old.Match, &e.Match) {
		c.hits[rank] = e.hit()
		c.ranks = append(c.ranks, rank)
		return
	}
	c.remove(rank)
	c.insert()
}

func (c *change[T]) remove(rank int) {
	c.moved = true
	if size := len(c.before.orders); rank < size { // else it is late, and made anew
		c.hits[rank] = Hit[T]{}
		if c.gone == nil {
			c.gone = make(rankSet, (size+63)/64)
		}
		c.gone[rank>>6] |= 1 << (rank & 63)
	}
}

func (c *change[T]) insert() {
	c.moved = true
	c.ranks = append(c.ranks, isNew)
}

// meet returns after how many of each list they go on with the same entry, or
// end.
func meet[T any](a, b []*Entry[T]) (x, y int, ok bool) {
	const most = 64
	for sum := 1; sum <= most; sum++ {
		for x = max(0, sum-len(b)); x <= min(sum, len(a)); x++ {
			y = sum - x
			if x == len(a) && y == len(b) || x < len(a) && y < len(b) && a[x] == b[y] {
				return x, y, true
			}
		}
	}
	return 0, 0, false
}

// arrange makes the table of the late entries; false: there are too many.
func (r *Router[T]) arrange() (bool, error) {
	size := len(r.orders)
	var come []*Entry[T]
	var places []int        // in the list
	at := make([]int, size) // of the table's, in the list
	for i, rank := range r.ranks {
		if rank != isNew && rank < size {
			at[rank] = i
			continue
		}
		come, places = append(come, r.list[i]), append(places, i)
	}
	if len(come)+r.gone.count() > size/manyLate {
		return false, nil
	}
	r.hits, r.late = r.hits[:size], nil
	if len(come) == 0 {
		return true, nil
	}
	b := builder{regexes: rests{}}
	l := &late{}
	for rank, i := range inOrder(come) {
		e := come[i]
		if len(e.Match.Model) > 0 {
			return false, nil
		}
		if err := b.add(rank, &e.Match); err != nil {
			return false, err
		}
		r.ranks[places[i]] = size + rank
		r.hits = append(r.hits, e.hit())
		l.before = append(l.before, r.follower(e, places[i], at))
	}
	l.table, r.late = newTable(b.matchers), l
	return true, nil
}

// follower returns the first rank of the table that comes after an entry which
// is at a place in the list; at are the places of the table's. Where the Order
// is the same, the list decides.
func (r *Router[T]) follower(e *Entry[T], place int, at []int) int {
	return sort.Search(len(r.orders), func(rank int) bool {
		order := slices.Compare(r.orders[rank], e.Match.Order)
		for order == 0 && r.gone.has(rank) { // it has no place any more
			if rank++; rank == len(r.orders) {
				return true
			}
			order = slices.Compare(r.orders[rank], e.Match.Order)
		}
		return order > 0 || order == 0 && at[rank] > place
	})
}

// either returns the place among the hits of the best entry that takes a
// request, or math.MaxInt. Late ones are asked with a request of their own.
func (r *Router[T]) either(req, reqLate *Request) int {
	s := search{req: req, rank: math.MaxInt, gone: r.gone}
	other := math.MaxInt
	if r.late != nil {
		l := search{req: reqLate, rank: math.MaxInt}
		if r.late.table.find(&l); l.rank != math.MaxInt {
			s.rank, other = r.late.before[l.rank], len(r.orders)+l.rank
		}
	}
	limit := s.rank
	if r.table.find(&s); s.rank < limit {
		return s.rank
	}
	return other
}
