package authz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// person is an identity with claims as a token would have them.
func person(t testing.TB, claims string) authn.Identity {
	t.Helper()
	id := authn.Identity{Provider: "p1", Method: authn.MethodJWT}
	dec := json.NewDecoder(bytes.NewReader([]byte(claims)))
	dec.UseNumber()
	if err := dec.Decode(&id.Claims); err != nil {
		t.Fatal(err)
	}
	return id
}

func match(matcher ir.ClaimMatcher, value string, path ...string) ir.ClaimMatch {
	return ir.ClaimMatch{Path: path, Matcher: matcher, Value: value}
}

// one is a rule with one principal.
func one(claims ...ir.ClaimMatch) ir.ClaimRule {
	return ir.ClaimRule{Name: "viewer", Principals: []ir.ClaimPrincipal{{Claims: claims}}}
}

func rules(t testing.TB, list ...ir.ClaimRule) *Rules {
	t.Helper()
	r, err := NewRules(&ir.ClaimRules{Rules: list})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const alice = `{"iss":"solo.io","org":"solo.io","sub":"alice","team":"dev","llms":{"openai":["gpt-3.5-turbo"]}}`

func TestMatchers(t *testing.T) {
	const claims = `{"s":"abc","n":5,"t":true,"f":false,"tt":"true","l":["a","b"],"ln":[5,true,null,["a"]],"le":[],
		"o":{"p":{"q":"deep"}},"o.p":"flat","z":null,"e":"","multi":"abc\nabc"}`
	tests := []struct {
		name   string
		m      ir.ClaimMatch
		reason string // "" matches
	}{
		{"exact", match(ir.ClaimExact, "abc", "s"), ""},
		{"exact, empty", match(ir.ClaimExact, "", "e"), ""},
		{"exact, other", match(ir.ClaimExact, "ab", "s"), `claim "s" is not "ab"`},
		{"exact, case", match(ir.ClaimExact, "ABC", "s"), `claim "s" is not "ABC"`},
		{"exact, number", match(ir.ClaimExact, "5", "n"), `claim "n" is a number, EXACT_STRING wants a string`},
		{"exact, bool", match(ir.ClaimExact, "true", "t"), `claim "t" is a boolean, EXACT_STRING wants a string`},
		{"exact, list", match(ir.ClaimExact, "a", "l"), `claim "l" is a list, EXACT_STRING wants a string`},
		{"exact, object", match(ir.ClaimExact, "", "o"), `claim "o" is an object, EXACT_STRING wants a string`},
		{"exact, null", match(ir.ClaimExact, "", "z"), `claim "z" is absent`},
		{"exact, absent", match(ir.ClaimExact, "", "no"), `claim "no" is absent`},
		{"nested", match(ir.ClaimExact, "deep", "o", "p", "q"), ""},
		{"flat name with a dot", match(ir.ClaimExact, "flat", "o.p"), ""},
		{"path through a string", match(ir.ClaimExact, "abc", "s", "x"), `claim "s.x" is absent`},
		{"path through a list", match(ir.ClaimExact, "a", "l", "0"), `claim "l.0" is absent`},
		{"boolean true", match(ir.ClaimBoolean, "true", "t"), ""},
		{"boolean false", match(ir.ClaimBoolean, "false", "f"), ""},
		{"boolean, other", match(ir.ClaimBoolean, "false", "t"), `claim "t" is not "false"`},
		{"boolean, string", match(ir.ClaimBoolean, "true", "tt"), `claim "tt" is a string, BOOLEAN wants a boolean`},
		{"boolean, absent", match(ir.ClaimBoolean, "false", "no"), `claim "no" is absent`},
		{"list", match(ir.ClaimListContains, "b", "l"), ""},
		{"list, other", match(ir.ClaimListContains, "c", "l"), `claim "l" does not contain "c"`},
		{"list, empty", match(ir.ClaimListContains, "", "le"), `claim "le" does not contain ""`},
		{"list, part of an element", match(ir.ClaimListContains, "", "l"), `claim "l" does not contain ""`},
		{"list of a number", match(ir.ClaimListContains, "5", "ln"), `claim "ln" does not contain "5"`},
		{"list of a bool", match(ir.ClaimListContains, "true", "ln"), `claim "ln" does not contain "true"`},
		{"list in a list", match(ir.ClaimListContains, "a", "ln"), `claim "ln" does not contain "a"`},
		{"list, string", match(ir.ClaimListContains, "abc", "s"), `claim "s" is a string, LIST_CONTAINS wants a list`},
		{"list, object", match(ir.ClaimListContains, "p", "o"), `claim "o" is an object, LIST_CONTAINS wants a list`},
		{"regex", match(ir.ClaimRegex, "a.c", "s"), ""},
		{"regex, prefix only", match(ir.ClaimRegex, "ab", "s"), `claim "s" does not match "ab"`},
		{"regex, alternatives stay inside", match(ir.ClaimRegex, "x|ab", "s"), `claim "s" does not match "x|ab"`},
		{"regex, multiline does not split", match(ir.ClaimRegex, "(?m)^abc$", "multi"), `claim "multi" does not match "(?m)^abc$"`},
		{"regex, number", match(ir.ClaimRegex, ".*", "n"), `claim "n" is a number, REGEX_MATCH wants a string`},
		{"regex, list", match(ir.ClaimRegex, ".*", "l"), `claim "l" is a list, REGEX_MATCH wants a string`},
	}
	id := person(t, claims)
	for _, tt := range tests {
		d := rules(t, one(tt.m)).Decide(&Input{Identities: []authn.Identity{id}})
		if d.Allowed != (tt.reason == "") {
			t.Errorf("%s: %+v", tt.name, d)
		}
		if tt.reason != "" && d.Reason != `rule "viewer": `+tt.reason {
			t.Errorf("%s: reason %s, want %s", tt.name, d.Reason, tt.reason)
		}
	}
}

func TestCombinations(t *testing.T) {
	team := func(v string) ir.ClaimMatch { return match(ir.ClaimExact, v, "team") }
	model := match(ir.ClaimListContains, "gpt-3.5-turbo", "llms", "openai")
	edit := func(r ir.ClaimRule, f func(*ir.ClaimRule)) ir.ClaimRule { f(&r); return r }
	get := edit(one(team("dev")), func(r *ir.ClaimRule) { r.PathPrefix, r.Methods = "/v1", []string{"GET", "HEAD"} })
	from := func(p string) ir.ClaimRule {
		return edit(one(team("dev")), func(r *ir.ClaimRule) { r.Principals[0].Provider = p })
	}
	either := edit(one(team("ops")), func(r *ir.ClaimRule) {
		r.Principals = append(r.Principals, ir.ClaimPrincipal{Claims: []ir.ClaimMatch{team("dev")}})
	})
	a, b := person(t, alice), person(t, `{"team":"ops","llms":{"mistralai":["mistral-large-latest"]}}`)
	named := b
	named.Provider = "p2"
	ids := func(list ...authn.Identity) []authn.Identity { return list }
	tests := []struct {
		name  string
		rules []ir.ClaimRule
		in    Input
		want  bool
	}{
		{"no rules", nil, Input{Identities: ids(a)}, false},
		{"the tutorial, alice", []ir.ClaimRule{one(model)}, Input{Identities: ids(a)}, true},
		{"the tutorial, bob", []ir.ClaimRule{one(model)}, Input{Identities: ids(b)}, false},
		{"nobody", []ir.ClaimRule{one(model)}, Input{}, false},
		{"claims are all wanted", []ir.ClaimRule{one(team("dev"), model)}, Input{Identities: ids(a)}, true},
		{"one claim lacks", []ir.ClaimRule{one(team("ops"), model)}, Input{Identities: ids(a)}, false},
		{"claims of two people do not add up", []ir.ClaimRule{one(team("ops"), model)}, Input{Identities: ids(a, b)}, false},
		{"one of two people", []ir.ClaimRule{one(model)}, Input{Identities: ids(b, a)}, true},
		{"second rule", []ir.ClaimRule{one(team("ops")), one(model)}, Input{Identities: ids(a)}, true},
		{"second principal", []ir.ClaimRule{either}, Input{Identities: ids(a)}, true},
		{"path and method", []ir.ClaimRule{get}, Input{Identities: ids(a), Method: "HEAD", Path: "/v1/x"}, true},
		{"path is a raw prefix", []ir.ClaimRule{get}, Input{Identities: ids(a), Method: "GET", Path: "/v10"}, true},
		{"path does not fit", []ir.ClaimRule{get}, Input{Identities: ids(a), Method: "GET", Path: "/V1"}, false},
		{"method does not fit", []ir.ClaimRule{get}, Input{Identities: ids(a), Method: "POST", Path: "/v1"}, false},
		{"method has case", []ir.ClaimRule{get}, Input{Identities: ids(a), Method: "get", Path: "/v1"}, false},
		{"path and method alone do not allow", []ir.ClaimRule{get}, Input{Identities: ids(b), Method: "GET", Path: "/v1"}, false},
		{"its provider", []ir.ClaimRule{from("p1")}, Input{Identities: ids(a)}, true},
		{"another provider", []ir.ClaimRule{from("p2")}, Input{Identities: ids(a, named)}, false},
	}
	for _, tt := range tests {
		r := rules(t, tt.rules...)
		d := r.Decide(&tt.in)
		if d.Allowed != tt.want || (d.Reason == "") != tt.want {
			t.Errorf("%s: %+v", tt.name, d)
		}
		if e := r.Explain(&tt.in); e.Allowed != d.Allowed || e.Rule != d.Rule || e.Reason != d.Reason {
			t.Errorf("%s: explained as %+v", tt.name, e)
		}
	}
}

// TestSecurityRow04ZeroIdentity gives the zero Identity every claim there is.
func TestSecurityRow04ZeroIdentity(t *testing.T) {
	r := rules(t, one(match(ir.ClaimExact, "alice", "sub")))
	claims := person(t, alice).Claims
	for _, id := range []authn.Identity{{}, {Claims: claims}, {Method: "jwt", Claims: claims}, {Provider: "p1", Claims: claims}} {
		d := r.Decide(&Input{Identities: []authn.Identity{id}})
		if d.Allowed || d.Reason != "nobody is authenticated" {
			t.Errorf("%+v: %+v", id, d)
		}
	}
	if (Decision{}).Allowed {
		t.Error("the zero Decision allows")
	}
}

// What an external server or an introspection tells is no verified JWT: rules
// about claims do not look at it.
func TestClaimsOfOtherMethodsAllowNothing(t *testing.T) {
	for _, method := range []string{authn.MethodExternal, authn.MethodAccessToken, authn.MethodAPIKey, authn.MethodBasic} {
		id := person(t, alice)
		id.Method = method
		d := rules(t, one(match(ir.ClaimExact, "alice", "sub"))).Decide(&Input{Identities: []authn.Identity{id}, Method: "POST", Path: "/openai"})
		if d.Allowed {
			t.Errorf("%s: %+v", method, d)
		}
	}
}

func TestDecisionNamesItsRules(t *testing.T) {
	a := one(match(ir.ClaimExact, "ops", "team"))
	a.Name, a.Origin = "ops", ir.Origin{Name: "ops-policy"}
	b := one(match(ir.ClaimExact, "dev", "team"))
	b.Name, b.Origin = "dev", ir.Origin{Name: "dev-policy"}
	c := one(match(ir.ClaimExact, "x", "team"))
	r := rules(t, a, b, c)
	in := &Input{Identities: []authn.Identity{person(t, alice)}}
	if diff := cmp.Diff(Decision{Allowed: true, Rule: "dev", Origin: b.Origin}, r.Decide(in)); diff != "" {
		t.Errorf("decide (-want +got):\n%s", diff)
	}
	tried := []RuleResult{
		{Rule: "ops", Origin: a.Origin, Reason: `claim "team" is not "ops"`},
		{Rule: "dev", Origin: b.Origin, Matched: true},
	}
	if diff := cmp.Diff(Decision{Allowed: true, Rule: "dev", Origin: b.Origin, Tried: tried}, r.Explain(in)); diff != "" {
		t.Errorf("explain (-want +got):\n%s", diff)
	}
}

func TestReasons(t *testing.T) {
	where := one(match(ir.ClaimExact, "dev", "team"))
	where.PathPrefix, where.Methods = "/v1", []string{"GET", "PUT"}
	provider := one(match(ir.ClaimExact, "dev", "team"))
	provider.Principals[0].Provider = "p9"
	ids := []authn.Identity{person(t, alice)}
	many := make([]ir.ClaimRule, 7)
	for i := range many {
		many[i] = one(match(ir.ClaimExact, "x", "team"))
		many[i].Name = fmt.Sprint(i)
	}
	tests := []struct {
		name  string
		rules []ir.ClaimRule
		in    Input
		want  string
	}{
		{"no rules", nil, Input{Identities: ids}, "there are no rules, so nobody is allowed"},
		{"path", []ir.ClaimRule{where}, Input{Identities: ids, Path: "/"}, `rule "viewer": path does not begin with "/v1"`},
		{"method", []ir.ClaimRule{where}, Input{Identities: ids, Path: "/v1", Method: "POST"}, `rule "viewer": method is not GET or PUT`},
		{"provider", []ir.ClaimRule{provider}, Input{Identities: ids}, `rule "viewer": no identity from provider "p9"`},
		{"many", many, Input{Identities: ids}, "and 3 more"},
	}
	for _, tt := range tests {
		if d := rules(t, tt.rules...).Decide(&tt.in); d.Allowed || !strings.HasSuffix(d.Reason, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, d.Reason, tt.want)
		}
	}
}

func TestNewRulesRefuses(t *testing.T) {
	ok := match(ir.ClaimExact, "a", "b")
	tests := []struct {
		name string
		rule ir.ClaimRule
		want string
	}{
		{"no principals", ir.ClaimRule{Name: "r"}, `rule "r": no principals`},
		{"no claims", one(), `rule "viewer": principals[0]: no claims`},
		{"no path", one(match(ir.ClaimExact, "a")), "a name in its path is empty"},
		{"empty name", one(ok, match(ir.ClaimExact, "a", "b", "")), "claims[1]: claim"},
		{"unknown matcher", one(match("glob", "a", "b")), `unknown matcher "glob"`},
		{"boolean", one(match(ir.ClaimBoolean, "yes", "b")), "BOOLEAN wants true or false"},
		{"bad regex", one(match(ir.ClaimRegex, "(", "b")), "missing closing"},
		{"regex that reaches out", one(match(ir.ClaimRegex, "a)|(?:b", "b")), "unexpected )"},
		{"look-ahead", one(match(ir.ClaimRegex, "(?=a)", "b")), "invalid or unsupported Perl syntax"},
		{"long regex", one(match(ir.ClaimRegex, strings.Repeat("a", 1025), "b")), "more than 1024 bytes"},
		{"large regex", one(match(ir.ClaimRegex, strings.Repeat("[a-z]{900}", 20), "b")), "too large when compiled"},
		{"nested regex", one(match(ir.ClaimRegex, "((a{100}){100}){100}", "b")), "invalid repeat count"},
		{"empty method", ir.ClaimRule{Principals: one(ok).Principals, Methods: []string{""}}, "an empty method"},
	}
	for _, tt := range tests {
		if _, err := NewRules(&ir.ClaimRules{Rules: []ir.ClaimRule{tt.rule}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAllowAllocatesNothing(t *testing.T) {
	r := rules(t, one(match(ir.ClaimExact, "ops", "team")), one(match(ir.ClaimListContains, "gpt-3.5-turbo", "llms", "openai")))
	in := &Input{Identities: []authn.Identity{person(t, alice)}, Method: "POST", Path: "/openai"}
	if n := testing.AllocsPerRun(100, func() { r.Decide(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRegex: an expression that is accepted matches nothing beyond the whole.
func FuzzRegex(f *testing.F) {
	f.Add(`a|b`, "ab")
	f.Add(`\Qa`, "a")
	f.Add(`(?i)x$`, "x\n")
	f.Fuzz(func(t *testing.T, expr, s string) {
		re, err := compileRegex(expr)
		if err != nil || !re.MatchString(s) {
			return
		}
		if loc := re.FindStringIndex(s); loc[0] != 0 || loc[1] != len(s) {
			t.Errorf("%q matches %v of %q", expr, loc, s)
		}
	})
}

func BenchmarkDecideAllow(b *testing.B) {
	r := rules(b, one(match(ir.ClaimListContains, "gpt-3.5-turbo", "llms", "openai")))
	in := &Input{Identities: []authn.Identity{person(b, alice)}, Method: "POST", Path: "/openai"}
	b.ReportAllocs()
	for b.Loop() {
		r.Decide(in)
	}
}

func BenchmarkDecideDeny(b *testing.B) {
	r := rules(b, one(match(ir.ClaimListContains, "gpt-4o", "llms", "openai")))
	in := &Input{Identities: []authn.Identity{person(b, alice)}, Method: "POST", Path: "/openai"}
	b.ReportAllocs()
	for b.Loop() {
		r.Decide(in)
	}
}
