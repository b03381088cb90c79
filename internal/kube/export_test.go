package kube

import "context"

// Idle reports whether all that was offered has been queued, and nothing is
// queued or worked on. What failed and waits does not count.
func (s *Statuses) Idle() bool {
	now := s.latest.Load()
	return now != nil && s.seen.Load() == now && s.left.Load() == 0
}

// Look tells of what there is now, once.
func (e *Events) Look(ctx context.Context) {
	if e.told == nil {
		e.told = map[alert]telling{}
	}
	if set, problems := e.look(); set != nil {
		e.tell(ctx, set, problems)
	}
}
