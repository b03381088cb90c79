package gateway

import (
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// longestHello bounds what a client sends until its ClientHello has ended, if
// it is to be carried on; Envoy's listener has the same bound.
const longestHello = 16 << 10

// errCarried is no failure: it ends a handshake that is somebody else's.
var (
	errCarried   = errors.New("the connection is carried on")
	errLongHello = errors.New("the ClientHello is too long to be carried on")
)

// hello keeps what a client sends until it is known whether its TLS is ended
// here. It is parsed by crypto/tls, which takes it for a handshake of its own;
// where the connection is to be carried, the client never hears of that.
type hello struct {
	read    []byte
	long    bool // more came than is kept
	decided bool
	// silent swallows what crypto/tls answers.
	silent   bool
	listener *dataplane.Listener // that carries the connection; nil: none
	name     string
}

// keep adds what was read.
func (h *hello) keep(p []byte) {
	switch {
	case h.decided || h.long:
	case len(h.read)+len(p) > longestHello:
		h.long, h.read = true, nil
	default:
		h.read = append(h.read, p...)
	}
}

// decide says what becomes of a connection: nil goes on with the handshake.
func (h *hello) decide(serverName string, now *dataplane.Socket) error {
	h.decided = true
	l, name, err := now.Carrying(serverName)
	if l == nil {
		h.read = nil
		return nil
	}
	h.silent = true
	switch {
	case err != nil:
		return err
	case h.long:
		return errLongHello
	}
	h.listener, h.name = l, name
	return errCarried
}

// carried returns the connection that is to be carried after a handshake ended
// with err, or nil.
func (t *turns) carried(c net.Conn, err error) *dataplane.Connection {
	if t.hello.listener == nil || !errors.Is(err, errCarried) {
		return nil
	}
	return &dataplane.Connection{
		Conn:       &replayed{Conn: c, in: io.MultiReader(bytes.NewReader(t.hello.read), c)},
		ServerName: t.hello.name, Listener: t.hello.listener,
	}
}

// replayed is a connection that is read from its beginning again.
type replayed struct {
	net.Conn
	in io.Reader
}

// Read reads what was read before, and then from the client.
func (r *replayed) Read(p []byte) (int, error) { return r.in.Read(p) }

// CloseWrite tells the client that nothing more comes.
func (r *replayed) CloseWrite() error {
	if cw, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return r.Close()
}
