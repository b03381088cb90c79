package dialect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// placed is an object on a listener.
type placed struct {
	owner    resource.Key
	listener string
}

// familyHosts are the hostnames of one family's objects on one listener.
type familyHosts struct {
	exact map[string]resource.Key
	wild  []familyHost
}

type familyHost struct {
	name  string
	owner resource.Key
}

// rival returns an object whose hostnames have something in common with name.
func (f *familyHosts) rival(name string) (resource.Key, bool) {
	if owner, ok := f.exact[name]; ok {
		return owner, true
	}
	for _, w := range f.wild {
		if overlap(w.name, name) {
			return w.owner, true
		}
	}
	if strings.HasPrefix(name, "*") {
		for exact, owner := range f.exact {
			if overlap(name, exact) {
				return owner, true
			}
		}
	}
	return resource.Key{}, false
}

func (f *familyHosts) add(name string, owner resource.Key) {
	if strings.HasPrefix(name, "*") {
		f.wild = append(f.wild, familyHost{name, owner})
		return
	}
	if f.exact == nil {
		f.exact = map[string]resource.Key{}
	}
	f.exact[name] = owner
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
// stays, the other is refused as a whole. all is sorted by age.
func (r *merge) separateFamilies(all []*VirtualHost) {
	contested := contestedListeners(all)
	if len(contested) == 0 {
		return
	}
	r.refused = map[placed]bool{}
	there := map[string]map[string]*familyHosts{} // by listener and family
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].Owner == all[from].Owner {
			to++
		}
		r.separate(all[from:to], contested, there)
		from = to
	}
}

// contestedListeners returns the listeners that have hosts of several families.
func contestedListeners(all []*VirtualHost) map[string]bool {
	first, out := map[string]string{}, map[string]bool{}
	for _, h := range all {
		if h.Family == "" {
			continue
		}
		for _, l := range h.Listeners {
			if f, ok := first[l]; !ok {
				first[l] = h.Family
			} else if f != h.Family {
				out[l] = true
			}
		}
	}
	return out
}

// separate lets one object's hosts in beside those that are there, listener by
// listener.
func (r *merge) separate(hosts []*VirtualHost, contested map[string]bool, there map[string]map[string]*familyHosts) {
	owner, family := hosts[0].Owner, hosts[0].Family
	rivals := map[string]resource.Key{}
	each := func(f func(listener, hostname string)) {
		for _, h := range hosts {
			for _, l := range h.Listeners {
				if !contested[l] || h.Family == "" {
					continue
				}
				for _, name := range h.Hostnames {
					f(l, name)
				}
			}
		}
	}
	each(func(l, name string) {
		for other, names := range there[l] {
			if other == family {
				continue
			}
			if rival, ok := names.rival(name); ok {
				rivals[l] = rival
			}
		}
	})
	each(func(l, name string) {
		if _, no := rivals[l]; no {
			r.refused[placed{owner, l}] = true
			return
		}
		if there[l] == nil {
			there[l] = map[string]*familyHosts{}
		}
		if there[l][family] == nil {
			there[l][family] = &familyHosts{}
		}
		there[l][family].add(name, owner)
	})
	if len(rivals) > 0 {
		r.tellRefused(hosts, rivals)
	}
}

// tellRefused reports an object that is refused on listeners, for each parent
// through which it came there. One that is left on others of a parent's is
// accepted there.
func (r *merge) tellRefused(hosts []*VirtualHost, rivals map[string]resource.Key) {
	left := map[string]bool{} // by parent: whether it is on some listener
	var parents []string
	lost := map[string]resource.Key{}
	for _, h := range hosts {
		parent := h.parent()
		for _, l := range h.Listeners {
			rival, no := rivals[l]
			if !no {
				left[parent] = true
				continue
			}
			if _, told := lost[parent]; !told {
				parents = append(parents, parent)
			}
			lost[parent] = rival
		}
	}
	slices.Sort(parents)
	for _, parent := range parents {
		rival := lost[parent]
		msg := fmt.Sprintf("%v comes first, and serves a host of this %s on the same listener", rival, hosts[0].Owner.Kind)
		r.report.Add(status.Errorf(hosts[0].Origin, "%s; the route is not served there", msg).
			Fix("give one of the two hostnames of its own, or another listener"))
		if left[parent] {
			continue
		}
		r.report.Outcome(status.Outcome{
			Object: hosts[0].Owner.Status(), About: parent, Condition: "Accepted", Reason: "Conflicted", Message: msg,
		})
	}
}

// parent returns the parent that the host's routes are reported for.
func (h *VirtualHost) parent() string {
	for _, rt := range h.Routes {
		if len(rt.Delegators) > 0 {
			return rt.Delegators[0].Parent
		}
		return rt.Parent
	}
	return ""
}
