package cli

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/policytest"
)

// aloneHead is a policy without anything that it could guard.
const aloneHead = `apiVersion: postern.dev/v1alpha1
kind: PolicyTest
metadata: {name: alone}
spec:
  now: 2026-01-01T00:00:00Z
  manifests: |
    apiVersion: gateway.solo.io/v1
    kind: RouteOption
    metadata: {name: opt}
    spec:
      targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]
      options:
        rbac:
          policies:
            viewer: {principals: [{jwtPrincipal: {claims: {team: a}}}]}
            writer: {principals: [{jwtPrincipal: {claims: {role: w}}}], permissions: {methods: [PUT]}}
  cases:
`

// files writes a folder of tests.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPolicyTestsOfExamples(t *testing.T) {
	folders, err := filepath.Glob(examplesDir + "*/policytest.yaml")
	if err != nil || len(folders) < 3 {
		t.Fatalf("found %v, %v", folders, err)
	}
	for _, f := range folders {
		t.Run(filepath.Base(filepath.Dir(f)), func(t *testing.T) {
			std, out, errs := streams(nil)
			if code := Main(t.Context(), []string{"test", f}, std); code != exitGood || out.Len() > 0 {
				t.Errorf("exit code %d:\n%s%s", code, out, errs)
			}
		})
	}
}

// TestPolicyTestsOfIstio runs what decides how Istio's policies are read.
func TestPolicyTestsOfIstio(t *testing.T) {
	std, out, errs := streams(nil)
	if code := Main(t.Context(), []string{"test", "../../test/policy"}, std); code != exitGood {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
}

func TestPolicyTest(t *testing.T) {
	const good = "  - {name: a may, request: {path: /x, claims: {sub: ann, team: a}}, expect: {decision: allow, status: 200, policy: default/opt, rule: 0, identity: {subject: ann}}}\n"
	tests := []struct {
		name, cases string
		code        int
		want        []string // of both outputs
	}{
		{"a case that holds", good, exitGood, []string{"1 case passed"}},
		{"a rule by name", "  - {name: a, request: {method: PUT, path: /, claims: {role: w}}, expect: {decision: allow, rule: writer}}\n", exitGood, []string{"1 case passed"}},
		{"a rule by number", "  - {name: a, request: {method: PUT, path: /, claims: {role: w}}, expect: {decision: allow, rule: 1}}\n", exitGood, nil},
		{"a wrong rule", "  - {name: a, request: {method: PUT, path: /, claims: {role: w}}, expect: {decision: allow, rule: 0}}\n", exitWrong, []string{"rule: expected 0, got 1 (writer)"}},
		{
			"a wrong decision", good + "  - {name: b may, request: {path: /x, claims: {team: b}}, expect: {decision: allow}}\n", exitWrong,
			[]string{"t.yaml:19: alone: b may", "decision: expected allow, got deny", `claim "team" is not "a"`, "rule writer does not match: method is not PUT", "t.yaml:13", "1 of 2 cases failed"},
		},
		{"a wrong status", "  - {name: a, request: {path: /}, expect: {decision: deny, status: 401}}\n", exitWrong, []string{"status: expected 401, got 403"}},
		{"another policy", "  - {name: a, request: {path: /}, expect: {decision: deny, policy: default/other}}\n", exitWrong, []string{"policy: expected default/other, got default/opt"}},
		{"another caller", "  - {name: a, request: {path: /, claims: {sub: ann, team: a}}, expect: {decision: allow, identity: {subject: bob}}}\n", exitWrong, []string{"identity: expected subject bob, got subject ann"}},
		{"an upstream where there is none", "  - {name: a, request: {path: /, claims: {team: a}}, expect: {decision: allow, upstream: {url: \"http://x/\"}}}\n", exitWrong, []string{"upstream: expected a request to it, got none"}},
		{"claims that have expired prove nobody by themselves", "  - {name: a, request: {path: /, claims: {team: [a]}}, expect: {decision: deny}}\n", exitGood, nil},
		{"a decision that is none", "  - {name: a, request: {path: /}, expect: {decision: denied}}\n", exitWrong, []string{"t.yaml:18: PolicyTest default/alone: spec.cases[0].expect.decision: \"denied\" is no decision; did you mean deny?"}},
		{"no decision", "  - {name: a, request: {path: /}, expect: {}}\n", exitWrong, []string{"no decision is expected"}},
		{"no name", "  - {request: {path: /}, expect: {decision: deny}}\n", exitWrong, []string{"the case has no name"}},
		{"one name twice", good + good, exitWrong, []string{"there is a case of that name above"}},
		{"a field that is none", "  - {name: a, request: {paths: /}, expect: {decision: deny}}\n", exitWrong, []string{"t.yaml:18: PolicyTest default/alone: spec.cases[0].request.paths: unknown field; did you mean path?"}},
		{"a peer that is none", "  - {name: a, request: {path: /, peer: sleep}, expect: {decision: deny}}\n", exitWrong, []string{"want a SPIFFE ID"}},
		{"an address that is none", "  - {name: a, request: {path: /, sourceIP: 10.0.0}, expect: {decision: deny}}\n", exitWrong, []string{`source IP "10.0.0": not an IP address`}},
		{"no cases", "    []\n", exitWrong, []string{"there are no cases"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := files(t, map[string]string{"t.yaml": aloneHead + tt.cases, "other.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"})
			std, out, errs := streams(nil)
			code := Main(t.Context(), []string{"test", dir}, std)
			all := out.String() + errs.String()
			if code != tt.code {
				t.Errorf("exit code %d, want %d:\n%s", code, tt.code, all)
			}
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("lacks %q:\n%s", want, all)
				}
			}
		})
	}
}

// remote are policies whose outcome hangs on other servers. %s are fields of
// the test.
const remote = `apiVersion: postern.dev/v1alpha1
kind: PolicyTest
metadata: {name: remote}
spec:
%s
  manifests: |
    apiVersion: enterprise.gloo.solo.io/v1
    kind: AuthConfig
    metadata: {name: ask}
    spec:
      configs:
      - passThroughAuth: {grpc: {address: "auth.example.com:9001"}, failureModeAllow: %s}
    ---
    apiVersion: gateway.solo.io/v1
    kind: VirtualService
    metadata: {name: vs}
    spec:
      virtualHost:
        domains: ["*"]
        routes:
        - matchers: [{prefix: /}]
          options: {extauth: {configRef: {name: ask, namespace: default}}}
          directResponseAction: {status: 200}
    ---
    apiVersion: gateway.solo.io/v1
    kind: VirtualService
    metadata: {name: tokens}
    spec:
      virtualHost:
        domains: [tokens]
        options: {jwt: {providers: {p: {issuer: tests, jwks: {remote: {url: "https://idp.example.com/jwks", upstreamRef: {name: idp, namespace: default}}}}}}}
        routes:
        - matchers: [{prefix: /}]
          directResponseAction: {status: 200}
    ---
    apiVersion: gloo.solo.io/v1
    kind: Upstream
    metadata: {name: idp}
    spec: {static: {hosts: [{addr: idp.example.com, port: 443}]}}
  cases:
  - {name: c, request: {url: "http://%s:8080/", headers: {Authorization: "Bearer %s"}}, expect: %s}
`

func TestPolicyTestOfOtherServers(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJ0ZXN0cyIsInN1YiI6ImFubiJ9.c2ln"
	tests := []struct{ name, fields, open, path, expect string }{
		{"nobody knows", "", "false", "asked", "{decision: unknown}"},
		{"nobody knows, and it would be open", "", "true", "asked", "{decision: unknown}"},
		{"the policy's server says yes", "  external: {default/ask: {allow: true, headers: {x-user: ann}}}", "false", "asked", "{decision: allow}"},
		{"and no", "  external: {default/ask: {allow: false, status: 418}}", "true", "asked", "{decision: deny, status: 418}"},
		{"by its host", "  external: {auth.example.com: {allow: false}}", "true", "asked", "{decision: deny, status: 403}"},
		{"keys that nobody fetched", "", "false", "tokens", "{decision: unknown}"},
		{"keys that are none of this token", `  jwks: {"https://idp.example.com/jwks": {keys: []}}`, "false", "tokens", "{decision: deny, status: 401}"},
		{"claims need no keys", "", "false", "tokens", "{decision: allow}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := fmt.Sprintf(remote, tt.fields, tt.open, tt.path, token, tt.expect)
			if strings.HasPrefix(tt.name, "claims") {
				text = strings.Replace(text, `headers: {Authorization: "Bearer `+token+`"}`, "claims: {iss: tests, sub: ann}", 1)
			}
			std, out, errs := streams(nil)
			if code := Main(t.Context(), []string{"test", files(t, map[string]string{"t.yaml": text})}, std); code != exitGood {
				t.Errorf("exit code %d:\n%s%s", code, out, errs)
			}
		})
	}
}

func TestPolicyTestFormats(t *testing.T) {
	dir := files(t, map[string]string{
		"a/t.yaml":    aloneHead + "  - {name: holds, request: {path: /}, expect: {decision: deny}}\n  - {name: fails, request: {path: /}, expect: {decision: allow}}\n",
		"broken.yaml": "apiVersion: postern.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: b}\nspec: {manifests: [}\n",
	})
	std, out, errs := streams(nil)
	if code := Main(t.Context(), []string{"test", "-o", "json", dir}, std); code != exitWrong {
		t.Errorf("exit code %d: %s", code, errs)
	}
	var got []policytest.Result
	for line := range strings.Lines(out.String()) {
		var r policytest.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, r)
	}
	if len(got) != 3 || !got[0].Passed || got[1].Passed || got[1].Name != "fails" || got[1].Expected.Decision != "allow" || got[1].Got.Decision != "deny" || got[2].Passed || len(got[2].Problems) == 0 {
		t.Errorf("got %s", out)
	}

	std, out, _ = streams(nil)
	if code := Main(t.Context(), []string{"test", "-o", "junit", dir}, std); code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Tests != 3 || report.Failures != 2 || len(report.Suites) != 2 || report.Suites[0].Cases[1].Failure == nil || report.Suites[0].Cases[0].Failure != nil {
		t.Errorf("got %s", out)
	}
}

func TestPolicyTestUsage(t *testing.T) {
	empty := files(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"})
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no path", nil, exitUsage, "nothing to run"},
		{"another format", []string{"-o", "tap", "."}, exitUsage, "want text, json or junit"},
		{"a path that is not there", []string{"nowhere"}, exitWrong, "nowhere: no such file"},
		{"a folder without tests", []string{empty}, exitWrong, "no PolicyTest in"},
		{"a file without tests", []string{filepath.Join(empty, "a.yaml")}, exitWrong, "holds no PolicyTest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			std, out, errs := streams(nil)
			code := Main(t.Context(), append([]string{"test"}, tt.args...), std)
			if code != tt.code || !strings.Contains(errs.String(), tt.want) {
				t.Errorf("code %d, %s%s; want %d and %q", code, out, errs, tt.code, tt.want)
			}
		})
	}
}

// TestPolicyTestPassedOver holds that run and check have no eyes for PolicyTests.
func TestPolicyTestPassedOver(t *testing.T) {
	dir := files(t, map[string]string{"t.yaml": aloneHead + "  - {name: a, nonsense: true}\n"})
	std, out, errs := streams(nil)
	if code := Main(t.Context(), []string{"check", "-f", dir}, std); code != exitGood || out.Len() > 0 {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// manyCases is 10,000 cases.
func manyCases(n int) string {
	var b strings.Builder
	b.WriteString(aloneHead)
	for i := range n {
		team, want := "a", "allow"
		if i%3 == 0 {
			team, want = "b", "deny"
		}
		fmt.Fprintf(&b, "  - {name: c%[1]d, request: {path: /x%[1]d, claims: {sub: s%[1]d, team: %[2]s}}, expect: {decision: %[3]s}}\n", i, team, want)
	}
	return b.String()
}

func TestPolicyTestTenThousand(t *testing.T) {
	dir := files(t, map[string]string{"t.yaml": manyCases(10_000)})
	std, out, errs := streams(nil)
	began := time.Now()
	if code := Main(t.Context(), []string{"test", dir}, std); code != exitGood {
		t.Fatalf("exit code %d:\n%s%s", code, out, errs)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v, want at most 5 s", took)
	}
	if !strings.Contains(errs.String(), "10000 cases passed") {
		t.Error(errs)
	}
}

func BenchmarkPolicyTest(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.yaml"), []byte(manyCases(10_000)), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		std, out, _ := streams(nil)
		if code := Main(b.Context(), []string{"test", dir}, std); code != exitGood {
			b.Fatal(out)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/10_000, "µs/case")
}
