package dialect

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// addSNIRoutes gives the listeners that pass TLS through their routes, the
// older object's first. A server name that is taken is left out of the later.
func (r *merge) addSNIRoutes(all []*SNIRoute) {
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
				r.tellBackend(b)
				r.unresolved(rt.Owner, "", "backend "+b.Upstream+" does not exist")
			}
		}
		for _, name := range rt.Listeners {
			if l := r.listeners[name]; l == nil || l.Passthrough == nil { // refused
				continue
			}
			one := built
			one.ServerNames = r.freeNames(rt, name, taken)
			if len(one.ServerNames) > 0 {
				byListener[name] = append(byListener[name], &one)
			}
		}
	}
	for _, l := range r.config.Listeners {
		if l.Passthrough != nil {
			p := *l.Passthrough
			p.Routes = byListener[l.Name]
			l.Passthrough = &p
		}
	}
}

// freeNames returns the server names of rt that nobody has on a listener yet,
// and takes them.
func (r *merge) freeNames(rt *SNIRoute, listener string, taken map[hostKey]*SNIRoute) []string {
	var out []string
	for _, n := range rt.ServerNames {
		rival := taken[hostKey{listener, n}]
		switch {
		case rival == nil:
			taken[hostKey{listener, n}] = rt
			out = append(out, n)
		case rival.Owner != rt.Owner: // in one object, the first holds
			r.report.Add(status.Errorf(rt.Origin, "server name %q is taken by %v; this route does not get it", n, rival.Owner).
				Fix("give one of them another server name"))
		}
	}
	return out
}
