package compile

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/status"
)

type socketKey struct {
	address string
	port    int
}

// sockets groups the listeners by address and port.
func (r *run) sockets(listeners []*builtListener) {
	groups := map[socketKey][]*builtListener{}
	for _, l := range listeners {
		addresses := l.ir.Addresses
		if len(addresses) == 0 {
			addresses = []string{""}
		}
		for _, a := range addresses {
			k := socketKey{a, l.ir.Port}
			groups[k] = append(groups[k], l)
		}
	}
	var told status.Report
	for k, list := range groups {
		s := &dataplane.Socket{Address: k.address, Port: k.port}
		var hosts []match.HostEntry[*dataplane.Listener]
		for _, l := range list {
			hosts = append(hosts, match.HostEntry[*dataplane.Listener]{Pattern: l.ir.Hostname, Value: l.out})
			s.Listeners = append(s.Listeners, l.out)
			s.Limits = widest(s.Limits, l.out.Limits)
		}
		var err error
		if s.Hosts, err = match.NewHosts(hosts); err != nil {
			told.Add(status.Errorf(list[0].ir.Origin, "%v; port %d is not served", err, k.port).Fix("correct the hostname"))
			continue
		}
		if list[0].ir.Secure() {
			s.TLS = serverTLS(list, s.Hosts)
		}
		r.out.Snapshot.Sockets = append(r.out.Snapshot.Sockets, s)
	}
	r.Ledger.Put(status.PassCompile, &r.names, told)
	slices.SortFunc(r.out.Snapshot.Sockets, func(a, b *dataplane.Socket) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
}
