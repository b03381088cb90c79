package dataplane

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// ErrBodyTooLarge is what reading a request body beyond its limit gives; it
// is answered with 413.
var ErrBodyTooLarge = errors.New("the request body is larger than the limit")

// ErrBudget says that too many bodies are held at once; it is answered with
// 503.
var ErrBudget = errors.New("too many request bodies are held at once")

// Budget bounds the bytes of all request bodies that are held in memory at
// one time.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a Budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used returns the bytes held now.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) give(n int64) { b.used.Add(-n) }

// boundedBody is a request body that ends in ErrBodyTooLarge past its limit.
type boundedBody struct {
	io.ReadCloser
	ahead []byte // was read before its time, and counted
	left  int64
	count *int64
	e     *Exchange
	watch []func(p []byte, err error)
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	if b.left < 0 {
		return 0, ErrBodyTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	*b.count += int64(n)
	if b.e.onRead != nil {
		b.e.onRead()
	}
	if b.left < 0 {
		n, err = n-1, ErrBodyTooLarge
	}
	for _, f := range b.watch {
		f(p[:n], err)
	}
	return n, err
}

// WatchBody has f told of each piece of the body as it is read, and of the
// error that ends it, io.EOF for one that has come whole, from whatever
// goroutine reads. What was read ahead it is told of at once. It reports false
// where the body cannot be watched: it is in memory, or there is none.
func (e *Exchange) WatchBody(f func(p []byte, err error)) bool {
	b, ok := e.Body.(*boundedBody)
	if !ok || e.collected != nil {
		return false
	}
	if len(b.ahead) > 0 {
		f(b.ahead, nil)
	}
	b.watch = append(b.watch, f)
	return true
}

// bound gives the exchange its body with the listener's limit.
func (h *Handler) bound(e *Exchange, r *http.Request) (io.ReadCloser, int64) {
	e.budget = h.bodies
	if r.Body == nil || r.Body == http.NoBody {
		return http.NoBody, 0
	}
	e.Trailer = &r.Trailer
	return &boundedBody{ReadCloser: r.Body, left: e.Listener.Limits.BodyBytes, count: &e.Record.BytesIn, e: e}, r.ContentLength
}

// LimitBody lowers the limit of what is yet to be read of the body.
func (e *Exchange) LimitBody(n int64) {
	if b, ok := e.Body.(*boundedBody); ok {
		b.left = min(b.left, n-int64(len(b.ahead)))
	}
}

// Collect reads the whole body into memory, within its limit and the budget
// over all bodies, and returns it. The body can be collected again, and
// forwarded, afterwards. The budget is given back when the exchange ends.
func (e *Exchange) Collect() ([]byte, *Answer) {
	if e.collected != nil {
		return *e.collected, nil
	}
	if b, ok := e.Body.(*boundedBody); ok && e.Length > b.left+int64(len(b.ahead)) {
		return nil, BodyAnswer(ErrBodyTooLarge)
	}
	late := e.hurry()
	data, err := e.collect()
	if err = late(err); err != nil {
		return nil, BodyAnswer(err)
	}
	e.setCame(data)
	return data, nil
}

// setCame is SetBody for what the client sent.
func (e *Exchange) setCame(data []byte) {
	e.SetBody(data)
	e.came = e.collected
}

// Peek returns the beginning of the body, of so many bytes at most, and whether
// that is all of it. The body stays as it was for whoever reads it after.
func (e *Exchange) Peek(most int64) (data []byte, whole bool, a *Answer) {
	if e.collected != nil {
		data = *e.collected
		return data[:min(int64(len(data)), most)], int64(len(data)) <= most, nil
	}
	b, bounded := e.Body.(*boundedBody)
	if !bounded || e.Length >= 0 && e.Length <= most {
		data, a = e.Collect()
		return data[:min(int64(len(data)), most)], int64(len(data)) <= most, a
	}
	if e.held < most {
		if !e.budget.take(most - e.held) {
			return nil, false, BodyAnswer(ErrBudget)
		}
		e.held = most
	}
	late := e.hurry()
	data, err := io.ReadAll(io.LimitReader(b, most+1))
	if err = late(err); err != nil {
		return nil, false, BodyAnswer(err)
	}
	b.ahead = data
	if int64(len(data)) <= most {
		e.setCame(data)
		return data, true, nil
	}
	return data[:most], false, nil
}

// SetBody replaces the body by bytes in memory. What model the body named is
// forgotten; see ReadModel.
func (e *Exchange) SetBody(data []byte) {
	e.collected = &data
	e.Length = int64(len(data))
	e.Model, e.scan = "", bodyScan{}
}

// EditBody is SetBody for a change that leaves alone what ReadModel reads.
func (e *Exchange) EditBody(data []byte) {
	model, scan, known := e.Model, e.scan, e.modelKnown()
	e.SetBody(data)
	if known {
		scan.of, scan.object = e.collected, nil
		e.Model, e.scan = model, scan
	}
}

// WithBody runs f on an exchange with another body, such as an attempt's, and
// returns the body that f leaves. The exchange is then as it was.
func (e *Exchange) WithBody(data []byte, f func()) []byte {
	collected, length, model, scan := e.collected, e.Length, e.Model, e.scan
	if collected == nil || !same(*collected, data) {
		e.SetBody(data)
	}
	f()
	out := *e.collected
	e.collected, e.Length, e.Model, e.scan = collected, length, model, scan
	return out
}

// same reports whether two slices are one.
func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Collected returns the body if it is in memory.
func (e *Exchange) Collected() ([]byte, bool) {
	if e.collected == nil {
		return nil, false
	}
	return *e.collected, true
}

// Hold takes n further bytes from the budget over all bodies, for what is made
// of a body, until the exchange ends.
func (e *Exchange) Hold(n int64) *Answer {
	if e.budget == nil {
		return nil
	}
	if !e.budget.take(n) {
		return BodyAnswer(ErrBudget)
	}
	e.held += n
	return nil
}

// Held returns how much of the budget the exchange has.
func (e *Exchange) Held() int64 { return e.held }

// FreeTo gives back what was taken since Held was n.
func (e *Exchange) FreeTo(n int64) {
	if e.held > n {
		e.budget.give(e.held - n)
		e.held = n
	}
}

// release gives the budget back.
func (e *Exchange) release() {
	if e.held > 0 {
		e.budget.give(e.held)
		e.held = 0
	}
}

// BodyAnswer returns the answer to an error of reading the request body.
func BodyAnswer(err error) *Answer {
	switch {
	case errors.Is(err, ErrBodyTooLarge):
		return &Answer{Status: http.StatusRequestEntityTooLarge, Body: "Payload Too Large", Verdict: Invalid, Cause: err.Error()}
	case errors.Is(err, errSlow):
		return &Answer{
			Status: http.StatusRequestTimeout, Body: "request timeout", Verdict: Invalid,
			Header: http.Header{"Connection": {"close"}}, Cause: err.Error(),
		}
	case errors.Is(err, ErrBudget):
		return &Answer{Status: http.StatusServiceUnavailable, Body: "too busy to hold the request body", Verdict: Failed, Cause: err.Error()}
	default:
		return &Answer{Status: http.StatusBadRequest, Body: "bad request: the body could not be read", Verdict: Invalid, Cause: "read request body: " + err.Error()}
	}
}
