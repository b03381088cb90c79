package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/explain"
)

// examples is where the walk-throughs are.
const examplesDir = "../../examples/"

// streams are where a command writes to, in an environment of its own.
func streams(env map[string]string) (std Streams, out, errs *bytes.Buffer) {
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	return Streams{In: strings.NewReader(""), Out: out, Err: errs, Env: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}}, out, errs
}

func tokenOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(examplesDir + path)
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: Bearer " + strings.TrimSpace(string(b))
}

func TestExplainWalkThroughs(t *testing.T) {
	const marker = "marker-4f1c"
	env := map[string]string{"HF_API_TOKEN": marker, "OPENAI_API_KEY": marker}
	tests := []struct {
		name, folder string
		args         []string
		want         []string // of the text
	}{
		{
			name: "nobody asks the VirtualService", folder: "gloo-gateway-jwt",
			args: []string{"GET", "http://localhost:8080/huggingface-gloo-gw"},
			want: []string{"decision  deny with 401", "because   Jwt is missing", "virtualservice.yaml:14"},
		},
		{
			name: "the workshop's token", folder: "gloo-gateway-jwt",
			args: []string{"POST", "http://localhost:8080/huggingface-gloo-gw", "-d", "{}", "-H", tokenOf(t, "gloo-gateway-jwt/workshop.jwt")},
			want: []string{
				"decision  allow, sent on to api-inference.huggingface.co:443", "rule viewer matches",
				"POST https://api-inference.huggingface.co/models/openai-community/gpt2",
				"Authorization: [Secret default/hftoken[Authorization]]", "caller    solo-workshop of solo.io, by jwt selfminted",
			},
		},
		{
			name: "no route", folder: "gloo-gateway-jwt",
			args: []string{"GET", "http://localhost:8080/other"},
			want: []string{"decision  deny with 404: nothing takes it", "not taken VirtualService default/ai-services-vs/route-0, prefix /huggingface-gloo-gw: the path is another"},
		},
		{
			name: "bob may not", folder: "gloo-ai-gateway",
			args: []string{"POST", "http://localhost:8080/openai", "-d", `{"model":"gpt-3.5-turbo"}`, "-H", tokenOf(t, "gloo-ai-gateway/bob.jwt")},
			want: []string{"decision  deny with 403", `claim "llms.openai" is absent`, "gloo-system/openai-opt", "openai-opt.yaml:1"},
		},
		{
			name: "alice may", folder: "gloo-ai-gateway",
			args: []string{"POST", "http://localhost:8080/openai", "-d", `{"model":"gpt-3.5-turbo"}`, "-H", tokenOf(t, "gloo-ai-gateway/alice.jwt")},
			want: []string{
				"decision  allow, sent on to api.openai.com:443", "POST https://api.openai.com/v1/chat/completions",
				"Authorization: [Secret gloo-system/openai-secret[Authorization]]",
			},
		},
		{
			name: "a key of the mesh", folder: "gloo-mesh-apikey",
			args: []string{"POST", "http://localhost/huggingface", "-d", "{}", "-H", "api-key: mysecretkey"},
			want: []string{"decision  allow", "Host: api-inference.huggingface.co", "Authorization: [made of a secret by TransformationPolicy default/huggingface-transformations]"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			std, out, errs := streams(env)
			args := append([]string{"explain", "-f", filepath.Join(examplesDir, tt.folder)}, tt.args...)
			if code := Main(t.Context(), args, std); code != exitGood {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s", want, out)
				}
			}
			if all := out.String() + errs.String(); strings.Contains(all, marker) || strings.Contains(all, "mysecretkey") {
				t.Errorf("holds a secret:\n%s", all)
			}
		})
	}
}

func TestExplainJSON(t *testing.T) {
	std, out, errs := streams(nil)
	args := []string{"explain", "-f", examplesDir + "gloo-ai-gateway", "POST", "http://localhost:8080/openai", "-d", "{}", "-o", "json", "-H", tokenOf(t, "gloo-ai-gateway/bob.jwt")}
	if code := Main(t.Context(), args, std); code != exitGood {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var x explain.Explanation
	if err := json.Unmarshal(out.Bytes(), &x); err != nil {
		t.Fatal(err)
	}
	if x.Decision != explain.Deny || x.Status != 403 || x.Decided.Policy != "gloo-system/openai-opt" || x.Decided.Index != -1 {
		t.Errorf("got %s", out)
	}
}

func TestExplainUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no URL", []string{"GET"}, exitUsage, "want a method and a URL"},
		{"no method", []string{"http://localhost:8080/"}, exitUsage, "name the method before the URL: GET http://localhost:8080/"},
		{"the wrong way round", []string{"http://localhost:8080/", "GET"}, exitUsage, "name the method before the URL: GET http://localhost:8080/"},
		{"no host", []string{"GET", "/openai"}, exitUsage, "write it whole, as http://host:port/path"},
		{"an empty host", []string{"GET", "http:///openai"}, exitUsage, "has no host"},
		{"another scheme", []string{"GET", "ftp://x/"}, exitUsage, "write it whole"},
		{"another port", []string{"GET", "http://localhost/openai"}, exitWrong, "no listener on port 80; there is 8080 (http, gloo-system/ai-gateway/http)"},
		{"a port that does not exist", []string{"GET", "http://localhost:99999/"}, exitUsage, `port "99999" does not exist`},
		{"a header without a colon", []string{"GET", "http://localhost:8080/", "-H", "secretvalue"}, exitUsage, "want 'Name: value'"},
		{"a peer that is none", []string{"GET", "https://localhost:8080/", "--peer", "alice"}, exitUsage, "want a SPIFFE ID"},
		{"an address that is none", []string{"GET", "http://localhost:8080/", "--source-ip", "here"}, exitUsage, "not an IP address"},
		{"a decision without a log", []string{"--decision", "x"}, exitUsage, "--decision and --log go together"},
		{"another format", []string{"GET", "http://localhost:8080/", "-o", "yaml"}, exitUsage, "want text or json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			std, out, errs := streams(nil)
			code := Main(t.Context(), append([]string{"explain", "-f", examplesDir + "gloo-ai-gateway"}, tt.args...), std)
			if code != tt.code || !strings.Contains(errs.String(), tt.want) {
				t.Errorf("code %d, %q, %q; want %d and %q", code, out, errs, tt.code, tt.want)
			}
			if strings.Contains(errs.String(), "secretvalue") {
				t.Error("the value of a header is repeated")
			}
		})
	}
}

func TestExplainPast(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	lines := `not a line of ours
{"time":"2026-01-01T00:00:00.000000Z","decision":"aaaa","method":"GET","scheme":"http","authority":"h","path":"/x","verdict":"allow","status":200,"duration_ms":1}
{"time":"2026-01-01T00:00:01.000000Z","decision":"bbbb","method":"POST","scheme":"http","authority":"h","path":"/openai","route":"HTTPRoute ns/r","verdict":"deny","policy":"gloo/rbac","policy_origin":"RouteOption ns/opt, opt.yaml:3","cause":"claim \"llms\" is absent","passed":["gloo/jwt ns/p"],"subject":"bob","issuer":"solo.io","authenticator":"selfminted","status":403,"duration_ms":0.4}
`
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, id string
		code     int
		want     []string
	}{
		{"a refusal", "bbbb", exitGood, []string{"denied with 403", "RouteOption ns/opt, opt.yaml:3", `because   claim "llms" is absent`, "bob of solo.io", "passed    gloo/jwt ns/p"}},
		{"a consent", "aaaa", exitGood, []string{"allowed; the client got 200", "nobody who had proven anything"}},
		{"one that is not there", "cccc", exitWrong, []string{`no decision "cccc" among 2: is it in an older file?`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			std, out, errs := streams(nil)
			code := Main(t.Context(), []string{"explain", "--decision", tt.id, "--log", log}, std)
			if code != tt.code {
				t.Errorf("code %d: %s", code, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String()+errs.String(), want) {
					t.Errorf("lacks %q:\n%s%s", want, out, errs)
				}
			}
		})
	}
}
