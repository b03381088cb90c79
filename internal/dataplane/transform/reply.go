package transform

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// answer sees to it that a route's own answer is changed by what pick returns
// for its head; nil: it stays. Answers of which no template reads the body
// stream through; the others are collected, up to the limit.
func (s *Stage) answer(e *dataplane.Exchange, pick func(status int, h http.Header) *change) {
	r := &reply{ResponseWriter: e.Response, e: e, pick: pick}
	e.Response = r
	e.OnReply(r.begin)
	e.OnEnd(r.end)
}

// reply stands between whoever writes the answer and the client.
type reply struct {
	http.ResponseWriter
	e    *dataplane.Exchange
	pick func(status int, h http.Header) *change
	// change is what is done; nil: the answer passes.
	change *change
	// whole says that the body is being collected.
	whole  bool
	status int
	body   []byte
	// replaced is written in place of the body, which is dropped.
	replaced *string
	wrote    bool
}

// Unwrap lets an http.ResponseController find what is beneath.
func (r *reply) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// begin is told of the head of a route's own answer.
func (r *reply) begin(status int, h http.Header) {
	if r.change = r.pick(status, h); r.change == nil || status < http.StatusOK {
		return
	}
	r.whole = r.change.collect && r.e.Method != http.MethodHead && !bodyless(status)
}

// bodyless statuses have no body (RFC 9110 6.4.1).
func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// WriteHeader writes the head, changed, unless the body is needed first.
func (r *reply) WriteHeader(status int) {
	if r.change == nil || status < http.StatusOK || r.wrote {
		r.ResponseWriter.WriteHeader(status)
		return
	}
	r.wrote, r.status = true, status
	h := r.Header()
	if r.whole {
		delete(h, "Trailer") // then what comes after the body is marked as such
		return
	}
	w := r.change.get(r.e)
	defer r.change.put(w)
	w.header, w.status = h, status
	err := w.prepare()
	if err == nil {
		err = w.setMetadata()
	}
	if err == nil {
		status, err = w.answerHeaders()
	}
	if err != nil {
		r.fail(http.StatusBadRequest, "bad request: "+err.Error(), err.Error())
		return
	}
	if h.Get("Content-Length") == "0" && !r.change.passthrough && r.e.Method != http.MethodHead {
		delete(h, "Content-Type")
	}
	r.e.Record.Status = status
	r.ResponseWriter.WriteHeader(status)
}

// Write passes a piece of the body on, or keeps it.
func (r *reply) Write(p []byte) (int, error) {
	switch {
	case r.replaced != nil:
		return len(p), nil
	case !r.whole:
		return r.ResponseWriter.Write(p)
	}
	n := len(r.body) + len(p)
	if int64(n) > r.change.limit {
		return 0, r.cut(http.StatusRequestEntityTooLarge, tooLarge, "the answer is larger than the limit")
	}
	if n > cap(r.body) {
		grown := max(2*cap(r.body), n, 4<<10)
		if r.e.Hold(int64(grown)) != nil {
			return 0, r.cut(http.StatusServiceUnavailable, "too busy to hold the answer", dataplane.ErrBudget.Error())
		}
		r.body = append(make([]byte, 0, grown), r.body...)
	}
	r.body = append(r.body, p...)
	return len(p), nil
}

var errCut = errors.New("the answer cannot be collected")

// cut answers at once, without waiting for the end of what cannot be
// collected: a stream might have none.
func (r *reply) cut(status int, text, cause string) error {
	r.body, r.whole = nil, false
	r.fail(status, text, cause)
	_ = http.NewResponseController(r.ResponseWriter).Flush()
	return errCut
}

// FlushError holds back what is not ready.
func (r *reply) FlushError() error {
	if r.whole || r.replaced != nil {
		return nil
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// fail answers in place of the route.
func (r *reply) fail(status int, text, cause string) {
	h := r.Header()
	for _, name := range []string{"Content-Encoding", "Content-Range", "Etag", "Last-Modified", "Trailer"} {
		delete(h, name)
	}
	h["Content-Type"] = []string{"text/plain"}
	r.replaced = &text
	record := &r.e.Record
	record.Policy, record.Origin = r.change.slot, r.change.origin
	record.Cause, record.Verdict = "transformation of the answer: "+cause, dataplane.Failed
	r.send(status, []byte(text))
}

// send writes an answer whole.
func (r *reply) send(status int, body []byte) {
	h := r.Header()
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	r.e.Record.Status = status
	r.ResponseWriter.WriteHeader(status)
	if r.e.Method != http.MethodHead {
		n, _ := r.ResponseWriter.Write(body)
		r.e.Record.BytesOut = int64(n)
	}
}

// end finishes a collected answer.
func (r *reply) end() {
	if !r.whole || !r.wrote {
		return
	}
	status, body, err := r.transform()
	if err != nil {
		r.fail(http.StatusBadRequest, "bad request: "+err.Error(), err.Error())
		return
	}
	if len(body) == 0 {
		delete(r.Header(), "Content-Type")
	}
	if bodyless(status) {
		r.e.Record.Status = status
		delete(r.Header(), "Content-Length")
		r.ResponseWriter.WriteHeader(status)
		return
	}
	r.send(status, body)
}

// transform carries out a change that has the whole body.
func (r *reply) transform() (int, []byte, error) {
	c := r.change
	if r.e.Hold(c.room(r.body)) != nil {
		return 0, nil, dataplane.ErrBudget
	}
	w := c.get(r.e)
	defer c.put(w)
	w.header, w.status, w.text = r.Header(), r.status, string(r.body)
	if err := w.prepare(); err != nil {
		return 0, nil, err
	}
	body, err := w.newBody()
	if err != nil {
		return 0, nil, err
	}
	if err := w.setMetadata(); err != nil {
		return 0, nil, err
	}
	status, err := w.answerHeaders()
	if body == nil {
		body = r.body
	}
	return status, body, err
}
