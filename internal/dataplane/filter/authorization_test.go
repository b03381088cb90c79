package filter

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func authorizing(t testing.TB, list ...ir.AccessPolicy) dataplane.Stage {
	t.Helper()
	return NewAuthorization(engine(t, list...), "istio/authorization", ir.Origin{Kind: "AuthorizationPolicy", Namespace: "ns", Name: "first"})
}

func engine(t testing.TB, list ...ir.AccessPolicy) *authz.Policies {
	t.Helper()
	p, err := authz.NewPolicies(&ir.Authorization{Policies: list})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// onPath is a policy with a rule for one path, after one that never matches.
func onPath(name string, action ir.AccessAction, path string) ir.AccessPolicy {
	rule := func(index int, path string) ir.PolicyRule {
		return ir.PolicyRule{
			Index: index, Origin: ir.Origin{Kind: "AuthorizationPolicy", Namespace: "ns", Name: name, Field: "spec.rules", Line: 10 + index},
			To: []ir.AccessConjunct{{{Attribute: ir.RequestPath, Any: []ir.AccessValue{{Value: path}}}}},
		}
	}
	return ir.AccessPolicy{
		Namespace: "ns", Name: name, Action: action, Origin: ir.Origin{Kind: "AuthorizationPolicy", Namespace: "ns", Name: name},
		Rules: []ir.PolicyRule{rule(0, "/never"), rule(1, path)},
	}
}

func TestRow19AuthorizationDenials(t *testing.T) {
	stage := authorizing(t, onPath("no", ir.AccessDeny, "/secret"), onPath("yes", ir.AccessAllow, "/open"))
	g := serve(t, ir.PathMatch{}, stage)
	for _, tc := range []struct {
		path, policy, cause string
		line                int
	}{
		{"/secret?q=1", "istio/authorization ns/no", "rbac_access_denied_matched_policy[ns[ns]-policy[no]-rule[1]]: AuthorizationPolicy ns/no rule 1 denies", 11},
		{"/other", "istio/authorization", `rbac_access_denied_matched_policy[none]: AuthorizationPolicy ns/yes rule 0: request.path "/other" is not "/never"; AuthorizationPolicy ns/yes rule 1: request.path "/other" is not "/open"`, 0},
	} {
		res := g.do(t, "GET "+tc.path)
		if body := bodyOf(t, res); res.StatusCode != 403 || body != "RBAC: access denied" || res.Header.Get("Content-Type") != "text/plain" || res.ContentLength != 19 {
			t.Errorf("%s: %d %q %v", tc.path, res.StatusCode, body, res.Header)
		}
		if r := g.last(); r.Policy != tc.policy || r.Cause != tc.cause || r.Origin.Line != tc.line || r.Verdict != dataplane.Denied {
			t.Errorf("%s: record %q %q %+v", tc.path, r.Policy, r.Cause, r.Origin)
		}
	}
	if res := g.do(t, "GET /open"); res.StatusCode != 200 {
		t.Errorf("/open: %d", res.StatusCode)
	}
	if r := g.last(); len(r.Passed) != 1 || r.Passed[0] != "AuthorizationPolicy ns/yes rule 1" {
		t.Errorf("passed %q", r.Passed)
	}
}

func TestDeniedGRPCClient(t *testing.T) {
	g := serve(t, ir.PathMatch{}, authorizing(t, onPath("yes", ir.AccessAllow, "/open")))
	for _, kind := range []string{"application/grpc", "application/grpc+proto", "application/grpc;v=1"} {
		res := g.send(t, "POST /pkg.Service/Method", "x", "Content-Type: "+kind)
		body := bodyOf(t, res)
		if res.StatusCode != 200 || body != "" || res.Header.Get("Grpc-Status") != "7" || res.Header.Get("Grpc-Message") != "RBAC: access denied" || res.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("%s: %d %q %v", kind, res.StatusCode, body, res.Header)
		}
		if r := g.last(); r.Verdict != dataplane.Denied {
			t.Errorf("%s: %s", kind, r.Verdict)
		}
	}
	if res := g.send(t, "POST /x", "x", "Content-Type: application/grpc-web"); res.StatusCode != 403 {
		t.Errorf("grpc-web is another protocol: %d", res.StatusCode)
	}
}

func TestAuditAndDryRunAreNoted(t *testing.T) {
	audit := onPath("watch", ir.AccessAudit, "/a")
	deny, allow := onPath("try-no", ir.AccessDeny, "/a"), onPath("try-yes", ir.AccessAllow, "/b")
	deny.DryRun, allow.DryRun = true, true
	g := serve(t, ir.PathMatch{}, authorizing(t, audit, deny, allow))
	for path, want := range map[string]string{
		"/a": "audit: AuthorizationPolicy ns/watch rule 1, dry run: would be denied by AuthorizationPolicy ns/try-no rule 1",
		"/b": "dry run: would be allowed by AuthorizationPolicy ns/try-yes rule 1",
		"/c": "dry run: would be denied",
	} {
		if res := g.do(t, "GET "+path); res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if got := strings.Join(g.last().Passed, ", "); got != want {
			t.Errorf("%s: passed %q, want %q", path, got, want)
		}
	}
}

func TestAuthorizationAsk(t *testing.T) {
	asked := 0
	refuse := false
	other := dataplane.StageFunc(func(context.Context, *dataplane.Exchange) *dataplane.Answer {
		asked++
		if refuse {
			return &dataplane.Answer{Status: 418, Body: "no tea", Verdict: dataplane.Denied, Policy: "x"}
		}
		return nil
	})
	g := serve(t, ir.PathMatch{}, NewAuthorizationAsk(engine(t, onPath("ask", ir.AccessAsk, "/a")), other, false, "istio/custom"))
	if res := g.do(t, "GET /b"); res.StatusCode != 200 || asked != 0 {
		t.Errorf("/b: %d, asked %d times", res.StatusCode, asked)
	}
	if res := g.do(t, "GET /a"); res.StatusCode != 200 || asked != 1 {
		t.Errorf("/a: %d, asked %d times", res.StatusCode, asked)
	}
	refuse = true
	if res := g.do(t, "GET /a"); res.StatusCode != 418 || bodyOf(t, res) != "no tea" {
		t.Errorf("/a: %d", res.StatusCode)
	}
	if r := g.last(); r.Policy != "istio/custom ns/ask" || r.Origin.Name != "ask" {
		t.Errorf("record %q %+v", r.Policy, r.Origin)
	}
}

// Row09: where the server is not known, what it should decide on is refused.
func TestRow09AuthorizationAskNobody(t *testing.T) {
	g := serve(t, ir.PathMatch{}, NewAuthorizationAsk(engine(t, onPath("ask", ir.AccessAsk, "/a")), nil, false, "istio/custom"))
	if res := g.do(t, "GET /a"); res.StatusCode != 403 || bodyOf(t, res) != "RBAC: access denied" {
		t.Errorf("/a: %d", res.StatusCode)
	}
	if res := g.do(t, "GET /b"); res.StatusCode != 200 {
		t.Errorf("/b: %d", res.StatusCode)
	}
}
