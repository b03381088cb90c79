package program

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/internal/simulate"
)

var update = flag.Bool("update", false, "write the check and refuses sections of testdata/broken anew")

// TestBroken shows what becomes of broken manifests: the exact words of
// `postern check`, and that `postern run` closes what is broken and serves
// what stands beside it.
//
// A case is a txtar file. Its comment may hold "args:" (for check and run),
// "env:" (NAME=value, for run) and "neighbour: closed". Its files:
//
//	*.yaml, *.json  manifests; testdata/neighbour.yaml stands beside them
//	check           all that check prints; it exits with 1 if there is an error
//	requests        "METHOD URL [as CALLER] -> STATUS [text of the body]", or
//	                "-> refused" for a connection or handshake that fails
//	later/*         manifests that are written over those once it serves;
//	later/says      what run then says on standard error, and
//	later/requests  what holds then
//	refuses         what run says when it does not start; there are then no
//	                requests
//
// In a manifest, @CERT@, @KEY@ and @OTHERKEY@ are base64 of PEM, @PUBLIC@ and
// @PRIVATE@ PEM keys with \n for the line breaks, of which the first verifies
// the callers' tokens; @MARKER@ is a secret that nothing may ever show.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	neighbour, err := os.ReadFile("testdata/neighbour.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pems := newPEMs(t)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			t.Parallel()
			c := readBroken(t, f, pems)
			c.manifests["neighbour.yaml"] = string(neighbour)
			c.check(t)
			if c.refuses != nil {
				c.refuse(t)
			} else {
				c.serve(t)
			}
			if *update {
				if err := os.WriteFile(f, txtar.Format(c.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// brokenCase is one file of testdata/broken.
type brokenCase struct {
	archive          *txtar.Archive
	args             []string
	env              map[string]string
	neighbourClosed  bool
	manifests, later map[string]string
	checks, refuses  *txtar.File // nil: none
	requests         []string
	laterRequests    []string
	laterSays        []string
}

func readBroken(t *testing.T, file string, pems *strings.Replacer) *brokenCase {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &brokenCase{archive: a, env: map[string]string{}, manifests: map[string]string{}, later: map[string]string{}}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "args":
			c.args = strings.Fields(value)
		case "env":
			for _, f := range strings.Fields(value) {
				name, v, _ := strings.Cut(f, "=")
				c.env[name] = v
			}
		case "neighbour":
			c.neighbourClosed = value == "closed"
		}
	}
	for i := range a.Files {
		f := &a.Files[i]
		text := string(f.Data)
		switch name, later := strings.CutPrefix(f.Name, "later/"); {
		case f.Name == "check":
			c.checks = f
		case f.Name == "refuses":
			c.refuses = f
		case f.Name == "requests":
			c.requests = lines(text)
		case f.Name == "later/requests":
			c.laterRequests = lines(text)
		case f.Name == "later/says":
			c.laterSays = lines(text)
		case later:
			c.later[name] = pems.Replace(text)
		default:
			c.manifests[name] = pems.Replace(text)
		}
	}
	if c.checks == nil {
		t.Fatal("the case has no check section")
	}
	return c
}

func lines(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return l == "" })
}

// check holds `postern check` to the case's words.
func (c *brokenCase) check(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, c.manifests)
	var out, err bytes.Buffer
	code := cli.Main(context.Background(), append([]string{"check", "-f", dir}, c.args...), cli.Streams{
		In: strings.NewReader(""), Out: &out, Err: &err, Env: func(string) (string, bool) { return "", false },
	})
	got := strings.ReplaceAll(out.String(), dir+"/", "")
	for _, text := range []string{got, err.String()} {
		if strings.Contains(text, "MARKER") {
			t.Errorf("security row 8: check shows a secret:\n%s", text)
		}
	}
	if *update {
		c.checks.Data = []byte(got)
	}
	if diff := gocmp.Diff(string(c.checks.Data), got); diff != "" {
		t.Errorf("check (-want +got):\n%s", diff)
	}
	want := 0
	if strings.Contains("\n"+got, "\nerror: ") {
		want = 1
	}
	if code != want {
		t.Errorf("check exits with %d, want %d", code, want)
	}
	for _, line := range lines(got) {
		if !problemLine.MatchString(line) {
			t.Errorf("not of the form \"severity: file:line: what; what to do\": %s", line)
		}
	}
}

var problemLine = regexp.MustCompile(`^(error|warning): [-\w./]+\.(yaml|json)(:\d+)?: .*\S; \S`)

// refuse holds that `postern run` does not start.
func (c *brokenCase) refuse(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, c.manifests)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, err bytes.Buffer
	args := append([]string{"run", "-f", dir, "--admin", "127.0.0.1:0"}, c.args...)
	code := cli.Main(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &err, Env: c.lookup})
	got := strings.ReplaceAll(err.String(), dir+"/", "")
	if strings.Contains(got+out.String(), "MARKER") {
		t.Errorf("security row 8: run shows a secret:\n%s%s", got, &out)
	}
	if *update {
		c.refuses.Data = []byte(got)
	}
	if diff := gocmp.Diff(string(c.refuses.Data), got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	if code != 1 || ctx.Err() != nil {
		t.Errorf("run exits with %d, want 1", code)
	}
}

func (c *brokenCase) lookup(name string) (string, bool) {
	v, ok := c.env[name]
	return v, ok
}

// serve runs the case's manifests and sends its requests.
func (c *brokenCase) serve(t *testing.T) {
	up := newEcho(t)
	simulated, flags := providers(t, nil)
	args := append(flags, "--connect-to", "up.example.com:8000="+up.addr)
	for _, port := range []string{"80", "443", "8081", "8082", "9443"} {
		args = append(args, "--port", port+"=127.0.0.1:0")
	}
	p := run(t, c.manifests, settings{args: append(args, c.args...), env: c.env})
	let := 0
	send := func(list []string) {
		for _, line := range list {
			q := parseBroken(t, line)
			if problem := q.try(t, p); problem != "" {
				t.Errorf("%s: %s", line, problem)
			}
			let += q.let
		}
	}
	neighbours := []string{"GET http://good.example.com:8080/ -> 200", "GET http://good.example.com:8081/ -> 200"}
	if c.neighbourClosed {
		neighbours = nil
	}
	send(slices.Concat(c.requests, neighbours))
	if len(c.later) > 0 {
		for name, text := range c.later {
			p.write(name, text)
		}
		for _, line := range c.laterSays {
			p.await(line, func() bool { return strings.Contains(strings.ReplaceAll(p.err.String(), p.dir+"/", ""), line) })
		}
		send(slices.Concat(c.laterRequests, neighbours))
	}
	if n := int(up.requests.Load()) + len(simulated.Requests()); n != let {
		t.Errorf("%d requests reached an upstream, %d should have", n, let)
	}
}

// brokenRequest is one line of a requests section.
type brokenRequest struct {
	method, scheme, host, port, path, caller string
	refused                                  bool
	status                                   int
	body                                     string
	let                                      int // 1 if an upstream answers it
}

var requestLine = regexp.MustCompile(`^(\w+) (https?)://([^:/]+):(\d+)(/\S*)(?: as (\w+))? -> (refused|\d{3})(?: (.+))?$`)

func parseBroken(t *testing.T, line string) brokenRequest {
	t.Helper()
	m := requestLine.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("no request: %s", line)
	}
	q := brokenRequest{method: m[1], scheme: m[2], host: m[3], port: m[4], path: m[5], caller: m[6], body: m[8]}
	if q.refused = m[7] == "refused"; !q.refused {
		_, _ = fmt.Sscan(m[7], &q.status)
	}
	if q.status == 200 {
		q.let = 1
	}
	return q
}

// try sends the request and says what is wrong with the answer, or nothing.
func (q brokenRequest) try(t *testing.T, p *program) string {
	t.Helper()
	addr := p.bound(q.port)
	if addr == "" {
		if q.refused {
			return ""
		}
		return "port " + q.port + " is not bound"
	}
	r, err := http.NewRequest(q.method, q.scheme+"://"+q.host+q.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if q.caller != "" {
		r.Header.Set("Authorization", "Bearer "+token(t, "gloo-ai-gateway", q.caller))
	}
	if q.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Body = io.NopCloser(strings.NewReader(`{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "hello"}]}`))
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // whose certificate it is, is not what is asked here
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	resp, err := transport.RoundTrip(r)
	switch {
	case err != nil && q.refused:
		return ""
	case err != nil:
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if q.refused || resp.StatusCode != q.status || !strings.Contains(string(body), q.body) {
		return fmt.Sprintf("got %d %s", resp.StatusCode, body)
	}
	return ""
}

// bound returns where a port is bound, or "".
func (p *program) bound(port string) string {
	for _, m := range boundLine.FindAllStringSubmatch(p.err.String(), -1) {
		if m[2] == port {
			return m[1]
		}
	}
	return ""
}

// echo is an upstream that answers with what it was asked for.
type echo struct {
	addr     string
	requests atomic.Int64
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	e := &echo{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		fmt.Fprintf(w, "%s %s%s", r.Method, r.Host, r.URL)
	}))
	t.Cleanup(s.Close)
	e.addr = s.Listener.Addr().String()
	return e
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := cmp.Or(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// newPEMs returns what stands for the marks in manifests.
func newPEMs(t *testing.T) *strings.Replacer {
	t.Helper()
	cert, key := newPair(t)
	_, other := newPair(t)
	private, err := simulate.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	var public []string
	for line := range strings.Lines(example(t, "gloo-ai-gateway", "jwt-provider.yaml")["jwt-provider.yaml"]) {
		if line = strings.TrimSpace(line); len(public) > 0 || line == "-----BEGIN PUBLIC KEY-----" {
			public = append(public, line)
		}
	}
	return strings.NewReplacer(
		"@CERT@", cert, "@KEY@", key, "@OTHERKEY@", other, "@MARKER@", "MARKER-0123456789",
		"@PUBLIC@", strings.Join(public, `\n`), "@PRIVATE@", strings.ReplaceAll(string(private), "\n", `\n`),
	)
}

func newPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "secure.example.com"}, DNSNames: []string{"secure.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}
