package forward

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// Upgrades knows the connections that were upgraded and are under way. The
// zero value is ready; it is safe for use by many goroutines.
type Upgrades struct {
	mu     sync.Mutex
	open   map[*upgraded]struct{}
	closed bool
	wait   sync.WaitGroup
}

// Len returns how many there are.
func (u *Upgrades) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open)
}

// Close ends all of them, and waits until they have. Later upgrades are ended
// as they begin.
func (u *Upgrades) Close() {
	u.mu.Lock()
	u.closed = true
	for c := range u.open {
		c.end("drain")
	}
	u.mu.Unlock()
	u.wait.Wait()
}

// add counts c in; it reports false when no more may begin.
func (u *Upgrades) add(c *upgraded) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	if u.open == nil {
		u.open = map[*upgraded]struct{}{}
	}
	u.open[c] = struct{}{}
	u.wait.Add(1)
	return true
}

func (u *Upgrades) remove(c *upgraded) {
	u.mu.Lock()
	delete(u.open, c)
	u.mu.Unlock()
	u.wait.Done()
}

// admitUpgrade decides about the protocol that the client asks for. A request
// for HTTP/2 in the clear is served as if it had not asked (RFC 9110 7.8); a
// protocol that the route does not allow is refused, as Envoy does.
func (x *exchange) admitUpgrade() *dataplane.Answer {
	e := x.e
	switch {
	case e.Upgrade == "" || e.Proto != 1 || e.Upgrade == "h2c" || e.Method != http.MethodGet:
		return nil
	case !slices.Contains(x.f.settings.upgrades, e.Upgrade):
		return &dataplane.Answer{Status: http.StatusForbidden, Verdict: dataplane.Denied, Policy: "upgrade", Cause: "the route does not allow an upgrade to this protocol"}
	}
	for _, m := range x.backend.members {
		if m.upstream.cfg.Protocol == ir.ProtocolHTTP2 {
			return &dataplane.Answer{Status: http.StatusBadGateway, Body: "the upstream cannot be upgraded", Verdict: dataplane.Failed, Cause: "an upgrade needs HTTP/1.1, and the upstream is spoken to in HTTP/2"}
		}
	}
	x.upgrade = e.Upgrade
	return nil
}

// farEnd is the upstream's side of two connections that are copied.
type farEnd interface {
	io.ReadWriter
	CloseWrite() error
	// hangUp closes the connection.
	hangUp()
}

// upgraded is two connections that are copied into one another.
type upgraded struct {
	client net.Conn
	in     io.Reader // what the client sent already, and then the connection
	up     farEnd
	idle   time.Duration
	timer  *time.Timer

	mu  sync.Mutex
	cut string
}

// switchProtocols takes the client's connection over and copies both ways
// until one side has ended, or nothing has moved for the idle time-out.
func (x *exchange) switchProtocols(at *attempt) *dataplane.Answer {
	up, ok := at.resp.Body.(*tunnel)
	if !ok || x.upgrade == "" {
		return (&failure{kind: failProtocol, cause: "the upstream switches protocols unasked"}).asAnswer()
	}
	h := http.Header{}
	for name, v := range at.resp.Header {
		h[name] = v
	}
	x.e.FinishHeader(http.StatusSwitchingProtocols, h, true)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", x.upgrade)
	delete(h, "Content-Length")
	delete(h, "Transfer-Encoding")
	x.watch.stop()
	client, rw, err := x.client.Hijack()
	if err != nil {
		return internalError(errNoHijack.Error())
	}
	_ = client.SetDeadline(time.Time{})
	r := &x.e.Record
	r.Status, r.Verdict = http.StatusSwitchingProtocols, dataplane.Allowed
	u := &upgraded{client: client, in: afterHijack(client, rw.Reader), up: up, idle: x.watch.idle}
	defer u.end("")
	up.stop() // the request's context ends with the client's half-close
	if !x.f.deps.Upgrades.add(u) {
		r.Cut = cutDrain
		return nil
	}
	defer x.f.deps.Upgrades.remove(u)
	if writeSwitch(rw.Writer, h) != nil {
		r.Cut = cutClient
		return nil
	}
	r.BytesIn, r.BytesOut = u.copyBoth()
	r.Cut = u.cut
	return nil
}

// afterHijack returns what is to be read from a connection that was taken
// over: what the server had read already, and then the connection itself,
// past the server's reader, which takes a half-close for the end.
func afterHijack(c net.Conn, buffered *bufio.Reader) io.Reader {
	n := buffered.Buffered()
	if n == 0 {
		return c
	}
	head := make([]byte, n)
	_, _ = io.ReadFull(buffered, head) // from memory
	return io.MultiReader(bytes.NewReader(head), c)
}

func writeSwitch(w *bufio.Writer, h http.Header) error {
	if _, err := w.WriteString("HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	if err := h.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// copyBoth copies until both directions have ended. The end of one is passed
// on as a half-close.
func (u *upgraded) copyBoth() (in, out int64) {
	if u.idle > 0 {
		u.timer = time.AfterFunc(u.idle, func() { u.end("timeout") })
		defer u.timer.Stop()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		in = u.copy(u.up, u.in)
		if u.up.CloseWrite() != nil {
			u.end("")
		}
	}()
	out = u.copy(u.client, u.up)
	cw, ok := u.client.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		u.end("")
	}
	<-done
	return in, out
}

// copy copies one direction. A connection that breaks takes both with it.
func (u *upgraded) copy(dst io.Writer, src io.Reader) (n int64) {
	b := streamBuffers.Get().(*[]byte)
	defer streamBuffers.Put(b)
	for {
		m, err := src.Read(*b)
		if m > 0 {
			if u.timer != nil {
				u.timer.Reset(u.idle)
			}
			if _, werr := dst.Write((*b)[:m]); werr != nil {
				u.end("")
				return n
			}
			n += int64(m)
		}
		if err == io.EOF {
			return n
		}
		if err != nil {
			u.end("")
			return n
		}
	}
}

// end closes both connections. The first reason is kept.
func (u *upgraded) end(why string) {
	u.mu.Lock()
	if u.cut == "" {
		u.cut = why
	}
	u.mu.Unlock()
	_ = u.client.Close()
	u.up.hangUp()
}
