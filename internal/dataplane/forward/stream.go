package forward

import (
	"io"
	"net/http"
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

// stream is a request body that is sent as it comes. It can be sent once: an
// attempt that never began to read it leaves it to the next. A nil stream has
// nothing to tell.
type stream struct {
	e     *dataplane.Exchange
	began atomic.Bool
	done  chan struct{} // closed when the transport reads no more
	once  sync.Once
	err   error // why the client's body could not be read; valid after done
}

func newStream(e *dataplane.Exchange) *stream { return &stream{e: e, done: make(chan struct{})} }

// Read reads from the client.
func (s *stream) Read(p []byte) (int, error) {
	s.began.Store(true)
	n, err := s.e.Body.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// started reports whether something of the body may have been read.
func (s *stream) started() bool { return s != nil && s.began.Load() }

// finish says that nothing more is read.
func (s *stream) finish() {
	if s != nil {
		s.once.Do(func() { close(s.done) })
	}
}

// broken returns why the client's body could not be read, or nil. It waits
// for nobody: while the transport still reads, nothing is known.
func (s *stream) broken() error {
	if s == nil {
		return nil
	}
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

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

// Close says that nothing more is read.
func (c streamCloser) Close() error {
	c.finish()
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
	if !x.needsWhole() {
		x.stream = newStream(e)
		// net/http otherwise closes the body at the first byte of the answer.
		_ = x.client.EnableFullDuplex()
		return nil
	}
	data, a := e.Collect()
	if a != nil {
		if why := x.watch.why(); why != nil {
			return slowClient(why)
		}
		return a
	}
	x.watch.touch()
	x.data = data
	return nil
}

func (x *exchange) needsWhole() bool {
	e := x.e
	limit := int64(smallBody)
	if x.f.settings.retry != nil {
		limit = retryBody
	}
	if e.Length > 0 && e.Length <= limit {
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
	return !dataplane.IsCredentialHeader(name) && len(name) < 128 && !isForwardedHeader(name)
}

func isForwardedHeader(name string) bool {
	return len(name) >= 11 && name[:11] == "X-Forwarded" || name == "Forwarded"
}
