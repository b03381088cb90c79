package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
)

var (
	errOverflow = errors.New("too many connections to the upstream")
	errClosed   = errors.New("the upstream was closed")
)

// connectError is a failure to get a connection: nothing was sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return "connect: " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// conn is a connection that its Upstream counts, until it is closed.
type conn struct {
	net.Conn
	u    *Upstream
	once sync.Once
}

// Close closes the connection and stops counting it.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.u.mu.Lock()
		delete(c.u.conns, c)
		c.u.mu.Unlock()
	})
	return c.Conn.Close()
}

// dial opens a connection to ep, and over it TLS with the server name sni
// where the upstream has it, all within the connect time-out.
func (ep *endpoint) dial(ctx context.Context, sni string, alpn ...string) (net.Conn, error) {
	u := ep.upstream
	ctx, cancel := context.WithTimeout(ctx, orDefault(u.cfg.ConnectTimeout, defaultConnectTimeout))
	defer cancel()
	c, err := u.open(ctx, ep.address)
	if err != nil {
		return nil, &connectError{err}
	}
	if u.tls == nil {
		return c, nil
	}
	t, err := u.handshake(ctx, c, sni, alpn)
	if err != nil {
		_ = c.Close()
		return nil, &connectError{err}
	}
	return t, nil
}

// open dials and counts.
func (u *Upstream) open(ctx context.Context, address string) (*conn, error) {
	c := &conn{u: u}
	if !u.count(c) {
		u.closeIdle() // those of other endpoints may hold the places
		if !u.count(c) {
			return nil, errOverflow
		}
	}
	raw, err := u.deps.Dial(ctx, "tcp", address)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err != nil:
		delete(u.conns, c)
		return nil, err
	case u.closed && u.requests.Load() == 0:
		delete(u.conns, c)
		_ = raw.Close()
		return nil, errClosed
	}
	c.Conn = raw
	return c, nil
}

// count takes a place for c, which is not open yet.
func (u *Upstream) count(c *conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.conns) >= orDefault(u.cfg.MaxConnections, defaultMax) {
		return false
	}
	u.conns[c] = struct{}{}
	return true
}

func (u *Upstream) handshake(ctx context.Context, c *conn, sni string, alpn []string) (net.Conn, error) {
	base, err := u.tls.config.Get()
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	cfg := base.Clone()
	cfg.ServerName = sni
	cfg.NextProtos = alpn
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with %q: %w", sni, err)
	}
	if len(alpn) == 1 && alpn[0] == "h2" && t.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, errors.New("TLS: the upstream does not speak HTTP/2")
	}
	return t, nil
}
