package forward

import (
	"context"
	"net"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// still runs test where time stands still while anything moves: a time-out
// ends what waits for it, and nothing that a busy machine holds up. The gate
// forwards to an upstream that is whatever f does with a connection.
func still(t *testing.T, f func(c net.Conn, n int), s Settings, test func(t *testing.T, g *gate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		to := piped(t, f)
		test(t, newGate(t, stageTo(t, to, s, Deps{}), withPipes))
	})
}

// piped makes an Upstream of one endpoint, reached by pipes, that is whatever f
// does with a connection; nil: nobody listens.
func piped(t *testing.T, f func(c net.Conn, n int)) *Upstream {
	t.Helper()
	l := newPipes()
	if f == nil {
		_ = l.Close()
	} else {
		serveRaw(t, l, f)
	}
	return upstream(t, Deps{Dial: l.dial}, nil, refused)
}

// withPipes has the gate reached by pipes.
func withPipes(_ *gate, _ *dataplane.Listener, s *httptest.Server) {
	_ = s.Listener.Close()
	s.Listener = newPipes()
}

// pipes is a listener in memory: no kernel is waited for, as in a bubble of
// synctest nobody may.
type pipes struct {
	come  chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{come: make(chan net.Conn), ended: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.come <- far:
		return near, nil
	case <-p.ended:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the far end of the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.come:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

// Close ends Accept, and refuses who dials.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.ended) })
	return nil
}

// Addr is an address where nobody is.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
