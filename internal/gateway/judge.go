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
// gateway, and takes back what it did: one object at a time.
type Judge struct {
	cfg  JudgeConfig
	turn chan struct{}

	mu   sync.Mutex
	now  *resource.Set
	news chan struct{} // closed when now changes

	// Of who has the turn.
	of    *resource.Set // that base is of
	base  map[string]bool
	given *Result // whose snapshot is held
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

// settle is how long nothing may have changed before an object is refused: what
// it refers to may have been admitted a moment ago, and is not read yet.
const settle = 500 * time.Millisecond

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
	for {
		set, news := j.current()
		if set == nil {
			return Verdict{}, errors.New("the resources are not read yet")
		}
		v, err := j.judge(ctx, set, old, object)
		if err != nil || len(v.Errors) == 0 {
			return v, err
		}
		limit := time.NewTimer(settle)
		select {
		case <-news:
			limit.Stop()
		case <-limit.C:
			return v, nil
		case <-ctx.Done():
			limit.Stop()
			return v, nil
		}
	}
}

// judge judges an object against a Set.
func (j *Judge) judge(ctx context.Context, set *resource.Set, old, object []byte) (Verdict, error) {
	r := j.cfg.Decode(object)
	known := map[string]bool{}
	if len(old) > 0 {
		for _, p := range j.cfg.Decode(old).Problems {
			known[p.String()] = true
		}
	}
	v := verdict(r.Problems, known)
	if len(r.Objects) == 0 {
		return v, nil
	}
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return Verdict{}, fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
	o := r.Objects[0]
	if o.Created.IsZero() { // it is younger than all others
		o.Created = j.cfg.Clock()
	}
	base := j.without(set)
	with := j.problems(source.Update{Set: set.With([]*resource.Object{o}, nil), Supply: j.supply(ctx, set, o)})
	more := verdict(with, base)
	v.Errors, v.Warnings = append(v.Errors, more.Errors...), append(v.Warnings, more.Warnings...)
	return v, nil
}

// without returns what is wrong with a Set as it is.
func (j *Judge) without(set *resource.Set) map[string]bool {
	if j.of == set {
		return j.base
	}
	j.base = map[string]bool{}
	for _, p := range j.problems(source.Update{Set: set}) {
		j.base[p.String()] = true
	}
	j.of = set
	return j.base
}

// problems returns what is wrong with a Set, its Secrets' bytes apart.
func (j *Judge) problems(u source.Update) []status.Problem {
	r := j.cfg.Pipeline.Apply(u)
	if j.given != nil {
		j.given.Compiled.Snapshot.Release()
	}
	j.given = r
	return r.pipeline.ledger.Report().Problems
}

// supply looks for the Secrets that only the object refers to.
func (j *Judge) supply(ctx context.Context, set *resource.Set, o *resource.Object) func(*resource.Demand) *source.Update {
	asked := map[resource.Key]bool{}
	objects := []*resource.Object{o}
	var again func(d *resource.Demand) *source.Update
	again = func(d *resource.Demand) *source.Update {
		var keys []resource.Key
		for k := range d.Names() {
			if !asked[k] && set.Get(k) == nil && k != o.Key {
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
