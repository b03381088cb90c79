package policytest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/explain"
	"github.com/postern-gateway/postern/internal/resource"
)

func ruleAt(n int) *Rule { return &Rule{resource.IntOrString{Int: n}} }

func ruleNamed(s string) *Rule { return &Rule{resource.IntOrString{String: s}} }

// allowed, refused and sentOn are what may become of a request.
func allowed() *explain.Explanation {
	return &explain.Explanation{
		Decision: explain.Allow, Decided: &explain.Decided{Policy: "default/opt", Rule: "writer", Index: 1},
		Identities: []explain.Identity{
			{Method: "jwt", Provider: "p", Subject: "ann", Issuer: "https://idp.example"},
			{Method: "mtls", Provider: "mesh", Subject: "spiffe://td/ns/apps/sa/web", Namespace: "apps"},
		},
	}
}

func refused() *explain.Explanation {
	return &explain.Explanation{Decision: explain.Deny, Status: http.StatusForbidden, Decided: &explain.Decided{Policy: "default/opt", Index: -1}}
}

func sentOn() *explain.Explanation {
	return &explain.Explanation{Decision: explain.Allow, Upstream: &explain.Upstream{
		Name: "default/openai", Method: "POST", URL: "https://api.openai.com:443/v1/chat", Host: "api.openai.com",
		Headers:     http.Header{"X-User": {"ann"}, "X-Team": {"a", "b"}, "X-Word": {"present"}},
		Credentials: map[string]string{"Authorization": "Secret default/openai"},
	}}
}

// TestCompare judges each thing that can be expected, right and wrong.
func TestCompare(t *testing.T) {
	upstream := func(name, value string) Expect {
		return Expect{Decision: "allow", Upstream: &Upstream{Headers: map[string]string{name: value}}}
	}
	for _, c := range []struct {
		name    string
		of      *explain.Explanation
		want    Expect
		differs []string
	}{
		{"the decision alone", allowed(), Expect{Decision: "allow"}, nil},
		{"nothing is asked for", refused(), Expect{}, nil},
		{"another decision", refused(), Expect{Decision: "allow"}, []string{"decision: expected allow, got deny"}},
		{"unknown is neither", &explain.Explanation{Decision: explain.Unknown}, Expect{Decision: "deny"}, []string{"decision: expected deny, got unknown"}},
		{"what is sent on is answered well", sentOn(), Expect{Status: 200}, nil},
		{"what is unknown has no status", &explain.Explanation{Decision: explain.Unknown}, Expect{Decision: "unknown", Status: 200}, []string{"status: expected 200, got 0"}},
		{"a refusal's status", refused(), Expect{Decision: "deny", Status: 403}, nil},
		{"another status", refused(), Expect{Decision: "deny", Status: 401}, []string{"status: expected 401, got 403"}},
		{"the policy", allowed(), Expect{Policy: "default/opt"}, nil},
		{"no policy decided", sentOn(), Expect{Policy: "default/opt"}, []string{"policy: expected default/opt, got none"}},

		{"a rule by name", allowed(), Expect{Rule: ruleNamed("writer")}, nil},
		{"a rule by its place", allowed(), Expect{Rule: ruleAt(1)}, nil},
		{"another place", allowed(), Expect{Rule: ruleAt(0)}, []string{"rule: expected 0, got 1 (writer)"}},
		{"another name", allowed(), Expect{Rule: ruleNamed("viewer")}, []string{"rule: expected viewer, got writer (writer)"}},
		{"no rule decided", refused(), Expect{Rule: ruleAt(0)}, []string{"rule: expected 0, got none"}},
		{"nothing decided", sentOn(), Expect{Rule: ruleAt(0)}, []string{"rule: expected 0, got none"}},
		{"a rule whose name is a number", &explain.Explanation{Decided: &explain.Decided{Policy: "p", Rule: "3", Index: 3}}, Expect{Rule: ruleAt(3)}, nil},
		{"a rule of no place", &explain.Explanation{Decided: &explain.Decided{Policy: "p", Rule: "default", Index: -1}}, Expect{Rule: ruleNamed("default")}, nil},

		{"the caller", allowed(), Expect{Identity: &Identity{Subject: "ann", Method: "jwt", Provider: "p", Issuer: "https://idp.example"}}, nil},
		{"a second caller", allowed(), Expect{Identity: &Identity{Namespace: "apps"}}, nil},
		{"half of each is nobody", allowed(), Expect{Identity: &Identity{Subject: "ann", Namespace: "apps"}}, []string{
			"identity: expected subject ann, namespace apps, got subject ann, issuer https://idp.example, method jwt, provider p",
		}},
		{"anybody", allowed(), Expect{Identity: &Identity{}}, nil},
		{"nobody came", refused(), Expect{Identity: &Identity{Subject: "ann"}}, []string{"identity: expected subject ann, got nobody"}},
		{"not even anybody", refused(), Expect{Identity: &Identity{}}, []string{"identity: expected somebody, got nobody"}},

		{"all of an upstream", sentOn(), Expect{Upstream: &Upstream{Name: "default/openai", Method: "POST", URL: "https://api.openai.com/v1/chat", Host: "api.openai.com"}}, nil},
		{"another upstream", sentOn(), Expect{Upstream: &Upstream{Name: "x", Method: "GET", URL: "http://api.openai.com/v1/chat", Host: "y"}}, []string{
			"upstream method: expected GET, got POST", "upstream URL: expected http://api.openai.com/v1/chat, got https://api.openai.com:443/v1/chat",
			"upstream host: expected y, got api.openai.com", "upstream: expected x, got default/openai",
		}},
		{"another port", sentOn(), Expect{Upstream: &Upstream{URL: "https://api.openai.com:80/v1/chat"}}, []string{
			"upstream URL: expected https://api.openai.com:80/v1/chat, got https://api.openai.com:443/v1/chat",
		}},
		{"nothing is sent", refused(), Expect{Upstream: &Upstream{}}, []string{"upstream: expected a request to it, got none"}},

		{"a header's value, in any case", sentOn(), upstream("x-user", "ann"), nil},
		{"several values", sentOn(), upstream("X-Team", "a, b"), nil},
		{"another value", sentOn(), upstream("x-user", "bob"), []string{"upstream header x-user: expected bob, got ann"}},
		{"a header that is there", sentOn(), upstream("x-user", "present"), nil},
		{"a header whose value is a word of ours", sentOn(), upstream("x-word", "present"), nil},
		{"a header that is not", sentOn(), upstream("x-other", "present"), []string{"upstream header x-other: expected present, got absent"}},
		{"absent", sentOn(), upstream("x-other", "absent"), nil},
		{"not absent", sentOn(), upstream("x-user", "absent"), []string{"upstream header x-user: expected absent, got ann"}},
		{"the host among the headers", sentOn(), upstream("host", "api.openai.com"), nil},
		{"a credential that is there", sentOn(), upstream("authorization", "present"), nil},
		{"a credential that should not", sentOn(), upstream("authorization", "absent"), []string{"upstream header authorization: expected absent, got present"}},
		{"a credential's value cannot be had", sentOn(), upstream("authorization", "Bearer sk-1"), []string{
			"upstream header authorization: it is a credential, of which only present or absent can be expected",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, differs := compare(&c.want, c.of)
			if diff := cmp.Diff(c.differs, differs); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(c.differs) == 0 {
				return
			}
			// What was got, expected, is what is got.
			if _, differs := compare(got, c.of); len(differs) > 0 {
				t.Errorf("its own account does not fit: %q", differs)
			}
		})
	}
}

// TestCompareTells says what was got in the form of an expectation.
func TestCompareTells(t *testing.T) {
	for _, c := range []struct {
		name string
		of   *explain.Explanation
		want Expect
		got  string
	}{
		{"a refusal", refused(), Expect{}, `{"decision":"deny","status":403,"policy":"default/opt"}`},
		{"the first caller, and the rule's place", allowed(), Expect{}, `{"decision":"allow","status":200,"policy":"default/opt","rule":1,"identity":{"subject":"ann","issuer":"https://idp.example","method":"jwt","provider":"p"}}`},
		{"the rule's name where names are used", allowed(), Expect{Rule: ruleNamed("x"), Identity: &Identity{Namespace: "apps"}}, `{"decision":"allow","status":200,"policy":"default/opt","rule":"writer","identity":{"subject":"spiffe://td/ns/apps/sa/web","namespace":"apps","method":"mtls","provider":"mesh"}}`},
		{"headers that were asked for, and no credential", sentOn(), Expect{Upstream: &Upstream{Headers: map[string]string{"x-user": "bob", "authorization": "x"}}},
			`{"decision":"allow","status":200,"upstream":{"method":"POST","url":"https://api.openai.com:443/v1/chat","host":"api.openai.com","name":"default/openai","headers":{"authorization":"present","x-user":"ann"}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := compare(&c.want, c.of)
			var out strings.Builder
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.got, strings.TrimSpace(out.String())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
