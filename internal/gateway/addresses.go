package gateway

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/postern-gateway/postern/internal/dialect"
)

// Addresses hands out the addresses of a range, one to each Gateway, for as
// long as the Gateway is there. Which one a Gateway gets follows from its name,
// so that it gets the same after a restart unless another was first. It is for
// one goroutine.
type Addresses struct {
	prefix netip.Prefix
	first  netip.Addr // of those that are handed out
	count  uint64     // how many there are; of wide ranges, some of them

	chosen map[string]netip.Addr   // by Gateway
	named  map[string][]netip.Addr // by Gateway: those that it names, and has
}

var _ dialect.Addresser = (*Addresses)(nil)

// mostAddresses bounds how much of a wide range is handed out.
const mostAddresses = 1 << 32

// ParseAddresses reads --gateway-addresses. The network's own address is not
// handed out, nor is the broadcast address of IPv4.
func ParseAddresses(cidr string) (*Addresses, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || p.Addr().Is4In6() {
		return nil, fmt.Errorf("--gateway-addresses %q: want a network such as 127.0.64.0/18 or fd00:1::/64", cidr)
	}
	p = p.Masked()
	a := &Addresses{prefix: p, first: p.Addr(), count: mostAddresses, chosen: map[string]netip.Addr{}, named: map[string][]netip.Addr{}}
	if hosts := p.Addr().BitLen() - p.Bits(); hosts < 32 {
		a.count = 1 << hosts
	}
	if a.count > 2 {
		a.first = a.first.Next()
		a.count--
		if p.Addr().Is4() {
			a.count--
		}
	}
	return a, nil
}

// Assign implements dialect.Addresser. A named address goes to the first that
// names it, unless another has it already.
func (a *Addresses) Assign(wanted []dialect.AddressWish) map[string]dialect.AddressGrant {
	taken := a.keep(wanted)
	out := map[string]dialect.AddressGrant{}
	for _, w := range wanted {
		out[w.Gateway] = dialect.AddressGrant{Refused: a.name(w, taken)}
	}
	for _, w := range wanted {
		if !w.Any {
			continue
		}
		if addr, ok := a.choose(w, taken); ok {
			g := out[w.Gateway]
			g.Chosen = addr.String()
			out[w.Gateway] = g
		}
	}
	return out
}

// keep lets go of what is not wanted any more, and returns who has what.
func (a *Addresses) keep(wanted []dialect.AddressWish) map[netip.Addr]string {
	chosen, named := map[string]netip.Addr{}, map[string][]netip.Addr{}
	taken := map[netip.Addr]string{}
	for _, w := range wanted {
		had, ok := a.chosen[w.Gateway]
		if ok && w.Any {
			chosen[w.Gateway] = had
			taken[had] = w.Gateway
		}
		for _, text := range w.Named {
			addr, err := netip.ParseAddr(text)
			if err == nil && (slices.Contains(a.named[w.Gateway], addr) || ok && had == addr) {
				named[w.Gateway] = append(named[w.Gateway], addr)
				taken[addr] = w.Gateway
			}
		}
	}
	a.chosen, a.named = chosen, named
	return taken
}

// name gives a Gateway the addresses that it names, and returns why it does
// not get some of them.
func (a *Addresses) name(w dialect.AddressWish, taken map[netip.Addr]string) map[string]string {
	refused := map[string]string{}
	for _, text := range w.Named {
		addr, err := netip.ParseAddr(text)
		switch owner := taken[addr]; {
		case err != nil || !a.prefix.Contains(addr) || !a.usable(addr):
			refused[text] = fmt.Sprintf("is none of the addresses of %v that Gateways get", a.prefix)
		case owner == "":
			taken[addr] = w.Gateway
			a.named[w.Gateway] = append(a.named[w.Gateway], addr)
		case owner != w.Gateway:
			refused[text] = "is taken by Gateway " + owner
		}
	}
	return refused
}

// usable reports whether an address of the range can be handed out: of an IPv4
// range, not its first and last.
func (a *Addresses) usable(addr netip.Addr) bool {
	if addr.Less(a.first) {
		return false
	}
	return a.count == mostAddresses || addr.Compare(a.at(a.count-1)) <= 0
}

// choose returns the address of our choice for a Gateway: the one that it has,
// one that it had before, or one that is free.
func (a *Addresses) choose(w dialect.AddressWish, taken map[netip.Addr]string) (netip.Addr, bool) {
	if had, ok := a.chosen[w.Gateway]; ok {
		return had, true
	}
	take := func(addr netip.Addr) (netip.Addr, bool) {
		taken[addr] = w.Gateway
		a.chosen[w.Gateway] = addr
		return addr, true
	}
	for _, text := range w.Before {
		addr, err := netip.ParseAddr(text)
		if err == nil && a.prefix.Contains(addr) && a.usable(addr) && taken[addr] == "" {
			return take(addr)
		}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.Gateway))
	start := h.Sum64() % a.count
	for i := range min(a.count, uint64(len(taken))+1) { // one of so many is free
		if addr := a.at((start + i) % a.count); taken[addr] == "" {
			return take(addr)
		}
	}
	return netip.Addr{}, false
}

// at returns the nth address that is handed out.
func (a *Addresses) at(n uint64) netip.Addr {
	b := a.first.AsSlice()
	for i := len(b) - 1; i >= 0 && n > 0; i-- {
		n += uint64(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}
