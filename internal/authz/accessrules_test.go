package authz

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

const member = `{"sub":"alice","team":"dev","roles":["a","b"],"org":{"unit":"x"},"scope":"chat embed"}`

func accessRules(t testing.TB, byDefault bool, list ...ir.AccessRule) *AccessRules {
	t.Helper()
	a, err := NewAccessRules(&ir.AccessRules{Rules: list, DefaultAllow: byDefault})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tokenOf(claims ...ir.AccessClaim) *ir.AccessTokenMatch {
	return &ir.AccessTokenMatch{Provider: "p1", Claims: claims}
}

func TestAccessRulesConditions(t *testing.T) {
	exact := func(kind ir.PathKind, value string, invert bool) *ir.AccessPath {
		return &ir.AccessPath{PathMatch: ir.PathMatch{Kind: kind, Value: value}, Invert: invert}
	}
	for _, tc := range []struct {
		name string
		rule ir.AccessRule
		want bool
	}{
		{"nothing asked", ir.AccessRule{}, true},
		{"method", ir.AccessRule{Methods: []string{"GET", "POST"}}, true},
		{"other method", ir.AccessRule{Methods: []string{"GET"}}, false},
		{"address", ir.AccessRule{ClientCIDRs: []string{"192.0.2.0/24", "10.0.0.0/8"}}, true},
		{"address with host bits", ir.AccessRule{ClientCIDRs: []string{"10.9.9.9/8"}}, true},
		{"other address", ir.AccessRule{ClientCIDRs: []string{"192.0.2.0/24", "::/0"}}, false},
		{"header", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "x-team", Values: []string{"ops", "dev"}}}}, true},
		{"header in another case", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "X-TEAM", Values: []string{"dev"}}}}, true},
		{"other header value", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "x-team", Values: []string{"de"}}}}, false},
		{"absent header", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "x-no", Values: []string{""}}}}, false},
		{"doubled header", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "x-two", Values: []string{"a", "b"}}}}, false},
		{"doubled header joined", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "x-two", Values: []string{"a,b"}}}}, true},
		{"one of two headers", ir.AccessRule{Headers: []ir.AccessHeader{{Name: "x-team", Values: []string{"dev"}}, {Name: "x-no", Values: []string{"a"}}}}, false},
		{"model", ir.AccessRule{Headers: []ir.AccessHeader{{Values: []string{"gpt-4o"}}}}, true},
		{"other model", ir.AccessRule{Headers: []ir.AccessHeader{{Values: []string{"gpt-4"}}}}, false},
		{"claim", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, Values: []string{"ops", "dev"}})}, true},
		{"nested claim", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"org", "unit"}, Values: []string{"x"}})}, true},
		{"other claim", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, Values: []string{"ops"}})}, false},
		{"list", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"roles"}, List: true, Values: []string{"b"}})}, true},
		{"text for a list", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, List: true, Values: []string{"dev"}})}, false},
		{"list for a text", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"roles"}, Values: []string{"a"}})}, false},
		{"one of two claims", ir.AccessRule{Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, Values: []string{"dev"}}, ir.AccessClaim{Path: []string{"x"}, Values: []string{"y"}})}, false},
		{"scopes", ir.AccessRule{Token: &ir.AccessTokenMatch{Provider: "p1", Scopes: []string{"embed", "chat"}}}, true},
		{"a scope too many", ir.AccessRule{Token: &ir.AccessTokenMatch{Provider: "p1", Scopes: []string{"chat", "admin"}}}, false},
		{"part of a scope", ir.AccessRule{Token: &ir.AccessTokenMatch{Provider: "p1", Scopes: []string{"cha"}}}, false},
		{"other provider", ir.AccessRule{Token: &ir.AccessTokenMatch{Provider: "p2", Scopes: []string{"chat"}}}, false},
		{"exact path", ir.AccessRule{Path: exact(ir.PathExact, "/v1/chat", false)}, true},
		{"other path", ir.AccessRule{Path: exact(ir.PathExact, "/v1", false)}, false},
		{"segments", ir.AccessRule{Path: exact(ir.PathSegments, "/v1/", false)}, true},
		{"part of a segment", ir.AccessRule{Path: exact(ir.PathSegments, "/v1/ch", false)}, false},
		{"inverted", ir.AccessRule{Path: exact(ir.PathSegments, "/admin", true)}, true},
		{"regex", ir.AccessRule{Path: exact(ir.PathRegex, "/v[0-9]/.*", false)}, true},
		{"regex of a part", ir.AccessRule{Path: exact(ir.PathRegex, "/v[0-9]", false)}, false},
		{"all together", ir.AccessRule{
			Methods: []string{"POST"}, ClientCIDRs: []string{"10.0.0.0/8"}, Headers: []ir.AccessHeader{{Name: "x-team", Values: []string{"dev"}}},
			Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, Values: []string{"dev"}}),
		}, true},
	} {
		in := &AccessInput{
			Identities: []authn.Identity{person(t, member)}, Method: "POST", Path: "/v1/chat", Client: netip.MustParseAddr("::ffff:10.1.2.3"),
			Header: http.Header{"X-Team": {"dev"}, "X-Two": {"a", "b"}}, Model: "gpt-4o",
		}
		tc.rule.Name, tc.rule.Allow = "r", true
		if d := accessRules(t, false, tc.rule).Decide(in); d.Allowed != tc.want || !tc.want && !strings.HasPrefix(d.Reason, `no rule fits; rule "r": `) {
			t.Errorf("%s: %+v, want %v", tc.name, d, tc.want)
		}
		tc.rule.Allow = false
		if d := accessRules(t, true, tc.rule).Decide(in); d.Allowed == tc.want {
			t.Errorf("%s, refused: %+v", tc.name, d)
		}
	}
}

func TestAccessRulesOrder(t *testing.T) {
	rule := func(name string, allow bool, team string) ir.AccessRule {
		r := ir.AccessRule{Name: name, Allow: allow}
		if team != "" {
			r.Headers = []ir.AccessHeader{{Name: "X-Team", Values: []string{team}}}
		}
		return r
	}
	for _, tc := range []struct {
		name     string
		rules    []ir.AccessRule
		byitself bool
		allowed  bool
		by       string
	}{
		{"the first allows", []ir.AccessRule{rule("a", true, "dev"), rule("b", false, "")}, false, true, "a"},
		{"the first refuses", []ir.AccessRule{rule("a", false, "dev"), rule("b", true, "")}, true, false, "a"},
		{"the second", []ir.AccessRule{rule("a", false, "ops"), rule("b", true, "")}, false, true, "b"},
		{"none, refused", []ir.AccessRule{rule("a", true, "ops")}, false, false, ""},
		{"none, allowed", []ir.AccessRule{rule("a", false, "ops")}, true, true, "by default"},
		{"no rules", nil, false, false, ""},
	} {
		a := accessRules(t, tc.byitself, tc.rules...)
		in := &AccessInput{Header: http.Header{"X-Team": {"dev"}}}
		d, x := a.Decide(in), a.Explain(in)
		if d.Allowed != tc.allowed || d.Rule != tc.by || x.Allowed != d.Allowed || x.Rule != d.Rule || x.Reason != d.Reason {
			t.Errorf("%s: %+v, explained %+v", tc.name, d, x)
		}
	}
}

// TestAccessRulesUnknownModel holds that not to know the model opens nothing.
func TestAccessRulesUnknownModel(t *testing.T) {
	model := ir.AccessRule{Name: "m", Headers: []ir.AccessHeader{{Values: []string{"gpt-4o"}}}}
	if d := accessRules(t, true, model).Decide(&AccessInput{}); d.Allowed {
		t.Errorf("a refused model: %+v", d)
	}
	if d := accessRules(t, true, model).Decide(&AccessInput{ModelLess: true}); !d.Allowed {
		t.Errorf("a request for no model: %+v", d)
	}
	model.Allow = true
	a := accessRules(t, false, model)
	if d := a.Decide(&AccessInput{}); d.Allowed || !strings.Contains(d.Reason, "not known") {
		t.Errorf("an allowed model: %+v", d)
	}
	if !a.ReadsModel() || accessRules(t, false, ir.AccessRule{}).ReadsModel() {
		t.Error("ReadsModel")
	}
}

// TestAccessRulesProven holds that no claims count that nobody vouches for.
func TestAccessRulesProven(t *testing.T) {
	a := accessRules(t, false, ir.AccessRule{Allow: true, Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, Values: []string{"dev"}})})
	good := person(t, member)
	for name, id := range map[string]authn.Identity{
		"zero":         {Claims: good.Claims},
		"no provider":  {Method: authn.MethodJWT, Claims: good.Claims},
		"other method": {Method: authn.MethodAPIKey, Provider: "p1", Claims: good.Claims},
	} {
		if d := a.Decide(&AccessInput{Identities: []authn.Identity{id}}); d.Allowed {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if d := a.Decide(&AccessInput{}); d.Allowed {
		t.Errorf("nobody: %+v", d)
	}
}

func TestNewAccessRulesRefuses(t *testing.T) {
	for name, r := range map[string]ir.AccessRule{
		"range":       {ClientCIDRs: []string{"10.0.0.0"}},
		"header":      {Headers: []ir.AccessHeader{{Name: "x"}}},
		"method":      {Methods: []string{""}},
		"provider":    {Token: &ir.AccessTokenMatch{Scopes: []string{"a"}}},
		"scope":       {Token: &ir.AccessTokenMatch{Provider: "p", Scopes: []string{""}}},
		"claim":       {Token: tokenOf(ir.AccessClaim{Values: []string{"a"}})},
		"no values":   {Token: tokenOf(ir.AccessClaim{Path: []string{"a"}})},
		"path":        {Path: &ir.AccessPath{}},
		"path's text": {Path: &ir.AccessPath{PathMatch: ir.PathMatch{Kind: ir.PathRegex, Value: "("}}},
	} {
		if _, err := NewAccessRules(&ir.AccessRules{Rules: []ir.AccessRule{r}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkAccessRules(b *testing.B) {
	a := accessRules(b, false, ir.AccessRule{Name: "r", Allow: true, ClientCIDRs: []string{"10.0.0.0/8"}, Token: tokenOf(ir.AccessClaim{Path: []string{"team"}, Values: []string{"ops", "dev"}})})
	in := &AccessInput{Identities: []authn.Identity{person(b, member)}, Client: netip.MustParseAddr("10.1.2.3")}
	b.ReportAllocs()
	for b.Loop() {
		if !a.Decide(in).Allowed {
			b.Fatal("refused")
		}
	}
}
