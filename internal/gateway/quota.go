package gateway

import (
	"sync"
	"time"
)

// refusalsTold is how many refused handshakes of one port are told of in a
// second: whoever knocks on every port must not fill the log.
const refusalsTold = 20

// quota bounds how often something is told.
type quota struct {
	most  int
	every time.Duration

	mu     sync.Mutex
	since  time.Time
	n      int
	untold int
}

// ask reports whether it may be told now, and how often it was not since it
// last was.
func (q *quota) ask(now time.Time) (ok bool, untold int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.since) >= q.every {
		q.since, q.n = now, 0
	}
	if q.n >= q.most {
		q.untold++
		return false, 0
	}
	q.n++
	untold, q.untold = q.untold, 0
	return true, untold
}
