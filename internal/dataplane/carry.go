package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
)

// The reasons why a connection to a listener that carries is not carried.
var (
	ErrNoServerName = errors.New("the client asks for no server name, and TLS is not ended here")
	ErrNotCarried   = errors.New("no route carries the server name")
)

// Carrier takes over connections whose TLS is not ended here.
type Carrier interface {
	// Takes reports whether connections for a server name, in canonical form,
	// are carried anywhere.
	Takes(serverName string) bool
	// Carry copies between c and an upstream until both have ended or ctx has,
	// and fills in the record. For a rehearsal it ends before anything is
	// opened, and tells the Trace where it would have gone.
	Carry(ctx context.Context, c *Connection)
}

// Carrying returns the listener that carries connections for a server name; nil
// without an error means that their TLS is ended here. name is the server name
// in canonical form.
func (s *Socket) Carrying(serverName string) (l *Listener, name string, err error) {
	name = CanonicalServerName(serverName)
	l, ok := s.Hosts.Find(name)
	switch {
	case !ok || l.Carrier == nil:
		return nil, name, nil
	case serverName == "":
		return l, name, ErrNoServerName
	case !isServerName(serverName) || !l.Carrier.Takes(name):
		return l, name, ErrNotCarried
	}
	return l, name, nil
}

// isServerName reports whether a name is made of letters, digits, hyphens,
// underscores and dots, so that it means the same to everyone.
func isServerName(name string) bool {
	return len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

// Connection is a client's connection of which nothing was answered.
type Connection struct {
	// Conn reads from the ClientHello on.
	net.Conn
	// ServerName that the client asks for, in canonical form.
	ServerName string
	Listener   *Listener
	Record     Record

	trace *Trace
}

// Trace returns what a rehearsed connection is told by; nil: it is carried.
func (c *Connection) Trace() *Trace { return c.trace }

// Peer returns the other end of the connection, if it has one of TCP.
func (c *Connection) Peer() netip.AddrPort { return addrPort(c.RemoteAddr()) }

// Local returns this end of the connection, if it has one of TCP.
func (c *Connection) Local() netip.AddrPort { return addrPort(c.LocalAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Carry hands a connection to its listener's Carrier, and records and closes
// it. It returns when it is closed.
func (h *Handler) Carry(ctx context.Context, c *Connection) {
	r := &c.Record
	*r = Record{
		Start: h.clock(), Decision: newID(), Client: c.Peer().Addr().String(), Protocol: "TLS",
		Authority: c.ServerName, Listener: c.Listener.Name,
	}
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("panic while carrying", "decision", r.Decision, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			r.Cause, r.Verdict = "panic", Failed
		}
		_ = c.Close()
		r.Duration = h.clock().Sub(r.Start)
		h.recorder.Record(r)
	}()
	if closed := c.Listener.Closed; closed != nil {
		r.Verdict, r.Cause, r.Origin = Broken, closed.Reason, closed.Origin
		return
	}
	c.Listener.Carrier.Carry(ctx, c)
}
