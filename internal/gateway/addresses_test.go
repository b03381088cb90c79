package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dialect"
)

func TestParseAddresses(t *testing.T) {
	for cidr, want := range map[string][2]string{
		"127.0.64.0/18":     {"127.0.64.1", "127.0.127.254"},
		"127.0.64.9/30":     {"127.0.64.9", "127.0.64.10"},
		"127.0.64.8/31":     {"127.0.64.8", "127.0.64.9"},
		"127.0.64.8/32":     {"127.0.64.8", "127.0.64.8"},
		"fd00:1::/126":      {"fd00:1::1", "fd00:1::3"},
		"fd00:1::/64":       {"fd00:1::1", "fd00:1::ffff:ffff"},
		"127.0.64.0":        {},
		"::ffff:0.0.0.0/96": {},
		"":                  {},
	} {
		a, err := ParseAddresses(cidr)
		if (err == nil) != (want[0] != "") {
			t.Errorf("%q: %v", cidr, err)
			continue
		}
		if err == nil && (a.at(0).String() != want[0] || a.at(a.count-1).String() != want[1]) {
			t.Errorf("%s: %v to %v, want %v", cidr, a.at(0), a.at(a.count-1), want)
		}
	}
}

func anyAddress(gateway string, before ...string) dialect.AddressWish {
	return dialect.AddressWish{Gateway: gateway, Any: true, Before: before}
}

func named(gateway string, addresses ...string) dialect.AddressWish {
	return dialect.AddressWish{Gateway: gateway, Named: addresses}
}

// grantsOf writes what was assigned in one line: "a=127.0.64.1 b=!127.0.64.1".
func grantsOf(wanted []dialect.AddressWish, got map[string]dialect.AddressGrant) string {
	var out []string
	for _, w := range wanted {
		g := got[w.Gateway]
		for _, n := range w.Named {
			if g.Refused[n] != "" {
				n = "!" + n
			}
			out = append(out, w.Gateway+"="+n)
		}
		if w.Any {
			out = append(out, w.Gateway+"="+strings.TrimPrefix(g.Chosen, "127.0.64."))
		}
	}
	return strings.Join(out, " ")
}

func TestAddresses(t *testing.T) {
	type step struct {
		wanted []dialect.AddressWish
		want   string
	}
	for _, tc := range []struct {
		name  string
		cidr  string
		steps []step
	}{
		{"kept while others come and go", "127.0.64.0/30", []step{
			{[]dialect.AddressWish{anyAddress("a", "127.0.64.2")}, "a=2"},
			{[]dialect.AddressWish{anyAddress("b", "127.0.64.2"), anyAddress("a")}, "b=1 a=2"},
			{[]dialect.AddressWish{anyAddress("b")}, "b=1"},
			{[]dialect.AddressWish{anyAddress("b"), anyAddress("c")}, "b=1 c=2"},
		}},
		{"none is left, then one is free again", "127.0.64.8/32", []step{
			{[]dialect.AddressWish{anyAddress("a"), anyAddress("b")}, "a=8 b="},
			{[]dialect.AddressWish{anyAddress("b")}, "b=8"},
		}},
		{"named before chosen", "127.0.64.0/30", []step{
			{[]dialect.AddressWish{anyAddress("a", "127.0.64.2"), named("b", "127.0.64.2")}, "a=1 b=127.0.64.2"},
		}},
		{"named, and taken", "127.0.64.0/24", []step{
			{[]dialect.AddressWish{named("a", "127.0.64.7"), named("b", "127.0.64.7")}, "a=127.0.64.7 b=!127.0.64.7"},
			{[]dialect.AddressWish{named("b", "127.0.64.7")}, "b=127.0.64.7"},
		}},
		{"what is chosen is not taken away by a name", "127.0.64.0/24", []step{
			{[]dialect.AddressWish{anyAddress("a", "127.0.64.7")}, "a=7"},
			{[]dialect.AddressWish{named("b", "127.0.64.7"), anyAddress("a")}, "b=!127.0.64.7 a=7"},
		}},
		{"its own chosen address may be named", "127.0.64.0/24", []step{
			{[]dialect.AddressWish{anyAddress("a", "127.0.64.7")}, "a=7"},
			{[]dialect.AddressWish{named("b", "127.0.64.7"), named("a", "127.0.64.7")}, "b=!127.0.64.7 a=127.0.64.7"},
			{[]dialect.AddressWish{anyAddress("a"), anyAddress("c", "127.0.64.7")}, fmt.Sprintf("a=%d c=7", hashed(t, "a"))},
		}},
		{"outside, and not for anyone", "127.0.64.0/24", []step{
			{[]dialect.AddressWish{named("a", "10.0.0.1", "127.0.64.0", "127.0.64.255", "::ffff:127.0.64.1", "x", "127.0.64.9")},
				"a=!10.0.0.1 a=!127.0.64.0 a=!127.0.64.255 a=!::ffff:127.0.64.1 a=!x a=127.0.64.9"},
		}},
		{"what was before is of another range", "127.0.64.8/32", []step{
			{[]dialect.AddressWish{anyAddress("a", "10.0.0.1", "", "127.0.64.9")}, "a=8"},
		}},
		{"named and chosen", "127.0.64.0/30", []step{
			{[]dialect.AddressWish{{Gateway: "a", Named: []string{"127.0.64.2"}, Any: true}}, "a=127.0.64.2 a=1"},
		}},
	} {
		a, err := ParseAddresses(tc.cidr)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range tc.steps {
			if got := grantsOf(s.wanted, a.Assign(s.wanted)); got != s.want {
				t.Errorf("%s, step %d: %s, want %s", tc.name, i, got, s.want)
			}
		}
	}
}

// hashed returns the last byte of the address that a name leads to in
// 127.0.64.0/24.
func hashed(t *testing.T, gateway string) byte {
	t.Helper()
	a, err := ParseAddresses("127.0.64.0/24")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netip.ParseAddr(a.Assign([]dialect.AddressWish{anyAddress(gateway)})[gateway].Chosen)
	if err != nil {
		t.Fatal(err)
	}
	return addr.As4()[3]
}

// TestAddressesAreOfOneGatewayEach fills a range, in both families.
func TestAddressesAreOfOneGatewayEach(t *testing.T) {
	for _, cidr := range []string{"127.0.64.0/24", "fd00:1::/120", "fd00:1::/64"} {
		a, err := ParseAddresses(cidr)
		if err != nil {
			t.Fatal(err)
		}
		var wanted []dialect.AddressWish
		for i := range 254 {
			wanted = append(wanted, anyAddress(fmt.Sprintf("apps/g%d", i)))
		}
		seen := map[string]bool{}
		first := a.Assign(wanted)
		for g, grant := range first {
			addr, err := netip.ParseAddr(grant.Chosen)
			if err != nil || !a.prefix.Contains(addr) || seen[grant.Chosen] {
				t.Fatalf("%s: %s got %q", cidr, g, grant.Chosen)
			}
			seen[grant.Chosen] = true
		}
		again, _ := ParseAddresses(cidr)
		for g, grant := range again.Assign(wanted) {
			if grant.Chosen != first[g].Chosen {
				t.Fatalf("%s: after a restart %s has %s, before %s", cidr, g, grant.Chosen, first[g].Chosen)
			}
		}
	}
}
