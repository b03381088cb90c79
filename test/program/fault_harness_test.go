package program

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// gatewayOn is a Gateway with one plain listener on port 8080.
const gatewayOn = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: apps}
spec:
  gatewayClassName: any
  listeners:
  - {name: http, protocol: HTTP, port: 8080}
`

// target is a route under /name, to an upstream at addr.
type target struct {
	name, addr string
	// upstream and rule are further YAML of the Upstream's spec and of the
	// route's rule; host is what a host of the Upstream has besides.
	upstream, rule, host string
}

func (r target) yaml() string {
	host, port, _ := net.SplitHostPort(r.addr)
	return fmt.Sprintf(`
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: %[1]s, namespace: apps}
spec:
  static: {hosts: [{addr: %[2]s, port: %[3]s%[4]s}]%[7]s}
  %[5]s
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /%[1]s}}]
    backendRefs: [{name: %[1]s, group: gloo.solo.io, kind: Upstream}]
    %[6]s
`, r.name, host, port, r.host, r.upstream, r.rule, map[bool]string{true: ", useTls: true"}[r.host != ""])
}

// raw is an upstream whose every byte a test decides.
type raw struct {
	addr string
	ln   net.Listener
	work sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	total  int
}

// startRaw starts an upstream that gives each connection to handle, and closes
// it when that returns.
func startRaw(t *testing.T, handle func(c net.Conn, br *bufio.Reader)) *raw {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &raw{addr: ln.Addr().String(), ln: ln, open: map[net.Conn]bool{}}
	u.work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if !u.enter(c) {
				return
			}
			u.work.Go(func() {
				defer u.leave(c)
				handle(c, bufio.NewReaderSize(c, 1<<10))
			})
		}
	})
	t.Cleanup(u.close)
	return u
}

func (u *raw) enter(c net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		_ = c.Close()
		return false
	}
	u.open[c] = true
	u.total++
	return true
}

func (u *raw) leave(c net.Conn) {
	_ = c.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, c)
}

// conns returns how many connections are open, and how many there were.
func (u *raw) conns() (open, total int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open), u.total
}

func (u *raw) close() {
	_ = u.ln.Close()
	u.mu.Lock()
	u.closed = true
	for c := range u.open {
		_ = c.Close()
	}
	u.mu.Unlock()
	u.work.Wait()
}

// eachRequest makes a handler of one that answers request after request, until
// it returns false.
func eachRequest(answer func(c net.Conn, r *http.Request) bool) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, br *bufio.Reader) {
		for {
			r, err := http.ReadRequest(br)
			if err != nil || !answer(c, r) {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	}
}

// says answers every request, after reading it, with these bytes.
func says(text string) func(net.Conn, *bufio.Reader) {
	return eachRequest(func(c net.Conn, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		_, err := io.WriteString(c, text)
		return err == nil
	})
}

// then sends text and ends the connection, by a TCP reset if asked.
func then(reset bool, text string) func(net.Conn, *bufio.Reader) {
	return eachRequest(func(c net.Conn, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(c, text)
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		return false
	})
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"

// client returns an HTTP client of one protocol, "HTTP/1.1" or "h2c", that
// gives up after the patience of a test.
func client(t *testing.T, protocol string) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols), MaxIdleConnsPerHost: 64}
	tr.Protocols.SetHTTP1(protocol == "HTTP/1.1")
	tr.Protocols.SetUnencryptedHTTP2(protocol == "h2c")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// fetch sends a request and reads the answer to its end; err is how the body
// ended.
func fetch(t *testing.T, c *http.Client, method, url string, body io.Reader) (status int, text string, err error) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// dial opens a connection that ends with the test.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// leaksNothing fails the test if it leaves goroutines behind that were not
// there when it was called.
func leaksNothing(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		var err error
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			if err = goleak.Find(before); err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// settles waits until the number of goroutines is no more than most. It closes
// the clients' connections, which may not be idle at once.
func (p *program) settles(most int, clients ...*http.Client) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > most {
		if time.Now().After(deadline) {
			b := make([]byte, 1<<20)
			p.t.Fatalf("%d goroutines are left of at most %d:\n%s", runtime.NumGoroutine(), most, b[:runtime.Stack(b, true)])
		}
		for _, c := range clients {
			c.CloseIdleConnections()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// files joins targets and other YAML into the files of a run.
func files(more map[string]string, targets ...target) map[string]string {
	out := map[string]string{"gateway.yaml": gatewayOn}
	for _, r := range targets {
		out[r.name+".yaml"] = r.yaml()
	}
	for name, text := range more {
		out[name] = text
	}
	return out
}

// heap returns the bytes of heap and stacks in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// within fails the test unless f returns in time.
func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > d {
		t.Errorf("%s took %v, want at most %v", what, took.Round(time.Millisecond), d)
	}
}

// chatter is a text of n bytes.
func chatter(n int) string { return strings.Repeat("postern ", n/8+1)[:n] }

// newRequest returns a GET for a host.
func newRequest(t *testing.T, url, host string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	return r
}

// closedAddr returns an address at which every connection is refused: a port
// that is taken for the length of the test, and not listened on.
func closedAddr(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}
