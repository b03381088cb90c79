package simulate

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"time"
)

// writeTimeout is how long a client may take to accept one write.
const writeTimeout = 30 * time.Second

// connKey finds a request's connection in its context, for the faults that
// need to break it.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// perform lets p answer the request in the way that its Behavior demands.
func (s *Server) perform(w http.ResponseWriter, r *Request, p Provider) {
	b := r.Behavior
	if s.cfg.Wait(r.Context(), b.Delay) != nil {
		abort()
	}
	switch b.Fault {
	case FaultReset, FaultEarlyClose:
		hangUp(r.Context(), b.Fault == FaultReset)
	case FaultHang:
		_ = s.cfg.Wait(r.Context(), maxHang)
		abort()
	}
	a := decide(p, r)
	switch b.Fault {
	case FaultGarbage:
		garble(&a, seedOf(p.Name(), r))
		s.send(w, r, a, -1)
	case FaultHalf:
		s.send(w, r, a, a.length()/2)
		abort()
	default:
		s.send(w, r, a, -1)
	}
}

// decide is the provider's answer with the demanded status and headers.
func decide(p Provider, r *Request) Answer {
	a := answerWith(p, r, r.Behavior.Status)
	if a.Header == nil {
		a.Header = http.Header{}
	}
	for name, values := range r.Behavior.Header {
		a.Header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

func answerWith(p Provider, r *Request, status int) Answer {
	switch {
	case status == 0:
		return p.Answer(r)
	case status < 300:
		a := p.Answer(r)
		a.Status = status
		return a
	case status < 400:
		return Answer{Status: status}
	}
	if f, ok := p.(Failer); ok {
		return f.Failure(status)
	}
	return plainError(status, "simulated failure")
}

// send writes a, or its first limit bytes where limit is not negative, with
// the head that the whole would have had.
func (s *Server) send(w http.ResponseWriter, r *Request, a Answer, limit int) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	if a.Stream == nil && bodyAllowed(a.Status) {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w.WriteHeader(a.Status)
	if !bodyAllowed(a.Status) {
		return
	}
	defer func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) }()
	out := &paced{server: s, w: w, r: r, limit: limit}
	if a.Stream == nil {
		out.write(a.Body)
		return
	}
	for event := range a.Stream {
		if !out.event(event) {
			return
		}
	}
}

// paced writes an answer at the demanded pace, up to its limit.
type paced struct {
	server *Server
	w      http.ResponseWriter
	r      *Request
	limit  int // bytes left; negative: no limit
	begun  bool
}

// event writes one event of a stream after the demanded pause, and says
// whether to go on.
func (p *paced) event(event []byte) bool {
	if p.begun && p.server.cfg.Wait(p.r.Context(), p.r.Behavior.EventDelay) != nil {
		abort()
	}
	p.begun = true
	return p.write(event)
}

// write writes and flushes data, and says whether to go on. It aborts when the
// client is gone or too slow, so that no answer looks complete that is not.
func (p *paced) write(data []byte) bool {
	whole := p.limit < 0 || len(data) < p.limit
	if !whole {
		data = data[:p.limit]
	}
	if p.limit >= 0 {
		p.limit -= len(data)
	}
	c := http.NewResponseController(p.w)
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := p.w.Write(data); err != nil {
		abort()
	}
	if err := c.Flush(); err != nil {
		abort()
	}
	return whole
}

// length is the number of bytes in the answer's body.
func (a Answer) length() int {
	if a.Stream == nil {
		return len(a.Body)
	}
	n := 0
	for event := range a.Stream {
		n += len(event)
	}
	return n
}

// garble replaces the answer's body by bytes that are neither JSON nor events.
func garble(a *Answer, s seed) {
	g := newGenerator(s)
	body := make([]byte, 512)
	for i := range body {
		body[i] = byte(0x80 + g.random.IntN(0x80))
	}
	a.Body, a.Stream = body, nil
}

// hangUp ends the request's connection: by a TCP reset or in good order.
func hangUp(ctx context.Context, reset bool) {
	conn, ok := ctx.Value(connKey{}).(net.Conn)
	if !ok {
		abort()
	}
	if reset {
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn()
		}
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
	}
	_ = conn.Close()
	abort()
}

// abort ends the handler in the one way that makes net/http break off an
// unfinished answer and not log it.
func abort() { panic(http.ErrAbortHandler) }

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// pause waits for d, or for the end of ctx, which is its error.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
