package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Guard refuses to dial what resources must not lead a gateway to: this
// machine, its link, the metadata services of clouds, and the gateway's own
// admin listener. Where people may write resources whom the machine does not
// belong to, as in a cluster, a host name, an ExternalName, an endpoint or the
// URL of a key set would otherwise be a way to what only the machine itself
// may ask.
//
// It looks at each address as it is about to be dialled, after every look-up:
// a name that has changed its mind since it was checked gains nothing.
type Guard struct {
	// Own are listeners of this process that no resource may reach, on
	// whichever of the machine's addresses.
	Own []netip.AddrPort
	// Ours is a network whose every address leads to this machine, also those
	// that no interface has: a range of Gateways that is local as a whole. The
	// zero Prefix is none.
	Ours netip.Prefix
	// Allow are networks that may be dialled all the same.
	Allow []netip.Prefix
}

// refused are the networks that no resource leads to.
var refused = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("127.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("::/128"), "this machine"},
	{netip.MustParsePrefix("::1/128"), "this machine"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, as metadata services have"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "a metadata service"},      // AWS, over IPv6
	{netip.MustParsePrefix("fd20:ce::254/128"), "a metadata service"},   // Google Cloud, over IPv6
	{netip.MustParsePrefix("100.100.100.200/32"), "a metadata service"}, // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata service"},   // Azure's wire server
	{netip.MustParsePrefix("192.0.0.192/32"), "a metadata service"},     // Oracle Cloud
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "a broadcast address"},
}

// Check returns why addr must not be dialled, or nil.
func (g *Guard) Check(addr netip.AddrPort) error {
	for _, ip := range meant(addr.Addr()) {
		if err := g.check(netip.AddrPortFrom(ip, addr.Port())); err != nil {
			return fmt.Errorf("%v is not dialled: %w", addr, err)
		}
	}
	return nil
}

func (g *Guard) check(addr netip.AddrPort) error {
	for _, own := range g.Own {
		if own.Port() == addr.Port() && (own.Addr().Unmap() == addr.Addr() || own.Addr().IsUnspecified() && (g.Ours.Contains(addr.Addr()) || isOurs(addr.Addr()))) {
			return errors.New("it is the gateway's own listener")
		}
	}
	for _, n := range g.Allow {
		if n.Contains(addr.Addr()) {
			return nil
		}
	}
	for _, r := range refused {
		if r.network.Contains(addr.Addr()) {
			return fmt.Errorf("it is %s, which only --connect-to or --allow-destination may lead to", r.what)
		}
	}
	return nil
}

// The networks of IPv6 addresses that carry an IPv4 address, and the byte at
// which it begins.
var carriers = []struct {
	network netip.Prefix
	at      int
}{
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible (RFC 4291 2.5.5.1)
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64 (RFC 6052)
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4 (RFC 3056)
}

// meant returns the addresses that a packet to ip may end at: ip itself, and
// an IPv4 address inside.
func meant(ip netip.Addr) []netip.Addr {
	ip = ip.Unmap().WithZone("")
	out := []netip.Addr{ip}
	if ip.Is6() {
		b := ip.As16()
		for _, c := range carriers {
			if c.network.Contains(ip) {
				out = append(out, netip.AddrFrom4([4]byte(b[c.at:c.at+4])))
			}
		}
	}
	return out
}

// isOurs reports whether an interface of this machine has ip.
func isOurs(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // unknown is refused
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}

// control is what net.Dialer asks before it connects.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q is not dialled: %w", address, err)
	}
	return g.Check(addr)
}
