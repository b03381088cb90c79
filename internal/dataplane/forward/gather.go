package forward

import (
	"context"
	"io"
	"sync"

	"github.com/postern-gateway/postern/internal/dataplane"
)

// gathered is a copy whose body is put together while the request's is read.
type gathered struct {
	m  *mirror
	ep *endpoint
	o  *outgoing // its head, as it was when the copy was asked for

	mu    sync.Mutex
	ended bool
}

// gather has a copy sent when the body of e has been read to its end, if that
// is before the request ends, and the body is no longer than a copy's may be.
func (m *mirror) gather(ctx context.Context, e *dataplane.Exchange) {
	select {
	case m.gathering <- struct{}{}:
	default:
		return
	}
	g := &gathered{m: m}
	if g.o, g.ep = m.copyOf(e, nil); g.o == nil || !e.WatchBody(g.saw) {
		g.end()
		return
	}
	context.AfterFunc(ctx, g.end)
}

// saw takes the next piece of the body.
func (g *gathered) saw(p []byte, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	if len(g.o.data)+len(p) > copyBody {
		g.endLocked()
		return
	}
	g.o.data = append(g.o.data, p...)
	switch {
	case err == nil:
	case err == io.EOF:
		g.o.ContentLength = int64(len(g.o.data))
		g.m.start(g.ep, g.o)
		g.endLocked()
	default:
		g.endLocked()
	}
}

func (g *gathered) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endLocked()
}

// endLocked gives the place back, once.
func (g *gathered) endLocked() {
	if !g.ended {
		g.ended, g.o = true, nil
		<-g.m.gathering
	}
}
