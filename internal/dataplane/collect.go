package dataplane

import (
	"errors"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"
)

// errSlow is a client that stopped sending its body; it is answered with 408.
var errSlow = errors.New("nothing of the request body came for as long as the listener allows")

// hurry sees to it that reading the body ends when nothing has come for the
// listener's idle time, unless somebody watches the reading already. The
// function that it returns ends that, and tells what an error meant.
func (e *Exchange) hurry() (ended func(error) error) {
	if e.onRead != nil || e.Listener == nil || e.Listener.Limits.StreamIdle <= 0 || e.Response == nil {
		return func(err error) error { return err }
	}
	idle := e.Listener.Limits.StreamIdle
	var fired atomic.Bool
	client := http.NewResponseController(e.Response)
	t := time.AfterFunc(idle, func() {
		fired.Store(true)
		_ = client.SetReadDeadline(time.Unix(1, 0))
	})
	e.onRead = func() { t.Reset(idle) }
	return func(err error) error {
		e.onRead = nil
		if t.Stop(); fired.Load() {
			return errSlow
		}
		return err
	}
}

// A body is collected into a buffer that begins with firstBuffer and grows by
// the factor of grow, but for one of declared length: once something of it has
// really come, the rest has room at once.
const (
	firstBuffer = 64 << 10
	grow        = 2
	trust       = 16
)

func (e *Exchange) collect() ([]byte, error) {
	most := int64(math.MaxInt64)
	factor := int64(grow)
	if e.Length >= 0 {
		most, factor = e.Length+1, trust // one more, to meet the end in the last read
	}
	data, err := e.room(nil, min(most, firstBuffer))
	for err == nil {
		if len(data) == cap(data) {
			if data, err = e.room(data, min(max(most, int64(len(data))+1), factor*int64(len(data)))); err != nil {
				break
			}
		}
		var n int
		n, err = e.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
	}
	if err != io.EOF {
		return nil, err
	}
	return data, nil
}

// room returns data with the capacity for size bytes, which it takes from the
// budget.
func (e *Exchange) room(data []byte, size int64) ([]byte, error) {
	if more := size - e.held; more > 0 {
		if !e.budget.take(more) {
			return nil, ErrBudget
		}
		e.held = size
	}
	return append(make([]byte, 0, size), data...), nil
}
