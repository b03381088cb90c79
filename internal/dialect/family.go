package dialect

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// familyHosts are the hostnames of one family's objects on one listener, in the
// order in which these were let in.
type familyHosts struct {
	exact map[string]*familyHost
	wild  []*familyHost
}

type familyHost struct {
	name  string
	owner resource.Key
	rank  int // of the owner, among all that are let in
}

// rival returns the first whose hostname has something in common with name, or
// nil.
func (f *familyHosts) rival(name string) *familyHost {
	first := f.exact[name]
	for _, w := range f.wild {
		if overlap(w.name, name) {
			first = w.earlier(first)
		}
	}
	if strings.HasPrefix(name, "*") {
		for exact, h := range f.exact {
			if overlap(name, exact) {
				first = h.earlier(first)
			}
		}
	}
	return first
}

// earlier returns the one of two that was let in first; other may be nil.
func (h *familyHost) earlier(other *familyHost) *familyHost {
	if h == nil || other != nil && other.rank <= h.rank {
		return other
	}
	return h
}

func (f *familyHosts) add(h *familyHost) {
	if strings.HasPrefix(h.name, "*") {
		f.wild = append(f.wild, h)
		return
	}
	if f.exact == nil {
		f.exact = map[string]*familyHost{}
	}
	f.exact[h.name] = h.earlier(f.exact[h.name])
}

// overlap reports whether some host fits both patterns: each an exact name,
// "*.suffix" or "*".
func overlap(a, b string) bool {
	return a == b || within(a, b) || within(b, a)
}

func within(wide, narrow string) bool {
	suffix, ok := strings.CutPrefix(wide, "*")
	return ok && strings.HasSuffix(narrow, suffix) && len(strings.TrimPrefix(narrow, "*")) >= len(suffix)
}

// separateFamilies finds the objects that cannot be on a listener since one of
// another family is there for the same host: of two families the older object
// stays, the other is refused as a whole. Only listeners with several families
// are looked at, those with all their hosts.
func (r *round) separateFamilies() {
	owners := map[resource.Key]bool{} // of whom something else is to be told
	for s := range r.todo.sites {
		if len(s.families) < 2 && len(s.refused) == 0 {
			continue
		}
		refused := s.separate()
		for owner := range s.owners {
			was, is := s.refused[owner], refused[owner]
			if was == is {
				continue
			}
			owners[owner] = true
			for _, o := range s.owners[owner] {
				for _, g := range o.groups() {
					r.todo.groups[g] = true
				}
			}
		}
		for owner := range s.refused {
			owners[owner] = true
		}
		s.refused = refused
	}
	for owner := range r.todo.owners {
		owners[owner] = true
	}
	for owner := range owners {
		r.tellRefused(owner)
	}
}

// separate returns the objects that are refused on a site, each with who is
// there before it. Objects are let in in the order of their age.
func (s *site) separate() map[resource.Key]resource.Key {
	refused := map[resource.Key]resource.Key{}
	if len(s.families) < 2 {
		return refused
	}
	lists := make([][]*offer, 0, len(s.owners))
	for _, list := range s.owners {
		lists = append(lists, list)
	}
	slices.SortFunc(lists, func(a, b []*offer) int { return a[0].compare(b[0]) })
	there := map[string]*familyHosts{}
	for rank, list := range lists {
		owner, family := list[0].host.Owner, list[0].host.Family
		var first *familyHost
		for other, hosts := range there {
			if other == family {
				continue
			}
			for name := range familyNames(list) {
				first = hosts.rival(name).earlier(first)
			}
		}
		if first != nil {
			refused[owner] = first.owner
			continue
		}
		if there[family] == nil {
			there[family] = &familyHosts{}
		}
		for name := range familyNames(list) {
			there[family].add(&familyHost{name, owner, rank})
		}
	}
	return refused
}

// familyNames yields the hostnames of offers that are of a family.
func familyNames(list []*offer) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, o := range list {
			if o.host.Family == "" {
				continue
			}
			for _, name := range o.host.Hostnames {
				if !yield(name) {
					return
				}
			}
		}
	}
}

// familyKey is what is told of an object that is refused.
type familyKey struct{ owner resource.Key }

// tellRefused reports an object that is refused on listeners, for each parent
// through which it came there. One that is left on others of a parent's is
// accepted there.
func (r *round) tellRefused(owner resource.Key) {
	left := map[string]bool{} // by parent: whether it is on some listener
	lost := map[string]resource.Key{}
	var first *offer
	for _, name := range slices.Sorted(maps.Keys(r.sites)) {
		s := r.sites[name]
		for _, o := range s.owners[owner] {
			if first == nil || o.compare(first) < 0 {
				first = o
			}
			if rival, no := s.refused[owner]; no {
				lost[o.host.parent()] = rival
			} else {
				left[o.host.parent()] = true
			}
		}
	}
	var report status.Report
	for _, parent := range slices.Sorted(maps.Keys(lost)) {
		msg := fmt.Sprintf("%v comes first, and serves a host of this %s on the same listener", lost[parent], owner.Kind)
		report.Add(status.Errorf(first.host.Origin, "%s; the route is not served there", msg).
			Fix("give one of the two hostnames of its own, or another listener"))
		if left[parent] {
			continue
		}
		report.Outcome(status.Outcome{
			Object: owner.Status(), About: parent, Condition: "Accepted", Reason: "Conflicted", Message: msg,
		})
	}
	if len(lost) > 0 {
		r.rivalled[owner] = true
	} else {
		delete(r.rivalled, owner)
	}
	r.Ledger.Put(status.PassMerge, familyKey{owner}, report)
}

// parent returns the parent that the host's routes are reported for.
func (h *VirtualHost) parent() string {
	if len(h.Routes) == 0 {
		return ""
	}
	first := h.Routes[0]
	if len(first.Delegators) > 0 {
		return first.Delegators[0].Parent
	}
	return first.Parent
}
