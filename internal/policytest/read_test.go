package policytest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

const head = "apiVersion: postern.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: a}\nspec:\n  manifests: '{}'\n"

func decoded(text string) []*Test {
	return decode(resource.NewDecoder([]resource.Kind{Kind()}, resource.Options{}), "t.yaml", []byte(text))
}

// TestDecode reads what is broken or hostile: whatever is not understood to the
// letter is a test that fails, with the place.
func TestDecode(t *testing.T) {
	const one = "{name: x, expect: {decision: allow}}"
	for _, c := range []struct {
		name, text string
		tests      int
		says       []string // all of it, by its beginnings
	}{
		{"no test", "kind: Service\n", 0, nil},
		{"one", head + "  cases: [" + one + "]\n", 1, nil},
		{"two, and another kind between", head + "  cases: [" + one + "]\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n" + strings.Replace(head, "name: a", "name: b, namespace: ns", 1) + "  cases: [" + one + "]\n", 2, nil},
		{"nothing to test", "apiVersion: postern.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: a}\nspec:\n", 1, []string{
			"t.yaml:4: PolicyTest default/a: spec: there is nothing to test", "t.yaml:4: PolicyTest default/a: spec: there are no cases",
		}},
		{"blank manifests", strings.Replace(head, "'{}'", `" \n"`, 1) + "  cases: [" + one + "]\n", 1, []string{"t.yaml:4: PolicyTest default/a: spec: there is nothing to test"}},
		{"an empty case", head + "  cases: [null]\n", 1, []string{
			"t.yaml:6: PolicyTest default/a: spec.cases[0]: the item is empty", "t.yaml:6: PolicyTest default/a: spec.cases[0]: the case has no name",
			"t.yaml:6: PolicyTest default/a: spec.cases[0].expect: no decision is expected",
		}},
		{"a name twice", head + "  cases:\n  - " + one + "\n  - " + one + "\n", 1, []string{"t.yaml:8: PolicyTest default/a: spec.cases[1].name: there is a case of that name above"}},
		{"a member twice", head + "  cases: [{name: x, name: y, expect: {decision: allow}}]\n", 1, []string{"t.yaml:6: "}},
		{"no list", head + "  cases: 5\n", 1, []string{"t.yaml:6: PolicyTest default/a: spec.cases: want a list", "t.yaml:4: PolicyTest default/a: spec: there are no cases"}},
		{"no time", head + "  now: 2026\n  cases: [" + one + "]\n", 1, []string{"t.yaml:6: PolicyTest default/a: spec.now: want a time"}},
		{"no such time", head + "  now: 2026-02-31T00:00:00Z\n  cases: [" + one + "]\n", 1, []string{"t.yaml:6: PolicyTest default/a: spec.now: want a time"}},
		{"a header that is a number", head + "  cases: [{name: x, request: {headers: {a: 1}}, expect: {decision: allow}}]\n", 1, []string{"t.yaml:6: PolicyTest default/a: spec.cases[0].request.headers.a: want text"}},
		{"a decision in another case", head + "  cases: [{name: x, expect: {decision: Allow}}]\n", 1, []string{`t.yaml:6: PolicyTest default/a: spec.cases[0].expect.decision: "Allow" is no decision; did you mean allow?`}},
		{"a decision of another tongue", head + "  cases: [{name: x, expect: {decision: forbid}}]\n", 1, []string{`t.yaml:6: PolicyTest default/a: spec.cases[0].expect.decision: "forbid" is no decision; did you mean deny?`}},
		{"a word far from all", head + "  cases: [{name: x, expect: {decision: perhaps}}]\n", 1, []string{`t.yaml:6: PolicyTest default/a: spec.cases[0].expect.decision: "perhaps" is no decision; write allow, deny or unknown`}},
		{"a version that is none", strings.Replace(head, "v1alpha1", "v9", 1), 1, []string{"t.yaml:1: PolicyTest a: version v9"}},
		{"a group that is none", strings.Replace(head, "postern.dev", "postern.def", 1), 1, []string{"t.yaml:1: PolicyTest a: group postern.def is not read"}},
		{"one of a name in the file", head + "  cases: [" + one + "]\n---\n" + head + "  cases: [" + one + "]\n", 2, []string{"t.yaml:8: PolicyTest default/a: this object is also at t.yaml:1"}},
		{"no YAML", `{"kind": "PolicyTest`, 1, []string{"t.yaml:1: this is not YAML"}},
		{"a control character", "PolicyTest\x00", 1, []string{"t.yaml:1: this is not YAML"}},
		{"a document that multiplies itself", "# PolicyTest\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n", 1, []string{"t.yaml:"}},
		{"deep nesting", "PolicyTest: " + strings.Repeat("[", 100_000), 1, []string{"t.yaml:1: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tests := decoded(c.text)
			if len(tests) != c.tests {
				t.Errorf("%d tests, want %d", len(tests), c.tests)
			}
			var says []string
			for _, test := range tests {
				for _, p := range test.Problems {
					says = append(says, p.String())
				}
			}
			for i, s := range says {
				if i < len(c.says) && strings.HasPrefix(s, c.says[i]) {
					says[i] = c.says[i]
				}
			}
			if diff := cmp.Diff(c.says, says); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// FuzzDecode: a test that is read without a problem has something to test, and
// cases with names of their own that expect a decision; one with problems is
// not run.
func FuzzDecode(f *testing.F) {
	f.Add(head + "  cases: [{name: x, request: {claims: {sub: a}}, expect: {decision: allow, rule: 0}}]\n")
	f.Add(head + "  now: 2026-01-01T00:00:00Z\n  external: {a: {allow: true, headers: {h: [x, y]}}}\n  cases: [{name: x, expect: {decision: unknown, rule: r}}, null]\n")
	f.Add(`{"kind": "PolicyTest"`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, test := range decoded(text) {
			if len(test.Problems) > 0 {
				results := test.run(t.Context(), nil) // reads and asks nothing
				if len(results) != 1 || results[0].Passed || len(results[0].Problems) == 0 {
					t.Errorf("a broken test came to %+v", results)
				}
				continue
			}
			names := map[string]bool{}
			for _, c := range test.Spec.Cases {
				if d := c.Expect.Decision; c.Name == "" || names[c.Name] || d != "allow" && d != "deny" && d != "unknown" {
					t.Errorf("case %q expects %q", c.Name, d)
				}
				names[c.Name] = true
			}
			if len(names) == 0 || test.Name == "" || len(test.Spec.Resources) == 0 && strings.TrimSpace(test.Spec.Manifests) == "" {
				t.Errorf("test %q: %+v", test.Name, test.Spec)
			}
		}
	})
}

// TestRead finds tests in files and folders.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b/t.yml": head + "  cases: [{name: x, expect: {decision: deny}}]\n", "a.yaml": strings.Replace(head, "name: a", "name: first", 1),
		"c.json": `{"kind": "PolicyTest"`, "d.txt": head, ".hidden/t.yaml": head, ".t.yaml": head, "none/service.yaml": "kind: Service\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "e.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, err string
		tests           []string
	}{
		{"a folder", "", "", []string{"a.yaml first", "b/t.yml a", "c.json ", "e.yaml "}},
		{"a file, whatever its name", "d.txt", "", []string{"d.txt a"}},
		{"a hidden folder that is named", ".hidden", "", []string{".hidden/t.yaml a"}},
		{"a file that holds none", "none/service.yaml", "service.yaml holds no PolicyTest: want apiVersion", nil},
		{"a folder that holds none", "none", "no PolicyTest in ", nil},
		{"what is not there", "other", "other: no such file or directory", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tests, err := Read([]string{filepath.Join(dir, c.path)})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			var got []string
			for _, test := range tests {
				file, err := filepath.Rel(dir, test.File)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, file+" "+test.Name)
			}
			if diff := cmp.Diff(c.tests, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestAnswers finds what an outside check says by every name that a test may
// call it, the narrowest first, and says nothing for another.
func TestAnswers(t *testing.T) {
	origin := ir.Origin{Namespace: "ns", Name: "policy"}
	byHTTP := &ir.AuthMethod{Origin: origin, Name: "method", External: &ir.ExternalAuth{HTTP: &ir.ExternalHTTP{Upstream: "gloo.solo.io/Upstream/up/server:80", URL: "https://auth.example.com:8443/check"}}}
	byGRPC := &ir.AuthMethod{Origin: origin, External: &ir.ExternalAuth{GRPC: &ir.ExternalGRPC{Address: "auth.example.com:9001"}}}
	for _, c := range []struct {
		name  string
		of    *ir.AuthMethod
		known []string
		want  string
	}{
		{"the policy before all", byHTTP, []string{"auth.example.com", "method", "policy", "ns/policy"}, "ns/policy"},
		{"its name", byHTTP, []string{"auth.example.com", "method", "policy"}, "policy"},
		{"the method", byHTTP, []string{"auth.example.com", "method"}, "method"},
		{"the upstream", byHTTP, []string{"up/server"}, "up/server"},
		{"the URL", byHTTP, []string{"https://auth.example.com:8443/check", "auth.example.com"}, "https://auth.example.com:8443/check"},
		{"its host and port", byHTTP, []string{"auth.example.com:8443"}, "auth.example.com:8443"},
		{"its host", byHTTP, []string{"auth.example.com"}, "auth.example.com"},
		{"an address", byGRPC, []string{"auth.example.com:9001"}, "auth.example.com:9001"},
		{"an address's host", byGRPC, []string{"auth.example.com"}, "auth.example.com"},
		{"another's", byHTTP, []string{"other", "", "example.com", "server"}, ""},
		{"what asks nobody", &ir.AuthMethod{}, []string{"x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := map[string]*authn.ServerAnswer{}
			for i, name := range c.known {
				answers[name] = &authn.ServerAnswer{Status: i + 1}
			}
			got := find(answers, c.of)
			switch {
			case c.want == "" && got == nil:
			case got != answers[c.want] || got == nil:
				t.Errorf("got %+v, want that of %q", got, c.want)
			}
		})
	}
}
