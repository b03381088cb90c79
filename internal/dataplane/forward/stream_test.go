package forward

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// TestFastEventsAreNotCut: an upstream that answers a stream at once, before
// it has read the request or after, has its answer delivered whole.
func TestFastEventsAreNotCut(t *testing.T) {
	const events = 20
	text := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	want := ""
	for i := range events {
		e := fmt.Sprintf("data: %d\n\n", i)
		want += e
		text += fmt.Sprintf("%x\r\n%s\r\n", len(e), e)
	}
	text += "0\r\n\r\n"
	addr := rawServe(t, func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			early := r.Header.Get("X-Early") != ""
			if early {
				_, _ = io.WriteString(c, text)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if !early {
				_, _ = io.WriteString(c, text)
			}
		}
	})
	for _, tc := range []struct {
		name   string
		h2     bool
		early  string
		length bool
	}{
		{"known length", false, "", true}, {"unknown length", false, "", false}, {"unknown length, early", false, "1", false},
		{"h2, unknown length", true, "", false}, {"h2, unknown length, early", true, "1", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var options []gateOption
			if tc.h2 {
				options = append(options, withHTTP2)
			}
			g := simple(t, addr, Settings{}, options...)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 250 {
						var body io.Reader = strings.NewReader(`{"model":"m","stream":true}`)
						if !tc.length {
							body = io.MultiReader(body)
						}
						r := g.request("POST", "/", body)
						if tc.early != "" {
							r.Header.Set("X-Early", tc.early)
						}
						resp, err := g.client.Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						b, err := io.ReadAll(resp.Body)
						_ = resp.Body.Close()
						if err != nil || string(b) != want {
							t.Errorf("%v after %d bytes of %d", err, len(b), len(want))
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestEachEventIsFlushed: the client has an event before the next is made.
func TestEachEventIsFlushed(t *testing.T) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
	} {
		next := make(chan struct{})
		chunked := strings.Contains(head, "chunked")
		addr := rawServe(t, answering(head, func(c net.Conn) {
			for range 3 {
				if chunked {
					_, _ = io.WriteString(c, "4\r\ndata\r\n")
				} else {
					_, _ = io.WriteString(c, "data")
				}
				<-next
			}
			if chunked {
				_, _ = io.WriteString(c, "0\r\n\r\n")
			}
		}))
		g := simple(t, addr, Settings{})
		resp, err := g.client.Do(g.request("GET", "/", nil))
		must(t, err)
		for range 3 {
			var b [4]byte
			_, err := io.ReadFull(resp.Body, b[:])
			must(t, err)
			next <- struct{}{}
		}
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d, %v", n, err)
		}
		_ = resp.Body.Close()
	}
}

// TestHeadIsNotHeldBack: the head of a stream comes before its first event.
func TestHeadIsNotHeldBack(t *testing.T) {
	seen := make(chan struct{})
	addr := rawServe(t, answering("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", func(c net.Conn) {
		<-seen
		_, _ = io.WriteString(c, "0\r\n\r\n")
	}))
	g := simple(t, addr, Settings{})
	resp, err := g.client.Do(g.request("GET", "/", nil))
	must(t, err)
	close(seen)
	_, err = io.ReadAll(resp.Body)
	must(t, err)
	_ = resp.Body.Close()
}

// TestHangUpEndsTheUpstream: a client that goes away, before the head or
// after, takes the upstream's request with it.
func TestHangUpEndsTheUpstream(t *testing.T) {
	for _, head := range []string{"", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"} {
		for _, body := range []string{"", "{}"} {
			arrived, ended := make(chan struct{}), make(chan struct{})
			addr := rawServe(t, answering(head, func(c net.Conn) {
				close(arrived)
				wait(c)
				close(ended)
			}))
			g := simple(t, addr, Settings{})
			ctx, cancel := context.WithCancel(context.Background())
			r := g.request("POST", "/", strings.NewReader(body)).WithContext(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if resp, err := g.client.Do(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}()
			<-arrived
			cancel()
			<-ended
			<-done
			if rec := g.last(1); rec.Cut != "client" {
				t.Errorf("cut by %q", rec.Cut)
			}
		}
	}
}

// TestLargeBodiesStream: in both directions, without being held.
func TestLargeBodiesStream(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	g := simple(t, addr, Settings{})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for _, known := range []bool{true, false} {
		var body io.Reader = bytes.NewReader(data)
		if !known {
			body = io.MultiReader(body)
		}
		resp, got := g.do(g.request("POST", "/", body))
		if got != string(data) || known != (resp.Header.Get("X-Length") == fmt.Sprint(len(data))) {
			t.Errorf("known %v: %d bytes, length %s", known, len(got), resp.Header.Get("X-Length"))
		}
	}
	if n := g.bodies.Used(); n != 0 {
		t.Errorf("%d bytes of the budget are used", n)
	}
}

// TestEarlyAnswer: an upstream refuses before it has read all of the body; the client
// has the refusal, and nobody hangs.
func TestEarlyAnswer(t *testing.T) {
	for _, end := range []func(net.Conn){nil, wait} {
		addr := rawServe(t, func(c net.Conn, _ int) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			_, _ = io.ReadFull(r.Body, make([]byte, len("beginning")))
			_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch")
			if end != nil {
				end(c)
			}
		})
		g := simple(t, addr, Settings{})
		pr, pw := io.Pipe()
		r := g.request("POST", "/", pr)
		go func() { _, _ = pw.Write([]byte("beginning")) }()
		resp, body := g.do(r)
		if resp.StatusCode != 413 || body != "much" {
			t.Errorf("got %s %q", resp.Status, body)
		}
		_ = pw.Close()
		g.last(1)
	}
}

// TestBothWays: an upstream that has begun to answer still gets what the client
// goes on to send.
func TestBothWays(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		for b := make([]byte, 1); ; {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			_, _ = w.Write(b)
			_ = c.Flush()
		}
	})
	c := simple(t, addr, Settings{}).dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	br := bufio.NewReader(c)
	var body io.Reader
	for i, text := range []string{"a", "b", "c"} {
		_, _ = io.WriteString(c, "1\r\n"+text+"\r\n")
		if i == 0 {
			resp, err := http.ReadResponse(br, nil)
			must(t, err)
			body = resp.Body
		}
		b := make([]byte, 1)
		if _, err := io.ReadFull(body, b); err != nil || string(b) != text {
			t.Fatalf("%q came back as %q: %v", text, b, err)
		}
	}
	_, _ = io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("in the end: %q %v", rest, err)
	}
}

// TestExpect: the client's body is asked for only when there is an upstream
// to send it to.
func TestExpect(t *testing.T) {
	seen := make(chan string, 1)
	good := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- string(b) + r.Header.Get("Expect")
	})
	send := func(addr, length string) (first string, c net.Conn, br *bufio.Reader) {
		c = simple(t, addr, Settings{}).dial()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "+length+"\r\nExpect: 100-continue\r\n\r\n")
		br = bufio.NewReader(c)
		var err error
		first, err = br.ReadString('\n')
		must(t, err)
		return first, c, br
	}
	if first, _, _ := send(good, "40000000"); !strings.Contains(first, "413") {
		t.Errorf("too long: %q", first)
	}
	if first, _, _ := send(refused, "100000"); !strings.Contains(first, "503") {
		t.Errorf("without an upstream: %q", first)
	}
	first, c, br := send(good, "100000")
	if !strings.Contains(first, "100") {
		t.Fatalf("with one: %q", first)
	}
	_, _ = io.WriteString(c, strings.Repeat("a", 100000))
	_, _ = br.ReadString('\n')
	if second, _ := br.ReadString('\n'); !strings.Contains(second, "200") {
		t.Errorf("then %q", second)
	}
	if got := <-seen; got != strings.Repeat("a", 100000) {
		t.Errorf("%d bytes", len(got))
	}
}

// TestSlowClient: a client that dribbles its body is answered 408, whether
// the body is collected or streamed.
func TestSlowClient(t *testing.T) {
	const limit = 50 * time.Millisecond
	for _, s := range []ir.Timeouts{{Request: limit}, {Idle: limit}} {
		for _, head := range []string{"Content-Length: 10", "Content-Length: 1000000", "Transfer-Encoding: chunked"} {
			still(t, func(c net.Conn, _ int) { wait(c) }, Settings{Timeouts: []ir.Timeouts{s}}, func(t *testing.T, g *gate) {
				c, began := g.dial(), time.Now()
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+head+"\r\n\r\n4\r\nab")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || resp.StatusCode != 408 || time.Since(began) != limit {
					t.Errorf("%s: after %v %v, %v", head, time.Since(began), resp, err)
				}
				_ = c.Close()
				g.last(1)
			})
		}
	}
}

// TestSlowReader: a client that does not read its answer is let go.
func TestSlowReader(t *testing.T) {
	flood := answering("HTTP/1.1 200 OK\r\n\r\n", func(c net.Conn) {
		piece := make([]byte, 1<<16)
		for {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	})
	still(t, flood, Settings{Timeouts: []ir.Timeouts{{Idle: 100 * time.Millisecond}}}, func(t *testing.T, g *gate) {
		_, _ = io.WriteString(g.dial(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := g.last(1); r.Cut != "timeout" {
			t.Errorf("cut by %q", r.Cut)
		}
	})
}

// TestBrokenClientBody: a body that ends too soon never reaches the upstream
// as a whole one.
func TestBrokenClientBody(t *testing.T) {
	got := make(chan error, 1)
	addr := rawServe(t, func(c net.Conn, _ int) {
		_, _, err := readRequest(c)
		got <- err
	})
	for _, head := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked"} {
		g := simple(t, addr, Settings{})
		c := g.dial()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+head+"\r\n\r\n4\r\nabcd\r\n")
		_ = c.(*net.TCPConn).CloseWrite()
		if err := <-got; err == nil {
			t.Errorf("%s: the upstream takes half for whole", head)
		}
		_ = c.Close()
		g.last(1)
	}
}

// TestTooLargeBody: the listener's limit holds for what is streamed too.
func TestTooLargeBody(t *testing.T) {
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	g := simple(t, addr, Settings{})
	resp, _ := g.do(g.request("POST", "/", io.MultiReader(bytes.NewReader(make([]byte, 32<<20+1)))))
	if resp.StatusCode != 413 {
		t.Error(resp.Status)
	}
}
