package forward

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// http1 is an HTTP/1.1 client for one endpoint (RFC 9112). It is our own, for
// two reasons. net/http's puts a connection back into its pool before it has
// seen whether the upstream wrote more than it was asked for, so that bytes
// sent unasked can become the answer to another caller; and it costs two
// goroutines and four hand-offs for each request.
//
// Connections are taken last in, first out. One is put back only if its answer
// was read to the end, nothing follows it, and the request was wholly
// written; and it is checked again before it is used.
type http1 struct {
	ep      *endpoint
	idleFor time.Duration

	mu    sync.Mutex
	idle  map[string][]*http1Conn // by TLS server name
	timer *time.Timer             // runs while there is something idle
}

// lookEvery is how often idle connections are looked at for age, and for a
// peer that has gone.
const lookEvery = 30 * time.Second

func newHTTP1(ep *endpoint) *http1 {
	return &http1{ep: ep, idleFor: orDefault(ep.upstream.cfg.IdleTimeout, defaultPoolIdle), idle: map[string][]*http1Conn{}}
}

// roundTrip sends o and returns its answer's head. The connection is in use
// until the answer's body has been read or closed.
func (p *http1) roundTrip(ctx context.Context, o *outgoing) (*http.Response, error) {
	c, err := p.take(ctx, o.sni)
	if err != nil {
		o.stream.finish()
		return nil, err
	}
	resp, err := c.exchange(ctx, o)
	if err == nil || !c.reused || ctx.Err() != nil || !c.mayRepeat(o) {
		return resp, err
	}
	c, derr := p.open(ctx, o.sni)
	if derr != nil {
		return nil, derr
	}
	return c.exchange(ctx, o)
}

// take returns a living connection.
func (p *http1) take(ctx context.Context, sni string) (*http1Conn, error) {
	for {
		c := p.pop(sni)
		if c == nil {
			return p.open(ctx, sni)
		}
		if c.made == p.ep.upstream.tls.current() && c.alive() {
			c.reused = true
			return c, nil
		}
		_ = c.Close()
	}
}

func (p *http1) pop(sni string) *http1Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[sni]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[sni] = list[:len(list)-1]
	return c
}

func (p *http1) open(ctx context.Context, sni string) (*http1Conn, error) {
	made := p.ep.upstream.tls.current()
	c, err := p.ep.dial(ctx, sni, "http/1.1")
	if err != nil {
		return nil, err
	}
	h := newHTTP1Conn(p, c, sni)
	h.made = made
	return h, nil
}

// put makes c idle.
func (p *http1) put(c *http1Conn) {
	c.since = time.Now()
	u := p.ep.upstream
	u.mu.Lock()
	closed := u.closed
	u.mu.Unlock()
	if closed {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	if p.ep.gone.Load() { // whoever set it closes what is idle by now
		p.mu.Unlock()
		_ = c.Close()
		return
	}
	p.idle[c.sni] = append(p.idle[c.sni], c)
	if p.timer == nil {
		p.timer = time.AfterFunc(min(lookEvery, p.idleFor), p.look)
	}
	p.mu.Unlock()
}

// look closes what is idle for too long or dead.
func (p *http1) look() {
	now := time.Now()
	p.mu.Lock()
	var old []*http1Conn
	left := 0
	for sni, list := range p.idle {
		kept := list[:0]
		for _, c := range list {
			if now.Sub(c.since) >= p.idleFor || !c.alive() {
				old = append(old, c)
			} else {
				kept = append(kept, c)
			}
		}
		clear(list[len(kept):])
		if p.idle[sni] = kept; len(kept) == 0 {
			delete(p.idle, sni)
		}
		left += len(kept)
	}
	p.timer = nil
	if left > 0 {
		p.timer = time.AfterFunc(min(lookEvery, p.idleFor), p.look)
	}
	p.mu.Unlock()
	closeConns(old)
}

func (p *http1) closeIdle() {
	p.mu.Lock()
	var all []*http1Conn
	for _, list := range p.idle {
		all = append(all, list...)
	}
	clear(p.idle)
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	closeConns(all)
}

func closeConns(list []*http1Conn) {
	for _, c := range list {
		_ = c.Close()
	}
}

// baseConn returns the counted connection below c.
func baseConn(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	b, _ := c.(*conn)
	return b
}
