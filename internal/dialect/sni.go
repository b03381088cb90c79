package dialect

import (
	"cmp"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

type hostKey struct{ listener, hostname string }

// addSNIRoutes gives the listeners that pass TLS through their routes, the
// older object's first. A server name that is taken is left out of the later.
func (r *round) addSNIRoutes() {
	r.todo.sni = true
	var told status.Report
	var all []*SNIRoute
	for _, p := range slices.SortedFunc(maps.Keys(r.sni), Place.Compare) {
		all = append(all, r.sni[p]...)
	}
	slices.SortStableFunc(all, func(a, b *SNIRoute) int {
		return cmp.Or(a.Age.Compare(b.Age), a.Owner.Compare(b.Owner))
	})
	byListener := map[string][]*ir.SNIRoute{}
	taken := map[hostKey]*SNIRoute{}
	for _, rt := range all {
		built := rt.SNIRoute
		built.Forward = *r.forward(&rt.Forward)
		for i, b := range rt.Forward.Backends {
			if b.Closed == nil && built.Forward.Backends[i].Closed != nil {
				r.tellBackend(&told, b)
				unresolved(&told, rt.Owner, "", "backend "+b.Upstream+" does not exist")
			}
		}
		for _, name := range rt.Listeners {
			if s := r.sites[name]; s == nil || s.listener == nil || s.listener.Passthrough == nil { // refused
				continue
			}
			one := built
			one.ServerNames = freeNames(rt, name, taken, &told)
			if len(one.ServerNames) > 0 {
				byListener[name] = append(byListener[name], &one)
			}
		}
	}
	r.carried = byListener
	r.Ledger.Put(status.PassMerge, (*SNIRoute)(nil), told)
}

// freeNames returns the server names of rt that nobody has on a listener yet,
// and takes them.
func freeNames(rt *SNIRoute, listener string, taken map[hostKey]*SNIRoute, told *status.Report) []string {
	var out []string
	for _, n := range rt.ServerNames {
		rival := taken[hostKey{listener, n}]
		switch {
		case rival == nil:
			taken[hostKey{listener, n}] = rt
			out = append(out, n)
		case rival.Owner != rt.Owner: // in one object, the first holds
			told.Add(status.Errorf(rt.Origin, "server name %q is taken by %v; this route does not get it", n, rival.Owner).
				Fix("give one of them another server name"))
		}
	}
	return out
}
