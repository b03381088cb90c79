package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// TestHandshakesWaitForNobody keeps many handshakes open by clients that stop
// half-way; others are served all the same, and so is one that is slow.
func TestHandshakesWaitForNobody(t *testing.T) {
	ca := newCA(t)
	n := identified(t, ca, nil)
	cert := workload(t, ca, callerID)
	for range 100 {
		c, err := net.Dial("tcp", n.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write([]byte{0x16, 0x03, 0x01, 0x01}); err != nil { // the beginning of a ClientHello
			t.Fatal(err)
		}
	}
	if status, text := get(client(t, dials(t, cert, ca)), "https://"+n.addr()+"/x"); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

// TestHandshakesAreBounded refuses connections beyond the most, and counts
// those that have ended out.
func TestHandshakesAreBounded(t *testing.T) {
	var log text
	a, b := net.Pipe()
	h := newHandshakes(slog.New(slog.NewTextHandler(&log, nil)), a.LocalAddr(), new(tally))
	h.now.Store(mostHandshakes)
	if c := h.do(context.Background(), a, &tls.Config{}, time.Second); c != nil {
		t.Error("one more is made")
	}
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("it is not closed")
	}
	if !strings.Contains(log.String(), "too many handshakes") || h.now.Load() != mostHandshakes {
		t.Errorf("%d; log %s", h.now.Load(), &log)
	}
}

// TestRefusalsAreToldOfInBounds refuses very many handshakes: some are told of,
// and how many were not.
func TestRefusalsAreToldOfInBounds(t *testing.T) {
	q := quota{most: 3, every: time.Second}
	now := time.Unix(1000, 0)
	told, untold := 0, 0
	for i := range 100 {
		if i == 99 {
			now = now.Add(time.Second)
		}
		ok, silent := q.ask(now)
		if ok {
			told++
		}
		untold += silent
	}
	if told != 4 || untold != 96 {
		t.Errorf("told of %d, and that %d were not", told, untold)
	}
}

// TestHandshakeTimeout ends a handshake of a client that says nothing more.
func TestHandshakeTimeout(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _ = b.Close() }()
	h := newHandshakes(slog.New(slog.DiscardHandler), a.LocalAddr(), new(tally))
	began := time.Now()
	if c := h.do(context.Background(), a, &tls.Config{}, 20*time.Millisecond); c != nil || time.Since(began) > patience {
		t.Errorf("%v after %v", c, time.Since(began))
	}
	if len(h.places) > 0 {
		t.Error("it keeps its place")
	}
}

// TestHandshakeOfOneWhoDoesNotRead holds no place for a client that sends its
// hello and reads nothing.
func TestHandshakeOfOneWhoDoesNotRead(t *testing.T) {
	a, b := net.Pipe() // unbuffered: what is written waits for its reader
	ca := newCA(t)
	h := newHandshakes(slog.New(slog.DiscardHandler), a.LocalAddr(), new(tally))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan *tls.Conn, 1)
	go func() {
		done <- h.do(ctx, a, &tls.Config{Certificates: []tls.Certificate{*workload(t, ca, egressID)}}, patience)
	}()
	hello := make(chan struct{})
	go func() { // the client's first flight, and nothing after it
		c := tls.Client(&deaf{Conn: b, said: hello, end: ctx.Done()}, &tls.Config{InsecureSkipVerify: true})
		_ = c.HandshakeContext(ctx)
	}()
	<-hello
	began := time.Now()
	others := make(chan struct{}, cap(h.places)) // all places, taken as others would
	for range cap(h.places) {
		h.places <- struct{}{}
		others <- struct{}{}
	}
	close(others)
	for range others {
		<-h.places
	}
	if time.Since(began) > patience/2 {
		t.Error("a client that reads nothing holds a place")
	}
	stop()
	if c := <-done; c != nil || len(h.places) > 0 {
		t.Errorf("%v, %d places held", c, len(h.places))
	}
}

// deaf is a connection that is written to and never read.
type deaf struct {
	net.Conn
	said chan struct{}
	end  <-chan struct{}
}

func (d *deaf) Write(p []byte) (int, error) {
	n, err := d.Conn.Write(p)
	close(d.said)
	return n, err
}

func (d *deaf) Read([]byte) (int, error) {
	<-d.end
	return 0, net.ErrClosed
}
