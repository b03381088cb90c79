// Package explain finds out what would become of one request, and why, without
// sending it: which listener and route it would meet, what every step would
// see, which policy decides, and what the upstream would get.
//
//	Request ─► Target.Explain ─► dataplane.Rehearse ─► Explanation ─► text, JSON
//	             │                 (the stages that serve)
//	             └─ ir.Config: which routes were passed over, and why
//
// It opens no connection. Where the outcome hangs on what another server would
// say, the decision is unknown, and it says which server. Secrets appear by
// reference only. A proven identity can be put in here, which is why nothing
// that serves may import this package.
package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// Target is a configuration that requests are tried on.
type Target struct {
	Config *ir.Config
	// Snapshot was compiled of Config with compile.Deps.Rehearse.
	Snapshot *dataplane.Snapshot
	// Now is the time that requests come at; zero: the present.
	Now time.Time
	// Proven takes a request's Claims as proven where no step asks for a
	// token: for policies that are tried alone.
	Proven bool
	// AnyPort takes a request whose port nothing listens on to the first
	// listener: where policies are tried alone, there is no other.
	AnyPort bool
}

// NewTarget compiles a configuration for being explained. deps are those of
// resources that are looked at and not served.
func NewTarget(config *ir.Config, deps compile.Deps) (*Target, *compile.Compiled) {
	deps.Rehearse = true
	deps.Forward.Rand = func() uint64 { return 0 } // the first of equals, always
	compiled := compile.New(deps).Compile(config)
	return &Target{Config: config, Snapshot: compiled.Snapshot}, compiled
}

// Explain tells what would become of q. An error says what of q makes no
// sense for the target, in words for who wrote it.
func (t *Target) Explain(ctx context.Context, q *Request) (*Explanation, error) {
	return t.try(ctx, q, true)
}

// Decide is Explain without what each step changes and which routes were
// passed over.
func (t *Target) Decide(ctx context.Context, q *Request) (*Explanation, error) {
	return t.try(ctx, q, false)
}

func (t *Target) try(ctx context.Context, q *Request, full bool) (*Explanation, error) {
	w, err := q.wire()
	if err != nil {
		return nil, err
	}
	socket, err := t.socket(w)
	if err != nil {
		return nil, err
	}
	if w.malformed != nil {
		return refusedUnread(q, w.malformed), nil
	}
	if x, err := t.carried(ctx, q, w, socket); x != nil || err != nil {
		return x, err
	}
	given := dataplane.Given{Claims: q.Claims, Proven: t.Proven, Peer: q.Peer, Remote: w.remote, Changes: full}
	now := t.Now
	if now.IsZero() {
		now = time.Now()
	}
	r, err := dataplane.Rehearse(w.context(ctx, t.arrives(w, socket)), socket, w.request, given, now)
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", q.Title(), err)
	}
	out := newExplanation(q, socket, r)
	if full {
		out.PassedOver = t.passedOver(r)
	}
	return out, nil
}

// carried tells what would become of the connection, where its TLS is passed
// through; nil: it is ended here.
func (t *Target) carried(ctx context.Context, q *Request, w *wire, s *dataplane.Socket) (*Explanation, error) {
	if w.request.TLS == nil {
		return nil, nil
	}
	l, name, err := s.Carrying(w.request.TLS.ServerName)
	if l == nil {
		return nil, nil
	}
	if err != nil {
		return &Explanation{
			Request: q.Title(), Decision: Deny, Verdict: string(dataplane.NoRoute), Reason: err.Error(),
			Listener: &Place{Name: l.Name, Port: s.Port, Origin: l.Origin},
		}, nil
	}
	peer, err := netip.ParseAddrPort(w.request.RemoteAddr)
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", q.Title(), err)
	}
	r := dataplane.RehearseConnection(ctx, l, name, peer, w.end(t.arrives(w, s)))
	out := newExplanation(q, s, r)
	out.Route = &Place{Name: r.Record.Route, Match: "server name " + name, Origin: r.Record.RouteOrigin}
	return out, nil
}

// arrives returns the port that a request comes in at.
func (t *Target) arrives(w *wire, s *dataplane.Socket) int {
	if t.AnyPort {
		return w.port
	}
	return s.Port
}

// ErrNoListener says that nothing listens on a request's port.
var ErrNoListener = errors.New("no listener")

// socket finds the socket of a port, and of an address if one is asked for.
func (t *Target) socket(w *wire) (*dataplane.Socket, error) {
	var found *dataplane.Socket
	for _, s := range t.Snapshot.Sockets {
		switch {
		case s.Port != w.port:
		case w.local.IsValid() && s.Address == w.local.String():
			return s, nil
		case found == nil || s.Address == "":
			found = s
		}
	}
	if found == nil && t.AnyPort && len(t.Snapshot.Sockets) > 0 {
		found = t.Snapshot.Sockets[0]
	}
	if found == nil {
		return nil, fmt.Errorf("%w on port %d; %s", ErrNoListener, w.port, t.ports())
	}
	return found, nil
}

// ports says which there are.
func (t *Target) ports() string {
	var list []string
	for _, s := range t.Snapshot.Sockets {
		scheme := "http"
		if s.TLS != nil {
			scheme = "https"
		}
		names := make([]string, len(s.Listeners))
		for i, l := range s.Listeners {
			names[i] = l.Name
		}
		text := strconv.Itoa(s.Port) + " (" + scheme + ", " + strings.Join(names, ", ") + ")"
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) == 0 {
		return "the resources declare no listener at all"
	}
	return "there is " + strings.Join(list, " and ") + "; write the port as it is configured, not as it is bound"
}
