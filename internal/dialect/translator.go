package dialect

import (
	"cmp"
	"reflect"
	"slices"
	"sync"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Translator turns sets into fragments, and keeps what a change does not
// concern. It is for one goroutine. The zero value is not usable; see
// NewTranslator.
type Translator struct {
	dialects []Dialect
	set      *resource.Set
	roots    []*rootList
	done     map[Place]*translation
	readers  resource.Readers[*translation]
	demand   *resource.Demand
	lends    *Lent
	borrows  *Lent
}

// rootList is what one dialect translates.
type rootList struct {
	keys []resource.Key
	view *resource.View // that Roots was asked with
	// rank of the dialect's kinds, in their order.
	rank map[resource.GroupKind]int
}

// translation is what is known of one root.
type translation struct {
	Place
	fragment *Fragment
	report   status.Report
	asked    []resource.Question
}

// Place is where a fragment comes from. Places have an order, which decides
// between fragments where nothing else does: that of the dialects, of each
// one's kinds, and of the keys.
type Place struct {
	Dialect, Kind int
	Root          resource.Key
}

// Compare orders places.
func (p Place) Compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Dialect, o.Dialect), cmp.Compare(p.Kind, o.Kind), p.Root.Compare(o.Root))
}

// Change is another fragment at a place. Before and After are nil where there
// was none, or is none any more. What they have in common is the same pointer
// in both.
type Change struct {
	Place
	Before, After *Fragment
	// Report is what the translation says now.
	Report status.Report
}

// Join returns the changes of two Updates, one after the other, as those of one.
func Join(first, second []Change) []Change {
	at := make(map[Place]int, len(first))
	for i, c := range first {
		at[c.Place] = i
	}
	out := slices.Clip(first)
	for _, c := range second {
		if i, ok := at[c.Place]; ok {
			c.Before = out[i].Before
			out[i] = c
		} else {
			out = append(out, c)
		}
	}
	return out
}

// NewTranslator returns a Translator for the dialects, in their order, and what
// they share.
func NewTranslator(dialects []Dialect) *Translator {
	t := &Translator{dialects: withShared(dialects), done: map[Place]*translation{}, demand: resource.NewDemand()}
	for _, d := range t.dialects {
		l := &rootList{rank: map[resource.GroupKind]int{}}
		for i, k := range d.Kinds {
			l.rank[k.GroupKind] = i + 1
		}
		t.roots = append(t.roots, l)
	}
	return t
}

// withShared returns dialects with what they share behind them.
func withShared(dialects []Dialect) []Dialect {
	out := slices.Clone(dialects)
	for _, d := range dialects {
		for _, s := range d.Shared {
			if !slices.ContainsFunc(out, func(o Dialect) bool { return o.Name == s.Name }) {
				out = append(out, s)
			}
		}
	}
	return out
}

// Demand returns what the last translation of each root reads of the Secrets.
func (t *Translator) Demand() *resource.Demand { return t.demand }

// Update turns set into the changes since the one before it, in the order of
// their places; repeated is how many roots were translated for that. Only those
// are of which something was read that differs, or whose questions are answered
// otherwise.
func (t *Translator) Update(set *resource.Set) (changes []Change, repeated int) {
	var changed resource.Changes
	if t.set != nil {
		changed = resource.ChangesOf(t.set, set, resource.Diff(t.set, set))
	}
	todo := map[Place]bool{} // false: the root is gone
	surely, perhaps := t.readers.Concerned(changed)
	for _, tr := range append(surely, t.answeredOtherwise(perhaps, set)...) {
		todo[tr.Place] = true
	}
	for i, l := range t.roots {
		if l.view == nil || l.view.Sees(changed) {
			t.list(i, set, todo)
		}
	}
	places := make([]Place, 0, len(todo))
	for p := range todo {
		places = append(places, p)
	}
	slices.SortFunc(places, Place.Compare)
	next := t.translate(set, places, todo)
	for i, p := range places {
		if todo[p] {
			repeated++
		}
		if c, ok := t.take(p, next[i]); ok {
			changes = append(changes, c)
		}
	}
	t.set = set
	return changes, repeated
}

// answeredOtherwise returns those of a list whose questions set answers otherwise
// than the one before it.
func (t *Translator) answeredOtherwise(list []*translation, set *resource.Set) []*translation {
	same := make([]bool, len(list))
	inBatches(len(list), func(from, to int) {
		before, after := resource.NewView(t.set), resource.NewView(set)
		for i := from; i < to; i++ {
			same[i] = resource.SameAnswers(list[i].asked, before, after)
		}
	})
	var out []*translation
	for i, tr := range list {
		if !same[i] {
			out = append(out, tr)
		}
	}
	return out
}

// list brings a dialect's roots up to date, and puts into todo which of them
// have come and gone.
func (t *Translator) list(i int, set *resource.Set, todo map[Place]bool) {
	l := t.roots[i]
	before := make(map[resource.Key]bool, len(l.keys))
	for _, k := range l.keys {
		before[k] = true
	}
	l.view = resource.NewView(set)
	l.keys = t.dialects[i].Roots(l.view)
	for _, k := range l.keys {
		if !before[k] {
			todo[t.place(i, k)] = true
		}
		delete(before, k)
	}
	for k := range before {
		todo[t.place(i, k)] = false
	}
}

func (t *Translator) place(i int, root resource.Key) Place {
	return Place{Dialect: i, Kind: t.roots[i].rank[root.GroupKind], Root: root}
}

// translated is what one translation gave, and what it has read; a root that
// is gone has no view.
type translated struct {
	view     *resource.View
	fragment *Fragment
	report   status.Report
}

// atOnce is how many roots one goroutine looks after in a row.
const atOnce = 64

// translate translates the places that are todo, on several processors where
// there are many: a translation depends on nothing but what it reads.
func (t *Translator) translate(set *resource.Set, places []Place, todo map[Place]bool) []translated {
	out := make([]translated, len(places))
	inBatches(len(places), func(from, to int) {
		for i := from; i < to; i++ {
			if p := places[i]; todo[p] {
				v := resource.NewView(set)
				f, r := t.dialects[p.Dialect].Translate(v, p.Root)
				out[i] = translated{v, cmp.Or(f, &Fragment{}), r}
			}
		}
	})
	return out
}

// inBatches calls do for the numbers below n, atOnce of them at a time.
func inBatches(n int, do func(from, to int)) {
	var all sync.WaitGroup
	for from := atOnce; from < n; from += atOnce {
		all.Go(func() { do(from, min(from+atOnce, n)) })
	}
	do(0, min(atOnce, n))
	all.Wait()
}

// take makes next what is at a place; ok tells whether anything was or is.
func (t *Translator) take(p Place, next translated) (c Change, ok bool) {
	tr := t.done[p]
	if tr == nil {
		if next.view == nil {
			return c, false
		}
		tr = &translation{Place: p}
		t.done[p] = tr
	}
	if t.borrows != nil { // what became of objects is the lender's to say
		next.report = status.Report{Problems: next.report.Problems}
	}
	c = Change{Place: p, Before: tr.fragment, After: next.fragment, Report: next.report}
	if next.view == nil {
		t.demand.Swap(t.readers.Reads(tr), nil)
		t.readers.Forget(tr)
		t.lends.put(p, nil)
		delete(t.done, p)
		return c, true
	}
	if tr.fragment != nil {
		keepEqual(tr.fragment, next.fragment)
	}
	t.lends.put(p, next.fragment)
	t.borrows.share(p, next.fragment)
	reads := next.view.Reads()
	t.demand.Swap(t.readers.Reads(tr), reads)
	t.readers.Read(tr, reads)
	tr.fragment, tr.report, tr.asked = next.fragment, next.report, next.view.Asked()
	return c, true
}

// keepEqual gives a fragment the old one's parts in place of those that say
// the same.
func keepEqual(old, f *Fragment) {
	sameAt(old.Listeners, f.Listeners)
	sameAt(old.Hosts, f.Hosts)
	sameAt(old.SNIRoutes, f.SNIRoutes)
	sameAt(old.Attachments, f.Attachments)
	sameAt(old.Endpoints, f.Endpoints)
	byName := make(map[string]*ir.Upstream, len(old.Upstreams))
	for _, u := range old.Upstreams {
		byName[u.Name] = u
	}
	for i, u := range f.Upstreams {
		if was := byName[u.Name]; was != nil && reflect.DeepEqual(was, u) {
			f.Upstreams[i] = was
		}
	}
}

// sameAt puts the elements of old into list where those at the same index are
// equal.
func sameAt[T any](old, list []*T) {
	for i := range min(len(old), len(list)) {
		if reflect.DeepEqual(old[i], list[i]) {
			list[i] = old[i]
		}
	}
}

// Translate is Update, with all fragments and the whole report as the answer.
func (t *Translator) Translate(set *resource.Set) (fragments []*Fragment, report status.Report, repeated int) {
	_, repeated = t.Update(set)
	for i, l := range t.roots {
		for _, k := range l.keys {
			tr := t.done[t.place(i, k)]
			fragments = append(fragments, tr.fragment)
			report.Join(tr.report)
		}
	}
	return fragments, report, repeated
}
