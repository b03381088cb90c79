package program

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// limited is a Gateway API gateway on port 8081 with small limits, and with a
// time for heads.
func limited(o *origin, heads string) string {
	return o.yaml("up") + httpGateway("gw", 8081) + httpRoute("all", "gw", rule("/", "up", "")) +
		optionOf("HttpListenerOption", "limits", "{group: gateway.networking.k8s.io, kind: Gateway, name: gw}",
			"buffer: {maxRequestBytes: 4096}, httpConnectionManagerSettings: {requestHeadersTimeout: "+heads+", maxRequestHeadersKb: 8, maxHeadersCount: 20, http2ProtocolOptions: {maxConcurrentStreams: 5}}")
}

// TestSecurityRow12Heads: too many and too long headers are 431, by the
// defaults and by what is configured.
func TestSecurityRow12Heads(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0"}, limited(o, "300s"), virtualService("", route("/", "up", "")))
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-%d: y\r\n", i)
		}
		return b.String()
	}
	for _, tc := range []struct {
		name, port, lines string
		status            int
	}{
		{"90 lines", "8080", lines(90), 200},
		{"101 lines", "8080", lines(101), 431},
		{"one name 200 times", "8080", strings.Repeat("X: y\r\n", 200), 431},
		{"5,000 lines", "8080", lines(5000), 431},
		{"60 KiB", "8080", "X: " + strings.Repeat("y", 60<<10) + "\r\n", 200},
		{"200 KiB", "8080", "X: " + strings.Repeat("y", 200<<10) + "\r\n", 431},
		{"a name of 200 KiB", "8080", strings.Repeat("y", 200<<10) + ": x\r\n", 431},
		{"configured, 10 lines", "8081", lines(10), 200},
		{"configured, 21 lines", "8081", lines(21), 431},
		{"configured, 30 KiB", "8081", "X: " + strings.Repeat("y", 30<<10) + "\r\n", 431},
	} {
		got := sendRaw(t, p.addr(tc.port), "GET / HTTP/1.1\r\nHost: a\r\n"+tc.lines+"\r\n")
		if n := len(o.requests()); got.status != tc.status || (n == 1) != (tc.status == 200) {
			t.Errorf("%s: %d, want %d; %d requests upstream", tc.name, got.status, tc.status, n)
		}
	}
	if got := sendRaw(t, p.addr("8080"), "GET /"+strings.Repeat("a", 300<<10)+" HTTP/1.1\r\nHost: a\r\n\r\n"); got.status != 414 && got.status != 431 || len(o.requests()) != 0 {
		t.Errorf("a target of 300 KiB: %d", got.status)
	}
}

// endless is a body that never ends, as far as anyone reads it.
type endless struct{ left int64 }

func (r *endless) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	r.left -= n
	return int(n), nil
}

// TestSecurityRow12Bodies: a body beyond the limit is 413, declared or not.
func TestSecurityRow12Bodies(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0"}, limited(o, "300s"), virtualService("", route("/", "up", "")))
	for _, tc := range []struct {
		name, port string
		size       int64
		chunked    bool
		status     int
	}{
		{"4 KiB", "8081", 4096, false, 200},
		{"4 KiB in chunks", "8081", 4096, true, 200},
		{"4 KiB and one byte", "8081", 4097, false, 413},
		{"4 KiB and one byte in chunks", "8081", 4097, true, 413},
		{"by default, 33 MiB", "8080", 33 << 20, false, 413},
		{"by default, 32 MiB and one byte in chunks", "8080", 32<<20 + 1, true, 413},
	} {
		resp, err := upload(t, "http://"+p.addr(tc.port)+"/", tc.size, tc.chunked)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		_ = resp.Body.Close()
		whole := 0
		for _, s := range o.requests() {
			if int64(len(s.body)) == tc.size {
				whole++
			}
		}
		if resp.StatusCode != tc.status || (whole == 1) != (tc.status == 200) {
			t.Errorf("%s: %d, want %d; %d whole requests upstream", tc.name, resp.StatusCode, tc.status, whole)
		}
	}
}

// upload posts a body of a size, once the server has asked for it. A client
// that sends a refused body all the same can find its connection reset before
// it has looked at the answer (RFC 9112 9.6): one in chunks, of which nobody
// knows the size before, must end soon after it was refused.
func upload(t *testing.T, url string, size int64, chunked bool) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequest("POST", url, &endless{size})
	if err != nil {
		t.Fatal(err)
	}
	if !chunked {
		r.ContentLength = size
		r.Header.Set("Expect", "100-continue")
	}
	return (&http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: patience}).RoundTrip(r)
}

// TestSecurityRow12SlowHeads: who does not finish a head in time is let go.
func TestSecurityRow12SlowHeads(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0"}, limited(o, "0.3s"))
	for _, text := range []string{"", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[:20]} {
		c := dialRaw(t, p.addr("8081"))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		b, err := io.ReadAll(c)
		if took := time.Since(began); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: still open after %v", text, took)
		}
		if answer := string(b); answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 408 ") && !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("%q: %q", text, answer)
		}
	}
	// A byte now and then does not buy more time.
	c := dialRaw(t, p.addr("8081"))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.ReadAll(c)
	}()
	deadline := time.After(patience)
	for {
		select {
		case <-ended:
			if n := len(o.requests()); n != 0 {
				t.Errorf("%d requests upstream", n)
			}
			return
		case <-tick.C:
			_, _ = io.WriteString(c, "y")
		case <-deadline:
			t.Fatal("a head that trickles in is waited for")
		}
	}
}

// TestSecurityRow12WithheldBodies: who is refused is told so at once, and is
// not waited for.
func TestSecurityRow12WithheldBodies(t *testing.T) {
	o := serveOrigin(t, nil)
	p := runOne(t, nil, o.yaml("up"), virtualService("", route("/closed", "up", "waf: {}"), route("/missing", "none", ""),
		route("/small", "up", "bufferPerRoute: {buffer: {maxRequestBytes: 10}}"),
		"{matchers: [{prefix: /moved}], redirectAction: {hostRedirect: other.example}}",
		route("/", "up", "jwtProvidersStaged: {afterExtAuth: "+asks()+"}")))
	var work sync.WaitGroup
	for _, tc := range []struct {
		target string
		status int
	}{{"/", 401}, {"/closed", 500}, {"/small", 413}, {"/moved", 301}, {"/..%2f", 400}} {
		for _, framing := range []string{"Content-Length: 100\r\n\r\nstart", "Content-Length: 300000\r\n\r\nstart", "Transfer-Encoding: chunked\r\n\r\n30\r\nstart"} {
			if tc.target == "/small" && strings.HasPrefix(framing, "T") {
				framing += strings.Repeat("x", 20)
			}
			c := dialRaw(t, p.addr("8080"))
			work.Go(func() {
				began := time.Now()
				_, _ = io.WriteString(c, "POST "+tc.target+" HTTP/1.1\r\nHost: a\r\n"+framing)
				r := bufio.NewReader(c)
				got := readReply(t, r, "POST")
				if took := time.Since(began); got.status != tc.status || took > patience {
					t.Errorf("%s, %.20q: %d after %v, want %d", tc.target, framing, got.status, took, tc.status)
				}
				if b, err := r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s, %.20q: the connection stays open, %q, %v", tc.target, framing, b, err)
				}
			})
		}
	}
	work.Wait()
	// A small body that does come costs nobody the connection.
	c := dialRaw(t, p.addr("8080"))
	r := bufio.NewReader(c)
	for range 3 {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
		if got := readReply(t, r, "POST"); got.status != 401 || got.header.Get("Connection") != "" {
			t.Fatalf("on one connection: %v", got)
		}
	}
	if n := len(o.requests()); n != 0 {
		t.Errorf("%d requests upstream", n)
	}
}

// TestSecurityRow12RapidReset: streams that are opened and reset at once cost
// no more handlers than may be open, and the others are served.
func TestSecurityRow12RapidReset(t *testing.T) {
	var now, most atomic.Int64
	o := serveOrigin(t, func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	p := runOne(t, []string{"--port", "8081=127.0.0.1:0"}, limited(o, "300s"))
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			c := dialRaw(t, p.addr("8081"))
			h2 := newH2(t, c)
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for range 3000 {
				id, err := h2.request(":method", "GET", ":scheme", "http", ":path", "/slow", ":authority", "a")
				if err != nil || h2.framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					return // the gateway has had enough
				}
			}
			_ = c.Close()
		})
	}
	served := 0
	for range 20 {
		if got := send(t, request{url: "http://" + p.addr("8081") + "/fast"}); got.status == 200 {
			served++
		}
	}
	work.Wait()
	if served != 20 {
		t.Errorf("of the others' requests, %d of 20 were served", served)
	}
	if n := most.Load(); n > 60 { // 4 connections, 5 streams each, what ends, and the others
		t.Errorf("%d requests at once reached the upstream", n)
	}
	p.await("the end of what was reset", func() bool { return now.Load() == 0 })
}

// TestSecurityRow26BodyBudget: bodies that are held at one time are bounded
// together; beyond that the answer is 503, and afterwards all is as before.
func TestSecurityRow26BodyBudget(t *testing.T) {
	o := serveOrigin(t, nil)
	const each = 1 << 20
	p := runOne(t, []string{"--body-budget", fmt.Sprint(4 * each)}, o.yaml("up"),
		virtualService("", route("/", "up", "bufferPerRoute: {buffer: {maxRequestBytes: 2000000}}")))
	var held []io.ReadWriteCloser
	for range 12 { // bodies that lack their last byte
		c := dialRaw(t, p.addr("8080"))
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", each)
		go func() { _, _ = io.Copy(c, &endless{each - 1}) }()
		held = append(held, c)
	}
	answers := make(chan int, len(held))
	for _, c := range held {
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				answers <- 0
				return
			}
			answers <- resp.StatusCode
		}()
	}
	refused := 0
	for range len(held) - 4 { // at least so many find no place
		if status := <-answers; status == 503 {
			refused++
		} else {
			t.Errorf("beyond the budget: %d, want 503", status)
		}
	}
	if used := p.metric("postern_held_body_bytes"); used > 4*each {
		t.Errorf("%v bytes are held", used)
	}
	for _, c := range held {
		_ = c.Close()
	}
	p.await("the budget given back", func() bool { return p.metric("postern_held_body_bytes") == 0 })
	if got := send(t, request{method: "POST", url: "http://" + p.addr("8080") + "/", body: strings.Repeat("x", each)}); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
	if refused == 0 {
		t.Error("nobody was refused")
	}
}
