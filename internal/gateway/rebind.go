package gateway

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A port that could not be bound is tried again after rebindFirst, which
// doubles up to rebindMost.
const (
	rebindFirst = time.Second
	rebindMost  = 30 * time.Second
)

// beginRebinding starts rebind; end returns when it has ended.
func (g *Gateway) beginRebinding(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { g.rebind(ctx) })
	return func() {
		stop()
		work.Wait()
	}
}

// rebind tries again to bind the ports that could not be bound, until ctx
// ends: what holds one of them may let go of it, and an address may arrive. An
// update tries them all, too; the waiting then begins anew.
func (g *Gateway) rebind(ctx context.Context) {
	var again <-chan time.Time
	wait := rebindFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.unbound:
			wait = rebindFirst
		case <-again:
			if again = nil; g.bindAgain() {
				continue
			}
			wait = min(2*wait, rebindMost)
		}
		again = g.cfg.After(wait)
	}
}

// bindAgain tries the ports that could not be bound, tells what has changed,
// and reports whether none is left.
func (g *Gateway) bindAgain() bool {
	g.applying.Lock()
	defer g.applying.Unlock()
	now := g.now.Load()
	before := now.unbound
	left := g.listeners.Bind(before)
	if slices.EqualFunc(left, before, Unbound.same) {
		return len(left) == 0
	}
	for _, u := range before {
		if !slices.ContainsFunc(left, func(l Unbound) bool { return l.Socket == u.Socket }) {
			g.cfg.Log.Info("bound at last", "listener", u.name())
		}
	}
	now.bound(left, g.listeners.Reached())
	g.tellAgain(now.Result)
	return len(left) == 0
}

// same reports whether v is the same port, not bound for the same reason.
func (u Unbound) same(v Unbound) bool {
	return u.Socket == v.Socket && u.Err.Error() == v.Err.Error()
}
