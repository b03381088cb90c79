package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
)

const (
	// retireAfter is how long a replaced server waits for its connections to
	// end with their next answer, before it closes those that are idle.
	retireAfter = 5 * time.Second
	// cutGrace is how long the end of requests is waited for whose
	// connections were cut.
	cutGrace = 5 * time.Second
)

// server is an http.Server that is fed connections.
type server struct {
	http    *http.Server
	handler http.Handler
	conns   *feed
	// tls is nil for plain HTTP; otherwise each connection is made one of TLS
	// before it is fed, within patience.
	tls      *tls.Config
	patience time.Duration
	done     chan struct{} // closed when it serves no more

	stop    sync.Once
	stopped chan struct{}   // closed when it is to drain
	base    context.Context // of the requests, until they are cut
	cut     context.CancelCauseFunc
	retired atomic.Bool
	active  atomic.Int64 // requests, upgraded connections among them
}

// ServeHTTP serves one request. On a retired server it is its connection's
// last, which the client is told: an idle connection closed without a word
// loses the request that is just being sent on it.
func (srv *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	srv.active.Add(1)
	defer srv.active.Add(-1)
	if srv.retired.Load() {
		w.Header().Set("Connection", "close")
	}
	srv.handler.ServeHTTP(w, r)
}

// retire ends the server when its connections have, idle ones at the latest
// after patience.
func (srv *server) retire(patience time.Duration) {
	srv.retired.Store(true)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-t.C:
	case <-srv.stopped:
	}
	srv.drain(context.Background())
}

// drain waits for what is under way until ctx ends; then it is cut.
func (srv *server) drain(ctx context.Context) {
	srv.stop.Do(func() { close(srv.stopped) })
	err := srv.http.Shutdown(ctx)
	if err == nil { // upgraded connections are no longer the http.Server's
		err = srv.quiet(ctx)
	}
	if err != nil {
		srv.cut(dataplane.ErrDrained)
		_ = srv.http.Close()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
		defer cancel()
		_ = srv.quiet(grace)
	}
	<-srv.done
	srv.cut(nil)
}

// quiet waits until no request is under way.
func (srv *server) quiet(ctx context.Context) error {
	const often = 5 * time.Millisecond
	t := time.NewTicker(often)
	defer t.Stop()
	for srv.active.Load() > 0 {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *socket) newServer(l dataplane.Limits, secure bool) *server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(secure)
	protocols.SetUnencryptedHTTP2(!secure)
	srv := &server{
		handler: s.handler,
		conns:   &feed{addr: s.listener.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})},
		done:    make(chan struct{}),
		stopped: make(chan struct{}),
		http: &http.Server{
			ReadHeaderTimeout: l.HeadTimeout,
			ReadTimeout:       l.RequestTimeout,
			IdleTimeout:       l.IdleTimeout,
			MaxHeaderBytes:    l.HeaderBytes,
			Protocols:         protocols,
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: l.Streams,
				SendPingTimeout:      l.IdleTimeout / 4,
			},
			ErrorLog: log.New(&logWriter{s.log}, "", 0),
		},
	}
	srv.http.Handler = srv
	base, cut := context.WithCancelCause(context.Background())
	srv.base, srv.cut = base, cut
	srv.http.BaseContext = func(net.Listener) context.Context { return base }
	srv.http.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return dataplane.WithConnection(ctx) }
	if secure {
		srv.tls, srv.patience = s.tlsConfig(), l.HeadTimeout
		srv.http.TLSConfig = srv.tls // for its ALPN: the connections are made here
	}
	go func() {
		defer close(srv.done)
		err := srv.http.Serve(srv.conns)
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("listener ended", "address", s.listener.Addr().String(), "error", err)
		}
	}()
	return srv
}

// tlsConfig asks the current snapshot at each handshake.
func (s *socket) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if t, ok := hello.Conn.(*turns); ok {
				t.serverName = hello.ServerName
			}
			now := s.handler.Socket()
			if now == nil || now.TLS == nil {
				return nil, errors.New("nothing is served here over TLS")
			}
			return now.TLS.GetConfigForClient(hello)
		},
	}
}

// feed is a net.Listener of connections that were accepted elsewhere.
type feed struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (f *feed) put(c net.Conn) bool {
	select {
	case f.conns <- c:
		return true
	case <-f.closed:
		return false
	}
}

// Accept returns the next connection.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr returns the address of the port.
func (f *feed) Addr() net.Addr { return f.addr }

// logWriter turns the lines of an http.Server's log into debug records.
type logWriter struct{ log *slog.Logger }

func (w *logWriter) Write(p []byte) (int, error) {
	w.log.Debug("connection", "message", string(p))
	return len(p), nil
}
