package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-gateway/postern/test/child"
	"github.com/postern-gateway/postern/test/static"
)

// held is an upstream whose answers wait until they are let go.
func held(t *testing.T) (u *raw, let func()) {
	free := make(chan struct{})
	u = startRaw(t, eachRequest(func(c net.Conn, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/up/stream") {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nbegins \r\n")
			<-free
			_, err := io.WriteString(c, "4\r\nends\r\n0\r\n\r\n")
			return err == nil
		}
		<-free
		_, err := io.WriteString(c, fine)
		return err == nil
	}))
	var once sync.Once
	let = func() { once.Do(func() { close(free) }) }
	t.Cleanup(let)
	return u, let
}

// outcome is how a request ended.
type outcome struct {
	name, text string
	status     int
	err        error
}

// begin sends a request for each protocol and path, and waits until all of
// them have reached the upstream.
func begin(t *testing.T, p *program, u *raw, addr string) chan outcome {
	t.Helper()
	out := make(chan outcome, 8)
	n := 0
	for _, protocol := range []string{"HTTP/1.1", "h2c"} {
		for _, path := range []string{"/up/head", "/up/stream"} {
			c := client(t, protocol)
			n++
			go func() {
				status, text, err := fetch(t, c, "GET", "http://"+addr+path, nil)
				out <- outcome{protocol + " " + path, text, status, err}
			}()
		}
	}
	p.await("requests at the upstream", func() bool { open, _ := u.conns(); return open == n })
	return out
}

// expectEnds waits for the four outcomes of begin.
func expectEnds(t *testing.T, out chan outcome, well bool) {
	t.Helper()
	for range 4 {
		o := <-out
		want := "fine"
		if strings.HasSuffix(o.name, "stream") {
			want = "begins ends"
		}
		switch good := o.err == nil && o.status == 200 && o.text == want; {
		case well && !good:
			t.Errorf("%s: %d %q, %v", o.name, o.status, o.text, o.err)
		case !well && o.err == nil && o.status == 200:
			t.Errorf("%s: an answer that was cut looks whole: %q", o.name, o.text)
		}
	}
}

// refuses waits until nobody accepts on addr.
func (p *program) refuses(addr string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			p.t.Fatalf("%s still accepts", addr)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestDrain ends the program while requests and streams are under way: new
// connections are refused, /readyz says so, and what is under way finishes.
func TestDrain(t *testing.T) {
	leaksNothing(t)
	u, let := held(t)
	p := run(t, files(nil, target{name: "up", addr: u.addr}), settings{})
	addr := p.addr("8080")
	ends := begin(t, p, u, addr)
	p.stop()
	p.refuses(addr)
	if status, _, err := fetch(t, client(t, "HTTP/1.1"), "GET", "http://"+p.admin+"/readyz", nil); status != 503 || err != nil {
		t.Errorf("/readyz while draining: %d, %v", status, err)
	}
	select {
	case o := <-ends:
		t.Errorf("ended by the drain: %+v", o)
	default:
	}
	let()
	expectEnds(t, ends, true)
}

// TestDrainLimit holds that the limit cuts what is left, wherever it is: on a
// port that is served, on one that was freed before, and on one that was given
// to another server since.
func TestDrainLimit(t *testing.T) {
	const limit = 500 * time.Millisecond
	for _, tc := range []struct {
		name   string
		change func(p *program)
	}{
		{"served", func(*program) {}},
		{"freed", func(p *program) {
			p.write("gateway.yaml", strings.Replace(gatewayOn, "8080", "8443", 1))
			p.await("8443", func() bool { return strings.Count(p.err.String(), "reloaded") > 0 })
		}},
		{"other limits", func(p *program) {
			p.write("limits.yaml", impatient("299s", "299s"))
			p.await("limits", func() bool { return strings.Count(p.err.String(), "reloaded") > 0 })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leaksNothing(t)
			u, _ := held(t)
			p := run(t, files(nil, target{name: "up", addr: u.addr}), settings{args: []string{"--drain", limit.String()}})
			ends := begin(t, p, u, p.addr("8080"))
			tc.change(p)
			began := time.Now()
			p.stop()
			expectEnds(t, ends, false)
			code := <-p.code
			p.code <- code
			if took := time.Since(began); took < limit/2 || took > limit+patience {
				t.Errorf("ended after %v, with a limit of %v", took, limit)
			}
			if n := strings.Count(p.out.String(), `"path":"/up/`); n != 4 {
				t.Errorf("%d requests that were cut are in the access log, want 4:\n%s", n, p.out)
			}
		})
	}
}

// TestDrainUpgraded holds that an upgraded connection may go on while the
// program drains, which ends with it, and is cut at the limit.
func TestDrainUpgraded(t *testing.T) {
	t.Run("goes on", func(t *testing.T) {
		c, p := upgrade(t, 5*patience)
		addr := p.addr("8080")
		p.stop()
		p.refuses(addr)
		if _, err := io.WriteString(c, "still here"); err != nil {
			t.Errorf("cut as the drain began: %v", err)
		}
		if _, err := io.ReadFull(c, make([]byte, len("still here"))); err != nil {
			t.Errorf("cut as the drain began: %v", err)
		}
		_ = c.Close()
		p.code <- p.ends()
	})
	t.Run("is cut", func(t *testing.T) {
		const limit = 500 * time.Millisecond
		c, p := upgrade(t, limit)
		began := time.Now()
		p.stop()
		_, err := io.Copy(io.Discard, c)
		if took := time.Since(began); took < limit/2 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ended after %v (%v), with a limit of %v", took, err, limit)
		}
	})
}

// upgrade runs a gateway that drains for a while, and opens a connection through
// it that an upstream of its own echoes.
func upgrade(t *testing.T, drain time.Duration) (net.Conn, *program) {
	t.Helper()
	leaksNothing(t)
	u := startRaw(t, eachRequest(func(c net.Conn, _ *http.Request) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, c)
		return false
	}))
	p := run(t, files(nil, target{name: "up", addr: u.addr}), settings{args: []string{"--drain", drain.String()}})
	c := dial(t, p.addr("8080"))
	_, _ = io.WriteString(c, "GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 101"))
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 101" {
		t.Fatalf("%q, %v", head, err)
	}
	for b, last := make([]byte, 1), ""; !strings.HasSuffix(last, "\r\n\r\n"); last += string(b) {
		if _, err := c.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	return c, p
}

// process is a running program of its own.
type process struct {
	*exec.Cmd
	*program
	exited chan error
	ready  time.Duration // from the start
}

// start runs the built program on the files until it is ready, and kills it
// with the test if nothing else ended it.
func start(t *testing.T, files map[string]string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return launch(t, dir, append([]string{"-f", dir}, args...)...)
}

// launch is start, on the resources that args name.
func launch(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return launchBy(t, nil, dir, args...)
}

// launchBy is launch by a command that becomes the program it is given, as
// nsenter does.
func launchBy(t *testing.T, by []string, dir string, args ...string) *process {
	t.Helper()
	line := append(append(by, static.Postern(t), "run", "--admin", "127.0.0.1:0", "--port", "8080=127.0.0.1:0"), args...)
	p := &process{program: &program{t: t, dir: dir, out: &buffer{}, err: &buffer{}, code: make(chan int, 1)}, exited: make(chan error, 1)}
	p.Cmd = exec.Command(line[0], line[1:]...)
	p.Env = append(os.Environ(), "OPENAI_API_KEY="+openAIKey, "HF_API_TOKEN="+huggingFaceKey)
	p.Stdout, p.Stderr = p.out, p.err
	began := time.Now()
	ended, err := child.Start(p.Cmd)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		err := <-ended
		p.code <- p.ProcessState.ExitCode()
		p.exited <- err
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
	})
	p.awaitReady()
	p.ready = time.Since(began)
	return p
}

// ends waits for the end of the program and returns its code.
func (p *program) ends() int {
	p.t.Helper()
	select {
	case code := <-p.code:
		return code
	case <-time.After(patience):
		p.t.Fatalf("does not end; standard error:\n%s", p.err)
		return -1
	}
}

// TestSIGTERM drains the real program by a signal.
func TestSIGTERM(t *testing.T) {
	u, let := held(t)
	p := start(t, files(nil, target{name: "up", addr: u.addr}))
	addr := p.addr("8080")
	if status, _, err := fetch(t, client(t, "HTTP/1.1"), "GET", "http://"+p.admin+"/readyz", nil); status != 200 || err != nil {
		t.Errorf("/readyz: %d, %v", status, err)
	}
	ends := begin(t, p.program, u, addr)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.refuses(addr)
	let()
	expectEnds(t, ends, true)
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d; standard error:\n%s", code, p.program.err)
	}
	if !strings.Contains(p.program.err.String(), "postern: drained\n") {
		t.Errorf("no word of the drain:\n%s", p.program.err)
	}
	if n := strings.Count(p.out.String(), `"path":"/up/`); n != 4 {
		t.Errorf("%d requests in the access log, want 4", n)
	}
}

// TestExitCodes runs the real program on what it must refuse.
func TestExitCodes(t *testing.T) {
	path := static.Postern(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "broken.yaml"), []byte("kind: ["), 0o644))
	taken := startRaw(t, says(fine))
	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"version", []string{"version"}, 0, "postern"},
		{"broken file", []string{"run", "-f", dir}, 1, "broken.yaml"},
		{"missing file", []string{"run", "-f", filepath.Join(dir, "none")}, 1, "none"},
		{"check of a broken file", []string{"check", "-f", dir}, 1, "broken.yaml"},
		{"admin port that is taken", []string{"run", "-f", t.TempDir(), "--admin", taken.addr}, 1, "--admin"},
		{"nothing to serve", []string{"run"}, 2, "-f"},
		{"unknown flag", []string{"run", "--none"}, 2, "none"},
		{"unknown command", []string{"none"}, 2, "none"},
		{"bad value", []string{"run", "-f", t.TempDir(), "--port", "x"}, 2, "--port"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, path, tc.args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		cancel()
		code := 0
		if ee := (*exec.ExitError)(nil); errors.As(err, &ee) {
			code = ee.ExitCode()
		} else if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if code != tc.code || !strings.Contains(out.String(), tc.says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", tc.name, code, tc.code, tc.says, out.String())
		}
	}
}

// rss returns a process's anonymous memory in kB, and 0 where /proc does not
// tell.
func rss(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}

// TestIdleMemory measures the real program on a walk-through: the time until
// it serves, and the memory that it holds after a few requests.
func TestIdleMemory(t *testing.T) {
	_, flags := providers(t, nil)
	p := start(t, example(t, "gloo-ai-gateway", "gateway.yaml", "openai.yaml", "jwt-provider.yaml", "openai-opt.yaml"), flags...)
	alice := map[string]string{"Authorization": "Bearer " + token(t, "gloo-ai-gateway", "alice"), "Content-Type": "application/json"}
	const chat = `{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "hello"}]}`
	for range 20 {
		if got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + "/openai", body: chat, header: alice}); got.status != 200 {
			t.Fatalf("a request: %v", got)
		}
	}
	most, deadline := 0, time.Now().Add(3*time.Second)
	for time.Now().Before(deadline) {
		most = max(most, rss(p.Process.Pid))
		time.Sleep(100 * time.Millisecond)
	}
	now := rss(p.Process.Pid)
	if now == 0 {
		t.Skip("no /proc here")
	}
	t.Logf("ready after %v; RssAnon %.1f MB, at most %.1f MB", p.ready.Round(time.Millisecond), float64(now)/1024, float64(most)/1024)
	if most > 40<<10 {
		t.Errorf("an idle program holds %d kB, want 40 MB at most", most)
	}
}
