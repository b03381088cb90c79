package gateway

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// Listeners owns the bound ports. Apply is for one goroutine at a time.
type Listeners struct {
	ports   Ports
	handler func() *dataplane.Handler
	log     *slog.Logger

	mu       sync.Mutex
	sockets  map[socketKey]*socket
	parting  bool // clients are asked to leave
	draining sync.WaitGroup
	tally    tally
}

type socketKey struct {
	address string
	port    int
}

// NewListeners returns Listeners that bind by ports and serve with handlers
// made by handler.
func NewListeners(ports Ports, handler func() *dataplane.Handler, log *slog.Logger) *Listeners {
	return &Listeners{ports: ports, handler: handler, log: log, sockets: map[socketKey]*socket{}}
}

// Apply makes s what is served: ports that it has and that are not bound yet
// are bound, those that it has no more are freed, and drained until ctx ends.
// It returns the ports that could not be bound; the others are served.
func (l *Listeners) Apply(ctx context.Context, s *dataplane.Snapshot) []Unbound {
	var waiting []Unbound
	wanted := map[socketKey]bool{}
	for _, next := range s.Sockets {
		wanted[socketKey{next.Address, next.Port}] = true
		if err := l.serve(next); err != nil { // perhaps a port that is about to be freed
			waiting = append(waiting, Unbound{next, err})
		}
	}
	l.free(ctx, wanted)
	return l.Bind(waiting)
}

// Bind serves on the ports of what is served that could not be bound before,
// and returns those that still cannot be. It is not for use beside Apply.
func (l *Listeners) Bind(waiting []Unbound) []Unbound {
	var out []Unbound
	for _, u := range waiting {
		if err := l.serve(u.Socket); err != nil {
			out = append(out, Unbound{u.Socket, err})
		}
	}
	return out
}

// serve makes next what is served on its port, which is bound if it is not.
func (l *Listeners) serve(next *dataplane.Socket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := socketKey{next.Address, next.Port}
	if s := l.sockets[key]; s != nil {
		s.apply(next)
		return nil
	}
	ln, err := l.ports.listen(key.address, key.port, gatewaysOf(next))
	if err != nil {
		return err
	}
	s := newSocket(ln, l.handler(), newHandshakes(l.log, ln.Addr(), &l.tally), next)
	if l.parting {
		s.part()
	}
	l.sockets[key] = s
	return nil
}

// free lets go of the ports that are not wanted, at once, so that they can be
// bound again; their connections drain.
func (l *Listeners) free(ctx context.Context, wanted map[socketKey]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, s := range l.sockets {
		if wanted[key] {
			continue
		}
		delete(l.sockets, key)
		s.stop()
		l.draining.Go(func() { s.drain(ctx) })
	}
}

// gatewaysOf returns the Gateways that have a listener on a socket.
func gatewaysOf(s *dataplane.Socket) []string {
	var out []string
	for _, l := range s.Listeners {
		out = append(out, l.Gateway)
	}
	return out
}

// Addr returns where a port of the default address is bound, or nil.
func (l *Listeners) Addr(address string, port int) net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sockets[socketKey{address, port}]; s != nil {
		return s.listener.Addr()
	}
	return nil
}

// Handshakes counts those of clients that were made, and those that came to
// nothing.
func (l *Listeners) Handshakes() (made, refused uint64) {
	return l.tally.made.Load(), l.tally.refused.Load()
}

// Part asks every client to leave: each answer from now on is its
// connection's last. New connections are taken as before.
func (l *Listeners) Part() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parting = true
	for _, s := range l.sockets {
		s.part()
	}
}

// Drain stops accepting on every port, and returns when all requests have
// ended, or ctx has.
func (l *Listeners) Drain(ctx context.Context) {
	l.mu.Lock()
	sockets := l.sockets
	l.sockets = map[socketKey]*socket{}
	l.mu.Unlock()
	for _, s := range sockets {
		s.stop()
		l.draining.Go(func() { s.drain(ctx) })
	}
	l.draining.Wait()
}
