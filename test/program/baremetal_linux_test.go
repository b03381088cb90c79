package program

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine is a program that gives Gateways addresses of a range, as on bare
// metal, and a neighbour of its machine that calls them.
type machine struct {
	*process
	host, neighbour *namespace
}

// startMachine starts the program in a network of its own, after prepare. The
// machine is 192.168.77.1 and fd00:77::1, its neighbour .2 and ::2.
func startMachine(t *testing.T, files map[string]string, cidr string, prepare func(host, neighbour *namespace)) *machine {
	t.Helper()
	m := &machine{host: newNamespace(t), neighbour: newNamespace(t)}
	join(m.host, []string{"192.168.77.1/24", "fd00:77::1/64"}, m.neighbour, []string{"192.168.77.2/24", "fd00:77::2/64"})
	prepare(m.host, m.neighbour)
	dir := t.TempDir()
	seed := &program{t: t, dir: dir}
	for name, text := range files {
		seed.write(name, text)
	}
	m.process = launchBy(t, m.host.enter(), dir, "-f", dir, "--gateway-addresses", cidr, "--admin", "[::1]:0")
	m.web = m.host.client()
	return m
}

// answers reports whether the neighbour gets an answer of a Gateway's at an
// address.
func (m *machine) answers(address netip.Addr, gateway string) bool {
	m.t.Helper()
	c := m.neighbour.client()
	resp, err := c.Get("http://" + urlHost(address) + "/")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Location") == "http://"+gateway+".example/"
}

// urlHost is what a URL calls an address.
func urlHost(address netip.Addr) string {
	if address.Is6() {
		return "[" + address.String() + "]"
	}
	return address.String()
}

// rebinding is the most that is waited for an address that has come: what could
// not be bound is tried again less and less often, at last every half minute.
const rebinding = 2 * time.Minute

// awaitLine waits for a line of the access log that holds all the texts.
func (m *machine) awaitLine(texts ...string) {
	m.t.Helper()
	m.await("line with "+strings.Join(texts, ", "), func() bool {
		for line := range strings.Lines(m.out.String()) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return true
			}
		}
		return false
	})
}

// awaitAnswer waits until a Gateway answers at an address.
func (m *machine) awaitAnswer(address netip.Addr, gateway string) {
	m.t.Helper()
	m.awaitFor(rebinding, fmt.Sprintf("an answer of %s at %v", gateway, address), func() bool { return m.answers(address, gateway) })
}

// TestBareMetalIPv4 gives out a piece of the network that the machine is in,
// made local as a whole: the machine answers for each address of it. Five
// Gateways share the two addresses of a /30.
func TestBareMetalIPv4(t *testing.T) {
	const cidr = "192.168.77.128/30"
	files := map[string]string{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		files[name+".yaml"] = addressed(name, "80", "")
	}
	m := startMachine(t, files, cidr, func(host, _ *namespace) { host.ip("route add local " + cidr + " dev lo") })

	// having are the Gateways that have an address, by it.
	having := func() map[netip.Addr]string {
		out := map[netip.Addr]string{}
		for name, list := range m.report().Addresses {
			for _, a := range list {
				out[netip.MustParseAddr(a.Value)] = strings.TrimPrefix(name, "apps/")
			}
		}
		return out
	}
	served := having()
	if len(served) != 2 {
		t.Fatalf("%v have an address, of two that there are", served)
	}
	var one netip.Addr
	for address, gateway := range served {
		if !netip.MustParsePrefix(cidr).Contains(address) || m.programmed(gateway) != "Programmed" {
			t.Errorf("%s at %v is %s", gateway, address, m.programmed(gateway))
		}
		m.awaitAnswer(address, gateway)
		one = address
	}
	without := 0
	for name := range files {
		if m.programmed(strings.TrimSuffix(name, ".yaml")) == "AddressNotAssigned" {
			without++
		}
	}
	if without != 3 {
		t.Errorf("%d of three are told that no address is left", without)
	}

	gone := served[one]
	m.remove(gone + ".yaml")
	m.await("the address for one that had none", func() bool {
		heir := having()[one]
		return heir != "" && heir != gone && m.programmed(heir) == "Programmed" && m.answers(one, heir)
	})
	m.write("out.yaml", addressed("out", "80", "{value: 192.168.77.1}"))
	m.await("a refusal of the machine's own address", func() bool { return m.programmed("out") == "AddressNotUsable" })
	m.awaitLine(`"client":"192.168.77.2"`, `"authority":"`+urlHost(one)+`"`)
}

// TestBareMetalIPv6 gives out a range that is routed to the machine. None of
// its addresses is there when the program starts; one comes as its remedy
// says, then all of them do.
func TestBareMetalIPv6(t *testing.T) {
	const cidr, named = "fd00:77:0:1::/64", "fd00:77:0:1::5"
	m := startMachine(t, map[string]string{"a.yaml": addressed("a", "80", "{value: '"+named+"'}"), "b.yaml": addressed("b", "80", "")}, cidr,
		func(_, neighbour *namespace) { neighbour.ip("route add " + cidr + " via fd00:77::1") })
	if a, b := m.programmed("a"), m.programmed("b"); a != "AddressNotUsable" || b != "AddressNotAssigned" {
		t.Errorf("without the addresses a is %s, b is %s", a, b)
	}
	if says := "[" + named + "]:80: bind: cannot assign requested address; give the machine this address"; !strings.Contains(m.err.String(), says) {
		t.Errorf("nothing says %q:\n%s", says, m.err)
	}
	address := netip.MustParseAddr(named)
	m.host.ip("address add " + named + " dev lo")
	m.awaitAnswer(address, "a")
	m.await("the Gateway with an address", func() bool { return m.programmed("a") == "Programmed" && m.reached("a") == named })
	if m.programmed("b") == "Programmed" {
		t.Errorf("b is programmed at %q", m.reached("b"))
	}

	m.host.sysctl("net.ipv6.ip_nonlocal_bind", "1")
	m.host.ip("route add local " + cidr + " dev lo")
	m.awaitFor(rebinding, "an address of our choice", func() bool { return m.reached("b") != "" && m.programmed("b") == "Programmed" })
	chosen := netip.MustParseAddr(m.reached("b"))
	if !netip.MustParsePrefix(cidr).Contains(chosen) || chosen == address {
		t.Errorf("b is at %v", chosen)
	}
	m.awaitAnswer(chosen, "b")
	m.awaitLine(`"client":"fd00:77::2"`, `"authority":"`+urlHost(chosen)+`"`, `"listener":"apps/b/http"`)
	if text := string(m.shown("/", "text/html")); !strings.Contains(text, named) || !strings.Contains(text, chosen.String()) || !strings.HasPrefix(m.admin, "[::1]:") {
		t.Errorf("the page at %s does not tell of both addresses:\n%s", m.admin, text)
	}
}
