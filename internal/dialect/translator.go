package dialect

import (
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Translator turns sets into fragments, and keeps what a change does not
// concern. It is for one goroutine. The zero value is not usable; see
// NewTranslator.
type Translator struct {
	dialects []Dialect
	set      *resource.Set
	roots    []rootList
	done     []map[resource.Key]*translation
	demand   *resource.Demand
}

type rootList struct {
	keys  []resource.Key
	reads resource.Reads
}

type translation struct {
	fragment *Fragment
	report   status.Report
	reads    resource.Reads
}

// NewTranslator returns a Translator for the dialects, in their order.
func NewTranslator(dialects []Dialect) *Translator {
	return &Translator{dialects: dialects, demand: resource.NewDemand()}
}

// Demand returns what the last translation of each root reads of the Secrets.
func (t *Translator) Demand() *resource.Demand { return t.demand }

// Translate returns the fragments and the report of set, the same as a new
// Translator would. It repeats only the translations whose reads differ from
// the set before; done tells how many it repeated.
func (t *Translator) Translate(set *resource.Set) (fragments []*Fragment, report status.Report, done int) {
	if t.set == nil {
		t.roots = make([]rootList, len(t.dialects))
		t.done = make([]map[resource.Key]*translation, len(t.dialects))
	}
	var changed resource.Changes
	if t.set != nil {
		changed = resource.ChangesOf(t.set, set, resource.Diff(t.set, set))
	}
	for i := range t.dialects {
		if t.set == nil || t.roots[i].reads.TouchedBy(changed) {
			v := resource.NewView(set)
			t.roots[i] = rootList{keys: t.dialects[i].Roots(v), reads: v.Reads()}
		}
		n := t.translate(i, set, changed)
		done += n
		for _, root := range t.roots[i].keys {
			tr := t.done[i][root]
			fragments = append(fragments, tr.fragment)
			report.Join(tr.report)
		}
	}
	t.set = set
	return fragments, report, done
}

// translate brings dialect i's translations up to date with set.
func (t *Translator) translate(i int, set *resource.Set, changed resource.Changes) int {
	n := 0
	next := make(map[resource.Key]*translation, len(t.roots[i].keys))
	for _, root := range t.roots[i].keys {
		tr := t.done[i][root]
		if tr == nil || tr.reads.TouchedBy(changed) {
			v := resource.NewView(set)
			f, r := t.dialects[i].Translate(v, root)
			if f == nil {
				f = &Fragment{}
			}
			now := &translation{fragment: f, report: r, reads: v.Reads()}
			t.demand.Swap(tr.read(), now.reads)
			tr = now
			n++
		}
		next[root] = tr
	}
	for root, tr := range t.done[i] {
		if next[root] == nil {
			t.demand.Swap(tr.reads, resource.Reads{})
		}
	}
	t.done[i] = next
	return n
}

// read returns what a translation read; nil read nothing.
func (tr *translation) read() resource.Reads {
	if tr == nil {
		return resource.Reads{}
	}
	return tr.reads
}
