package authz

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

func policies(t testing.TB, list ...ir.AccessPolicy) *Policies {
	t.Helper()
	p, err := NewPolicies(&ir.Authorization{Policies: list})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func values(kind ir.AccessKind, list ...string) []ir.AccessValue {
	out := make([]ir.AccessValue, len(list))
	for i, v := range list {
		out[i] = ir.AccessValue{Kind: kind, Value: v}
	}
	return out
}

func test(a ir.AccessAttribute, any ...ir.AccessValue) ir.AccessTest {
	return ir.AccessTest{Attribute: a, Any: any}
}

// many is n policies with ten rules each, all of another caller, host or path.
func many(n int) []ir.AccessPolicy {
	list := make([]ir.AccessPolicy, n)
	for i := range list {
		p := ir.AccessPolicy{Namespace: "ns", Name: fmt.Sprint(i), Action: ir.AccessAllow}
		if i%2 == 1 {
			p.Action = ir.AccessDeny
		}
		for j := range 10 {
			r := ir.PolicyRule{Index: j}
			id := fmt.Sprintf("cluster.local/ns/team-%d/sa/app-%d", i, j)
			r.From = []ir.AccessConjunct{{test(ir.PeerID, values(ir.AccessExact, id)...)}}
			r.To = []ir.AccessConjunct{{
				test(ir.RequestHost, values(ir.AccessExact, "ai.example.com")...),
				test(ir.RequestMethod, values(ir.AccessExact, "GET", "POST")...),
				test(ir.RequestPath, values(ir.AccessPrefix, fmt.Sprintf("/team-%d/%d", i%50, j))...),
			}}
			switch j {
			case 3: // anybody, at one path
				r.From = nil
				r.To[0][2] = test(ir.RequestPath, values(ir.AccessExact, fmt.Sprintf("/open/%d/%d", i, j))...)
			case 4:
				r.From = []ir.AccessConjunct{{ir.AccessTest{Attribute: ir.TokenPrincipal, Any: []ir.AccessValue{{Value: fmt.Sprintf("user-%d", i), In: &ir.AccessValue{Value: "https://idp"}}}}}}
			case 5:
				r.From = []ir.AccessConjunct{{test(ir.ClientAddress, values(ir.AccessNetwork, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))...)}}
			case 6:
				r.From = nil
				r.When = ir.AccessConjunct{{Attribute: ir.TokenClaim, Key: []string{"groups"}, Any: values(ir.AccessExact, fmt.Sprintf("group-%d", i))}}
			}
			p.Rules = append(p.Rules, r)
		}
		list[i] = p
	}
	return list
}

// busy is a request that many has nothing for, but a great deal like it.
func busy() *Input {
	return &Input{
		Method: "POST", Path: "/team-7/9/chat/completions", Authority: "ai.example.com",
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"*/*"}, "X-Request-Id": {"1"}},
		PeerID: "spiffe://cluster.local/ns/team-9999/sa/app-1", PeerAddress: netip.MustParseAddr("192.0.2.1"),
		Client: netip.MustParseAddr("192.0.2.1"), Local: netip.MustParseAddrPort("192.0.2.9:8080"), ServerName: "ai.example.com",
		Identities: []authn.Identity{{
			Provider: "p", Method: authn.MethodJWT, Issuer: "https://idp", Subject: "nobody",
			Claims: map[string]any{"groups": []any{"a", "b"}},
		}},
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		p := policies(b, many(n)...)
		in := busy()
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Decide(in).Allowed {
					b.Fatal("allowed")
				}
			}
		})
	}
}

// TestDecideAllocatesNothing holds Decide to what it says.
func TestDecideAllocatesNothing(t *testing.T) {
	p := policies(t, many(100)...)
	in := busy()
	if n := testing.AllocsPerRun(100, func() { p.Decide(in) }); n > 0 {
		t.Errorf("a decision allocates %v times", n)
	}
}
