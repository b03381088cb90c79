package program

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// sent is what an upstream got of one request's body, and how it ended.
type sent struct {
	bytes int64
	err   error
}

// reading is an upstream that tells of a head, reads the body, tells what came
// of it, and answers.
func reading(t *testing.T) (u *raw, began chan struct{}, got chan sent) {
	began, got = make(chan struct{}, 16), make(chan sent, 16)
	return startRaw(t, eachRequest(func(c net.Conn, r *http.Request) bool {
		began <- struct{}{}
		n, err := io.Copy(io.Discard, r.Body)
		got <- sent{n, err}
		if err == nil {
			_, err = io.WriteString(c, fine)
		}
		return err == nil
	})), began, got
}

// TestHalfRequestBodies holds that an upstream never takes half a request for
// whole, when the client hangs up in the middle of its body.
func TestHalfRequestBodies(t *testing.T) {
	leaksNothing(t)
	up, began, got := reading(t)
	p := run(t, files(nil, target{name: "up", addr: up.addr}), settings{})
	for _, tc := range []struct {
		name, head, part string
		reaches          bool // the upstream sees something of it
	}{
		{"short, of a declared length", "Content-Length: 100", chatter(50), false},
		{"long, of a declared length", "Content-Length: 1000000", chatter(400000), true},
		{"in chunks", "Transfer-Encoding: chunked", "10\r\n" + chatter(16) + "\r\n", true},
		{"in the middle of a chunk", "Transfer-Encoding: chunked", "100\r\n" + chatter(16), true},
	} {
		c := dial(t, p.addr("8080"))
		_, err := fmt.Fprintf(c, "POST /up HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", tc.head, tc.part)
		if err != nil {
			t.Fatal(err)
		}
		if tc.reaches { // hang up only once it has begun
			select {
			case <-began:
			case <-time.After(patience):
				t.Fatalf("%s: nothing of it reaches the upstream", tc.name)
			}
		}
		_ = c.Close()
		if tc.reaches {
			select {
			case s := <-got:
				if s.err == nil {
					t.Errorf("%s: the upstream took %d bytes for a whole body", tc.name, s.bytes)
				}
			case <-time.After(patience):
				t.Errorf("%s: the upstream still waits", tc.name)
			}
		}
		p.await("end of the upstream's connection", func() bool { open, _ := up.conns(); return open == 0 })
	}
	select {
	case s := <-got:
		t.Errorf("a request reached the upstream that never was whole: %d bytes, %v", s.bytes, s.err)
	default:
	}
	if status, text, err := fetch(t, client(t, "HTTP/1.1"), "POST", "http://"+p.addr("8080")+"/up", strings.NewReader("whole")); status != 200 || text != "fine" || err != nil {
		t.Errorf("whole: %d %q, %v", status, text, err)
	}
}

// impatient is how long a listener waits for heads, and for bodies and readers.
// What a test does not ask about is long: it may itself be late by seconds.
func impatient(heads, streams string) string {
	return optionOf("HttpListenerOption", "impatient", "{group: gateway.networking.k8s.io, kind: Gateway, name: gw}",
		"httpConnectionManagerSettings: {requestHeadersTimeout: "+heads+", streamIdleTimeout: "+streams+"}")
}

// TestSlowClients holds that clients which dribble, or stop, hold nothing for
// long: a connection is closed or answered, and the upstream is let go.
func TestSlowClients(t *testing.T) {
	leaksNothing(t)
	up, _, _ := reading(t)
	waits := func(heads, streams string) *program {
		return run(t, files(map[string]string{"impatient.yaml": impatient(heads, streams)}, target{name: "up", addr: up.addr}), settings{})
	}
	heads, bodies := waits("0.5s", "300s"), waits("300s", "0.5s")
	for _, tc := range []struct {
		name, begins, dribbles string
		want                   string // how the answer begins
		p                      *program
	}{
		{"nothing at all", "", "", "", heads},
		{"a dribbled head", "GET /up HTTP/1.1\r\nHost: x\r\nX-Slow: ", "z", "", heads},
		{"a head that stops", "GET /up HTTP/1.1\r\nHost", "", "", heads},
		{"a short body that stops", "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", "", "HTTP/1.1 408 ", bodies},
		{"a long body that stops", "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc", "", "HTTP/1.1 408 ", bodies},
		{"chunks that stop", "POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "", "HTTP/1.1 408 ", bodies},
	} {
		c := dial(t, tc.p.addr("8080"))
		_, _ = io.WriteString(c, tc.begins)
		answer := make(chan string, 1)
		began := time.Now()
		go func() {
			b, _ := io.ReadAll(c)
			answer <- string(b)
		}()
		tick := time.NewTicker(20 * time.Millisecond)
		got := ""
		for waiting := true; waiting; {
			select {
			case got = <-answer:
				waiting = false
			case <-tick.C:
				_, _ = io.WriteString(c, tc.dribbles)
			}
		}
		tick.Stop()
		if !strings.HasPrefix(got, tc.want) || tc.want == "" && strings.HasPrefix(got, "HTTP/1.1 2") {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s: held for %v", tc.name, took)
		}
		_ = c.Close()
	}
	bodies.await("end of the upstream's connections", func() bool { open, _ := up.conns(); return open == 0 })
}

// TestReadersThatStop holds that a client which does not read its answer holds
// up its upstream, costs no memory, and is cut after a while.
func TestReadersThatStop(t *testing.T) {
	leaksNothing(t)
	wrote := make(chan int64, 64)
	up := startRaw(t, func(c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		var n int64
		piece := []byte(chatter(64 << 10))
		for n < 1<<30 {
			m, err := c.Write(piece)
			if n += int64(m); err != nil {
				break
			}
		}
		wrote <- n
	})
	p := run(t, files(map[string]string{"impatient.yaml": impatient("300s", "0.5s")}, target{name: "up", addr: up.addr}), settings{})
	before := heap()
	const clients = 20
	for i := range clients {
		c := dial(t, p.addr("8080"))
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = io.WriteString(c, "GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("%d clients that do not read cost %d kB", clients, grown>>10)
	}
	for range clients {
		select {
		case n := <-wrote:
			if n > 64<<20 {
				t.Errorf("%d MB were taken from the upstream for a client that does not read", n>>20)
			}
		case <-time.After(patience):
			t.Fatal("an upstream is held up without end by a client that does not read")
		}
	}
}

// TestHangUps holds that the upstream hears at once of a client that hung up:
// before the answer, and in the middle of a stream.
func TestHangUps(t *testing.T) {
	leaksNothing(t)
	began := make(chan string, 1)
	up := startRaw(t, eachRequest(func(c net.Conn, r *http.Request) bool {
		began <- r.URL.Path
		if r.URL.Path == "/up/stream" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
		}
		_, err := c.Read(make([]byte, 1))
		return err == nil
	}))
	p := run(t, files(nil, target{name: "up", addr: up.addr}), settings{})
	before := runtime.NumGoroutine()
	var clients []*http.Client
	for _, protocol := range []string{"HTTP/1.1", "h2c"} {
		for _, path := range []string{"/up/head", "/up/stream"} {
			for range 5 {
				c := client(t, protocol)
				clients = append(clients, c)
				ctx, hangUp := context.WithCancel(t.Context())
				r, err := http.NewRequestWithContext(ctx, "GET", "http://"+p.addr("8080")+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				first := make(chan struct{})
				go func() {
					resp, err := c.Do(r)
					if err != nil {
						ended <- err
						return
					}
					defer func() { _ = resp.Body.Close() }()
					_, _ = io.ReadFull(resp.Body, make([]byte, len("data: 1\n\n")))
					close(first)
					_, err = io.ReadAll(resp.Body)
					ended <- err
				}()
				<-began
				if path == "/up/stream" {
					<-first
				}
				hangUp()
				if err := <-ended; err == nil {
					t.Errorf("%s %s: ended well", protocol, path)
				}
				within(t, time.Second, protocol+" "+path+": the upstream's end", func() {
					p.await("end of the upstream's connection", func() bool { open, _ := up.conns(); return open == 0 })
				})
			}
		}
	}
	p.settles(before, clients...)
	p.await("499 in the access log", func() bool { return strings.Contains(p.out.String(), "499") })
}
