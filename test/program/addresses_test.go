package program

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	state "github.com/postern-gateway/postern/internal/status"
)

// addressed is a Gateway on a port, with spec.addresses in YAML's flow style,
// and a route that answers with a redirect to a host of the Gateway's name.
func addressed(name, port, addresses string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %[1]s, namespace: apps}
spec:
  gatewayClassName: any
  addresses: [%[3]s]
  listeners:
  - {name: http, protocol: HTTP, port: %[2]s}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: apps}
spec:
  parentRefs: [{name: %[1]s}]
  rules:
  - filters: [{type: RequestRedirect, requestRedirect: {hostname: %[1]s.example}}]
`, name, port, addresses)
}

// report is what the admin listener tells.
func (p *program) report() state.Report {
	p.t.Helper()
	var out state.Report
	if err := json.Unmarshal(p.shown("/status", "application/json"), &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// shown is what the admin listener shows in a format.
func (p *program) shown(path, format string) []byte {
	p.t.Helper()
	r, err := http.NewRequest("GET", "http://"+p.admin+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", format)
	resp, err := p.web.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// reached returns the address at which a Gateway is reached, if it has one.
func (p *program) reached(gateway string) string {
	p.t.Helper()
	list := p.report().Addresses["apps/"+gateway]
	if len(list) != 1 || list[0].Type != "IPAddress" {
		return ""
	}
	return list[0].Value
}

// programmed returns the reason of a Gateway's Programmed condition.
func (p *program) programmed(gateway string) string {
	p.t.Helper()
	for _, o := range p.report().Outcomes {
		if o.Object.Kind == "Gateway" && o.Object.Name == gateway && o.About == "" && o.Condition == "Programmed" {
			return o.Reason
		}
	}
	return ""
}

// TestGatewayAddresses gives each Gateway an address of its own, so that two
// of them can have one port and hostname.
func TestGatewayAddresses(t *testing.T) {
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	// A range of its own for this run of the test: other programs may have ports.
	cidr := "127.0.71.0/29"
	p := run(t, map[string]string{"a.yaml": addressed("a", port, ""), "b.yaml": addressed("b", port, "{type: IPAddress}")},
		settings{args: []string{"--gateway-addresses", cidr}})
	leadsTo := func(address, gateway string) bool {
		c := client(t, "HTTP/1.1")
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := c.Get("http://" + net.JoinHostPort(address, port) + "/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return strings.Contains(resp.Header.Get("Location"), "://"+gateway+".example")
	}
	a, b := p.reached("a"), p.reached("b")
	for _, addr := range []string{a, b} {
		if ip, err := netip.ParseAddr(addr); err != nil || !netip.MustParsePrefix(cidr).Contains(ip) {
			t.Fatalf("the addresses are %q and %q", a, b)
		}
	}
	if a == b || !leadsTo(a, "a") || !leadsTo(b, "b") {
		t.Errorf("a is at %s, b at %s", a, b)
	}

	p.write("c.yaml", addressed("c", port, "{value: "+a+"}"))
	p.await("a refusal of the address that is taken", func() bool { return p.programmed("c") == "AddressNotUsable" })
	p.write("d.yaml", addressed("d", port, "{value: 10.99.0.1}"))
	p.await("a refusal of the address outside the range", func() bool { return p.programmed("d") == "AddressNotUsable" })
	p.remove("d.yaml")

	p.remove("a.yaml")
	p.await("the address for whoever names it", func() bool { return leadsTo(a, "c") && p.programmed("c") == "Programmed" })
	if p.reached("b") != b || !leadsTo(b, "b") {
		t.Errorf("b moved from %s to %s", b, p.reached("b"))
	}
	for i := range 5 { // there are six addresses, and five are taken
		name := fmt.Sprintf("e%d", i)
		p.write(name+".yaml", addressed(name, port, ""))
	}
	p.await("a Gateway that gets no address", func() bool {
		n := map[string]int{}
		for i := range 5 {
			n[p.programmed(fmt.Sprintf("e%d", i))]++
		}
		return n["Programmed"] == 4 && n["AddressNotAssigned"] == 1
	})
	if !leadsTo(b, "b") {
		t.Errorf("b is gone from %s", b)
	}
}

// TestListenerIsolation: a request belongs to the most specific listener of its
// host; what that does not take no other listener's route takes.
func TestListenerIsolation(t *testing.T) {
	var text strings.Builder
	text.WriteString(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: apps}
spec:
  gatewayClassName: any
  listeners:
  - {name: any, protocol: HTTP, port: 8080}
  - {name: wild, protocol: HTTP, port: 8080, hostname: "*.example.com"}
  - {name: narrow, protocol: HTTP, port: 8080, hostname: "*.foo.example.com"}
  - {name: exact, protocol: HTTP, port: 8080, hostname: abc.foo.example.com}
`)
	listeners := []string{"any", "wild", "narrow", "exact"}
	for _, l := range listeners {
		fmt.Fprintf(&text, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: apps}
spec:
  parentRefs: [{name: edge, sectionName: %[1]s}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /%[1]s}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: to.example}}]
`, l)
	}
	p := run(t, map[string]string{"all.yaml": text.String()}, settings{})
	for host, own := range map[string]string{
		"other.org": "any", "bar.example.com": "wild", "bar.foo.example.com": "narrow", "abc.foo.example.com": "exact",
	} {
		for _, l := range listeners {
			want := 404
			if l == own {
				want = 302
			}
			got := sendRaw(t, p.addr("8080"), "GET /"+l+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
			if got.status != want {
				t.Errorf("host %s, the route of listener %s: %v, want %d", host, l, got, want)
			}
		}
	}
}
