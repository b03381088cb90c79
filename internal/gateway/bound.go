package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// Unbound is a port that could not be bound.
type Unbound struct {
	Socket *dataplane.Socket
	Err    error
}

// Problem returns it as one of the resources that ask for the port.
func (u Unbound) Problem() status.Problem {
	remedy := fmt.Sprintf("free the port, or bind another with --port %d=PORT", u.Socket.Port)
	if errors.Is(u.Err, syscall.EADDRNOTAVAIL) {
		remedy = "give the machine this address, or use another"
	}
	return status.Errorf(ir.Origin{Kind: "listener", Name: u.name()}, "%v", u.Err).Fix("%s", remedy)
}

// name says which port of which address it is.
func (u Unbound) name() string {
	if u.Socket.Address == "" {
		return fmt.Sprintf("port %d", u.Socket.Port)
	}
	return net.JoinHostPort(u.Socket.Address, strconv.Itoa(u.Socket.Port))
}

// refusal returns what it means for one listener of the port. What is at fault
// is the address, where this machine does not have it, and where the listener
// is served elsewhere.
func (u Unbound) refusal(listener string, elsewhere bool) dialect.Refusal {
	f := dialect.Refusal{
		Listener: listener, Condition: "Accepted", Reason: "PortUnavailable", Partly: elsewhere,
		Message: fmt.Sprintf("port %d cannot be bound: %v", u.Socket.Port, u.Err),
	}
	if elsewhere || errors.Is(u.Err, syscall.EADDRNOTAVAIL) {
		f.Address = u.Socket.Address
	}
	return f
}

// refusals returns what it means for listeners that ports could not be bound.
// One that is served at another address is refused in part.
func (r *Result) refusals(told *status.Report) []dialect.Refusal {
	if len(r.unbound) == 0 {
		return nil
	}
	bound := map[string]int{}
	count := func(s *dataplane.Socket, n int) {
		for _, l := range s.Listeners {
			bound[l.Name] += n
		}
	}
	for _, s := range r.Compiled.Snapshot.Sockets {
		count(s, 1)
	}
	for _, u := range r.unbound {
		count(u.Socket, -1)
	}
	var out []dialect.Refusal
	for _, u := range r.unbound {
		told.Add(u.Problem())
		for _, l := range u.Socket.Listeners {
			out = append(out, u.refusal(l.Name, bound[l.Name] > 0))
		}
	}
	return out
}

// Reached returns the addresses at which each Gateway is bound. In place of an
// address that means all of them it has those of this machine.
func (l *Listeners) Reached() map[string][]status.Address {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[string][]netip.Addr{}
	for _, s := range l.sockets {
		bound, err := netip.ParseAddrPort(s.listener.Addr().String())
		if err != nil {
			continue
		}
		addresses := []netip.Addr{bound.Addr().Unmap()}
		if bound.Addr().IsUnspecified() {
			addresses = ownAddresses()
		}
		for _, g := range gatewaysOf(s.handler.Socket()) {
			found[g] = append(found[g], addresses...)
		}
	}
	out := map[string][]status.Address{}
	for g, list := range found {
		slices.SortFunc(list, netip.Addr.Compare)
		list = slices.Compact(list)
		for _, a := range list[:min(len(list), mostReached)] {
			out[g] = append(out[g], status.Address{Type: "IPAddress", Value: a.String()})
		}
	}
	return out
}

// mostReached is how many addresses the status of a Gateway can hold.
const mostReached = 16

// ownAddresses returns the addresses of this machine that others can reach.
func ownAddresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().IsGlobalUnicast() {
			out = append(out, p.Addr())
		}
	}
	return out
}
