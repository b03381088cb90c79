package telemetry

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	writerBytes = 256 << 10
	writerDelay = 100 * time.Millisecond
)

// writer gathers lines and writes them in another goroutine. While one batch
// is being written, the next is gathered; when that is full, append waits.
type writer struct {
	out  io.Writer
	log  *slog.Logger
	lost atomic.Uint64

	mu      sync.Mutex
	room    sync.Cond
	pending []byte
	spare   []byte
	closed  bool

	some, full chan struct{} // capacity 1
	closing    chan struct{}
	done       chan struct{}
}

func newWriter(out io.Writer, log *slog.Logger) *writer {
	w := &writer{
		out: out, log: log,
		some: make(chan struct{}, 1), full: make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	w.room.L = &w.mu
	go w.run()
	return w
}

// append takes over a copy of p, which ends in a line break.
func (w *writer) append(p []byte) {
	w.mu.Lock()
	for len(w.pending) > 0 && len(w.pending)+len(p) > writerBytes && !w.closed {
		w.room.Wait()
	}
	if w.closed {
		w.mu.Unlock()
		w.lost.Add(1)
		return
	}
	before := len(w.pending)
	w.pending = append(w.pending, p...)
	after := len(w.pending)
	w.mu.Unlock()
	if before == 0 {
		signal(w.some)
	}
	if before < writerBytes/2 && after >= writerBytes/2 {
		signal(w.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes a while after the first line of a batch, or when it is half full.
// Without lines, it sleeps.
func (w *writer) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-w.some:
		case <-w.closing:
			w.flush()
			return
		}
		timer.Reset(writerDelay)
		select {
		case <-timer.C:
		case <-w.full:
		case <-w.closing:
		}
		w.flush()
	}
}

func (w *writer) flush() {
	w.mu.Lock()
	batch := w.pending
	w.pending = w.spare[:0]
	w.spare = nil
	w.room.Broadcast()
	w.mu.Unlock()
	if len(batch) > 0 {
		if n, err := w.out.Write(batch); err != nil {
			lines := bytes.Count(batch[min(n, len(batch)):], []byte("\n"))
			total := w.lost.Add(uint64(lines))
			w.log.Error("write access log", "error", err, "lost_lines", total)
		}
	}
	w.mu.Lock()
	w.spare = batch[:0]
	w.mu.Unlock()
}

func (w *writer) close() {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.room.Broadcast()
	w.mu.Unlock()
	if !again {
		close(w.closing)
	}
	<-w.done
}
