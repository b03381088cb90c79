package forward

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
)

// What is wrong with an answer. The texts quote nothing of it.
var (
	errHeadTooLarge = errors.New("the head is too large")
	errInterim      = errors.New("too many interim answers")
	errUnaskedFor   = errors.New("it switches protocols unasked")
	errVersion      = errors.New("it is not HTTP/1")
	errStatus       = errors.New("its status is not a number from 100 to 999")
	errCoding       = errors.New("its transfer coding is not chunked alone")
	errLength       = errors.New("its length is ambiguous")
)

const maxTrailerBytes = 16 << 10

// readHead reads the head of the answer to o, past interim ones. Those are
// not passed on.
func (c *http1Conn) readHead(o *outgoing) (*http.Response, error) {
	for range maxInterim {
		c.left, c.ended = maxReplyHeadBytes, nil
		if _, err := c.br.Peek(1); err != nil {
			return nil, err
		}
		c.answered = true
		resp, err := c.readOne(o.Method)
		switch {
		case err != nil && c.ended != nil:
			return nil, endedEarly(c.ended) // not the parser's view of what was left
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusSwitchingProtocols && o.Header.Get("Upgrade") == "":
			return nil, errUnaskedFor
		case resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols:
			continue
		}
		c.left = math.MaxInt64
		return resp, nil
	}
	return nil, errInterim
}

func endedEarly(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readOne reads one head and settles how its body is delimited. resp.Close
// says that the connection ends with it.
func (c *http1Conn) readOne(method string) (*http.Response, error) {
	tp := textproto.NewReader(c.br)
	line, err := tp.ReadLine()
	if err != nil {
		return nil, err
	}
	resp := &http.Response{}
	if err := readStatus(resp, line); err != nil {
		return nil, err
	}
	h, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	resp.Header = http.Header(h)
	resp.Close = hasToken(h["Connection"], "close") || resp.ProtoMinor == 0 && !hasToken(h["Connection"], "keep-alive")
	if err := c.delimit(resp, method); err != nil {
		return nil, err
	}
	return resp, nil
}

func readStatus(resp *http.Response, line string) error {
	proto, status, _ := strings.Cut(line, " ")
	var ok bool
	resp.Proto = proto
	if resp.ProtoMajor, resp.ProtoMinor, ok = http.ParseHTTPVersion(proto); !ok || resp.ProtoMajor != 1 {
		return errVersion
	}
	resp.Status = status
	code, _, _ := strings.Cut(status, " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 100 {
		return errStatus
	}
	resp.StatusCode = n
	return nil
}

// delimit finds where the body ends (RFC 9112 6.3).
func (c *http1Conn) delimit(resp *http.Response, method string) error {
	h := resp.Header
	length, err := contentLength(h["Content-Length"])
	if err != nil {
		return err
	}
	codings := h["Transfer-Encoding"]
	if len(codings) > 0 && (len(codings) > 1 || !strings.EqualFold(strings.TrimSpace(codings[0]), "chunked") || resp.ProtoMinor == 0) {
		return errCoding
	}
	none := method == http.MethodHead || resp.StatusCode < 200 || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	switch {
	case none:
		resp.ContentLength, resp.Body = length, http.NoBody
	case len(codings) > 0:
		delete(h, "Content-Length")
		resp.ContentLength = -1
		resp.Trailer = announcedTrailers(h)
		resp.Body = &chunkedBody{r: httputil.NewChunkedReader(c.br), c: c, resp: resp}
	case length > 0:
		resp.ContentLength, resp.Body = length, &lengthBody{c: c, left: length}
	case length == 0:
		resp.Body = http.NoBody
	default:
		resp.ContentLength, resp.Close, resp.Body = -1, true, io.NopCloser(c.br)
	}
	return nil
}

// contentLength returns -1 if there is none. Several are one if they agree.
func contentLength(values []string) (int64, error) {
	if len(values) == 0 {
		return -1, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, errLength
		}
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0, errLength
	}
	return int64(n), nil
}

func announcedTrailers(h http.Header) http.Header {
	var out http.Header
	for _, v := range h["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); isToken(name) && isTrailer(name) {
				if out == nil {
					out = http.Header{}
				}
				out[name] = nil
			}
		}
	}
	return out
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// lengthBody is a body of known length. Its end comes with its last bytes.
type lengthBody struct {
	c    *http1Conn
	left int64
}

// Read reads from the body.
func (b *lengthBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.c.br.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close does nothing: the connection is its exchange's to close.
func (b *lengthBody) Close() error { return nil }

// chunkedBody is a body in chunks, and the trailers after it.
type chunkedBody struct {
	r    io.Reader
	c    *http1Conn
	resp *http.Response
}

// Read reads from the body. At its end resp.Trailer is complete.
func (b *chunkedBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != io.EOF {
		return n, err
	}
	if err := b.readTrailers(); err != nil {
		return n, err
	}
	return n, io.EOF
}

func (b *chunkedBody) readTrailers() error {
	next, err := b.c.br.Peek(2)
	if err != nil {
		return endedEarly(err)
	}
	if next[0] == '\r' && next[1] == '\n' {
		_, err := b.c.br.Discard(2)
		return err
	}
	b.c.left = maxTrailerBytes
	h, err := textproto.NewReader(b.c.br).ReadMIMEHeader()
	if err != nil {
		return endedEarly(err)
	}
	for name, v := range h {
		if b.resp.Trailer == nil {
			b.resp.Trailer = http.Header{}
		}
		b.resp.Trailer[name] = v
	}
	return nil
}

// Close does nothing: the connection is its exchange's to close.
func (b *chunkedBody) Close() error { return nil }
