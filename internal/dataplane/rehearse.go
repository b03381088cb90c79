package dataplane

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// Given is what a rehearsal takes for granted. Nothing of it can come from a
// request that is served: Rehearse alone takes it.
type Given struct {
	// Claims count as those of a verified token, whose signature nobody asks
	// for; nil: the request's own tokens count.
	Claims map[string]any
	// Proven says that Claims prove a caller also where no step verifies
	// tokens: where policies are tried without what comes before them.
	Proven bool
	// Peer is the SPIFFE ID in a client certificate, which counts as verified;
	// empty: what the connection proves.
	Peer string
	// Remote is the caller's address behind trusted proxies; zero: what the
	// request says of it.
	Remote netip.Addr
	// Changes asks for what each step changes.
	Changes bool
}

// Rehearsal is what would become of a request.
type Rehearsal struct {
	Record Record
	// Answer is what the gateway would answer itself; its verdict is Allowed,
	// and its status zero, where the request would be sent on.
	Answer *Answer
	Trace  *Trace
	// Listener and Route that it met; nil: none.
	Listener *Listener
	Route    *Route
	// Matched is the path matcher that took it.
	Matched ir.PathMatch
	// Identities are the callers that were proven.
	Identities []authn.Identity
}

// rehearsedBody bounds the bodies of one rehearsal in memory.
const rehearsedBody = 64 << 20

// Rehearse finds out what would become of a request on a socket: it runs the
// stages that would serve it, up to where something would be sent. r is as a
// server of net/http has it, and now the time that it would come at.
func Rehearse(ctx context.Context, s *Socket, r *http.Request, g Given, now time.Time) (out *Rehearsal, err error) {
	h := NewHandler(nil, NewBudget(rehearsedBody), slog.New(slog.DiscardHandler), func() time.Time { return now })
	h.Swap(s)
	e := h.begin(&nowhere{header: http.Header{}}, r.WithContext(ctx))
	e.trace = &Trace{given: g}
	if g.Claims != nil && g.Proven {
		id, err := authn.GivenIdentity(g.Claims)
		if err != nil {
			return nil, err
		}
		e.Identities = []authn.Identity{id}
		e.Record.Identity = id
	}
	defer func() {
		e.release()
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("the gateway would have panicked: %v\n%s", p, debug.Stack())
		}
	}()
	a := h.serve(authn.Offline(ctx, e.trace.unasked), e, r)
	if a != nil {
		e.Record.decide(a)
	}
	return &Rehearsal{Record: e.Record, Answer: a, Trace: e.trace, Listener: e.Listener, Route: e.Route, Matched: e.Matched, Identities: e.Identities}, nil
}

// RehearseConnection finds out what would become of a connection for a server
// name, in canonical form, that l carries on. Answer has no status: a refused
// connection is closed.
func RehearseConnection(ctx context.Context, l *Listener, serverName string, peer, local netip.AddrPort) *Rehearsal {
	c := &Connection{
		Conn:       ends{peer: net.TCPAddrFromAddrPort(peer), local: net.TCPAddrFromAddrPort(local)},
		ServerName: serverName, Listener: l, trace: &Trace{},
	}
	r := &c.Record
	if closed := l.Closed; closed != nil {
		r.Verdict, r.Cause, r.Origin = Broken, closed.Reason, closed.Origin
	} else {
		l.Carrier.Carry(ctx, c)
	}
	a := &Answer{Verdict: r.Verdict, Policy: r.Policy, Origin: r.Origin, Cause: r.Cause}
	for i := range c.trace.Steps {
		if c.trace.Steps[i].Answer != nil {
			a = c.trace.Steps[i].Answer
			a.Status = 0
		}
	}
	return &Rehearsal{Record: *r, Answer: a, Trace: c.trace, Listener: l}
}

// ends is a connection of which only its ends are known.
type ends struct {
	net.Conn
	peer, local net.Addr
}

func (e ends) RemoteAddr() net.Addr { return e.peer }
func (e ends) LocalAddr() net.Addr  { return e.local }

// nowhere is the client of a rehearsal: nothing is written to it.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(int)             {}
func (n *nowhere) Write(p []byte) (int, error) { return io.Discard.Write(p) }
