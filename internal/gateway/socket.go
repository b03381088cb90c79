package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// socket is one bound port. Connections go to the server that is current; a
// change of TLS or of limits takes another server, and the port stays bound.
type socket struct {
	listener net.Listener
	handler  *dataplane.Handler
	log      *slog.Logger
	accepted chan struct{} // closed when accepting has ended
	shakes   *handshakes
	shaking  sync.WaitGroup

	mu      sync.Mutex
	server  *server
	limits  dataplane.Limits
	secure  bool
	parting bool             // every answer is its connection's last
	retired map[*server]bool // servers that drain
}

// newSocket serves first on a port and then accepts, so that nobody who comes
// early is turned away.
func newSocket(ln net.Listener, h *dataplane.Handler, shakes *handshakes, first *dataplane.Socket) *socket {
	s := &socket{
		listener: ln, handler: h, log: shakes.log, accepted: make(chan struct{}), retired: map[*server]bool{},
		shakes: shakes,
	}
	s.apply(first)
	go s.accept()
	return s
}

// apply makes what new connections and requests meet.
func (s *socket) apply(next *dataplane.Socket) {
	s.handler.Swap(next)
	s.mu.Lock()
	defer s.mu.Unlock()
	secure := next.TLS != nil
	if s.server != nil && s.limits == next.Limits && s.secure == secure {
		return
	}
	old, patience := s.server, retireAfter
	if s.secure != secure { // nobody may go on in the old way
		patience = 0
	}
	s.server, s.limits, s.secure = s.newServer(next.Limits, secure), next.Limits, secure
	s.server.retired.Store(s.parting)
	if old != nil {
		s.retired[old] = true
		go func() { // drain waits for it, by way of retired
			old.retire(patience)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.retired, old)
		}()
	}
}

// part makes every answer its connection's last.
func (s *socket) part() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parting = true
	if s.server != nil {
		s.server.retired.Store(true)
	}
}

// accept hands connections to the current server until the listener closes.
// An error is most often a want of file descriptors, which passes.
func (s *socket) accept() {
	defer close(s.accepted)
	var pause time.Duration
	for {
		c, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			s.hand(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("accept", "address", s.listener.Addr().String(), "error", err, "again", pause)
			time.Sleep(pause)
		}
	}
}

// hand gives a connection to the current server, over TLS after the handshake,
// which nobody waits for.
func (s *socket) hand(c net.Conn) {
	srv := s.current()
	if srv == nil || srv.tls == nil {
		s.put(c, srv)
		return
	}
	s.shaking.Go(func() {
		t, carried := s.shakes.do(srv.base, c, srv.tls, srv.patience)
		switch {
		case t != nil:
			s.put(t, srv)
		case carried != nil:
			s.carry(carried, srv)
		}
	})
}

// carry hands a connection on unread. It counts among the server's requests,
// so that draining waits for it; a server that has ended cuts it at once.
func (s *socket) carry(c *dataplane.Connection, srv *server) {
	if next := s.current(); next != nil { // srv may have been replaced
		srv = next
	}
	srv.active.Add(1)
	defer srv.active.Add(-1)
	s.handler.Carry(srv.base, c)
}

// put gives a connection to a server; if that was just replaced, to the one
// that replaced it, if it serves such connections too.
func (s *socket) put(c net.Conn, srv *server) {
	if srv != nil && srv.conns.put(c) {
		return
	}
	next := s.current()
	if srv == nil || next == nil || next == srv || (next.tls == nil) != (srv.tls == nil) || !next.conns.put(c) {
		_ = c.Close()
	}
}

func (s *socket) current() *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// stop frees the port; connections go on.
func (s *socket) stop() {
	_ = s.listener.Close()
	<-s.accepted
}

// drain waits, after stop, for what is under way until ctx ends; then it is
// cut.
func (s *socket) drain(ctx context.Context) {
	s.mu.Lock()
	servers := slices.Collect(maps.Keys(s.retired))
	if s.server != nil {
		servers = append(servers, s.server)
	}
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, srv := range servers {
		all.Go(func() { srv.drain(ctx) })
	}
	all.Wait()
	s.shaking.Wait()
}
