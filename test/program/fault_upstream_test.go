package program

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/simulate"
)

// fault is one way in which an upstream fails, and what the client is to get.
type fault struct {
	target
	method string
	body   int
	status int // 0: an answer that is cut
	text   string
}

const (
	connection  = "upstream connect error or disconnect/reset before headers. reset reason: connection failure"
	termination = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
	malformed   = "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
	timeout     = "upstream request timeout"
	soon        = "timeouts: {request: 300ms}"
)

// faults starts an upstream for each fault. Until over is closed, one of them
// does not notice what becomes of its connections.
func faults(t *testing.T, over <-chan struct{}) []fault {
	at := func(name string, h func(net.Conn, *bufio.Reader)) target {
		return target{name: name, addr: startRaw(t, h).addr}
	}
	slow := func(name string, h func(net.Conn, *bufio.Reader)) target {
		r := at(name, h)
		r.rule = soon
		return r
	}
	silent := func(c net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) }
	const long = "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n"
	return []fault{
		{target: target{name: "refused", addr: closedAddr(t)}, status: 503, text: connection},
		{target: at("closed-before-head", then(false, "")), status: 503, text: termination},
		{target: at("reset-before-head", then(true, "")), status: 503, text: termination},
		{target: at("closed-in-head", then(false, "HTTP/1.1 200 OK\r\nContent-Le")), status: 503, text: termination},
		{target: at("reset-of-post", then(true, "")), method: "POST", body: 400, status: 503, text: termination},
		{target: at("garbage", then(false, "\x15\x03\x01\x00\x02\x02\x46 what is this\r\n\r\n")), status: 502, text: malformed},
		{target: at("garbage-field", then(false, "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n")), status: 502, text: malformed},
		{target: at("two-lengths", then(false, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfour")), status: 502, text: malformed},
		{target: at("endless-head", then(false, "HTTP/1.1 200 OK\r\n"+strings.Repeat("A: "+chatter(1000)+"\r\n", 100))), status: 502, text: malformed},
		{target: at("half-length", then(false, long+chatter(20000)))},
		{target: at("half-length-reset", then(true, long+chatter(20000)))},
		{target: at("no-body", then(false, long))},
		{target: at("no-body-reset", then(true, long))},
		{target: at("half-chunk", then(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf of"))},
		{target: at("no-last-chunk", then(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"))},
		{target: at("bad-chunk", then(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n"))},
		{target: at("half-stream", then(true, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"))},
		{target: at("half-trailer", then(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nhalf\r\n0\r\nX-Su"))},
		{target: slow("silent", silent), status: 504, text: timeout},
		{target: slow("slow-head", func(c net.Conn, br *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Slow")
			silent(c, br)
		}), status: 504, text: timeout},
		{target: slow("dribbled-head", dribble), status: 504, text: timeout},
		{target: slow("never-reads", func(c net.Conn, _ *bufio.Reader) {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			<-over
		}), method: "POST", body: 12 << 20, status: 504, text: timeout},
		{target: slow("silent-after-post", silent), method: "POST", body: 400, status: 504, text: timeout},
		{target: at("early-413", func(c net.Conn, br *bufio.Reader) {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo long")
			_, _ = io.CopyN(io.Discard, br, 1<<20) // so that no reset overtakes the answer
		}), method: "POST", body: 4 << 20, status: 413, text: "too long"},
		{target: at("early-401", eachRequest(func(c net.Conn, _ *http.Request) bool {
			_, err := io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
			return err == nil
		})), method: "POST", body: 1 << 20, status: 401, text: "no"},
	}
}

// dribble sends a head of which the end never comes, and never pauses long.
func dribble(c net.Conn, br *bufio.Reader) {
	if _, err := http.ReadRequest(br); err != nil {
		return
	}
	text := "HTTP/1.1 200 OK\r\nX-Slow: "
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		text = "z"
		time.Sleep(10 * time.Millisecond)
	}
}

// TestUpstreamFaults holds what the client gets, over HTTP/1.1 and HTTP/2,
// from upstreams that fail: a clear status and text, and never half an answer
// that looks whole. Afterwards nothing is left of it.
func TestUpstreamFaults(t *testing.T) {
	leaksNothing(t)
	over := make(chan struct{})
	let := sync.OnceFunc(func() { close(over) })
	list := faults(t, over)
	t.Cleanup(let)
	good := target{name: "good", addr: startRaw(t, says(fine)).addr}
	targets := []target{good}
	for _, f := range list {
		targets = append(targets, f.target)
	}
	p := run(t, files(nil, targets...), settings{})
	base := "http://" + p.addr("8080") + "/"
	warm := client(t, "HTTP/1.1")
	if status, _, err := fetch(t, warm, "GET", base+"good", nil); status != 200 || err != nil {
		t.Fatalf("good: %d, %v", status, err)
	}
	warm.CloseIdleConnections()
	before, memory := runtime.NumGoroutine(), heap()
	var clients []*http.Client
	for _, protocol := range []string{"HTTP/1.1", "h2c"} {
		c := client(t, protocol)
		clients = append(clients, c)
		var all sync.WaitGroup
		for _, f := range list {
			all.Go(func() {
				for range 3 {
					within(t, 5*time.Second, protocol+" "+f.name, func() { f.check(t, c, protocol, base) })
				}
			})
		}
		all.Wait()
		if status, text, err := fetch(t, c, "GET", base+"good", nil); status != 200 || text != "fine" || err != nil {
			t.Errorf("%s: good, after the faults: %d %q, %v", protocol, status, text, err)
		}
	}
	let()
	p.settles(before+2, clients...) // the pooled connection of the good one
	if grown := heap() - memory; grown > 16<<20 {
		t.Errorf("the faults left %d kB of memory", grown>>10)
	}
}

func (f fault) check(t *testing.T, c *http.Client, protocol, base string) {
	method := f.method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if f.body > 0 {
		body = strings.NewReader(chatter(f.body))
	}
	status, text, err := fetch(t, c, method, base+f.name, body)
	switch {
	case f.status == 0 && err == nil:
		t.Errorf("%s %s: half an answer looks whole: %d, %d bytes", protocol, f.name, status, len(text))
	case f.text == timeout && f.body > 0 && status == http.StatusRequestTimeout && !timed():
		// Busy as it is, the machine has not brought the body here in time: the
		// client is who was waited for, and not yet the upstream.
	case f.status != 0 && (err != nil || status != f.status || text != f.text):
		t.Errorf("%s %s: %d %q, %v; want %d %q", protocol, f.name, status, text, err, f.status, f.text)
	}
}

// TestUpstreamTLSFaults holds that an upstream is not spoken to whose
// certificate bears another name or comes from an unknown authority, and that
// the reason is in the log and not in the answer.
func TestUpstreamTLSFaults(t *testing.T) {
	leaksNothing(t)
	known, unknown := authority(t), authority(t)
	ca, err := known.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	secure := func(name string, from *simulate.CA, certified string) target {
		cert, err := from.Issue(certified)
		if err != nil {
			t.Fatal(err)
		}
		u := startRaw(t, func(c net.Conn, _ *bufio.Reader) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			says(fine)(s, bufio.NewReader(s))
		})
		return target{name: name, addr: u.addr, host: ", sniAddr: right.example"}
	}
	plain := target{name: "plain", addr: startRaw(t, says(fine)).addr, host: ", sniAddr: right.example"}
	p := run(t, files(nil,
		secure("right", known, "right.example"), secure("wrong-name", known, "wrong.example"),
		secure("unknown-ca", unknown, "right.example"), plain,
	), settings{args: []string{"--upstream-ca", ca}})
	c := client(t, "HTTP/1.1")
	for _, tc := range []struct {
		name   string
		status int
		text   string
	}{{"right", 200, "fine"}, {"wrong-name", 503, connection}, {"unknown-ca", 503, connection}, {"plain", 503, connection}} {
		for range 2 {
			status, text, err := fetch(t, c, "GET", "http://"+p.addr("8080")+"/"+tc.name, nil)
			if status != tc.status || text != tc.text || err != nil {
				t.Errorf("%s: %d %q, %v; want %d %q", tc.name, status, text, err, tc.status, tc.text)
			}
		}
	}
	for _, want := range []string{"wrong.example", "unknown authority"} {
		p.await("reason in the access log: "+want, func() bool { return strings.Contains(p.out.String(), want) })
	}
}

func authority(t *testing.T) *simulate.CA {
	t.Helper()
	ca, err := simulate.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestClosedPooledConnections sends requests to an upstream that closes each
// connection after its answer without having said so: none fails once the
// gateway can know, and where it cannot, only what may be repeated is.
func TestClosedPooledConnections(t *testing.T) {
	leaksNothing(t)
	closed := make(chan struct{}, 1)
	first := startRaw(t, func(c net.Conn, br *bufio.Reader) {
		if r, err := http.ReadRequest(br); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, fine)
		}
		_ = c.Close()
		closed <- struct{}{}
	})
	var posts, hungUp atomic.Int64 // at the second
	second := startRaw(t, func(c net.Conn, br *bufio.Reader) {
		for i := range 2 { // takes the second request of each connection, and hangs up on it
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Method == http.MethodPost {
				posts.Add(1)
				hungUp.Add(int64(i))
			}
			if i == 0 {
				_, _ = io.WriteString(c, fine)
			}
		}
	})
	p := run(t, files(nil, target{name: "first", addr: first.addr}, target{name: "second", addr: second.addr}), settings{})
	base := "http://" + p.addr("8080")
	c := client(t, "HTTP/1.1")
	for i := range 50 {
		if status, text, err := fetch(t, c, "POST", base+"/first", strings.NewReader("body")); status != 200 || text != "fine" || err != nil {
			t.Errorf("POST %d on a connection that was closed before: %d %q, %v", i, status, text, err)
		}
		<-closed
	}
	for i := range 20 {
		if status, text, err := fetch(t, c, "GET", base+"/second", nil); status != 200 || text != "fine" || err != nil {
			t.Errorf("GET %d, which may be repeated: %d %q, %v", i, status, text, err)
		}
	}
	lost := int64(0)
	for range 20 {
		status, text, err := fetch(t, c, "POST", base+"/second", strings.NewReader("body"))
		switch {
		case err == nil && status == 200 && text == "fine":
		case err == nil && status == 503 && text == termination:
			lost++
		default:
			t.Errorf("POST that the upstream hung up on: %d %q, %v", status, text, err)
		}
	}
	if n := posts.Load(); n != 20 || lost != hungUp.Load() || lost == 0 {
		t.Errorf("the upstream got %d of 20 POSTs, and hung up on %d, of which %d were lost: one that was written must not be written again", n, hungUp.Load(), lost)
	}
}

// TestHTTP2UpstreamFaults holds the same for an upstream that is spoken to in
// HTTP/2, whose streams break off one by one.
func TestHTTP2UpstreamFaults(t *testing.T) {
	leaksNothing(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/two/head":
			panic(http.ErrAbortHandler)
		case "/two/half":
			_, _ = io.WriteString(w, chatter(20000))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/slow":
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, "fine")
	})}
	up.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); _ = up.Serve(ln) }()
	t.Cleanup(func() { _ = up.Close(); <-done })
	two := target{name: "two", addr: ln.Addr().String(), upstream: "useHttp2: true"}
	slow := two
	slow.name, slow.rule = "slow", soon
	p := run(t, files(nil, two, slow), settings{})
	for _, protocol := range []string{"HTTP/1.1", "h2c"} {
		c := client(t, protocol)
		for _, f := range []fault{
			{target: target{name: "two/fine"}, status: 200, text: "fine"},
			{target: target{name: "two/head"}, status: 503, text: termination},
			{target: target{name: "two/half"}},
			{target: target{name: "slow"}, status: 504, text: timeout},
			{target: target{name: "two/fine"}, method: "POST", body: 1 << 20, status: 200, text: "fine"},
		} {
			within(t, 5*time.Second, f.name, func() { f.check(t, c, protocol, "http://"+p.addr("8080")+"/") })
		}
	}
}
