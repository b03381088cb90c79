package filter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/authz"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

var consumedQuery = []authn.Location{{Query: "access_token"}}

// answering is an authenticator that always says the same.
type answering struct {
	result authn.Result
	err    error
}

func (a answering) Authenticate(context.Context, *authn.Request) (authn.Result, error) {
	return a.result, a.err
}

var policyOrigin = ir.Origin{Kind: "VirtualHostOption", Namespace: "gloo-system", Name: "auth", File: "a.yaml", Line: 7}

func asking(a authn.Authenticator) dataplane.Stage {
	return NewAuthenticate(a, "gloo/jwt", policyOrigin)
}

func TestRefusals(t *testing.T) {
	long := "/" + strings.Repeat("x", 400)
	for _, tc := range []struct {
		name   string
		err    error
		target string
		status int
		body   string
		header string
	}{
		{"missing", &authn.Failure{Status: 401, Text: "Jwt is missing", Missing: true}, "/a/b?access_token=x", 401, "Jwt is missing", `Bearer realm="http://gw.test:81/a/b"`},
		{"expired", &authn.Failure{Status: 401, Text: "Jwt is expired"}, "/a", 401, "Jwt is expired", `Bearer realm="http://gw.test:81/a", error="invalid_token"`},
		{"audience", &authn.Failure{Status: 403, Text: "Audiences in Jwt are not allowed"}, "/a", 403, "Audiences in Jwt are not allowed", `Bearer realm="http://gw.test:81/a", error="invalid_token"`},
		{"wrapped", fmt.Errorf("x: %w", &authn.Failure{Status: 401, Text: "Jwt verification fails"}), "/a", 401, "Jwt verification fails", `Bearer realm="http://gw.test:81/a", error="invalid_token"`},
		{"quotes", &authn.Failure{Status: 401, Text: "t", Missing: true}, `/a%22%20b`, 401, "t", `Bearer realm="http://gw.test:81/a%22%20b"`},
		{"long", &authn.Failure{Status: 401, Text: "t", Missing: true}, long, 401, "t", `Bearer realm="` + ("http://gw.test:81" + long)[:256] + `"`},
		{"Row04 other error", errors.New("no keys"), "/a", 500, "authentication is not available", ""},
		{"Row04 a failure that refuses nothing", &authn.Failure{Status: 200, Text: "fine"}, "/a", 500, "authentication is not available", ""},
		{"Row04 an empty failure", &authn.Failure{}, "/a", 500, "authentication is not available", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := serve(t, ir.PathMatch{}, asking(answering{err: tc.err}))
			res := g.do(t, "GET "+tc.target, "Host: gw.test:81")
			body := bodyOf(t, res)
			if res.StatusCode != tc.status || body != tc.body || res.Header.Get("WWW-Authenticate") != tc.header {
				t.Errorf("got %d %q %q", res.StatusCode, body, res.Header.Get("WWW-Authenticate"))
			}
			if ct := res.Header.Get("Content-Type"); ct != "text/plain" {
				t.Errorf("content type %q", ct)
			}
			if r := g.last(); r.Policy != "gloo/jwt" || r.Origin != policyOrigin || r.Cause == "" {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// Row04: an identity that nothing vouches for lets nobody pass.
func TestRow04ZeroIdentityIsRefused(t *testing.T) {
	for _, id := range []authn.Identity{{}, {Subject: "alice"}, {Provider: "idp"}, {Method: "jwt"}} {
		g := serve(t, ir.PathMatch{}, asking(answering{result: authn.Result{Identities: []authn.Identity{alice(), id}}}))
		if res := g.do(t, "GET /"); res.StatusCode != 500 {
			t.Errorf("%+v: %d", id, res.StatusCode)
		}
	}
}

// Row01: headers that tell who calls are the gateway's alone, also when it
// does not set them.
func TestRow01AuthenticateSanitizes(t *testing.T) {
	result := authn.Result{
		Identities: []authn.Identity{alice()},
		Sanitize:   []string{"X-Sub", "X-Team", "x-lower"},
		Set:        []authn.HeaderSet{{Name: "x-sub", Value: "alice"}, {Name: "X-Groups", Value: "a", Append: true}},
	}
	g := serve(t, ir.PathMatch{}, asking(answering{result: result}))
	h := upstream(t, g.do(t, "GET /", "X-Sub: mallory", "x-sub: eve", "X-Team: root", "X-Lower: root", "X-Groups: client", "X-Other: stays")).Header
	for name, want := range map[string][]string{"X-Sub": {"alice"}, "X-Team": nil, "X-Lower": nil, "X-Groups": {"client", "a"}, "X-Other": {"stays"}} {
		if !slices.Equal(h[name], want) {
			t.Errorf("%s: got %q, want %q", name, h[name], want)
		}
	}
	r := g.last()
	if r.Identity.Subject != "alice" || !slices.Equal(r.Passed, []string{"gloo/jwt VirtualHostOption gloo-system/auth"}) {
		t.Errorf("record %+v", r)
	}
}

// Row25: an accepted token in the URL goes nowhere.
func TestRow25QueryTokenIsCut(t *testing.T) {
	result := authn.Result{Identities: []authn.Identity{alice()}, Consumed: consumedQuery}
	g := serve(t, ir.PathMatch{}, asking(answering{result: result}), must(t)(NewPath(full("/v1?api-version=1"))))
	s := upstream(t, g.do(t, "GET /a?b=1&access%5Ftoken="+marker+"&c=2", "Referer: http://page.test/x?access_token="+marker+"&d=1"))
	if s.Query != "api-version=1&b=1&c=2" || s.Header.Get("Referer") != "http://page.test/x?d=1" {
		t.Errorf("%+v", s)
	}
	if text := fmt.Sprintf("%+v %+v", s, g.last()); strings.Contains(text, marker) {
		t.Errorf("the token shows: %s", text)
	}
	redirect := serve(t, ir.PathMatch{}, asking(answering{result: result}), must(t)(NewRedirect(&ir.Redirect{Scheme: "https"})))
	if l := redirect.do(t, "GET /a?access_token="+marker).Header.Get("Location"); strings.Contains(l, marker) {
		t.Errorf("location %q", l)
	}
}

func TestConsumedHeader(t *testing.T) {
	result := authn.Result{Identities: []authn.Identity{alice()}, Consumed: []authn.Location{{Header: "authorization"}}}
	for _, tc := range []struct {
		name  string
		set   []authn.HeaderSet
		edit  ir.HeaderChanges
		want  []string
		extra string
	}{
		{"dropped", nil, ir.HeaderChanges{}, nil, ""},
		{"a claim in its place travels", []authn.HeaderSet{{Name: "Authorization", Value: "claim"}}, ir.HeaderChanges{}, []string{"claim"}, ""},
		{"an added claim travels alone", []authn.HeaderSet{{Name: "Authorization", Value: "claim", Append: true}}, ir.HeaderChanges{}, []string{"claim"}, ""},
		{"an edit in its place travels", nil, ir.HeaderChanges{Set: []ir.HeaderValue{literal("Authorization", "Bearer ours")}}, []string{"Bearer ours"}, ""},
	} {
		r := result
		r.Set = tc.set
		g := serve(t, ir.PathMatch{}, asking(answering{result: r}), headerEdit(t, &ir.HeaderEdit{Request: tc.edit}, nil))
		if got := upstream(t, g.do(t, "GET /", "Authorization: Bearer "+marker)).Header["Authorization"]; !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestNobodyPassesWhereThePolicyLets(t *testing.T) {
	for _, tc := range []struct {
		result authn.Result
		want   string
	}{
		{authn.Result{}, "(as nobody)"},
		{authn.Result{Ignored: &authn.Failure{Status: 401, Text: "Jwt is expired"}}, "(as nobody: Jwt is expired)"},
	} {
		g := serve(t, ir.PathMatch{}, asking(answering{result: tc.result}))
		if res := g.do(t, "GET /"); res.StatusCode != 200 {
			t.Errorf("%d", res.StatusCode)
		}
		if r := g.last(); r.Identity.Proven() || len(r.Passed) != 1 || !strings.HasSuffix(r.Passed[0], tc.want) {
			t.Errorf("record %+v", r)
		}
	}
}

func TestAuthorize(t *testing.T) {
	rules, err := authz.NewRules(&ir.ClaimRules{Rules: []ir.ClaimRule{{
		Name: "viewer", Methods: []string{"GET"},
		Principals: []ir.ClaimPrincipal{{Claims: []ir.ClaimMatch{{Path: []string{"team", "name"}, Value: "red"}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	authorize := NewAuthorize(rules, "gloo/rbac", policyOrigin)
	g := serve(t, ir.PathMatch{}, asking(answering{result: authn.Result{Identities: []authn.Identity{alice()}}}), authorize)
	if res := g.do(t, "GET /"); res.StatusCode != 200 || g.last().Passed[1] != "gloo/rbac VirtualHostOption gloo-system/auth: viewer" {
		t.Errorf("allowed: %d %+v", res.StatusCode, g.last())
	}
	for name, res := range map[string]*http.Response{
		"method":  g.do(t, "DELETE /"),
		"nobody":  serve(t, ir.PathMatch{}, authorize).do(t, "GET /"),
		"nothing": serve(t, ir.PathMatch{}, NewAuthorize(&authz.Rules{}, "s", ir.Origin{})).do(t, "GET /"),
	} {
		body := bodyOf(t, res)
		if res.StatusCode != 403 || body != "RBAC: access denied" || res.Header.Get("WWW-Authenticate") != "" || res.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %q %v", name, res.StatusCode, body, res.Header)
		}
	}
	if r := g.last(); r.Policy != "gloo/rbac" || r.Origin != policyOrigin || r.Verdict != dataplane.Denied || r.Cause == "" {
		t.Errorf("record %+v", r)
	}
}
