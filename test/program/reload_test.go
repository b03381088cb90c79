package program

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loaded is a running program under load: requests on kept and on fresh
// connections, and streams, of which none may fail.
type loaded struct {
	t        *testing.T
	p        *program
	base     string
	stop     chan struct{}
	work     sync.WaitGroup
	clients  []*http.Client
	requests atomic.Int64
	events   atomic.Int64
	failures atomic.Int64
}

// keyOf is a provider's key of one version; the upstream refuses any other.
func keyOf(version int) string { return fmt.Sprintf("Bearer MARKER-%d", version) }

// ticking is an upstream that answers requests if they bear a key of ours, and
// else streams events until it is told to end.
func ticking(t *testing.T, end <-chan struct{}) *raw {
	return startRaw(t, eachRequest(func(c net.Conn, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		if !strings.HasPrefix(r.URL.Path, "/stream") {
			answer := fine
			if got := r.Header.Values("Authorization"); len(got) != 1 || !strings.HasPrefix(got[0], "Bearer MARKER-") {
				answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
			}
			_, err := io.WriteString(c, answer)
			return err == nil
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			e := event("tick", i)
			if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(e), e); err != nil {
				return false
			}
			select {
			case <-tick.C:
			case <-end:
				_, err := io.WriteString(c, "0\r\n\r\n")
				return err == nil
			}
		}
	}))
}

// load starts workers of each kind.
func load(t *testing.T, p *program) *loaded {
	l := &loaded{t: t, p: p, base: "http://" + p.addr("8080"), stop: make(chan struct{})}
	for _, protocol := range []string{"HTTP/1.1", "h2c"} {
		kept := client(t, protocol)
		l.clients = append(l.clients, kept)
		for range 2 {
			c := client(t, protocol)
			l.clients = append(l.clients, c)
			l.work.Go(func() { l.ask(func() *http.Client { return kept }) })
			l.work.Go(func() { l.stream(c) })
		}
	}
	l.work.Go(func() {
		l.ask(func() *http.Client {
			return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		})
	})
	return l
}

func (l *loaded) ask(with func() *http.Client) {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		status, text, err := fetch(l.t, with(), "POST", l.base+"/ask", strings.NewReader("{}"))
		l.requests.Add(1)
		if status != 200 || text != "fine" || err != nil {
			l.fail("a request: %d %q, %v", status, text, err)
		}
	}
}

// stream reads events until the upstream ends them.
func (l *loaded) stream(c *http.Client) {
	c.Timeout = 0
	resp, err := c.Get(l.base + "/stream")
	if err != nil {
		l.fail("a stream: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	br := bufio.NewReader(resp.Body)
	for i := 0; ; i++ {
		line, err := br.ReadString('\n')
		if err == io.EOF && line == "" {
			return
		}
		blank, berr := br.ReadString('\n')
		if got := line + blank; err != nil || berr != nil || got != event("tick", i) {
			l.fail("event %d of a stream: %q, %v, %v", i, got, err, berr)
			return
		}
		l.events.Add(1)
	}
}

func (l *loaded) fail(format string, args ...any) {
	if l.failures.Add(1) <= 10 {
		l.t.Errorf(format, args...)
	}
}

const headerSecret = `
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: apps}
type: Opaque
stringData: {Authorization: %s}
`

// policyOf carries the key to the route, and shows a version to clients.
const policyOf = `
apiVersion: gateway.solo.io/v1
kind: RouteOption
metadata: {name: policy, namespace: apps}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ask}]
  options:
    headerManipulation:
      requestHeadersToAdd: [{headerSecretRef: {name: key, namespace: apps}}]
      responseHeadersToAdd: [{header: {key: X-Version, value: "%d"}}]
`

// churn changes a policy, a secret's bytes, the limits of the listener and
// what routes there are, in turn.
func churn(p *program, i int, ask target) {
	switch i % 5 {
	case 0:
		p.write("policy.yaml", fmt.Sprintf(policyOf, i))
	case 1:
		extra := ask
		extra.name = fmt.Sprintf("extra-%d", i%3)
		if path := filepath.Join(p.dir, extra.name+".yaml"); exists(path) {
			p.remove(extra.name + ".yaml")
		} else {
			p.write(extra.name+".yaml", extra.yaml())
		}
	case 2:
		p.write("secret.yaml", fmt.Sprintf(headerSecret, keyOf(i)))
	case 3: // another pool for the route under load
		ask.upstream = fmt.Sprintf("connectionConfig: {connectTimeout: %ds}", 300+i%7)
		p.write("ask.yaml", ask.yaml())
	case 4:
		p.write("impatient.yaml", impatient(fmt.Sprintf("%ds", 300+i%7), "300s"))
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// underReloads runs a load for a while with a reload every so often.
func underReloads(t *testing.T, d, every time.Duration) {
	leaksNothing(t)
	end := make(chan struct{})
	up := ticking(t, end)
	ask, streams := target{name: "ask", addr: up.addr}, target{name: "stream", addr: up.addr}
	p := run(t, files(map[string]string{
		"secret.yaml": fmt.Sprintf(headerSecret, keyOf(0)), "policy.yaml": fmt.Sprintf(policyOf, 0),
	}, ask, streams), settings{args: []string{"--access-log", os.DevNull}}) // else the test would keep it
	before := runtime.NumGoroutine()
	l := load(t, p)
	p.await("load", func() bool { return l.requests.Load() > 50 && l.events.Load() > 20 })
	warm := heap()
	tick := time.NewTicker(every)
	defer tick.Stop()
	reloads := func() int { return strings.Count(p.err.String(), "postern: reloaded") }
	least := 3
	if timed() {
		least = int(d/every) / 5
	}
	began := time.Now()
	for i := 1; time.Since(began) < d || reloads() < least && time.Since(began) < d+patience; i++ {
		churn(p, i, ask)
		<-tick.C
	}
	close(l.stop)
	close(end)
	l.work.Wait()
	pooled := p.awaitIdle(up)
	p.settles(before+pooled+2, l.clients...)
	grown := heap() - warm
	t.Logf("%d requests and %d events of 4 streams through %d reloads, %d failed; heap and stacks grew by %d kB",
		l.requests.Load(), l.events.Load(), reloads(), l.failures.Load(), grown>>10)
	if n := reloads(); n < least {
		t.Errorf("%d reloads, want %d at least", n, least)
	}
	if grown > 32<<20 {
		t.Errorf("memory grew by %d kB", grown>>10)
	}
	if bad := strings.Count(p.err.String(), "error: "); bad > 0 {
		t.Errorf("%d errors:\n%s", bad, p.err)
	}
}

// awaitIdle waits until the pools to u that were replaced are gone, and
// returns the connections that are left: those of the last one or two.
func (p *program) awaitIdle(u *raw) (open int) {
	p.t.Helper()
	p.await("end of the replaced pools", func() bool { open, _ = u.conns(); return open <= 16 })
	return open
}

// TestReloadUnderLoad reloads every 50 ms, under load: not one request fails,
// no stream is cut, and what was replaced is let go.
func TestReloadUnderLoad(t *testing.T) { underReloads(t, 5*time.Second, 50*time.Millisecond) }

// times sorts durations and words their quantiles.
func times(d []time.Duration) (most time.Duration, text string) {
	slices.Sort(d)
	most = d[len(d)-1]
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
	return most, fmt.Sprintf("%d changes: p50 %s, p99 %s, max %s", len(d), ms(d[len(d)/2]), ms(d[len(d)*99/100]), ms(most))
}

// TestChangedFileIsServedSoon measures the time from a change of a file until
// it is served: written in place, by renaming, and as the kubelet swaps a
// ConfigMap.
func TestChangedFileIsServedSoon(t *testing.T) {
	leaksNothing(t)
	ask := target{name: "ask", addr: startRaw(t, says(fine)).addr}
	mounted := t.TempDir()
	swap := func(i int) { // as the kubelet does
		data := filepath.Join(mounted, fmt.Sprintf("..v%d", i))
		must(t, os.Mkdir(data, 0o755))
		must(t, os.WriteFile(filepath.Join(data, "policy.yaml"), fmt.Appendf(nil, policyOf, i), 0o644))
		must(t, os.Symlink(filepath.Base(data), filepath.Join(mounted, "..data_tmp")))
		must(t, os.Rename(filepath.Join(mounted, "..data_tmp"), filepath.Join(mounted, "..data")))
		if i > 0 {
			must(t, os.RemoveAll(filepath.Join(mounted, fmt.Sprintf("..v%d", i-1))))
		}
	}
	swap(0)
	must(t, os.Symlink("..data/policy.yaml", filepath.Join(mounted, "policy.yaml")))
	p := run(t, files(map[string]string{"secret.yaml": fmt.Sprintf(headerSecret, keyOf(0))}, ask), settings{args: []string{"-f", mounted}})
	c := client(t, "HTTP/1.1")
	served := func(version string) bool {
		resp, err := c.Get("http://" + p.addr("8080") + "/ask")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.Header.Get("X-Version") == version
	}
	measure := func(name string, change func(i int)) {
		var all []time.Duration
		for i := 1; i <= 25; i++ {
			began := time.Now()
			change(i)
			p.await(fmt.Sprintf("%s: version %d", name, i), func() bool { return served(fmt.Sprint(i)) })
			all = append(all, time.Since(began))
		}
		most, text := times(all)
		t.Logf("%s: %s", name, text)
		if timed() && most >= time.Second {
			t.Errorf("%s: a change was served after %v", name, most)
		}
	}
	measure("swapped", swap)
	must(t, os.RemoveAll(filepath.Join(mounted, "policy.yaml")))
	p.await("no policy", func() bool { return served("") })
	measure("written", func(i int) {
		must(t, os.WriteFile(filepath.Join(p.dir, "policy.yaml"), fmt.Appendf(nil, policyOf, i), 0o644))
	})
	measure("renamed", func(i int) { p.write("policy.yaml", fmt.Sprintf(policyOf, i)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestHalfWrittenFile holds that a file which cannot be decoded keeps its last
// good state, and that the program says so; what a removed file protected, or
// carried, goes with it, and nothing else.
func TestHalfWrittenFile(t *testing.T) {
	leaksNothing(t)
	up := startRaw(t, says(fine))
	ask, other := target{name: "ask", addr: up.addr}, target{name: "other", addr: up.addr}
	policy := optionOf("RouteOption", "guard", "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ask}",
		"jwtProvidersStaged: {afterExtAuth: "+asks()+"}")
	p := run(t, files(map[string]string{"policy.yaml": policy}, ask, other), settings{})
	status := func(path string) int {
		status, _, err := fetch(t, client(t, "HTTP/1.1"), "GET", "http://"+p.addr("8080")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if status("/ask") != 401 || status("/other") != 200 {
		t.Fatalf("at the start: %d, %d; standard error:\n%s", status("/ask"), status("/other"), p.err)
	}
	p.write("policy.yaml", policy[:len(policy)/2]+"\n\t: [")
	p.await("word of the broken file", func() bool { return strings.Contains(p.err.String(), "last good objects stay in force") })
	if got := status("/ask"); got != 401 {
		t.Errorf("a half-written policy opened its route: %d", got)
	}
	p.write("ask.yaml", "apiVersion: [")
	p.await("word of the other", func() bool { return strings.Count(p.err.String(), "last good objects stay in force") > 1 })
	if got := status("/ask"); got != 401 {
		t.Errorf("a half-written route: %d", got)
	}
	p.write("policy.yaml", policy)
	p.remove("ask.yaml")
	p.await("removed route", func() bool { return status("/ask") == 404 })
	if got := status("/other"); got != 200 {
		t.Errorf("the neighbour of a removed route: %d", got)
	}
	p.await("word of a policy without its target", func() bool {
		return strings.Contains(p.err.String(), "ask") && strings.Contains(p.err.String(), "RouteOption apps/guard")
	})
	p.write("ask.yaml", ask.yaml())
	p.await("the route, guarded", func() bool { return status("/ask") != 404 })
	if got := status("/ask"); got != 401 {
		t.Errorf("the route came back open: %d", got)
	}
	p.remove("policy.yaml")
	p.await("the route, open", func() bool { return status("/ask") == 200 })
}
