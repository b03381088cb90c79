package program

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const (
	manyStreams = 1000
	perStream   = 20 // events
)

// nonces is an upstream whose streams repeat the nonce that they were asked
// with: half of the events at once, the rest when all are to go on.
func nonces(t *testing.T, onward <-chan struct{}) *raw {
	return startRaw(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		nonce := r.Header.Get("X-Nonce")
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Nonce: "+nonce+"\r\n\r\n")
		for i := range perStream {
			if i == perStream/2 {
				<-onward
			}
			e := event(nonce, i)
			if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(e), e); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
}

func event(nonce string, i int) string { return fmt.Sprintf("data: %s %d\n\n", nonce, i) }

// stream is one client of a stream, without a goroutine of its own.
type stream struct {
	conn  net.Conn
	br    *bufio.Reader
	resp  *http.Response
	nonce string
	next  int
}

// openStream asks for a stream, and reads the first half of it.
func openStream(addr, nonce string) (*stream, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: c, br: bufio.NewReaderSize(c, 1<<10), nonce: nonce}
	if _, err := fmt.Fprintf(c, "POST /up HTTP/1.1\r\nHost: x\r\nX-Nonce: %s\r\nContent-Length: 2\r\n\r\n{}", nonce); err != nil {
		return s, err
	}
	if s.resp, err = http.ReadResponse(s.br, nil); err != nil {
		return s, err
	}
	if got := s.resp.Header.Get("X-Nonce"); s.resp.StatusCode != 200 || got != nonce {
		return s, fmt.Errorf("status %d, nonce %q, want %q", s.resp.StatusCode, got, nonce)
	}
	return s, s.read(perStream / 2)
}

// read reads events up to one, and compares them.
func (s *stream) read(to int) error {
	for ; s.next < to; s.next++ {
		want := event(s.nonce, s.next)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s.resp.Body, got); err != nil {
			return fmt.Errorf("event %d: %w", s.next, err)
		}
		if string(got) != want {
			return fmt.Errorf("event %d: %q, want %q", s.next, got, want)
		}
	}
	return nil
}

// finish reads the rest, and that it is the end.
func (s *stream) finish() error {
	if err := s.read(perStream); err != nil {
		return err
	}
	rest, err := io.ReadAll(s.resp.Body)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("%q after the last event, %v", rest, err)
	}
	return nil
}

// openStreams opens n streams, a few at a time.
func openStreams(t *testing.T, addr string, n int) []*stream {
	t.Helper()
	out := make([]*stream, n)
	var all sync.WaitGroup
	at := make(chan int)
	for range 16 {
		all.Go(func() {
			for i := range at {
				s, err := openStream(addr, fmt.Sprintf("nonce-%d", i))
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
				out[i] = s
			}
		})
	}
	for i := range n {
		at <- i
	}
	close(at)
	all.Wait()
	t.Cleanup(func() {
		for _, s := range out {
			if s != nil {
				_ = s.conn.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// TestSecurityRow13ManyStreams runs 1,000 streams at once, each with its own
// nonce: every one is complete, and nobody gets another's. What an idle one
// costs the gateway is measured against the same streams without a gateway:
// the difference is its own heap and stacks, in this process, collected.
func TestSecurityRow13ManyStreams(t *testing.T) {
	leaksNothing(t)
	onward := make(chan struct{})
	up := nonces(t, onward)
	p := run(t, files(nil, target{name: "up", addr: up.addr}), settings{})

	cost := func(addr string) (int64, []*stream) {
		before := heap()
		s := openStreams(t, addr, manyStreams)
		return (heap() - before) / manyStreams, s
	}
	direct, without := cost(up.addr)
	through, with := cost(p.addr("8080"))
	t.Logf("one idle stream: %d bytes with the gateway, %d without it: the gateway's share is %.1f kB of heap and stacks (race detector: %v)",
		through, direct, float64(through-direct)/1024, raceEnabled)
	most := int64(40 << 10)
	if raceEnabled {
		most = 96 << 10
	}
	if share := through - direct; share > most {
		t.Errorf("an idle stream costs %d bytes", share)
	}
	close(onward)
	for _, list := range [][]*stream{without, with} {
		for i, s := range list {
			if err := s.finish(); err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		}
	}
	p.await("every stream in the access log, whole", func() bool { return strings.Count(p.out.String(), "\n") >= manyStreams })
}
