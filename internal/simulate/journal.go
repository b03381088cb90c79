package simulate

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
)

// journalPath is where the record of requests is read and cleared over HTTP,
// on every host.
const journalPath = "/_simulate/requests"

// journal keeps the last records in a ring.
type journal struct {
	mu      sync.Mutex
	ring    []Record
	next    int // where the next record goes
	held    int // how many the ring holds
	total   int
	arrived chan struct{} // closed and renewed at each record
}

func newJournal(keep int) *journal {
	return &journal{ring: make([]Record, keep), arrived: make(chan struct{})}
}

func (j *journal) add(r Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total++
	r.Number = j.total
	j.ring[j.next] = r
	j.next = (j.next + 1) % len(j.ring)
	j.held = min(j.held+1, len(j.ring))
	close(j.arrived)
	j.arrived = make(chan struct{})
}

// records are the ones held, oldest first.
func (j *journal) records() []Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]Record, 0, j.held)
	for i := range j.held {
		list = append(list, j.ring[(j.next-j.held+i+len(j.ring))%len(j.ring)].clone())
	}
	return list
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.ring)
	j.next, j.held = 0, 0
}

// await waits until the nth request since the beginning has arrived.
func (j *journal) await(ctx context.Context, n int) error {
	for {
		j.mu.Lock()
		total, arrived := j.total, j.arrived
		j.mu.Unlock()
		if total >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-arrived:
		}
	}
}

// ServeHTTP shows the records as a JSON array, oldest first, or clears them.
func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != journalPath {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		_ = e.Encode(j.records())
	case http.MethodDelete:
		j.clear()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, DELETE")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}
