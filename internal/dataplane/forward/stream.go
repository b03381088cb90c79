package forward

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// smallBody is how large a body of known length may be to be read whole
// before it is sent: it can then be sent again. retryBody is the same where
// the configuration asks for retries.
const (
	smallBody = 64 << 10
	retryBody = 1 << 20
)

// stream is a request body that is sent as it comes, in one attempt: one that
// never began to read it leaves it to the next. A nil stream has nothing to
// tell.
type stream struct {
	e     *dataplane.Exchange
	watch *watch      // told when the client is waited for
	given bool        // a transport has it, and will finish it
	began atomic.Bool // something of it may have been read
	whole atomic.Bool // it was read to its end
	err   atomic.Pointer[error]
	done  chan struct{} // closed when the transport reads no more
	once  sync.Once

	mu     sync.Mutex
	reads  bool // a Read waits for the client
	closed bool // and is not to
}

func newStream(x *exchange) *stream {
	return &stream{e: x.e, watch: &x.watch, done: make(chan struct{})}
}

var errUnwanted = errors.New("the transport wants no more of the request's body")

// Read reads from the client.
func (s *stream) Read(p []byte) (int, error) {
	if !s.enter() {
		return 0, errUnwanted
	}
	n, err := s.e.Body.Read(p)
	wanted := s.leave()
	switch {
	case err == io.EOF:
		s.whole.Store(true)
	case err != nil && wanted:
		s.err.Store(&err)
	}
	return n, err
}

// enter says that a Read begins; it reports whether one may.
func (s *stream) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.began.Store(true)
	s.watch.reading.Store(true)
	s.reads = true
	return true
}

// leave says that it has ended; it reports whether it was left to end by itself.
func (s *stream) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = false
	s.watch.reading.Store(false)
	if s.closed {
		s.finish()
	}
	return !s.closed
}

// interrupt ends the Read that waits for the client, if one does, and all later
// ones; then nothing more is read. What the Read has got is lost, so that
// nothing else can be made of the body.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.reads {
		_ = s.watch.client.SetReadDeadline(past)
		return // leave says when it has ended
	}
	s.finish()
}

// finish says that nothing more is read.
func (s *stream) finish() {
	if s != nil {
		s.once.Do(func() { close(s.done) })
	}
}

// untouched reports whether nothing was read and nothing will be.
func (s *stream) untouched() bool {
	if s == nil || !s.given {
		return true
	}
	select {
	case <-s.done:
		return !s.began.Load()
	default:
		return false
	}
}

// broken returns why the client's body could not be read, or nil.
func (s *stream) broken() error {
	if s == nil {
		return nil
	}
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

// part reports whether a body has not been read to its end.
func (s *stream) part() bool { return s != nil && !s.whole.Load() }

// trailers returns what the client sent after the body, of what was announced.
func (s *stream) trailers(announced http.Header) http.Header {
	if len(announced) == 0 || s.e.Trailer == nil {
		return nil
	}
	out := http.Header{}
	for name := range announced {
		if v := (*s.e.Trailer)[name]; sendable(v) {
			out[name] = v
		}
	}
	return out
}

// streamCloser is a stream as net/http reads it.
type streamCloser struct{ *stream }

// Close says that nothing more is read. An upstream that answers before the
// client has sent all, or that breaks off, would otherwise be waited for until
// the client sends more: net/http's client waits for a Read that is under way.
func (c streamCloser) Close() error {
	c.interrupt()
	return nil
}

// readBody takes the body into memory where something needs it whole, or
// where it is small; otherwise it is streamed.
func (x *exchange) readBody() *dataplane.Answer {
	e := x.e
	if x.upgrade != "" {
		return nil
	}
	if data, ok := e.Collected(); ok {
		x.data = data
		return nil
	}
	if e.Length == 0 || e.Body == nil {
		return nil
	}
	if e.Listener != nil && e.Length > e.Listener.Limits.BodyBytes {
		return dataplane.BodyAnswer(dataplane.ErrBodyTooLarge) // before it is asked for
	}
	if !x.needsWhole() {
		x.stream = newStream(x)
		// net/http otherwise closes the body at the first byte of the answer.
		_ = x.client.EnableFullDuplex()
		return nil
	}
	x.watch.reading.Store(true)
	data, a := e.Collect()
	x.watch.reading.Store(false)
	if a != nil {
		if why := x.watch.why(); why != nil {
			x.closeAfter()
			return slowClient(why)
		}
		return a
	}
	x.watch.touch()
	x.data = data
	return nil
}

// closeAfter makes the server close the client's connection after the answer,
// with time for the client to read it. What is left of a body whose reading
// was broken off would otherwise be taken for the next request.
func (x *exchange) closeAfter() {
	one := io.NopCloser(strings.NewReader("x"))
	_, _ = http.MaxBytesReader(beneath(x.e.Response), one, 0).Read(make([]byte, 1))
}

// beneath returns the server's own ResponseWriter, which alone can be told to
// close.
func beneath(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

func (x *exchange) needsWhole() bool {
	e := x.e
	limit := int64(smallBody)
	if x.backend.retry != nil {
		limit = retryBody
	}
	if x.backend.whole || e.Length > 0 && e.Length <= limit {
		return true
	}
	for _, m := range x.backend.members {
		if m.adapter != nil && m.adapter.NeedsBody(e.OutPath()) {
			return true
		}
		if in := m.upstream.injector; in != nil && in.NeedsBody() {
			return true
		}
	}
	return false
}

// announced returns the trailers that the client announced and that may be
// sent on: none that could change what the head has settled.
func (x *exchange) announced(head http.Header) http.Header {
	if x.e.Trailer == nil {
		return nil
	}
	var out http.Header
	for name := range *x.e.Trailer {
		if _, set := head[name]; set || !isTrailer(name) || x.sanitized(name) {
			continue
		}
		if out == nil {
			out = http.Header{}
		}
		out[name] = nil
	}
	return out
}

func (x *exchange) sanitized(name string) bool {
	if x.e.Route == nil {
		return false
	}
	for _, s := range x.e.Route.Sanitize {
		if http.CanonicalHeaderKey(s) == name {
			return true
		}
	}
	return false
}

// isTrailer reports whether a field may come after a body (RFC 9110 6.5.1):
// none that frames, routes or authenticates.
func isTrailer(name string) bool {
	switch name {
	case "Transfer-Encoding", "Content-Length", "Trailer", "Host", "Connection", "Te", "Upgrade", "Expect",
		"Content-Type", "Content-Encoding", "Content-Range", "Cache-Control", "Set-Cookie", "Cookie",
		"Proxy-Authenticate", "Www-Authenticate":
		return false
	}
	return !dataplane.IsCredentialHeader(name) && !dataplane.IsReserved(name) && len(name) < 128 && !isForwardedHeader(name)
}

func isForwardedHeader(name string) bool {
	return len(name) >= 11 && name[:11] == "X-Forwarded" || name == "Forwarded"
}
