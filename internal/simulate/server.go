package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Addr is one address that a Server listens on.
type Addr struct {
	// Scheme is "http" or "https".
	Scheme string
	// Address is host and port, as for net.Dial.
	Address string
}

// Server serves simulated providers on real sockets, and records what they
// were asked. As an http.Handler it also works in another server, where
// FaultReset and FaultEarlyClose both merely abort the request.
type Server struct {
	cfg     Config
	ca      *CA
	journal *journal
	http    *http.Server

	mu       sync.Mutex
	behavior Behavior
	queue    []Behavior
	addrs    []Addr
	cancel   context.CancelFunc // set by Start
	closed   bool

	work sync.WaitGroup // listeners and handlers; only added to while not closed
}

// New makes a Server that does not listen yet.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	ca := cfg.CA
	if ca == nil {
		var err error
		if ca, err = NewCA(); err != nil {
			return nil, err
		}
	}
	certificate, err := ca.Issue(cfg.names()...)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, ca: ca, journal: newJournal(cfg.Keep), behavior: cfg.Behavior}
	s.http = &http.Server{
		Handler:           s,
		TLSConfig:         serverTLS(certificate),
		ConnContext:       withConn,
		ErrorLog:          cfg.ErrorLog,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10,
	}
	return s, nil
}

// serverTLS names HTTP/2 itself: net/http sets a server up only once, and for
// a plain listener it would leave HTTP/2 out unless it finds it named.
func serverTLS(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

// Start listens on every address and serves until ctx ends or Close is called.
// On an error nothing is left listening. It can be called once.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.cancel != nil {
		return errors.New("simulate: server was started before")
	}
	plain, err := listen(s.cfg.HTTP)
	if err != nil {
		return err
	}
	secure, err := listen(s.cfg.HTTPS)
	if err != nil {
		closeAll(plain)
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	s.work.Go(func() { <-ctx.Done(); s.shut() })
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	for _, l := range plain {
		s.addrs = append(s.addrs, Addr{"http", l.Addr().String()})
		s.work.Go(func() { _ = s.http.Serve(l) })
	}
	for _, l := range secure {
		s.addrs = append(s.addrs, Addr{"https", l.Addr().String()})
		s.work.Go(func() { _ = s.http.ServeTLS(l, "", "") })
	}
	return nil
}

// Close ends every request and connection, and waits until they have ended.
// It can be called more than once.
func (s *Server) Close() error {
	s.shut()
	s.mu.Lock()
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	s.work.Wait()
	return nil
}

// shut lets nobody in any more and breaks the connections, without waiting.
func (s *Server) shut() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.http.Close()
}

// enter counts a handler in, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// Addrs are the addresses that the server listens on, HTTP first; none before
// Start.
func (s *Server) Addrs() []Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.addrs)
}

// HTTPAddr is the first address of plain HTTP, or empty.
func (s *Server) HTTPAddr() string { return s.first("http") }

// HTTPSAddr is the first address of HTTPS, or empty.
func (s *Server) HTTPSAddr() string { return s.first("https") }

func (s *Server) first(scheme string) string {
	for _, a := range s.Addrs() {
		if a.Scheme == scheme {
			return a.Address
		}
	}
	return ""
}

// CA is the authority that signed the server's certificate.
func (s *Server) CA() *CA { return s.ca }

// Client is an HTTP client that trusts the server's CA and finds the server
// behind every host name on ports 80 and 443, so that a test can ask for
// https://api.openai.com. It follows no redirect.
func (s *Server) Client() *http.Client {
	var dialer net.Dialer
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		switch _, port, _ := net.SplitHostPort(addr); port {
		case "80":
			addr = s.HTTPAddr()
		case "443":
			addr = s.HTTPSAddr()
		}
		return dialer.DialContext(ctx, network, addr)
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:       dial,
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// listen opens every address, or none.
func listen(addrs []string) ([]net.Listener, error) {
	var open []net.Listener
	for _, addr := range addrs {
		l, err := net.Listen("tcp", loopback(addr))
		if err != nil {
			closeAll(open)
			return nil, fmt.Errorf("simulate: %w", err)
		}
		open = append(open, l)
	}
	return open, nil
}

func closeAll(open []net.Listener) {
	for _, l := range open {
		_ = l.Close()
	}
}
