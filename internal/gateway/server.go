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

	"github.com/postern-gateway/postern/internal/dataplane"
)

// socket is one bound port. Connections go to the server that is current; a
// change of TLS or of limits takes another server, and the port stays bound.
type socket struct {
	listener net.Listener
	handler  *dataplane.Handler
	log      *slog.Logger

	mu       sync.Mutex
	server   *server
	limits   dataplane.Limits
	secure   bool
	old      sync.WaitGroup // servers that drain
	accepted chan struct{}  // closed when accepting has ended
}

// server is an http.Server that is fed connections.
type server struct {
	http  *http.Server
	conns *feed
	done  chan struct{}
}

// newSocket starts accepting.
func newSocket(ln net.Listener, h *dataplane.Handler, log *slog.Logger) *socket {
	s := &socket{listener: ln, handler: h, log: log, accepted: make(chan struct{})}
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
	old := s.server
	s.server, s.limits, s.secure = s.newServer(next.Limits, secure), next.Limits, secure
	if old != nil {
		s.old.Add(1)
		go func() {
			defer s.old.Done()
			_ = old.http.Shutdown(context.Background())
			<-old.done
		}()
	}
}

func (s *socket) newServer(l dataplane.Limits, secure bool) *server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(secure)
	protocols.SetUnencryptedHTTP2(!secure)
	srv := &server{
		conns: &feed{addr: s.listener.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})},
		done:  make(chan struct{}),
		http: &http.Server{
			Handler:           s.handler,
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
	go func() {
		defer close(srv.done)
		var err error
		if secure {
			srv.http.TLSConfig = s.tlsConfig()
			err = srv.http.ServeTLS(srv.conns, "", "")
		} else {
			err = srv.http.Serve(srv.conns)
		}
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
			now := s.handler.Socket()
			if now == nil || now.TLS == nil {
				return nil, errors.New("nothing is served here over TLS")
			}
			return now.TLS.GetConfigForClient(hello)
		},
		// Never shown: GetConfigForClient answers or refuses first. The
		// server wants one of the two to be set.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("no certificate")
		},
	}
}

// accept hands connections to the current server until the listener closes.
func (s *socket) accept() {
	defer close(s.accepted)
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.log.Warn("accept", "address", s.listener.Addr().String(), "error", err)
			continue
		}
		s.hand(c)
	}
}

// hand gives a connection to the current server; if that was just replaced,
// to the one that replaced it.
func (s *socket) hand(c net.Conn) {
	var tried *server
	for {
		s.mu.Lock()
		srv := s.server
		s.mu.Unlock()
		if srv == nil || srv == tried {
			_ = c.Close()
			return
		}
		if srv.conns.put(c) {
			return
		}
		tried = srv
	}
}

// drain stops accepting, and waits for what is under way until ctx ends; then
// it is cut.
func (s *socket) drain(ctx context.Context) {
	_ = s.listener.Close()
	<-s.accepted
	s.mu.Lock()
	srv := s.server
	s.mu.Unlock()
	if srv != nil {
		if err := srv.http.Shutdown(ctx); err != nil {
			_ = srv.http.Close()
		}
		<-srv.done
	}
	s.old.Wait()
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
