package kube

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Bounds of what is taken from an API server. They are far beyond what one
// sends: they keep a broken one, or what answers in its place, from taking all
// memory or time.
const (
	answerMost = 512 << 20 // bytes of an answer
	eventMost  = 64 << 20  // bytes of a line of a watch, which is an event
	retryMost  = 5         // seconds that it may ask us to wait
)

// bounded cuts answers that are too long.
type bounded struct {
	next          http.RoundTripper
	answer, event int64
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > retryMost {
		resp.Header.Set("Retry-After", strconv.Itoa(retryMost))
	}
	body := &boundedBody{ReadCloser: resp.Body, most: b.answer}
	if w := r.URL.Query().Get("watch"); w == "true" || w == "1" {
		body.most, body.lines = b.event, true
	}
	resp.Body = body
	return resp, nil
}

// boundedBody is a body, or each line of it, that may be so many bytes long.
type boundedBody struct {
	io.ReadCloser
	most, read int64
	lines      bool
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if i := bytes.LastIndexByte(p[:n], '\n'); b.lines && i >= 0 {
		b.read = int64(n - i - 1)
	}
	if b.read > b.most {
		return 0, fmt.Errorf("the API server sends more than %d bytes at once", b.most)
	}
	return n, err
}
