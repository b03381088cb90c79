package forward

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// rawServe starts an upstream that is whatever f does with a connection; n
// counts them from 0. f's connection is closed when it returns.
func rawServe(t testing.TB, f func(c net.Conn, n int)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serveRaw(t, l, f)
	return l.Addr().String()
}

// serveRaw is rawServe on a listener.
func serveRaw(t testing.TB, l net.Listener, f func(c net.Conn, n int)) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				f(c, n)
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// readRequest reads a request with its body.
func readRequest(c net.Conn) (*http.Request, string, error) {
	return readRequestFrom(bufio.NewReader(c))
}

func readRequestFrom(br *bufio.Reader) (*http.Request, string, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

// answering is an upstream that reads a request, writes text, and then does
// end with the connection.
func answering(text string, end func(net.Conn)) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		if _, _, err := readRequest(c); err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		if end != nil {
			end(c)
		}
	}
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// wait reads until the peer closes.
func wait(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestFailureBeforeHead(t *testing.T) {
	const prefix = "upstream connect error or disconnect/reset before headers. reset reason: "
	for _, tc := range []struct {
		name     string
		upstream func(net.Conn, int) // nil: nobody listens
		status   int
		body     string
	}{
		{"nobody listens", nil, 503, prefix + "connection failure"},
		{"closed at once", func(net.Conn, int) {}, 503, prefix + "connection termination"},
		{"closed after the request", answering("", nil), 503, prefix + "connection termination"},
		{"reset after the request", answering("", reset), 503, prefix + "connection termination"},
		{"half a head", answering("HTTP/1.1 200 OK\r\nContent-", nil), 503, prefix + "connection termination"},
		{"half a head, reset", answering("HTTP/1.1 200 OK\r\nContent-", reset), 503, prefix + "connection termination"},
		{"garbage", answering("SSH-2.0-OpenSSH_9.0 secret-of-upstream\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"bad length", answering("HTTP/1.1 200 OK\r\nContent-Length: secret-of-upstream\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"two lengths", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"header without colon", answering("HTTP/1.1 200 OK\r\nsecret-of-upstream\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"another version", answering("HTTP/2.0 200 OK\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"low status", answering("HTTP/1.1 099 No\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"unknown coding", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"switches unasked", answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"head too large", answering("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 1<<20)+"\r\n\r\n", wait), 502, prefix + "protocol error"},
		{"too many headers", answering("HTTP/1.1 200 OK\r\n"+strings.Repeat("A: a\r\n", 200)+"\r\n", wait), 502, prefix + "protocol error"},
		{"endless interim answers", answering(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), wait), 502, prefix + "protocol error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := refused
			if tc.upstream != nil {
				addr = rawServe(t, tc.upstream)
			}
			g := simple(t, addr, Settings{})
			resp, body := g.do(g.request("POST", "/", strings.NewReader("{}")))
			if resp.StatusCode != tc.status || body != tc.body {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tc.status, tc.body)
			}
			r := g.last(1)
			if r.Verdict != "failed" || r.Cause == "" || strings.Contains(r.Cause, "secret-of-upstream") {
				t.Errorf("record: %s %q", r.Verdict, r.Cause)
			}
		})
	}
}

// TestTimeoutBeforeHead: each time-out ends a wait for the head when it is due.
func TestTimeoutBeforeHead(t *testing.T) {
	const limit = 50 * time.Millisecond
	short := ir.Timeouts{Attempt: limit}
	for _, tc := range []struct {
		name, text string
		timeouts   ir.Timeouts
	}{
		{"attempt", "", short},
		{"request", "", ir.Timeouts{Request: limit}},
		{"idle", "", ir.Timeouts{Idle: limit}},
		{"half a head", "HTTP/1.1 200 OK\r\nA: b", short},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Settings{Timeouts: []ir.Timeouts{{Attempt: time.Hour, Idle: time.Hour}, tc.timeouts}}
			still(t, answering(tc.text, wait), s, func(t *testing.T, g *gate) {
				began := time.Now()
				resp, body := g.do(g.request("POST", "/", strings.NewReader("{}")))
				if resp.StatusCode != 504 || body != "upstream request timeout" || time.Since(began) != limit {
					t.Errorf("after %v got %d %q", time.Since(began), resp.StatusCode, body)
				}
				if r := g.last(1); r.Verdict != "failed" || r.Cause == "" {
					t.Errorf("record: %s %q", r.Verdict, r.Cause)
				}
			})
		})
	}
}

func TestFailureAfterHead(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		end        func(net.Conn)
	}{
		{"length not reached", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", nil},
		{"length not reached, reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", reset},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", nil},
		{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", nil},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", wait},
		{"close-delimited, reset at once", "HTTP/1.1 200 OK\r\n\r\nabc", reset},
	} {
		t.Run(tc.name, func(t *testing.T) {
			simple(t, rawServe(t, answering(tc.text, tc.end)), Settings{}).half("upstream")
		})
	}
}

// half gets an answer that is cut short, and by whom.
func (g *gate) half(by string) {
	g.t.Helper()
	resp, err := g.client.Do(g.request("GET", "/", nil))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		g.t.Error("the client takes half for whole")
	}
	if r := g.last(1); r.Cut != by || r.Cause == "" {
		g.t.Errorf("record: cut %q, cause %q", r.Cut, r.Cause)
	}
}

// TestTimeoutAfterHead: each time-out cuts an answer short when it is due.
func TestTimeoutAfterHead(t *testing.T) {
	const limit = 50 * time.Millisecond
	const event = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n"
	for _, tc := range []struct {
		name, text string
		timeouts   ir.Timeouts
	}{
		{"close-delimited, idle", "HTTP/1.1 200 OK\r\n\r\nabc", ir.Timeouts{Idle: limit}},
		{"events, idle", event, ir.Timeouts{Idle: limit}},
		{"events, stream", event, ir.Timeouts{Stream: limit}},
		{"request", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: a", ir.Timeouts{Request: limit}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			still(t, answering(tc.text, wait), Settings{Timeouts: []ir.Timeouts{tc.timeouts}}, func(t *testing.T, g *gate) {
				began := time.Now()
				g.half("timeout")
				if took := time.Since(began); took != limit {
					t.Errorf("cut after %v", took)
				}
			})
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name, method, text string
		status             int
		body               string
		header             map[string]string
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", map[string]string{"Content-Length": "3"}},
		{"interim", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", map[string]string{"Link": ""}},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", 200, "", map[string]string{"Content-Length": "33"}},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", map[string]string{"Content-Length": ""}},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 7\r\n\r\n", 304, "", map[string]string{"ETag": `"a"`}},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", map[string]string{"Content-Length": "0"}},
		{"close-delimited", "GET", "HTTP/1.0 200 OK\r\n\r\nabc", 200, "abc", map[string]string{"Content-Length": ""}},
		{"chunk extensions", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, "abcde", nil},
		{"length and chunked", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "abc", map[string]string{"Content-Length": ""}},
		{"hop by hop", "GET", "HTTP/1.1 200 OK\r\nConnection: x-mine, close\r\nX-Mine: 1\r\nKeep-Alive: 3\r\nProxy-Authenticate: x\r\nAlt-Svc: h3\r\nContent-Length: 3\r\n\r\nabc", 200, "abc",
			map[string]string{"X-Mine": "", "Keep-Alive": "", "Proxy-Authenticate": "", "Alt-Svc": "h3"}},
		{"no type", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 200, "<html>", map[string]string{"Content-Type": ""}},
		{"odd status", "GET", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", 799, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := simple(t, rawServe(t, answering(tc.text, nil)), Settings{})
			resp, body := g.do(g.request(tc.method, "/", nil))
			if resp.StatusCode != tc.status || body != tc.body {
				t.Errorf("got %d %q", resp.StatusCode, body)
			}
			for name, want := range tc.header {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if r := g.last(1); r.Cut != "" || r.Status != tc.status {
				t.Errorf("record: %d, cut %q", r.Status, r.Cut)
			}
		})
	}
}

func TestAnswerTrailers(t *testing.T) {
	g := simple(t, rawServe(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\nContent-Length: 4\r\n\r\n", nil)), Settings{})
	resp, body := g.get("/")
	if body != "abc" || resp.Trailer.Get("X-Sum") != "7" || resp.Trailer.Get("X-More") != "8" || len(resp.Trailer) != 2 {
		t.Errorf("got %q, trailers %v", body, resp.Trailer)
	}
}

func TestRequestTrailers(t *testing.T) {
	trailers := make(chan http.Header, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	})
	g := simple(t, addr, Settings{})
	r := g.request("POST", "/", io.MultiReader(strings.NewReader("abc"), strings.NewReader("def")))
	r.Trailer = http.Header{"X-Sum": {"7"}, "Authorization": {"Bearer x"}, "X-Request-Id": {"mine"}}
	g.do(r)
	got := <-trailers
	if got.Get("X-Sum") != "7" || len(got) != 1 {
		t.Errorf("trailers %v", got)
	}
}
