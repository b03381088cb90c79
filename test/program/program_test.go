// Package program tests Postern as a whole: the command line on one side,
// real sockets and simulated providers on the other.
package program

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/cli"
	"github.com/postern-gateway/postern/internal/simulate"
)

// Markers are put in every secret of every case; all that the gateway prints,
// logs and shows is searched for them.
const (
	openAIKey      = "sk-MARKER-openai-0123456789"
	huggingFaceKey = "hf_MARKER-huggingface-0123456789"
)

// patience is how long a test waits for something that takes milliseconds. Only
// a fault reaches it: a machine that is busy may take seconds for anything.
const patience = time.Minute

// buffer is an io.Writer that a test reads while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// program is a running `postern run`.
type program struct {
	t        *testing.T
	dir      string
	out, err *buffer
	stop     context.CancelFunc
	code     chan int
	admin    string
	web      http.Client // of the admin listener
	extra    string      // everything else that it showed
}

// settings are what a test changes of how the program is run.
type settings struct {
	args []string
	env  map[string]string
	// kubeconfig leads to the cluster that is the source in place of files.
	kubeconfig string
}

// run starts `postern run` on the files, and waits until it is ready. It is
// stopped, and everything it showed searched for markers, when the test ends.
func run(t *testing.T, files map[string]string, s settings) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir(), out: &buffer{}, err: &buffer{}, code: make(chan int, 1)}
	for name, text := range files {
		p.write(name, text)
	}
	env := map[string]string{"OPENAI_API_KEY": openAIKey, "HF_API_TOKEN": huggingFaceKey}
	for k, v := range s.env {
		env[k] = v
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	source := []string{"run", "-f", p.dir}
	if s.kubeconfig != "" {
		source = []string{"run", "--kubeconfig", s.kubeconfig}
	}
	args := append(append(source, "--admin", "127.0.0.1:0", "--port", "8080=127.0.0.1:0", "--port", "8443=127.0.0.1:0"), s.args...)
	go func() {
		p.code <- cli.Main(ctx, args, cli.Streams{
			In: strings.NewReader(""), Out: p.out, Err: p.err,
			Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		})
	}()
	t.Cleanup(p.finish)
	p.awaitReady()
	return p
}

var adminLine = regexp.MustCompile(`postern: admin at http://(\S+)\n`)

// awaitReady waits until the program serves, and learns its admin address.
func (p *program) awaitReady() {
	p.t.Helper()
	p.await("postern: ready", func() bool { return strings.Contains(p.err.String(), "postern: ready\n") })
	if m := adminLine.FindStringSubmatch(p.err.String()); m != nil {
		p.admin = m[1]
	}
}

// finish stops the program and searches what it showed.
func (p *program) finish() {
	for _, path := range []string{"/status", "/config", "/metrics", "/"} {
		if resp, err := p.web.Get("http://" + p.admin + path); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			p.extra += string(body)
		}
	}
	p.stop()
	select {
	case code := <-p.code:
		if code != 0 {
			p.t.Errorf("exit code %d; standard error:\n%s", code, p.err)
		}
	case <-time.After(patience):
		p.t.Errorf("does not end; standard error:\n%s", p.err)
	}
	for _, marker := range []string{openAIKey, huggingFaceKey, "MARKER"} {
		for where, text := range map[string]string{"standard output": p.out.String(), "standard error": p.err.String(), "admin": p.extra} {
			if strings.Contains(text, marker) {
				p.t.Errorf("security row 8: a secret is on %s:\n%s", where, text)
			}
		}
	}
}

// await polls until ok, or fails the test.
func (p *program) await(what string, ok func() bool) {
	p.t.Helper()
	p.awaitFor(patience, what, ok)
}

// awaitFor is await with a limit of its own.
func (p *program) awaitFor(limit time.Duration, what string, ok func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		select {
		case code := <-p.code:
			p.code <- code
			p.t.Fatalf("ended with %d while waiting for %s; standard error:\n%s", code, what, p.err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("no %s; standard error:\n%s", what, p.err)
		}
	}
}

// write writes one of the files that the program follows, in one step: nobody
// sees it empty, or half of it, however long the test is kept from going on.
func (p *program) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".next")
	must(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(p.t, os.WriteFile(next, []byte(text), 0o644))
	must(p.t, os.Rename(next, path))
}

func (p *program) remove(name string) {
	p.t.Helper()
	if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

var boundLine = regexp.MustCompile(`https?://(\S+) \(for port (\d+)\)`)

// addr returns where a listener's port is bound, as the banner tells.
func (p *program) addr(port string) string {
	p.t.Helper()
	for _, m := range boundLine.FindAllStringSubmatch(p.err.String(), -1) {
		if m[2] == port {
			return m[1]
		}
	}
	p.t.Fatalf("port %s is not bound; standard error:\n%s", port, p.err)
	return ""
}

// freeAddr returns a loopback address that nobody listens on, for what is bound
// and freed again by a test: where the kernel can choose, 127.0.0.1:0 is better.
// It is below the ports that kernels give to connections and to listeners of
// port 0, so that none of those can take it meanwhile.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(7000)))
		if err != nil {
			continue
		}
		defer func() { _ = ln.Close() }()
		return ln.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

// providers starts the simulated providers, and returns the flags that lead a
// gateway to them.
func providers(t *testing.T, edit func(*simulate.Config)) (*simulate.Server, []string) {
	t.Helper()
	cfg := simulate.Config{}
	for name, key := range map[string]string{"openai": openAIKey, "huggingface": huggingFaceKey} {
		for _, k := range simulate.Kinds() {
			if k.Name == name {
				cfg.Providers = append(cfg.Providers, k.New(simulate.ProviderConfig{Keys: []string{key}, Hosts: k.Hosts}))
			}
		}
	}
	if edit != nil {
		edit(&cfg)
	}
	s, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ca, err := s.CA().WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--upstream-ca", ca}
	for _, k := range simulate.Kinds() {
		for _, host := range k.Hosts {
			flags = append(flags, "--connect-to", host+":443="+s.HTTPSAddr())
		}
	}
	return s, flags
}

// request is one request as a test writes it.
type request struct {
	method, url, body string
	header            map[string]string
}

// reply is what a client got.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) String() string { return fmt.Sprintf("%d %v %q", r.status, r.header, r.body) }

// send sends a request on a connection of its own.
func send(t *testing.T, q request) reply {
	t.Helper()
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r, err := http.NewRequest(method, q.url, body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range q.header {
		if strings.EqualFold(k, "host") {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, q.url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read answer: %v", method, q.url, err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// example returns the files of a walk-through's folder.
func example(t *testing.T, name string, files ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("..", "..", "examples", name, f))
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(b)
	}
	return out
}

// token returns a caller's token out of a walk-through's folder.
func token(t *testing.T, name, who string) string {
	t.Helper()
	for _, text := range example(t, name, who+".jwt") {
		return strings.TrimSpace(text)
	}
	return ""
}
