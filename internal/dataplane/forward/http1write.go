package forward

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

const (
	// oneWrite is how large a body may be to be written together with its
	// head; aloneAbove how large to be written by the exchange's goroutine
	// before it listens for the answer.
	oneWrite   = 16 << 10
	aloneAbove = 64 << 10
	// chunkBuffer is what is read from the client at a time, and chunkHead
	// the room before it for the chunk's size.
	chunkBuffer = 8 << 10
	chunkHead   = 10
)

var errShortBody = errors.New("the client's body is shorter than it declared")

// sending is a request that is being written. A nil one was written whole.
type sending struct {
	done chan struct{}
	err  error // valid after done
}

// complete reports whether the request was written whole.
func (s *sending) complete() bool {
	if s == nil {
		return true
	}
	select {
	case <-s.done:
		return s.err == nil
	default:
		return false
	}
}

// wait waits for the writer of a closed connection. One that reads from the
// client is waited for by the exchange, which can end that reading.
func (s *sending) wait(from *stream) {
	if s != nil && from == nil {
		<-s.done
	}
}

var heads = sync.Pool{New: func() any { return new(make([]byte, 0, 2<<10)) }}

// send writes o's head, and its body: with it, after it, or beside the
// reading of the answer.
func (c *http1Conn) send(o *outgoing) (*sending, error) {
	buf := heads.Get().(*[]byte)
	b := appendHead((*buf)[:0], o)
	whole := o.stream == nil && len(o.data) <= oneWrite
	if whole {
		b = append(b, o.data...)
	}
	n, err := c.Write(b)
	c.wrote = n > 0
	if cap(b) <= 32<<10 {
		*buf = b
		heads.Put(buf)
	}
	switch {
	case err != nil:
		o.stream.finish()
		return nil, err
	case whole:
		return nil, nil
	case o.stream == nil && len(o.data) <= aloneAbove:
		_, err := c.Write(o.data)
		return nil, err
	}
	s := &sending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if o.stream == nil {
			_, s.err = c.Write(o.data)
			return
		}
		defer o.stream.finish()
		s.err = c.sendStream(o)
	}()
	return s, nil
}

// appendHead appends the request line and the headers. The framing is made
// here, and nowhere else.
func appendHead(b []byte, o *outgoing) []byte {
	b = append(b, o.Method...)
	b = append(b, ' ')
	b = append(b, o.URL.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, o.Host...)
	b = append(b, "\r\n"...)
	for name, values := range o.Header {
		for _, v := range values {
			b = appendLine(b, name, v)
		}
	}
	if namesTE(o.Header) {
		b = appendLine(b, "Connection", "TE")
	}
	switch {
	case o.ContentLength > 0, o.ContentLength == 0 && expectsBody(o.Method):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, o.ContentLength, 10)
		b = append(b, "\r\n"...)
	case o.ContentLength < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range o.Trailer {
			b = appendLine(b, "Trailer", name)
		}
	}
	return append(b, "\r\n"...)
}

func appendLine(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// expectsBody reports whether a method without a body says so (RFC 9110 8.6).
func expectsBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

var chunks = sync.Pool{New: func() any { return new([chunkHead + chunkBuffer + 2]byte) }}

// sendStream writes the body as it comes, each piece in one write.
func (c *http1Conn) sendStream(o *outgoing) error {
	buf := chunks.Get().(*[chunkHead + chunkBuffer + 2]byte)
	defer chunks.Put(buf)
	left := o.ContentLength
	for {
		n, err := o.stream.Read(buf[chunkHead : chunkHead+chunkBuffer])
		if n > 0 {
			piece := buf[chunkHead : chunkHead+n]
			if o.ContentLength < 0 {
				piece = frame(buf[:], n)
			} else if left -= int64(n); left < 0 {
				return errShortBody
			}
			if _, werr := c.Write(piece); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF && left > 0:
			return c.giveUp(errShortBody)
		case err == io.EOF && o.ContentLength < 0:
			return c.endChunks(o)
		case err == io.EOF:
			return nil
		case err != nil:
			return c.giveUp(err)
		}
	}
}

// giveUp closes the connection on a request that cannot be completed, so that
// the upstream cannot take half for whole, and the reader of the answer ends.
func (c *http1Conn) giveUp(err error) error {
	_ = c.base.Close()
	return err
}

// frame makes a chunk of the n bytes in buf.
func frame(buf []byte, n int) []byte {
	var size [chunkHead]byte
	s := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
	from := chunkHead - len(s)
	copy(buf[from:], s)
	copy(buf[chunkHead+n:], "\r\n")
	return buf[from : chunkHead+n+2]
}

// endChunks writes the last chunk and the trailers.
func (c *http1Conn) endChunks(o *outgoing) error {
	b := []byte("0\r\n")
	for name, values := range o.stream.trailers(o.Trailer) {
		for _, v := range values {
			b = appendLine(b, name, v)
		}
	}
	_, err := c.Write(append(b, "\r\n"...))
	return err
}

// namesTE reports whether Connection must name the TE that goes with a request:
// RFC 9110 10.1.4.
func namesTE(h http.Header) bool { return h["Te"] != nil && h["Connection"] == nil }
