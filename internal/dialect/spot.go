package dialect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// spot is what is at a Target: policies, and whether it can be referred to.
type spot struct {
	target    Target
	attached  []*pinned // in the order in which they take a slot
	referable int       // how many fragments say that it is there
	users     map[*offer]bool
	fronts    int // listeners that stand for it
}

// pinned is an attachment in its place, and what became of it over all routes.
type pinned struct {
	*Attachment
	Place
	index   int
	gone    bool
	won     int
	shadows map[resource.Key]int
}

func (p *pinned) compare(o *pinned) int {
	return cmp.Or(compareAttachments(p.Attachment, o.Attachment), p.Place.Compare(o.Place), cmp.Compare(p.index, o.index))
}

func compareAttachments(a, b *Attachment) int {
	return cmp.Or(slices.Compare(a.Rank, b.Rank), a.Age.Compare(b.Age), a.Owner.Compare(b.Owner))
}

// spotOf returns the spot of a target, where nothing may be yet.
func (m *Merger) spotOf(t Target) *spot {
	s := m.spots[t]
	if s == nil {
		s = &spot{target: t, users: map[*offer]bool{}}
		m.spots[t] = s
	}
	return s
}

// dispose forgets a spot that nobody has anything to do with.
func (m *Merger) dispose(s *spot) {
	if len(s.attached)+s.referable+len(s.users)+s.fronts == 0 && m.spots[s.target] == s {
		delete(m.spots, s.target)
	}
}

func (r *round) attach(p Place, index int, a *Attachment) {
	s := r.spotOf(a.Target)
	it := &pinned{Attachment: a, Place: p, index: index}
	at, _ := slices.BinarySearchFunc(s.attached, it, (*pinned).compare)
	s.attached = slices.Insert(s.attached, at, it)
	r.todo.spots[s], r.todo.tallies[it] = true, true
}

func (r *round) detach(p Place, a *Attachment) {
	s := r.spotOf(a.Target)
	r.todo.spots[s] = true
	at := slices.IndexFunc(s.attached, func(it *pinned) bool { return it.Attachment == a && it.Place == p })
	s.attached[at].gone, r.todo.tallies[s.attached[at]] = true, true
	s.attached = slices.Delete(s.attached, at, at+1)
}

// refer takes note of what can be referred to.
func (r *round) refer(before, after []Target) {
	if slices.Equal(before, after) {
		return
	}
	change := func(list []Target, n int) {
		for _, t := range list {
			s := r.spotOf(t)
			was := s.referable > 0
			s.referable += n
			if was != (s.referable > 0) {
				r.todo.spots[s], r.todo.names = true, true
			}
		}
	}
	change(after, 1) // first: what stays is there all the time
	change(before, -1)
}

// count is one time that an attachment took a slot, or found it taken.
type count struct {
	*pinned
	by resource.Key // who has the slot; empty: the attachment itself
}

// add counts n times more, or with a negative n less, what counts say.
func (r *round) add(counts []count, n int) {
	for _, c := range counts {
		r.todo.tallies[c.pinned] = true
		if c.by == (resource.Key{}) {
			c.won += n
			continue
		}
		if c.shadows == nil {
			c.shadows = map[resource.Key]int{}
		}
		if c.shadows[c.by] += n; c.shadows[c.by] == 0 {
			delete(c.shadows, c.by)
		}
	}
}

// bearers names what an attachment is put on.
func (a *Attachment) bearers() string {
	if a.Listener != nil {
		return "listeners"
	}
	return "routes"
}

// NoRouteYet is the message of an Attached outcome where nothing is served that
// the attachment could hold for.
const NoRouteYet = "no route there yet"

// tellAttachment reports where an attachment won or who shadowed it; one that
// never won is a warning.
func (r *round) tellAttachment(a *pinned) {
	var report status.Report
	if !a.gone && !a.Implied {
		o := status.Outcome{Object: a.Owner.Status(), About: a.Slot + " on " + a.Target.String(), Condition: "Attached", OK: true, Reason: "Attached"}
		switch {
		case a.won > 0:
			o.Message = fmt.Sprintf("in force on %d %s", a.won, a.bearers())
		case len(a.shadows) > 0:
			by := a.rivals()
			o.OK, o.Reason, o.Message = false, "Overridden", "overridden by "+by
			report.Add(status.Warningf(a.Origin, "it has no effect: the same field of %s comes first", by).
				Fix("remove one of the two"))
		default:
			o.Message = NoRouteYet
		}
		report.Outcome(o)
	}
	r.Ledger.Put(status.PassMerge, a, report)
}

// rivals names who has the slots.
func (p *pinned) rivals() string {
	var names []string
	for _, k := range slices.SortedFunc(maps.Keys(p.shadows), resource.Key.Compare) {
		names = append(names, k.String())
	}
	return strings.Join(names, ", ")
}
