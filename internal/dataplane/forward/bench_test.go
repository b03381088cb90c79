package forward

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// nowhere is a client that takes everything.
type nowhere struct {
	h http.Header
	n int
}

func (w *nowhere) Header() http.Header              { return w.h }
func (w *nowhere) WriteHeader(int)                  {}
func (w *nowhere) Write(p []byte) (int, error)      { w.n += len(p); return len(p), nil }
func (w *nowhere) Flush()                           {}
func (w *nowhere) SetReadDeadline(time.Time) error  { return nil }
func (w *nowhere) SetWriteDeadline(time.Time) error { return nil }
func (w *nowhere) EnableFullDuplex() error          { return nil }

// loopback answers each request on a connection with text, at little cost.
func loopback(b testing.TB, text string) string {
	return rawServe(b, func(c net.Conn, _ int) {
		buf := make([]byte, 8<<10)
		n := 0
		for {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			i := bytes.Index(buf[:n], []byte("\r\n\r\n"))
			if i < 0 || bytes.Contains(buf[:i], []byte("Content-Length: 400")) && n < i+4+400 {
				continue
			}
			n = 0
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	})
}

// BenchmarkForward is one request of 400 bytes and its answer through the
// stage alone: no server, a credential, a real upstream connection.
func BenchmarkForward(b *testing.B) {
	events := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("40\r\n"+strings.Repeat("x", 64)+"\r\n", 100) + "0\r\n\r\n"
	for _, bc := range []struct{ name, text string }{
		{"answer=1200", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1200\r\n\r\n" + strings.Repeat("x", 1200)},
		{"events=100", events},
	} {
		b.Run(bc.name, func(b *testing.B) {
			store, ref := keys("key", "sk-12345678")
			u := upstream(b, Deps{Store: store}, func(c *ir.Upstream) {
				c.Host, c.Credential = "api.example", headerCredential("Authorization", "Bearer ", ref)
			}, loopback(b, bc.text))
			st := stageTo(b, u, Settings{Timeouts: []ir.Timeouts{{Request: time.Minute}}}, Deps{})
			body := make([]byte, 400)
			header := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"a"}, "X-Forwarded-For": {"10.0.0.1"}, "User-Agent": {"bench"}, "Accept": {"*/*"}}
			l := &dataplane.Listener{ServerName: "envoy", Limits: dataplane.Limits{StreamIdle: 5 * time.Minute}}
			b.ReportAllocs()
			for b.Loop() {
				e := &dataplane.Exchange{Method: "POST", Path: "/v1/chat", Authority: "a", Header: header, Response: &nowhere{h: http.Header{}}, Proto: 1, Listener: l}
				e.Record.Start = time.Now()
				e.SetBody(body)
				if a := st.Run(context.Background(), e); a != nil {
					b.Fatal(a)
				}
			}
		})
	}
}

// BenchmarkIdleStream measures what an idle event stream holds in memory: the
// server's side of the client's connection, the exchange, and the upstream's.
// The upstream and the client of the test, in the same process, add about 5 kB.
// Run it with -benchtime 1x.
func BenchmarkIdleStream(b *testing.B) {
	const streams = 500
	addr := rawServe(b, func(c net.Conn, _ int) {
		buf := make([]byte, 512)
		_, _ = c.Read(buf)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n")
		_, _ = c.Read(buf)
	})
	u := upstream(b, Deps{}, nil, addr)
	g := newGate(b, stageTo(b, u, Settings{}, Deps{}), withIdle(time.Hour))
	g.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	per := func() uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var mu sync.Mutex
		var open []net.Conn
		var wg sync.WaitGroup
		for range streams {
			wg.Go(func() {
				c, err := net.Dial("tcp", g.srv.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				br := bufio.NewReader(c)
				for {
					if line, err := br.ReadString('\n'); err != nil || line == "data\r\n" {
						break
					}
				}
				mu.Lock()
				open = append(open, c)
				mu.Unlock()
			})
		}
		wg.Wait()
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		for _, c := range open {
			_ = c.Close()
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/streams, "heap-B/stream")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/streams, "stack-B/stream")
		return (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / streams
	}
	for b.Loop() {
		b.ReportMetric(float64(per()), "B/stream")
	}
}
