package dataplane

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
)

// Clients is a listener's rules for client certificates.
type Clients interface {
	// Admit looks at a connection as if it were made now. An error says why it
	// would be refused; it quotes nothing secret.
	Admit(state *tls.ConnectionState, now time.Time) (Admission, error)
	// Holds reports whether an admission by these rules still stands: neither
	// the rules' bytes nor the time have gone past it.
	Holds(a *Admission, now time.Time) bool
}

// Admission is what rules for client certificates made of a connection.
type Admission struct {
	// PeerID is the SPIFFE ID that the client certificate proves; empty
	// without one.
	PeerID string
	// By is what the rules were made of when they were asked, to be compared.
	By any
	// Until is when the admission must be asked for again; zero: never.
	Until time.Time
}

// connectionKey finds a connection in the context of its requests.
type connectionKey struct{}

// connection remembers what a connection's requests have in common.
type connection struct{ admitted atomic.Pointer[Admission] }

// WithConnection returns a context for the requests of one connection, by
// which they share what is found out about its client once.
func WithConnection(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectionKey{}, new(connection))
}

// admitted lets a connection's client in, by the listener's rules or, in a
// rehearsal, because its certificate counts as verified.
func (e *Exchange) admitted(l *Listener, r *http.Request) *Answer {
	if id := e.trace.peer(); id != "" {
		e.setPeer(id)
		return nil
	}
	if l.Clients != nil {
		return e.admit(l, r)
	}
	return nil
}

// admit asks the listener's rules for client certificates whether the
// connection may go on, and who is at its other end. The rules are asked once
// for each connection, and again when they, or their bytes, have changed.
func (e *Exchange) admit(l *Listener, r *http.Request) *Answer {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	if c == nil {
		c = new(connection)
	}
	a := c.admitted.Load()
	if a == nil || !l.Clients.Holds(a, e.Record.Start) {
		fresh, err := l.Clients.Admit(r.TLS, e.Record.Start)
		if err != nil {
			return &Answer{
				Status: http.StatusMisdirectedRequest, Body: "connect again with a client certificate that is trusted", Verdict: Denied,
				Header: http.Header{"Connection": {"close"}}, Origin: l.Origin, Cause: err.Error(),
			}
		}
		a = &fresh
		c.admitted.Store(a)
	}
	e.setPeer(a.PeerID)
	return nil
}

// setPeer makes the identity of the client certificate known to policies and
// to the access log.
func (e *Exchange) setPeer(id string) {
	if id == "" {
		return
	}
	e.PeerID, e.Record.Peer = id, id
	e.Identities = append(e.Identities, authn.Peer(id))
}
