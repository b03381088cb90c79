package compile

import (
	"slices"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// builtHost is a compiled host of a listener. Snapshots share its result as
// long as its routes are the same.
type builtHost struct {
	listener *builtListener
	at       int // its place among the listener's
	ir       *ir.VirtualHost
	routes   []*built
	host     *dataplane.VirtualHost
	closed   bool // in part: some match could not be compiled
}

// host compiles the routes of a host into a router, and reports whether it is
// another than before. A match that cannot be compiled is replaced by one that
// takes at least as much, and closed.
func (r *run) host(bh *builtHost, h *ir.VirtualHost) (changed bool) {
	routes := r.hostRoutes(bh, h)
	bh.ir = h
	if bh.host != nil && !bh.closed && slices.Equal(bh.routes, routes) {
		return false
	}
	r.hold(bh, routes)
	var told status.Report
	r.told = &told
	bh.host, bh.closed = r.virtualHost(bh, h)
	r.Ledger.Put(status.PassCompile, bh, told)
	return true
}

// hostRoutes returns the compiled routes of a host. A route that was there is
// expected behind the one that was before it.
func (r *run) hostRoutes(bh *builtHost, h *ir.VirtualHost) []*built {
	out := make([]*built, len(h.Routes))
	at := 0
	for i, rt := range h.Routes {
		for _, k := range [...]int{at, at - 1, at + 1} { // replaced, come or gone before it
			if k >= 0 && k < len(bh.routes) && bh.routes[k].Route == rt && !r.stale[bh.routes[k]] {
				out[i], at = bh.routes[k], k
				break
			}
		}
		if at++; out[i] == nil {
			out[i] = r.route(rt, bh.listener.open)
		}
	}
	return out
}

func (r *run) virtualHost(bh *builtHost, h *ir.VirtualHost) (vh *dataplane.VirtualHost, closed bool) {
	n := 0
	for _, b := range bh.routes {
		if n += len(b.entries); b.unmatched {
			return r.partlyClosed(h, bh.routes), true
		}
	}
	entries := make([]*match.Entry[*dataplane.Route], 0, n)
	for _, b := range bh.routes {
		entries = append(entries, b.entries...)
	}
	before := new(match.Router[*dataplane.Route])
	if bh.host != nil {
		before = bh.host.Router
	}
	router, err := before.With(entries)
	if err != nil {
		return r.partlyClosed(h, bh.routes), true
	}
	return &dataplane.VirtualHost{Router: router}, false
}

// hold makes a host use routes, in place of those that it used.
func (r *run) hold(bh *builtHost, routes []*built) {
	before, after := bh.routes, routes
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	bh.routes = routes
	if len(before)+len(after) == 0 {
		return
	}
	using := make(map[*built]bool, len(after))
	for _, b := range after {
		if using[b] = true; !slices.Contains(b.hosts, bh) {
			b.hosts = append(b.hosts, bh)
		}
	}
	for _, b := range before {
		if using[b] || slices.Contains(routes, b) { // it was there several times
			continue
		}
		b.hosts = slices.DeleteFunc(b.hosts, func(o *builtHost) bool { return o == bh })
		r.drop(b)
	}
}
