package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// JudgeConfig is what a Judge is made of.
type JudgeConfig struct {
	// Pipeline of the Judge's own, which compiles what nobody serves.
	Pipeline *Pipeline
	// Decode makes an object of JSON as the source does, and nothing of what is
	// not read.
	Decode func(json []byte) resource.Result
	// Look returns the Secrets of keys that are there and may be read, without
	// their bytes. A source knows those alone that something refers to already.
	Look  func(ctx context.Context, keys []resource.Key) []*resource.Object
	Clock func() time.Time
}

// Judge says what an object would bring about if it were among those that are
// served now. It translates and compiles them with the object, beside the
// gateway, and takes back what it did: one object at a time. A review does
// again what the object touches, and what has changed since the one before.
type Judge struct {
	cfg  JudgeConfig
	turn chan struct{}

	mu   sync.Mutex
	now  *resource.Set
	news chan struct{} // closed when now changes

	// Of who has the turn.
	last  *resource.Set         // that was applied
	lost  map[resource.Key]bool // Secrets that it wants and has not
	given *Result               // whose snapshot is held
}

// Verdict is what an object would bring about, over what there is without it.
type Verdict struct {
	// Errors are for what would not be in force; none, if all would.
	Errors, Warnings []status.Problem
}

// NewJudge returns a Judge, who knows of no objects yet.
func NewJudge(cfg JudgeConfig) *Judge {
	return &Judge{cfg: cfg, turn: make(chan struct{}, 1), news: make(chan struct{})}
}

const (
	// settle is how long an object waits before it is refused: what it refers to
	// may have been admitted a moment ago, and is not read yet. Meanwhile it is
	// judged again as things change, once in settleStep at most.
	settle     = 500 * time.Millisecond
	settleStep = 100 * time.Millisecond
	// keepUp is how often a Judge takes up what has changed while nobody asks.
	keepUp = time.Second
)

// Offer makes a Set what objects are judged against. It takes no time.
func (j *Judge) Offer(set *resource.Set) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if set == j.now {
		return
	}
	j.now = set
	close(j.news)
	j.news = make(chan struct{})
}

// Follow takes up what is offered until ctx ends, so that who asks finds next to
// nothing to be done.
func (j *Judge) Follow(ctx context.Context) {
	for {
		if j.begin(ctx) != nil {
			return
		}
		set, news := j.current()
		if set != nil {
			j.rest(set)
		}
		j.end()
		if !pause(ctx, keepUp, nil) {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// begin waits for the turn; end gives it on.
func (j *Judge) begin(ctx context.Context) error {
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		j.end()
		return fmt.Errorf("wait for a turn: %w", err)
	}
	return nil
}

func (j *Judge) end() { <-j.turn }

// current returns the Set to judge against, and what is closed when there is
// another.
func (j *Judge) current() (*resource.Set, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now, j.news
}

// Judge returns what an object would bring about that is to take the place of
// old, which may be nothing. Both are JSON. An object of a kind or version that
// is not read brings about nothing. The error says why there is no verdict.
func (j *Judge) Judge(ctx context.Context, old, object []byte) (Verdict, error) {
	var limit <-chan time.Time
	for {
		v, news, err := j.judge(ctx, old, object)
		if err != nil || len(v.Errors) == 0 {
			return v, err
		}
		if limit == nil {
			t := time.NewTimer(settle)
			defer t.Stop()
			limit = t.C
		}
		select {
		case <-news:
			if !pause(ctx, settleStep, limit) {
				return v, nil
			}
		case <-limit:
			return v, nil
		case <-ctx.Done():
			return v, nil
		}
	}
}

// pause waits, and reports whether neither ctx nor limit ended meanwhile.
func pause(ctx context.Context, d time.Duration, limit <-chan time.Time) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-limit:
	case <-ctx.Done():
	}
	return false
}

// judge judges an object against what there is now; news is closed when there
// is something else.
func (j *Judge) judge(ctx context.Context, old, object []byte) (v Verdict, news <-chan struct{}, err error) {
	r := j.cfg.Decode(object)
	known := map[string]bool{}
	if len(old) > 0 {
		for _, p := range j.cfg.Decode(old).Problems {
			known[p.String()] = true
		}
	}
	v = verdict(r.Problems, known)
	if err := j.begin(ctx); err != nil {
		return v, nil, err
	}
	defer j.end()
	set, news := j.current()
	switch {
	case set == nil:
		return v, nil, errors.New("the resources are not read yet")
	case len(r.Objects) == 0:
		return v, news, nil
	}
	o := r.Objects[0]
	if o.Created.IsZero() { // it is younger than all others
		o.Created = j.cfg.Clock()
	}
	j.rest(set)
	with := j.apply(source.Update{Set: set.With([]*resource.Object{o}, nil), Supply: j.supply(ctx, set, o)})
	more := verdict(with, known)
	v.Errors, v.Warnings = append(v.Errors, more.Errors...), append(v.Warnings, more.Warnings...)
	return v, news, nil
}

// rest takes back what was tried last, and takes up what has changed since.
func (j *Judge) rest(set *resource.Set) {
	if j.last == set {
		return
	}
	j.apply(source.Update{Set: set, Supply: func(d *resource.Demand) *source.Update {
		j.lost = map[resource.Key]bool{}
		for k := range d.Names() {
			if set.Get(k) == nil {
				j.lost[k] = true
			}
		}
		return nil
	}})
}

// apply makes a Set what was applied last, and returns what is wrong with it
// that was not with the one before, its Secrets' bytes apart.
func (j *Judge) apply(u source.Update) []status.Problem {
	r := j.cfg.Pipeline.Apply(u)
	if j.given != nil {
		j.given.Compiled.Snapshot.Release()
	}
	j.given, j.last = r, r.Set
	return r.pipeline.ledger.Take().Problems
}

// supply looks for the Secrets that only the object refers to.
func (j *Judge) supply(ctx context.Context, set *resource.Set, o *resource.Object) func(*resource.Demand) *source.Update {
	asked := map[resource.Key]bool{}
	objects := []*resource.Object{o}
	var again func(d *resource.Demand) *source.Update
	again = func(d *resource.Demand) *source.Update {
		var keys []resource.Key
		for k := range d.Names() {
			if !asked[k] && !j.lost[k] && set.Get(k) == nil && k != o.Key {
				keys = append(keys, k)
			}
			asked[k] = true
		}
		if len(keys) == 0 || j.cfg.Look == nil {
			return nil
		}
		found := j.cfg.Look(ctx, keys)
		if len(found) == 0 {
			return nil
		}
		objects = append(objects, found...)
		return &source.Update{Set: set.With(objects, nil), Supply: again}
	}
	return again
}

// verdict returns the problems that are not known.
func verdict(problems []status.Problem, known map[string]bool) Verdict {
	var v Verdict
	for _, p := range problems {
		text := p.String()
		if known[text] {
			continue
		}
		known[text] = true
		switch p.Severity {
		case status.Error:
			v.Errors = append(v.Errors, p)
		case status.Warning:
			v.Warnings = append(v.Warnings, p)
		}
	}
	return v
}
