package dialect

import (
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestClientCertificate: the routes of a listener that shows a certificate use
// variants of the upstreams that can be shown it, tiers included; what does not
// change from one merge to the next is the same pointer.
func TestClientCertificate(t *testing.T) {
	own := &ir.KeyPair{}
	upstreams := []*ir.Upstream{
		{Name: "plain"}, {Name: "tls", TLS: &ir.ClientTLS{}}, {Name: "own", TLS: &ir.ClientTLS{Certificate: own}},
		{Name: "tiers", Tiers: [][]ir.TierMember{{{Upstream: "plain"}}, {{Upstream: "tls"}}}},
		{Name: "circle", Tiers: [][]ir.TierMember{{{Upstream: "circle"}}}},
	}
	forward := &ir.Forward{}
	for _, u := range upstreams {
		forward.Backends = append(forward.Backends, ir.Backend{Upstream: u.Name})
	}
	route := &Route{Route: ir.Route{Name: "r", Action: ir.Action{Forward: forward}, Steps: []ir.Step{{Mirror: &ir.Mirror{Upstream: "tls"}}}}}
	fragment := func(c *ClientCertificate) []*Fragment {
		return []*Fragment{{
			Listeners: []*Listener{
				{Listener: ir.Listener{Name: "ns/gw/l", Gateway: "ns/gw", Port: 80}, ClientCertificate: c, Owner: resource.Key{Name: "gw"}},
				{Listener: ir.Listener{Name: "ns/bare/l", Gateway: "ns/bare", Port: 81}, Owner: resource.Key{Name: "bare"}},
			},
			Hosts:     []*VirtualHost{{Listeners: []string{"ns/gw/l", "ns/bare/l"}, Hostnames: []string{"*"}, Routes: []*Route{route}}},
			Upstreams: upstreams,
		}}
	}
	var m Merger
	shown := &ClientCertificate{Name: "ns/gw", Pair: &ir.KeyPair{}}
	first := fragment(shown)
	config, _ := m.Merge(first)
	byGateway := map[string]*ir.Route{}
	for _, l := range config.Listeners {
		byGateway[l.Gateway] = l.Hosts[0].Routes[0]
	}
	for gateway, want := range map[string][]string{
		"ns/gw":   {"plain", "tls for ns/gw", "own", "tiers for ns/gw", "circle", "tls for ns/gw"},
		"ns/bare": {"plain", "tls", "own", "tiers", "circle", "tls"},
	} {
		r := byGateway[gateway]
		for i, b := range r.Action.Forward.Backends {
			if b.Upstream != want[i] || b.Closed != nil {
				t.Errorf("%s: backend %d is %q, closed %v; want %q", gateway, i, b.Upstream, b.Closed, want[i])
			}
		}
		if got := r.Steps[0].Mirror.Upstream; got != want[5] {
			t.Errorf("%s: copies go to %q", gateway, got)
		}
	}
	if got := config.Upstreams["tiers for ns/gw"].Tiers[1][0].Upstream; got != "tls for ns/gw" {
		t.Errorf("the second tier is %q", got)
	}
	if config.Upstreams["tls for ns/gw"].TLS.Certificate != shown.Pair || config.Upstreams["tls"].TLS.Certificate != nil {
		t.Error("the certificate is not where it belongs")
	}
	if route.Steps[0].Mirror.Upstream != "tls" || route.Action.Forward.Backends[1].Upstream != "tls" {
		t.Error("the fragment was changed")
	}

	again, _ := m.Merge(first)
	for _, l := range again.Listeners {
		if l.Hosts[0].Routes[0] != byGateway[l.Gateway] {
			t.Errorf("%s: an unchanged route was built anew", l.Gateway)
		}
	}
	if again.Upstreams["tls for ns/gw"] != config.Upstreams["tls for ns/gw"] {
		t.Error("an unchanged variant was made anew")
	}
	closed, _ := m.Merge(fragment(&ClientCertificate{Name: "ns/gw", Closed: &ir.Closed{Reason: "gone"}}))
	if u := closed.Upstreams["tls for ns/gw"]; u.Closed == nil || closed.Upstreams["tls"].Closed != nil {
		t.Errorf("without a certificate: %+v", u)
	}
}

func TestOverlap(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"a.com", "a.com", true}, {"a.com", "b.com", false}, {"*", "a.com", true}, {"*", "*.a.com", true}, {"*", "*", true},
		{"*.a.com", "x.a.com", true}, {"*.a.com", "x.y.a.com", true}, {"*.a.com", "a.com", false}, {"*.a.com", "xa.com", false},
		{"*.a.com", "*.b.a.com", true}, {"*.a.com", "*.b.com", false},
	} {
		if overlap(tc.a, tc.b) != tc.want || overlap(tc.b, tc.a) != tc.want {
			t.Errorf("%s and %s: not %v", tc.a, tc.b, tc.want)
		}
	}
}
