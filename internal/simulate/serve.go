package simulate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// readTimeout is how long a client may take to send a body.
const readTimeout = time.Minute

// ServeHTTP records the request and lets the provider of its host answer it.
// Paths under /_simulate/ are the server's own, on every host.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		abort()
	}
	defer s.work.Done()
	if strings.HasPrefix(r.URL.Path, "/_simulate/") {
		s.journal.ServeHTTP(w, r)
		return
	}
	body, err := s.readBody(w, r)
	p := s.provider(r.Host)
	s.record(r, p, body, err == nil)
	s.serve(w, r, p, body, err)
}

// readBody reads the whole body, within the limits of length and time. The
// deadline is lifted again: net/http would take its end for the client's.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(readTimeout))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	return io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody))
}

// record is done before anything is answered: who has an answer finds its
// request in the record.
func (s *Server) record(r *http.Request, p Provider, body []byte, complete bool) {
	record := newRecord(r, body, complete, newMask(r, s.cfg.Credentials, s.cfg.secrets()))
	if p != nil {
		record.Provider = p.Name()
	}
	s.journal.add(record)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, p Provider, body []byte, readErr error) {
	req := &Request{Request: r, Payload: body}
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(readErr, &tooLong):
		s.send(w, req, plainError(http.StatusRequestEntityTooLarge, "body too long"), -1)
		return
	case readErr != nil:
		abort()
	case p == nil:
		s.send(w, req, plainError(http.StatusNotFound, "no provider answers for this host"), -1)
		return
	}
	b, err := s.nextBehavior(r.Header)
	if err != nil {
		s.send(w, req, plainError(http.StatusBadRequest, err.Error()), -1)
		return
	}
	req.Behavior = b
	s.perform(w, req, p)
}

// provider is the one whose host is asked for, or the one that takes any. Case
// and port of a Host do not matter; a dot at its end does, as it does to the
// real vendors.
func (s *Server) provider(hostport string) Provider {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	var anyHost Provider
	for _, p := range s.cfg.Providers {
		hosts := p.Hosts()
		if len(hosts) == 0 {
			anyHost = p
		}
		if slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			return p
		}
	}
	return anyHost
}

// SetBehavior replaces the behavior of all further answers.
func (s *Server) SetBehavior(b Behavior) error {
	if err := b.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behavior = b
	return nil
}

// Queue sets the behavior of the next answers, one each, before that of
// SetBehavior applies again: two failures and a success, say.
func (s *Server) Queue(next ...Behavior) error {
	for _, b := range next {
		if err := b.validate(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, next...)
	return nil
}

// nextBehavior takes the queue's first behavior, or the standing one, and
// lets the request's headers change it.
func (s *Server) nextBehavior(h http.Header) (Behavior, error) {
	s.mu.Lock()
	b := s.behavior
	if len(s.queue) > 0 {
		b, s.queue = s.queue[0], s.queue[1:]
	}
	s.mu.Unlock()
	if s.cfg.IgnoreHeaders {
		return b, nil
	}
	return b.with(h)
}

// Requests are the last requests, oldest first.
func (s *Server) Requests() []Record { return s.journal.records() }

// Clear forgets the recorded requests; their numbers go on.
func (s *Server) Clear() { s.journal.clear() }

// Await waits until the nth request since New has arrived, or ctx ends, which
// is its error.
func (s *Server) Await(ctx context.Context, n int) error { return s.journal.await(ctx, n) }

// plainError is an error of the server itself rather than of a provider.
func plainError(status int, message string) Answer {
	var body struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
		} `json:"error"`
	}
	body.Error.Message, body.Error.Type = message, "simulate_error"
	return jsonAnswer(status, body)
}
