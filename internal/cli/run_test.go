package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
)

// serve starts postern run with ports of the kernel's choice.
func serve(t *testing.T, stdin string, args ...string) *running {
	t.Helper()
	args = append([]string{"run", "--admin", "127.0.0.1:0"}, args...)
	for _, port := range []string{"8080", "8081", "8082"} {
		if !strings.Contains(strings.Join(args, " "), port+"=") {
			args = append(args, "--port", port+"=127.0.0.1:0")
		}
	}
	return start(t, "postern: ready\n", stdin, args...)
}

// at returns where a port is bound, as the banner tells.
func (r *running) at(port string) string {
	r.t.Helper()
	m := regexp.MustCompile(`https?://(\S+) \(for port ` + port + `\)`).FindStringSubmatch(r.err.String())
	if m == nil {
		r.t.Fatalf("port %s is not in the banner:\n%s", port, &r.err)
	}
	return m[1]
}

// get asks on a connection of its own, and returns the status.
func get(t *testing.T, url string, header ...string) int {
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func roundTrip(t *testing.T, text string) *ir.Config {
	t.Helper()
	var first, second ir.Config
	decode(t, text, &first)
	again, err := json.Marshal(&first)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, string(again), &second)
	if diff := cmp.Diff(&first, &second); diff != "" {
		t.Errorf("the model does not survive (-first +second):\n%s", diff)
	}
	var loose, loose2 any
	decode(t, text, &loose)
	decode(t, string(again), &loose2)
	if diff := cmp.Diff(loose, loose2); diff != "" {
		t.Errorf("the model holds what cannot be read back (-printed +read):\n%s", diff)
	}
	return &first
}

// gatewayOn is a Gateway with one listener, and a route that redirects.
func gatewayOn(name string, port int) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %[1]s}
spec:
  gatewayClassName: any
  listeners: [{name: http, protocol: HTTP, port: %[2]d}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s}
spec:
  parentRefs: [{name: %[1]s}]
  rules:
  - filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /%[1]s}}}]
`, name, port)
}

// TestRunReads holds that resources come from standard input, lists, JSON and
// several paths together.
func TestRunReads(t *testing.T) {
	var list strings.Builder
	list.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for line := range strings.Lines(answering) {
		prefix := "  "
		if strings.HasPrefix(line, "apiVersion") {
			prefix = "- "
		}
		list.WriteString(prefix + line)
	}
	const asJSON = `{"apiVersion": "gateway.solo.io/v1", "kind": "VirtualService", "metadata": {"name": "json"},
		"spec": {"virtualHost": {"domains": ["json.example.com"], "routes": [{"directResponseAction": {"status": 202}}]}}}`
	files := folder(t, map[string]string{
		"a.json": asJSON, "cases.yaml": "apiVersion: postern.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: cases}\nspec: {cases: []}\n",
		"values.yaml": "replicas: 2\n", "notes.txt": "kind: [",
	})
	more := folder(t, map[string]string{"edge.yaml": gatewayOn("edge", 8081)})
	r := serve(t, list.String(), "-f", "-", "-f", files, "-f", filepath.Join(more, "edge.yaml"))
	if got := get(t, "http://"+r.at("8080")+"/one"); got != 201 {
		t.Errorf("a list on standard input: %d", got)
	}
	if got := get(t, "http://"+r.at("8081")+"/"); got != 302 {
		t.Errorf("a file of a second -f: %d", got)
	}
	if !strings.Contains(r.err.String(), "host json.example.com  → answers 202 itself") {
		t.Errorf("a JSON file is not in the banner:\n%s", &r.err)
	}
	if strings.Contains(r.err.String(), "error: ") || strings.Contains(r.err.String(), "warning: ") {
		t.Errorf("what is not for a gateway is told of:\n%s", &r.err)
	}
	r.stop(0)
	if !strings.HasSuffix(r.err.String(), "postern: drained\n") {
		t.Errorf("the end is not told:\n%s", &r.err)
	}
}

// TestBanner holds what run tells at the start.
func TestBanner(t *testing.T) {
	key := jwksOf(t)
	files := folder(t, map[string]string{"a.yaml": secretive, "b.yaml": fmt.Sprintf(`apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: guarded}
spec:
  virtualHost:
    domains: [guarded.example.com]
    options: {jwt: {providers: {solo: {issuer: solo.io, jwks: {local: {key: %q}}}}}}
    routes:
    - {matchers: [{prefix: /a, methods: [POST], headers: [{name: x-team}]}], routeAction: {single: {upstream: {name: by-name}}}}
    - {matchers: [{exact: /gone}], redirectAction: {pathRedirect: /}}
    - {matchers: [{regex: "/x.*"}], directResponseAction: {status: 418}}
    - {matchers: [{prefix: /shut}], directResponseAction: {status: 200}, options: {waf: {}}}
`, key), "c.yaml": gatewayOn("edge", 8081)})
	r := serve(t, "", "-f", files)
	banner, _, _ := strings.Cut(r.err.String(), "warning: ")
	banner = strings.NewReplacer(r.at("8080"), "A:1", r.at("8081"), "A:2", files+"/", "").Replace(banner)
	const want = `postern ` + version + `

  http://A:2 (for port 8081)  default/edge/http
    /*  → redirect
        asks nobody

  http://A:1 (for port 8080)  gloo-system/gateway-proxy/http
    /a*  → https://api.openai.com:443
        asks NOBODY: whoever reaches it uses the credential
        carries Secret default/token[Authorization]
    /b*  → https://api.openai.com:443
        asks NOBODY: whoever reaches it uses the credential
        carries gloo.solo.io/Upstream default/inline[spec.ai.openai.authToken.inline]
    POST /a* (and 1 condition)  host guarded.example.com  → https://api.openai.com:443
        asks for JWT of solo.io
        carries Secret default/token[Authorization]
    /gone  host guarded.example.com  → redirect
        asks for JWT of solo.io
    ~/x.*  host guarded.example.com  → answers 418 itself
        asks for JWT of solo.io
    /shut*  host guarded.example.com  → CLOSED: waf is not supported; what it would guard is closed
error: b.yaml:12: VirtualService default/guarded: spec.virtualHost.routes[3].options.waf: waf is not supported; what it would guard is closed; remove it to serve these routes without it
`
	if diff := cmp.Diff(want, banner); diff != "" {
		t.Errorf("banner (-want +got):\n%s", diff)
	}
	for _, line := range []string{
		"VirtualService default/both: spec.virtualHost.routes[0]: anyone who reaches VirtualService default/both/route-0 may use the provider credential Secret default/token[Authorization]",
		"postern: ready\n",
	} {
		if !strings.Contains(r.err.String(), line) {
			t.Errorf("not told: %s\n%s", line, &r.err)
		}
	}
}

// TestPort holds the forms of --port, the narrower before the wider.
func TestPort(t *testing.T) {
	dir := folder(t, map[string]string{"a.yaml": gatewayOn("one", 8081) + "---\n" + gatewayOn("two", 8082) + "---\n" + answering})
	r := serve(t, "", "-f", dir, "--bind", "127.0.0.2", "--port", "8080=0", "--port", "8081=127.0.0.3:1", "--port", "default/one:8081=127.0.0.4:0", "--port", "8082=127.0.0.5:0")
	for port, host := range map[string]string{"8080": "127.0.0.2", "8081": "127.0.0.4", "8082": "127.0.0.5"} {
		if got, _, _ := net.SplitHostPort(r.at(port)); got != host {
			t.Errorf("port %s is bound at %s, want %s", port, r.at(port), host)
		}
	}
}

// TestPrivilegedPort holds that a port below 1024 that cannot be bound is
// shifted, and that the banner says so.
func TestPrivilegedPort(t *testing.T) {
	port := 0
	for range 50 {
		port = 512 + rand.IntN(512)
		// Taken, so that a superuser cannot bind it either.
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			defer func() { _ = ln.Close() }()
		} else if !os.IsPermission(err) {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000))
		if err == nil {
			_ = ln.Close()
			break
		}
	}
	dir := folder(t, map[string]string{"a.yaml": gatewayOn("edge", port)})
	r := serve(t, "", "-f", dir)
	if got, want := r.at(fmt.Sprint(port)), fmt.Sprintf("127.0.0.1:%d", port+10000); got != want {
		t.Errorf("bound at %s, want %s", got, want)
	}
	r.stop(0)
	named := command(t, "", "run", "--admin", "127.0.0.1:0", "-f", dir, "--port", fmt.Sprintf("%d=127.0.0.1:%s", port, portOf(taken(t))))
	if named.code != 1 || !strings.Contains(named.err, "no port could be bound") {
		t.Errorf("a port that is named and taken is shifted: %+v", named)
	}
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// TestPortInUse holds that what can be bound is served, and that nothing
// starts where nothing can.
func TestPortInUse(t *testing.T) {
	dir := folder(t, map[string]string{"a.yaml": gatewayOn("edge", 8081) + "---\n" + answering})
	busy := taken(t)
	r := serve(t, "", "-f", dir, "--port", "8081="+busy)
	says := "error: listener port 8081: listen tcp " + busy + ": bind: address already in use; free the port, or bind another with --port 8081=PORT"
	if !strings.Contains(r.err.String(), says) || !strings.Contains(r.err.String(), "http://(port 8081 is not bound)") {
		t.Errorf("one port in use is not told of:\n%s", &r.err)
	}
	if got := get(t, "http://"+r.at("8080")+"/one"); got != 201 {
		t.Errorf("beside a port in use: %d", got)
	}
	r.stop(0)

	none := command(t, "", "run", "--admin", "127.0.0.1:0", "-f", dir, "--port", "8081="+busy, "--port", "8080="+busy)
	if none.code != 1 || !strings.HasPrefix(none.err, "postern: no port could be bound\nlistener port 8080: ") || strings.Contains(none.err, "postern: ready") {
		t.Errorf("every port in use: %+v", none)
	}
	for _, flag := range []string{"--admin", "--health"} {
		r := command(t, "", "run", "--admin", "127.0.0.1:0", "-f", dir, "--port", "8080=0", "--port", "8081=0", flag, busy)
		if r.code != 1 || !strings.Contains(r.err, "postern: "+flag+": listen tcp "+busy+": bind: address already in use") {
			t.Errorf("%s in use: %+v", flag, r)
		}
	}
}

// TestSelect holds what --gateway and --dialects leave out.
func TestSelect(t *testing.T) {
	dir := folder(t, map[string]string{"a.yaml": gatewayOn("one", 8081) + "---\n" + gatewayOn("two", 8082) + "---\n" + answering})
	r := serve(t, "", "-f", dir, "--gateway", "default/two")
	if r.at("8082"); strings.Contains(r.err.String(), "default/one") || strings.Contains(r.err.String(), "gateway-proxy") {
		t.Errorf("--gateway serves others:\n%s", &r.err)
	}
	none := command(t, "", "check", "-f", dir, "--gateway", "default/tow")
	if want := `error: --gateway default/tow: no such Gateway has a listener; nothing is served; did you mean "default/two"?`; none.code != 1 || strings.TrimSpace(none.out) != want {
		t.Errorf("--gateway of none: %+v", none)
	}
	only := serve(t, "", "-f", dir, "--dialects", "gatewayapi")
	if only.at("8081"); strings.Contains(only.err.String(), "answers 201") || !strings.Contains(only.err.String(), "group gateway.solo.io is not read") {
		t.Errorf("--dialects reads others, or is silent on them:\n%s", &only.err)
	}
}

func TestAccessLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	r := serve(t, "", "-f", folder(t, map[string]string{"a.yaml": answering}), "--access-log", log)
	get(t, "http://"+r.at("8080")+"/one")
	r.stop(0)
	info, err := os.Stat(log)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the access log: %v, %v", info, err)
	}
	text, err := os.ReadFile(log)
	if err != nil || !json.Valid(text) || !strings.Contains(string(text), "/one") || r.out.String() != "" {
		t.Errorf("the access log holds %s, %v; standard output %s", text, err, &r.out)
	}
	silent := serve(t, "", "-f", folder(t, map[string]string{"a.yaml": answering}), "--access-log=")
	get(t, "http://"+silent.at("8080")+"/one")
	silent.stop(0)
	if silent.out.String() != "" {
		t.Errorf("no access log was asked for: %s", &silent.out)
	}
}
