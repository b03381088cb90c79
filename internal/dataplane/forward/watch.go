package forward

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Why a watch ended something.
var (
	errRequestTime = errors.New("the request took longer than its time-out")
	errStreamTime  = errors.New("the stream took longer than its time-out")
	errIdle        = errors.New("nothing moved for longer than the idle time-out")
	errAttemptTime = errors.New("the attempt took longer than its time-out")
)

// watch holds the time-outs of one exchange in a single timer. What moves
// only notes the time; the timer looks when it fires, and sets itself anew.
type watch struct {
	moved atomic.Int64 // when something last moved, since begin
	// reading says that the client is waited for, with more of its body.
	reading atomic.Bool
	begin   time.Time
	idle    time.Duration

	mu                       sync.Mutex
	request, stream, attempt time.Duration // since begin; 0: none
	timer                    *time.Timer
	cancel                   context.CancelCauseFunc // of the exchange
	cancelAttempt            context.CancelCauseFunc
	client                   *http.ResponseController
	writing                  bool // the answer has begun
	stopped                  bool
	reason                   error
	slowClient               bool // reason came while the client was waited for
}

// start arms the watch. spent is how long the exchange has been under way.
func (w *watch) start(s *settings, idle, spent time.Duration) {
	w.begin = time.Now()
	w.idle = idle
	if s.request > 0 {
		w.request = max(s.request-spent, 1)
	}
	if s.stream > 0 {
		w.stream = max(s.stream-spent, 1)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dueLocked(); d > 0 {
		w.timer = time.AfterFunc(d, w.fire)
	}
}

// touch notes that something moved.
func (w *watch) touch() { w.moved.Store(int64(time.Since(w.begin))) }

// dueLocked returns when the earliest time-out is due, since begin; 0: never.
func (w *watch) dueLocked() time.Duration {
	d := shorter(shorter(w.request, w.stream), w.attempt)
	if w.idle > 0 {
		d = shorter(d, time.Duration(w.moved.Load())+w.idle)
	}
	return d
}

// fire ends what is due.
func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	now := time.Since(w.begin)
	due := func(d time.Duration) bool { return d > 0 && now >= d }
	switch {
	case due(w.stream):
		w.endLocked(errStreamTime)
	case due(w.request):
		w.endLocked(errRequestTime)
	case w.idle > 0 && now >= time.Duration(w.moved.Load())+w.idle:
		w.endLocked(errIdle)
	case due(w.attempt):
		w.attempt = 0
		w.cancelAttempt(errAttemptTime)
		w.rearmLocked()
	default:
		w.rearmLocked()
	}
}

func (w *watch) rearmLocked() {
	d := w.dueLocked()
	if d == 0 {
		return
	}
	d = max(d-time.Since(w.begin), time.Millisecond)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.fire)
		return
	}
	w.timer.Reset(d)
}

// endLocked ends the exchange: whoever waits for the upstream or the client
// is woken. A deadline is set only where somebody reads the client's body:
// anywhere else net/http takes it for the end of the connection, on which
// every later request would find its context ended.
func (w *watch) endLocked(why error) {
	w.stopped = true
	w.reason = why
	w.cancel(why)
	if w.slowClient = w.reading.Load(); w.slowClient {
		_ = w.client.SetReadDeadline(past)
	}
	if w.writing {
		_ = w.client.SetWriteDeadline(past)
	}
}

// attemptBegins sets the time-out of one attempt, which cancel ends.
func (w *watch) attemptBegins(d time.Duration, cancel context.CancelCauseFunc) {
	w.touch()
	if d == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempt, w.cancelAttempt = time.Since(w.begin)+d, cancel
	if !w.stopped {
		w.rearmLocked()
	}
}

// attemptAnswers forgets the time-out of the attempt.
func (w *watch) attemptAnswers() {
	w.touch()
	if w.cancelAttempt == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempt, w.cancelAttempt = 0, nil
}

// replyBegins says that the answer is being written. An event stream is not
// bound by the request's time-out.
func (w *watch) replyBegins(events bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = true
	if events {
		w.request = 0
	}
}

// why returns what ended the exchange, or nil.
func (w *watch) why() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason
}

// waitedForClient reports whether what ended the exchange came while the
// client was waited for.
func (w *watch) waitedForClient() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slowClient
}

// stop ends the watch; afterwards it touches the client no more.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
