package istioauth_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dialect/istioauth"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// TestNaive holds translation, index and engine together to what the
// documentation says, for random policies and requests that have much in
// common with them.
func TestNaive(t *testing.T) {
	worlds := 300
	if testing.Short() {
		worlds = 100
	}
	r := &random{rand.New(rand.NewPCG(7, 11))}
	allowed, decisions, named := 0, 0, 0
	for range worlds {
		list := r.policies()
		n := &naive{root: "istio-system", namespace: "ns1", trustDomains: []string{"td2", "td1"}}
		p := translated(t, list)
		for range 40 {
			f := r.fact()
			want, by := n.decide(list, f)
			in := f.input()
			got := p.Decide(in)
			label := ""
			if got.By != nil {
				label = fmt.Sprintf("%s/%s rule %d", got.By.Policy.Namespace, got.By.Policy.Name, got.By.Index)
			}
			decisions++
			if want {
				allowed++
			}
			if by != "" {
				named++
			}
			if got.Allowed != want || label != by {
				text, _ := json.MarshalIndent(list, "", " ")
				t.Fatalf("allowed %v by %q, want %v by %q\n%+v\n%s", got.Allowed, label, want, by, *f, text)
			}
			explained(t, p, in, got)
		}
	}
	if allowed < decisions/10 || allowed > decisions*9/10 || named < decisions/5 {
		t.Errorf("of %d decisions %d allow and %d name a rule: the test says little", decisions, allowed, named)
	}
}

// explained holds Explain to Decide.
func explained(t *testing.T, p *authz.Policies, in *authz.Input, got authz.Ruling) {
	t.Helper()
	var deny, allow *authz.RuleRef
	allows := false
	p.Explain(in, func(policy *authz.PolicyRef, rule *authz.RuleRef, matched bool, why string) {
		allows = allows || policy.Action == ir.AccessAllow
		if matched == (why != "") {
			t.Errorf("%v: matched %v, and why is %q", rule, matched, why)
		}
		switch {
		case matched && policy.Action == ir.AccessDeny && deny == nil:
			deny = rule
		case matched && policy.Action == ir.AccessAllow && allow == nil:
			allow = rule
		}
	})
	by := deny
	if by == nil {
		by = allow
	}
	if by != got.By || got.Allowed != (deny == nil && (!allows || allow != nil)) {
		t.Fatalf("Explain says %v, Decide %v", by, got.By)
	}
}

func translated(t *testing.T, list []naivePolicy) *authz.Policies {
	t.Helper()
	var objects []*resource.Object
	for i := range list {
		key := resource.Key{GroupKind: istioauth.AuthorizationPolicyKind, Namespace: list[i].ns, Name: list[i].name[len(list[i].ns)+1:]}
		objects = append(objects, &resource.Object{Key: key, Spec: &istioauth.AuthorizationPolicy{Spec: list[i].spec}})
	}
	env := &istioauth.Env{Mesh: istioauth.NewMesh()}
	env.Mesh.TrustDomain, env.Mesh.TrustDomainAliases = "td2", []string{"td1"}
	v := resource.NewView(resource.NewSet(objects, istioauth.Kinds()))
	steps := istioauth.Translate(v, env, istioauth.Workload{Namespace: "ns1"}).Steps
	if len(steps) != 1 || steps[0].Authorization == nil {
		t.Fatalf("%d steps", len(steps))
	}
	p, err := authz.NewPolicies(steps[0].Authorization)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *fact) input() *authz.Input {
	in := &authz.Input{
		Method: f.method, Authority: f.host, Path: f.path, Scheme: "https", Header: http.Header(f.headers), ServerName: f.sni,
		PeerAddress: netip.MustParseAddr(f.source), Client: netip.MustParseAddr(f.remote), Local: netip.MustParseAddrPort(f.destination + ":" + f.port),
	}
	if f.td != "" {
		in.PeerID = "spiffe://" + f.principal()
	}
	if f.token {
		in.Identities = []authn.Identity{{Provider: "p", Method: authn.MethodJWT, Issuer: f.iss, Subject: f.sub, Claims: f.claims}}
	}
	return in
}

// random makes policies and requests out of few words, so that they meet.
type random struct{ *rand.Rand }

func (r *random) of(words ...string) string { return words[r.IntN(len(words))] }
func (r *random) in(n int) bool             { return r.IntN(n) == 0 }

// some returns nil, or a few of words.
func (r *random) some(often int, words ...string) []string {
	if !r.in(often) {
		return nil
	}
	out := make([]string, 1+r.IntN(3))
	for i := range out {
		out[i] = r.of(words...)
	}
	return out
}

func (r *random) policies() []naivePolicy {
	var list []naivePolicy
	for i, ns := range []string{"istio-system", "ns1"} {
		for j := range r.IntN(4) + 1 - i {
			p := naivePolicy{ns: ns, name: fmt.Sprintf("%s/p%d", ns, j)}
			p.spec.Action = r.of("ALLOW", "ALLOW", "DENY")
			for range r.IntN(5) {
				p.spec.Rules = append(p.spec.Rules, r.rule())
			}
			if p.spec.Action == "DENY" && len(p.spec.Rules) == 0 {
				p.spec.Rules = append(p.spec.Rules, r.rule())
			}
			list = append(list, p)
		}
	}
	return list
}

func (r *random) rule() istioauth.Rule {
	var out istioauth.Rule
	if r.in(2) {
		for range 1 + r.IntN(2) {
			out.From = append(out.From, istioauth.From{Source: r.source()})
		}
	}
	if r.in(2) {
		for range 1 + r.IntN(2) {
			out.To = append(out.To, istioauth.To{Operation: r.operation()})
		}
	}
	for range r.IntN(3) {
		out.When = append(out.When, r.condition())
	}
	return out
}

var (
	principals        = []string{"td2/ns/ns1/sa/a", "td1/ns/ns1/sa/a", "cluster.local/ns/ns1/sa/b", "td3/ns/ns1/sa/a", "td3/ns/*", "*/sa/a", "*", "*2/ns/ns2/sa/b", "*1/ns/ns1/sa/*", "*/ns/ns1/sa/a", "cluster.local/ns/*"}
	namespaces        = []string{"ns1", "ns2", "ns*", "*1", "*", "n*1", "x*"}
	accounts          = []string{"a", "b", "ns1/a", "ns2/b", "ns1/*"}
	domains           = []string{"td1", "td2", "td3", "td*", "*3", "*"}
	requestPrincipals = []string{"*", "i1/s1", "i1/*", "i1/s*", "*/s2", "*1", "i*", "*1/s1", "https://i/s1", "https://i/*"}
	blocks            = []string{"10.0.0.1", "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "2001:db8::1", "bad", "10.0.0.0/33"}
	hosts             = []string{"a.test", "A.Test", "*.test", "a.*", "*", "b.test:80", "*:80", ".test"}
	methods           = []string{"GET", "POST", "P*", "*T", "*", "get"}
	paths             = []string{"/", "/a", "/a*", "/a/*", "*b", "/a/{*}", "/a/{**}", "/{*}/b", "/a/{**}/b", "*", "/a/b"}
	ports             = []string{"80", "8080", "bad", "0"}
	texts3            = []string{"x", "y", "x*", "*y", "*", "x,y"}
)

func (r *random) source() *istioauth.Source {
	for {
		s := &istioauth.Source{
			Principals: r.some(4, principals...), NotPrincipals: r.some(8, principals...),
			RequestPrincipals: r.some(5, requestPrincipals...), NotRequestPrincipals: r.some(9, requestPrincipals...),
			Namespaces: r.some(4, namespaces...), NotNamespaces: r.some(8, namespaces...),
			TrustDomains: r.some(7, domains...), NotTrustDomains: r.some(9, domains...),
			IPBlocks: r.some(7, blocks...), NotIPBlocks: r.some(9, blocks...),
			RemoteIPBlocks: r.some(7, blocks...), NotRemoteIPBlocks: r.some(9, blocks...),
		}
		if s.Principals == nil && s.NotPrincipals == nil && s.Namespaces == nil && s.NotNamespaces == nil {
			s.ServiceAccounts, s.NotServiceAccounts = r.some(3, accounts...), r.some(6, accounts...)
		}
		if b, _ := json.Marshal(s); string(b) != emptySource {
			return s
		}
	}
}

var emptySource = func() string { b, _ := json.Marshal(&istioauth.Source{}); return string(b) }()
var emptyOperation = func() string { b, _ := json.Marshal(&istioauth.Operation{}); return string(b) }()

func (r *random) operation() *istioauth.Operation {
	for {
		o := &istioauth.Operation{
			Hosts: r.some(3, hosts...), NotHosts: r.some(7, hosts...), Methods: r.some(3, methods...), NotMethods: r.some(7, methods...),
			Paths: r.some(3, paths...), NotPaths: r.some(7, paths...), Ports: r.some(7, ports...), NotPorts: r.some(9, ports...),
		}
		if b, _ := json.Marshal(o); string(b) != emptyOperation {
			return o
		}
	}
}

func (r *random) condition() istioauth.Condition {
	keys := map[string][]string{
		"source.ip": blocks, "remote.ip": blocks, "destination.ip": blocks, "destination.port": ports, "source.namespace": namespaces,
		"source.principal": principals, "source.serviceAccount": accounts, "source.trustDomain": domains, "request.auth.principal": requestPrincipals,
		"connection.sni": hosts, "request.auth.audiences": texts3, "request.auth.presenter": texts3, "request.auth.claims[groups]": texts3,
		"request.auth.claims[org][unit]": texts3, "request.headers[X-A]": texts3, "request.headers[x-b]": texts3, "what.is.this": texts3,
	}
	names := []string{
		"source.ip", "remote.ip", "destination.ip", "destination.port", "source.namespace", "source.principal", "source.serviceAccount",
		"source.trustDomain", "request.auth.principal", "connection.sni", "request.auth.audiences", "request.auth.presenter",
		"request.auth.claims[groups]", "request.auth.claims[org][unit]", "request.headers[X-A]", "request.headers[x-b]", "what.is.this",
	}
	c := istioauth.Condition{Key: names[r.IntN(len(names)-r.IntN(2))]}
	for c.Values == nil && c.NotValues == nil {
		c.Values, c.NotValues = r.some(2, keys[c.Key]...), r.some(3, keys[c.Key]...)
	}
	return c
}

func (r *random) claim() any {
	words := []any{"x", "y", "xy", "", 5.0, true}
	switch r.IntN(3) {
	case 0:
		return words[r.IntN(len(words))]
	case 1:
		return []any{words[r.IntN(len(words))], words[r.IntN(len(words))]}
	}
	return nil
}

func (r *random) fact() *fact {
	addresses := []string{"10.0.0.1", "10.1.2.3", "192.0.2.1"}
	f := &fact{
		method: r.of("GET", "POST", "PUT"), host: r.of("a.test", "b.test", "b.test:80", "x.y.test", ".test"), path: r.of("/", "/a", "/a/", "/a/b", "/a/c/b", "/ab", "/c/b"),
		source: r.of(addresses...), remote: r.of(addresses...), destination: r.of(addresses...), port: r.of("80", "8080", "443"),
		sni: r.of("", "a.test", "b.test"), headers: map[string][]string{},
	}
	for _, name := range []string{"X-A", "X-B"} {
		switch r.IntN(3) {
		case 0:
			f.headers[name] = []string{r.of("x", "y", "xy", "")}
		case 1:
			f.headers[name] = []string{"x", "y"}
		}
	}
	if !r.in(3) {
		f.td, f.ns, f.sa = r.of("td1", "td2", "td3", "cluster.local"), r.of("ns1", "ns2", "x1"), r.of("a", "b")
	}
	if !r.in(3) {
		f.token, f.iss, f.sub = true, r.of("i1", "https://i", "i2", ""), r.of("s1", "s2", "")
		f.claims = map[string]any{"aud": r.claim(), "azp": r.claim(), "groups": r.claim(), "org": map[string]any{"unit": r.claim()}}
	}
	return f
}
