package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// Listeners owns the bound ports. Apply is for one goroutine at a time.
type Listeners struct {
	ports   Ports
	handler func() *dataplane.Handler
	log     *slog.Logger

	mu       sync.Mutex
	sockets  map[socketKey]*socket
	draining sync.WaitGroup
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
// are bound, those that it has no more are drained. It returns the ports that
// could not be bound as problems; the others are served.
func (l *Listeners) Apply(ctx context.Context, s *dataplane.Snapshot) status.Report {
	var report status.Report
	wanted := map[socketKey]bool{}
	for _, next := range s.Sockets {
		key := socketKey{next.Address, next.Port}
		wanted[key] = true
		sock, err := l.bound(key, next)
		if err != nil {
			report.Add(status.Errorf(ir.Origin{Kind: "listener", Name: fmt.Sprintf("port %d", next.Port)}, "%v", err).
				Fix("free the port, or bind another with --port %d=PORT", next.Port))
			continue
		}
		sock.apply(next)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, sock := range l.sockets {
		if wanted[key] {
			continue
		}
		delete(l.sockets, key)
		l.draining.Add(1)
		go func() {
			defer l.draining.Done()
			sock.drain(ctx)
		}()
	}
	return report
}

// bound returns the socket of a port, bound now or before.
func (l *Listeners) bound(key socketKey, next *dataplane.Socket) (*socket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sockets[key]; s != nil {
		return s, nil
	}
	ln, err := l.ports.listen(key.address, key.port, gatewaysOf(next))
	if err != nil {
		return nil, err
	}
	s := newSocket(ln, l.handler(), l.log)
	l.sockets[key] = s
	return s, nil
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

// Drain stops accepting on every port, and returns when all requests have
// ended, or ctx has.
func (l *Listeners) Drain(ctx context.Context) {
	l.mu.Lock()
	sockets := l.sockets
	l.sockets = map[socketKey]*socket{}
	l.mu.Unlock()
	for _, s := range sockets {
		l.draining.Add(1)
		go func() {
			defer l.draining.Done()
			s.drain(ctx)
		}()
	}
	l.draining.Wait()
}
