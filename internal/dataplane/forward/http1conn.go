package forward

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// replyBuffer is the read buffer of a connection to an upstream.
const replyBuffer = 4 << 10

// http1Conn is one HTTP/1.1 connection. It belongs to one exchange at a time.
type http1Conn struct {
	net.Conn // TLS or plain
	pool     *http1
	base     *conn
	raw      syscall.RawConn // nil: cannot be looked at
	br       *bufio.Reader
	left     int64 // bytes that a head may still take
	ended    error // why nothing more can be read
	sni      string
	made     *tls.Config // what it was made with; nil: plain text
	since    time.Time   // idle
	reused   bool
	wrote    bool // something of the request under way was written
	answered bool // something of its answer was read
}

func newHTTP1Conn(p *http1, c net.Conn, sni string) *http1Conn {
	h := &http1Conn{Conn: c, pool: p, base: baseConn(c), sni: sni}
	h.br = bufio.NewReaderSize((*headReader)(h), replyBuffer)
	if sc, ok := h.base.Conn.(syscall.Conn); ok {
		h.raw, _ = sc.SyscallConn()
	}
	return h
}

// headReader reads from the connection, within the bound on a head. An error
// stays: a second read of a connection that was reset would look like its end.
type headReader http1Conn

func (r *headReader) Read(p []byte) (int, error) {
	if r.ended == nil && r.left <= 0 {
		r.ended = errHeadTooLarge
	}
	if r.ended != nil {
		return 0, r.ended
	}
	n, err := r.Conn.Read(p)
	r.left -= int64(n)
	if err != nil {
		r.ended = err
	}
	return n, err
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

// alive reports whether an idle connection is silent and open. Bytes on it
// were sent unasked, and are nobody's answer.
func (c *http1Conn) alive() bool {
	if c.br.Buffered() > 0 {
		return false
	}
	if t, ok := c.Conn.(*tls.Conn); ok {
		// What was decrypted, or received in part, is above the socket.
		_ = t.SetReadDeadline(past)
		n, err := t.Read(make([]byte, 1))
		_ = t.SetReadDeadline(time.Time{})
		if n > 0 || !isTimeout(err) {
			return false
		}
	}
	return c.raw == nil || silent(c.raw)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// mayRepeat reports whether o, which failed on c, may be sent once more.
func (c *http1Conn) mayRepeat(o *outgoing) bool {
	if c.answered || o.stream != nil {
		return false
	}
	switch o.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return !c.wrote
}

// exchange writes o and reads the head of its answer.
func (c *http1Conn) exchange(ctx context.Context, o *outgoing) (*http.Response, error) {
	c.wrote, c.answered = false, false
	// A hard close unblocks whoever reads or writes.
	stop := context.AfterFunc(ctx, func() { _ = c.base.Close() })
	sent, err := c.send(o)
	resp, rerr := c.receive(o, err)
	if rerr != nil {
		stop()
		_ = c.Close()
		sent.wait(o.stream)
		return nil, rerr
	}
	b := &http1Body{c: c, inner: resp.Body, sent: sent, stream: o.stream, stop: stop, keep: !resp.Close && !o.Close}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &tunnel{http1Body: b}
		return resp, nil
	}
	resp.Body = b
	if b.inner == http.NoBody {
		b.finish(true)
	}
	return resp, nil
}

// receive reads the head of the answer. Even if the request could not be
// written, there may be one: it says why.
func (c *http1Conn) receive(o *outgoing, werr error) (*http.Response, error) {
	if werr != nil && !c.wrote {
		return nil, werr
	}
	resp, err := c.readHead(o)
	if err != nil && werr != nil {
		return nil, werr
	}
	return resp, err
}

// http1Body is an answer's body. At its end the connection goes back to the
// pool, if it is clean.
type http1Body struct {
	c      *http1Conn
	inner  io.ReadCloser
	sent   *sending
	stream *stream
	stop   func() bool
	keep   bool
	ended  bool
	err    error
}

// Read reads from the answer.
func (b *http1Body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, b.err
	}
	n, err := b.inner.Read(p)
	if err != nil {
		b.err = err
		b.finish(err == io.EOF)
	}
	return n, err
}

// wait waits until there is something to be read, or never will be. Meanwhile
// a connection in plain text holds no buffer.
func (b *http1Body) wait() {
	c := b.c
	switch {
	case b.ended || c.br.Buffered() > 0 || c.ended != nil:
	case c.raw == nil || c.made != nil:
		_, _ = c.br.Peek(1)
	default:
		lent := idleReaders.Get().(*bufio.Reader)
		*lent, *c.br = *c.br, bufio.Reader{}
		lent.Reset(nil)
		idleReaders.Put(lent)
		c.ended = awaitReadable(c.raw)
		lent = idleReaders.Get().(*bufio.Reader)
		*c.br, *lent = *lent, bufio.Reader{}
		c.br.Reset((*headReader)(c))
	}
}

// idleReaders are empty readers with the buffers that quiet connections do not
// need. A zero one gets a buffer when it is reset.
var idleReaders = sync.Pool{New: func() any { return new(bufio.Reader) }}

// Close closes the connection unless the answer was read to its end.
func (b *http1Body) Close() error {
	if !b.ended {
		b.err = net.ErrClosed
		b.finish(false)
	}
	return nil
}

// finish puts the connection back, or closes it and waits for its writer.
func (b *http1Body) finish(whole bool) {
	b.ended = true
	if b.err == nil {
		b.err = io.EOF
	}
	untouched := b.stop()
	if whole && untouched && b.keep && b.sent.complete() && b.c.br.Buffered() == 0 {
		b.c.pool.put(b.c)
		return
	}
	_ = b.c.Close()
	b.sent.wait(b.stream)
}

// tunnel is a connection after the upstream has switched protocols.
type tunnel struct{ *http1Body }

// Read reads what the upstream says.
func (t *tunnel) Read(p []byte) (int, error) { return t.c.br.Read(p) }

// Write writes to the upstream.
func (t *tunnel) Write(p []byte) (int, error) { return t.c.Write(p) }

// CloseWrite tells the upstream that nothing more comes.
func (t *tunnel) CloseWrite() error {
	if cw, ok := t.c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	if cw, ok := t.c.base.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return fmt.Errorf("half-close: %w", errors.ErrUnsupported)
}

// hangUp closes the connection under the tunnel.
func (t *tunnel) hangUp() { _ = t.c.base.Close() }
