package forward

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// Name returns the name of the ir.Upstream.
func (u *Upstream) Name() string { return u.cfg.Name }

// Do sends one request of the gateway's own, such as the fetch of a key set,
// to the upstream's first endpoint, over its TLS. It follows no redirect, and
// no credential is put on.
func (u *Upstream) Do(r *http.Request) (*http.Response, error) {
	endpoints := u.members.Load().endpoints
	if len(endpoints) == 0 {
		return nil, errors.New("the upstream has no endpoint")
	}
	ep := endpoints[0]
	sni := ep.serverName(r.URL.Host)
	t := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return ep.dial(ctx, sni) },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxReplyHeadBytes,
	}
	out := r.Clone(r.Context())
	out.URL.Scheme = "http" // dial speaks TLS itself
	out.Host = r.URL.Host
	return t.RoundTrip(out)
}

// Dial opens a connection of the gateway's own to the upstream: to the first
// of its endpoints that takes one, with TLS where the upstream has it. alpn
// are the protocols to offer. Whoever dials closes; until then the connection
// counts as a request under way, so that closing the Upstream leaves it alone.
func (u *Upstream) Dial(ctx context.Context, alpn ...string) (net.Conn, error) {
	if !u.enter() {
		return nil, errOverflow
	}
	err := errors.New("the upstream has no endpoint")
	for _, ep := range u.members.Load().endpoints {
		var c net.Conn
		if c, err = ep.dial(ctx, ep.serverName(ep.host), alpn...); err == nil {
			return &ownConn{Conn: c, leave: sync.OnceFunc(u.leave)}, nil
		}
	}
	u.leave()
	return nil, err
}

// ownConn is a connection that does not serve the upstream's requests.
type ownConn struct {
	net.Conn
	leave func()
}

// Close closes the connection, and counts it out.
func (c *ownConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
