package forward

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
)

// Copy buffers. A stream holds a small one all its life; a body of known
// length a larger one for a short time.
const (
	streamBuffer = 4 << 10
	bodyBuffer   = 16 << 10
)

var (
	streamBuffers = sync.Pool{New: func() any { return new(make([]byte, streamBuffer)) }}
	bodyBuffers   = sync.Pool{New: func() any { return new(make([]byte, bodyBuffer)) }}
)

// reply passes the attempt's answer on. It panics with http.ErrAbortHandler
// if the answer breaks off after its head, so that the client cannot take
// half for whole.
func (x *exchange) reply(at *attempt) *dataplane.Answer {
	defer at.close()
	resp := at.resp
	x.cleanReply(at)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.switchProtocols(at)
	}
	events := isEventStream(resp.Header)
	h := x.replyHead(resp)
	x.watch.replyBegins(events)
	x.e.Response.WriteHeader(resp.StatusCode)
	cut := x.copyBody(resp)
	if cut == "" {
		x.replyTrailers(at, h)
		return nil
	}
	x.e.Record.Cut = cut
	panic(http.ErrAbortHandler)
}

// cleanReply removes from the answer's head what concerns the connection, and
// what repeats the credential that was sent (an upstream may echo it).
func (x *exchange) cleanReply(at *attempt) {
	h := at.resp.Header
	dataplane.RemoveHopByHop(h)
	for _, name := range credential.Repeats(at.secret, at.header, h) {
		delete(h, name)
	}
}

// replyHead fills in the client's head; framing comes last, and nothing that
// was registered can change it.
func (x *exchange) replyHead(resp *http.Response) http.Header {
	h := x.e.Response.Header()
	for name, v := range resp.Header {
		h[name] = v
	}
	for name := range resp.Trailer {
		h.Add("Trailer", name)
	}
	x.e.FinishHeader(resp.StatusCode, h, true)
	delete(h, "Transfer-Encoding")
	delete(h, "Content-Length")
	bare := resp.StatusCode == http.StatusNoContent
	if resp.ContentLength > 0 && !bare || resp.ContentLength == 0 && !bare && resp.StatusCode != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.FormatInt(resp.ContentLength, 10)}
	}
	if x.stream.part() && x.e.Proto == 1 {
		h["Connection"] = []string{"close"} // it may have to be, see end
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // keeps net/http from guessing one
	}
	r := &x.e.Record
	r.Status, r.Verdict = resp.StatusCode, dataplane.Allowed
	return h
}

// copyBody copies the body, and returns what cut it short, or "". Whatever is
// streamed is flushed at each piece; of other bodies what the upstream makes
// the client wait after.
func (x *exchange) copyBody(resp *http.Response) string {
	left := resp.ContentLength
	if x.e.Method == http.MethodHead || resp.Body == http.NoBody || left == 0 {
		return x.drain(resp)
	}
	if left < 0 || left > bodyBuffer {
		if err := x.client.Flush(); err != nil {
			return x.cutBy("client", err)
		}
	}
	pool := &bodyBuffers
	if left < 0 {
		pool = &streamBuffers
	}
	quiet, _ := resp.Body.(interface{ wait() })
	for {
		if quiet != nil && left < 0 {
			quiet.wait() // an idle stream holds no copy buffer
		}
		n, flush, cut, err := x.copyPiece(resp.Body, pool, left)
		if left > 0 {
			left -= int64(n)
		}
		if flush && cut == "" {
			if err := x.client.Flush(); err != nil {
				return x.cutBy("client", err)
			}
			x.watch.touch()
		}
		switch {
		case cut != "":
			return x.cutBy(cut, err)
		case err == io.EOF:
			return ""
		}
	}
}

// copyPiece copies what one read gives. It returns whether that is to be
// flushed, and who broke off, if anybody.
func (x *exchange) copyPiece(body io.Reader, pool *sync.Pool, left int64) (n int, flush bool, cut string, err error) {
	b := pool.Get().(*[]byte)
	defer pool.Put(b)
	n, err = body.Read(*b)
	if n > 0 {
		x.watch.touch()
		wrote, werr := x.e.Response.Write((*b)[:n])
		x.e.Record.BytesOut += int64(wrote)
		if werr != nil {
			return n, false, "client", werr
		}
	}
	if err != nil && err != io.EOF {
		return n, false, "upstream", err
	}
	return n, n > 0 && (left < 0 || int64(n) < left && n < len(*b)), "", err
}

// drain reads the end of a body that has no bytes.
func (x *exchange) drain(resp *http.Response) string {
	if n, err := io.CopyN(io.Discard, resp.Body, 1); n != 0 || err != io.EOF {
		return x.cutBy("upstream", err)
	}
	return ""
}

// cutBy says who or what ended an answer.
func (x *exchange) cutBy(who string, err error) string {
	switch why := x.watch.why(); {
	case why != nil:
		x.e.Record.Cause = why.Error()
		return "timeout"
	case x.ctx.Err() != nil:
		return "client"
	}
	if who == "upstream" && err != nil {
		x.e.Record.Cause = "the upstream broke off: " + plain(err)
	}
	return who
}

// replyTrailers passes on what came after the body. Fields that were not
// announced can still be sent by net/http's prefix.
func (x *exchange) replyTrailers(at *attempt, h http.Header) {
	t := at.resp.Trailer
	if len(t) == 0 {
		return
	}
	secret := credential.Repeats(at.secret, at.header, t)
	announced := h["Trailer"]
	for name, v := range t {
		if !isTrailer(name) || !sendable(v) || len(v) == 0 || contains(secret, name) {
			continue
		}
		if contains(announced, name) {
			h[name] = v
		} else {
			h[http.TrailerPrefix+name] = v
		}
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// isEventStream reports whether an answer is made of events that may come for
// a long time: SSE, and the framing that Bedrock streams in.
func isEventStream(h http.Header) bool {
	ct, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(ct)) {
	case "text/event-stream", "application/vnd.amazon.eventstream":
		return true
	}
	return false
}

var errNoHijack = errors.New("the connection cannot be taken over")
