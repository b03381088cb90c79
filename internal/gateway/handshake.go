package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// mostHandshakes bounds the handshakes of one port that are under way, waiting
// clients included; a connection beyond them is closed.
const mostHandshakes = 8192

// handshakes makes TLS connections of the plain ones of a port. What a
// handshake computes is done for a few clients at a time, so that many of them
// do not take the processors from requests; waiting for a client holds no
// place.
type handshakes struct {
	log    *slog.Logger
	port   string // for the log
	places chan struct{}
	now    atomic.Int64
	tally  *tally
	told   quota
}

// tally counts handshakes.
type tally struct{ made, refused atomic.Uint64 }

func newHandshakes(log *slog.Logger, port net.Addr, t *tally) *handshakes {
	return &handshakes{
		log: log, port: port.String(), tally: t,
		places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		told:   quota{most: refusalsTold, every: time.Second},
	}
}

// do returns the TLS connection over c, or nil after it has told why there is
// none and closed c.
func (h *handshakes) do(ctx context.Context, c net.Conn, config *tls.Config, limit time.Duration) *tls.Conn {
	defer h.now.Add(-1)
	if h.now.Add(1) > mostHandshakes {
		h.refused(c, "", errTooManyHandshakes)
		_ = c.Close()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	turns := &turns{Conn: c, ctx: ctx, places: h.places}
	if turns.take() != nil {
		_ = c.Close()
		return nil
	}
	t := tls.Server(turns, config)
	err := t.HandshakeContext(ctx)
	turns.end()
	if err == nil {
		h.tally.made.Add(1)
		return t
	}
	h.refused(c, turns.serverName, err)
	answerPlain(err)
	_ = c.Close()
	return nil
}

var errTooManyHandshakes = errors.New("too many handshakes are under way")

// refused tells why a handshake came to nothing. A client that says nothing, or
// goes away, is no news.
func (h *handshakes) refused(c net.Conn, serverName string, err error) {
	h.tally.refused.Add(1)
	level := slog.LevelWarn
	var network net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || errors.As(err, &network) && !isAlert(err) {
		level = slog.LevelDebug
	}
	if level >= slog.LevelWarn {
		tell, silent := h.told.ask(time.Now())
		if !tell {
			return
		}
		if silent > 0 {
			h.log.Warn("more handshakes were refused than are told of", "port", h.port, "untold", silent)
		}
	}
	h.log.Log(context.Background(), level, "handshake refused", "port", h.port, "client", c.RemoteAddr().String(), "server_name", serverName, "reason", reason(err))
}

// isAlert reports whether an error is the client's own refusal.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// reason puts an error of crypto/tls into words.
func reason(err error) string {
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if speaksHTTP(plain) {
			return "plain HTTP on a port for TLS"
		}
		return "the client does not speak TLS"
	}
	if isAlert(err) {
		return "the client refuses: " + err.Error()
	}
	return err.Error()
}

func speaksHTTP(e tls.RecordHeaderError) bool {
	switch string(e.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "CONNE", "TRACE":
		return true
	}
	return false
}

// answerPlain tells a client that speaks plain HTTP so in its own words.
func answerPlain(err error) {
	plain, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || plain.Conn == nil || !speaksHTTP(plain) {
		return
	}
	_ = plain.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port is served over TLS.\n")
}

// turns is a connection whose handshake takes a place while it computes, and
// gives it back while it waits for the client. After end it is the connection.
type turns struct {
	net.Conn
	ctx    context.Context // of the handshake, which the Conn outlives
	places chan struct{}
	ended  bool
	holds  bool
	// serverName is what the client asks for, as soon as that is known.
	serverName string
}

func (t *turns) take() error {
	select {
	case t.places <- struct{}{}:
		t.holds = true
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

func (t *turns) give() {
	if t.holds {
		t.holds = false
		<-t.places
	}
}

// end gives the place back for good. It is called before the connection is
// handed on.
func (t *turns) end() {
	t.give()
	t.ended, t.ctx = true, nil
}

// Read reads from the client. During the handshake one goroutine alone reads.
func (t *turns) Read(p []byte) (int, error) {
	if t.ended {
		return t.Conn.Read(p)
	}
	t.give()
	n, err := t.Conn.Read(p)
	if err != nil {
		return n, err
	}
	return n, t.take()
}

// Write writes to the client, who may take his time to read.
func (t *turns) Write(p []byte) (int, error) {
	if t.ended {
		return t.Conn.Write(p)
	}
	t.give()
	n, err := t.Conn.Write(p)
	if err != nil {
		return n, err
	}
	return n, t.take()
}
