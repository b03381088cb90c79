package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// mostCarryAttempts bounds the endpoints that are tried for one connection.
const mostCarryAttempts = 3

// Admission decides whether a connection is carried; where it is not, the
// connection's record says why.
type Admission interface {
	Admit(c *dataplane.Connection) bool
}

// Passthrough carries connections by their server name, and never looks into
// them.
type Passthrough struct {
	routes *match.Hosts[*SNIRoute]
	admit  []Admission
	idle   time.Duration
	deps   Deps
}

var _ dataplane.Carrier = (*Passthrough)(nil)

// SNIRoute is a compiled ir.SNIRoute. A backend's stages are not looked at.
type SNIRoute struct {
	Name        string
	ServerNames []string
	Backends    []Backend
	Closed      *ir.Closed
	Origin      ir.Origin

	total uint64
}

// NewPassthrough returns a Passthrough of routes. Every admission must let a
// connection pass; one on which nothing moves for idle is cut.
func NewPassthrough(routes []*SNIRoute, admit []Admission, idle time.Duration, deps Deps) (*Passthrough, error) {
	var entries []match.HostEntry[*SNIRoute]
	for _, r := range routes {
		for i := range r.Backends {
			r.total += uint64(max(r.Backends[i].Weight, 0))
		}
		for _, n := range r.ServerNames {
			entries = append(entries, match.HostEntry[*SNIRoute]{Pattern: n, Value: r})
		}
	}
	hosts, err := match.NewHosts(entries)
	if err != nil {
		return nil, err
	}
	return &Passthrough{routes: hosts, admit: admit, idle: idle, deps: deps.withDefaults()}, nil
}

// Takes reports whether a route has the server name.
func (p *Passthrough) Takes(serverName string) bool {
	_, ok := p.routes.Find(serverName)
	return ok && serverName != ""
}

// Carry copies between c and an endpoint of its route.
func (p *Passthrough) Carry(ctx context.Context, c *dataplane.Connection) {
	r := &c.Record
	route, ok := p.routes.Find(c.ServerName)
	if !ok {
		r.Verdict, r.Cause = dataplane.NoRoute, "no route has the server name"
		return
	}
	r.Route, r.RouteOrigin = route.Name, route.Origin
	for _, a := range p.admit {
		if !a.Admit(c) {
			return
		}
	}
	b, closed := route.choose(p.deps.Rand)
	if closed != nil {
		r.Verdict, r.Cause, r.Origin = dataplane.Broken, closed.Reason, closed.Origin
		return
	}
	r.Upstream = b.Name
	if t := c.Trace(); t != nil {
		r.Verdict = dataplane.Allowed
		t.Forward(&dataplane.TracedUpstream{Name: b.Name, Endpoint: b.first(), Share: route.share(b), Host: c.ServerName})
		return
	}
	u, up, err := b.connect(ctx, r)
	if err != nil {
		r.Verdict, r.Cause = dataplane.Failed, err.Error()
		return
	}
	defer u.done()
	r.Verdict = dataplane.Allowed
	p.copy(ctx, c, up)
}

// choose returns a backend by weight, or why there is none.
func (r *SNIRoute) choose(random func() uint64) (*Backend, *ir.Closed) {
	if r.Closed != nil {
		return nil, r.Closed
	}
	if r.total == 0 {
		return nil, &ir.Closed{Reason: "no backend has a weight", Origin: r.Origin}
	}
	n := random() % r.total
	for i := range r.Backends {
		b := &r.Backends[i]
		if w := uint64(max(b.Weight, 0)); n >= w {
			n -= w
			continue
		}
		return b, b.Closed
	}
	return nil, &ir.Closed{Reason: "no backend has a weight", Origin: r.Origin}
}

// carrying is a place at an endpoint that a connection takes.
type carrying struct{ ep *endpoint }

func (c carrying) done() {
	c.ep.leave()
}

// share says by which chance a connection goes to b; empty: there is no choice.
func (r *SNIRoute) share(b *Backend) string {
	if len(r.Backends) < 2 {
		return ""
	}
	return fmt.Sprintf("weight %d of %d", b.Weight, r.total)
}

// inTiers returns the upstreams of the backend, the first tier first.
func (b *Backend) inTiers() [][]*Upstream {
	if len(b.Tiers) == 0 && b.Upstream != nil {
		return [][]*Upstream{{b.Upstream}}
	}
	return b.Tiers
}

// first returns the endpoint that connect would try first; empty: none.
func (b *Backend) first() string {
	for _, tier := range b.inTiers() {
		for _, u := range tier {
			if ep := u.pick(nil); ep != nil {
				return ep.address
			}
		}
	}
	return ""
}

// connect opens a connection to an endpoint of the backend, one that is well
// before one that is not. Nothing was sent yet, so another may be tried.
func (b *Backend) connect(ctx context.Context, r *dataplane.Record) (carrying, *rawUpstream, error) {
	failure := errors.New("the upstream has no endpoint")
	var tried []*endpoint
	for _, well := range []bool{true, false} {
		for _, tier := range b.inTiers() {
			for _, u := range tier {
				for u.usable(well) && r.Attempts < mostCarryAttempts && ctx.Err() == nil {
					ep := u.pick(tried)
					if ep == nil || triedBefore(tried, ep) {
						break
					}
					tried = append(tried, ep)
					r.Attempts++
					r.Endpoint = ep.address
					c, err := ep.carry(ctx)
					if err == nil {
						return carrying{ep}, &rawUpstream{c}, nil
					}
					failure = err
				}
			}
		}
	}
	return carrying{}, nil, failure
}

// carry takes a place at ep and opens a connection to it, in which nothing is
// begun. The caller gives the place back.
func (ep *endpoint) carry(ctx context.Context) (*conn, error) {
	u := ep.upstream
	if !u.enter() {
		return nil, errOverflow
	}
	ep.active.Add(1)
	dialling, cancel := context.WithTimeout(ctx, orDefault(u.cfg.ConnectTimeout, defaultConnectTimeout))
	defer cancel()
	c, err := u.open(dialling, ep.address)
	if err == nil {
		ep.succeed()
		return c, nil
	}
	if ctx.Err() == nil && !errors.Is(err, errOverflow) {
		ep.fail()
	}
	carrying{ep}.done()
	return nil, fmt.Errorf("connect: %w", err)
}

// rawUpstream is a connection to an upstream in which the client speaks.
type rawUpstream struct{ *conn }

// CloseWrite tells the upstream that nothing more comes.
func (r *rawUpstream) CloseWrite() error {
	if cw, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return fmt.Errorf("half-close: %w", errors.ErrUnsupported)
}

func (r *rawUpstream) hangUp() { _ = r.Close() }

// copy copies both ways until both have ended, or the drain limit is reached.
func (p *Passthrough) copy(ctx context.Context, c *dataplane.Connection, up *rawUpstream) {
	client := net.Conn(c)
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		client = halfCloser{c, cw.CloseWrite}
	}
	u := &upgraded{client: client, in: c, up: up, idle: p.idle}
	defer u.end("")
	if !p.deps.Upgrades.add(u) {
		c.Record.Cut = cutDrain
		return
	}
	defer p.deps.Upgrades.remove(u)
	stop := context.AfterFunc(ctx, func() { u.end(cutDrain) })
	defer stop()
	c.Record.BytesIn, c.Record.BytesOut = u.copyBoth()
	u.mu.Lock()
	defer u.mu.Unlock()
	c.Record.Cut = u.cut
}

// halfCloser is a client's connection that can be closed by halves.
type halfCloser struct {
	net.Conn
	closeWrite func() error
}

// CloseWrite tells the client that nothing more comes.
func (h halfCloser) CloseWrite() error { return h.closeWrite() }
