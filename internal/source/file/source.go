// Package file is the source that reads resources from files and folders, and
// follows their changes.
//
//	fsnotify ─┐
//	polling  ─┴► scan ──► settle ──► read, decode ──► Update
//	             what       nothing     only what        one for all that
//	             differs?   for 20 ms   changed          settled together
//
// A file is taken only when it is whole: its size and time of change were the
// same before and after it was read, and nothing happened to it for a while.
// A file that cannot be decoded keeps its last good objects.
package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// How long a file must have been left alone before it is believed.
const (
	quiet        = 20 * time.Millisecond  // after a write
	quietMissing = 50 * time.Millisecond  // editors remove a file to write it anew
	quietEmpty   = 250 * time.Millisecond // and others empty it
	// patience is how long a change waits for others that are still settling,
	// so that they become one update.
	patience = 60 * time.Millisecond
)

// How often files are looked at without being told to: rarely, for file
// systems that do not tell, and often where nobody tells.
const (
	pollRarely = 10 * time.Second
	pollOften  = time.Second
)

// Config is what a Source reads, and with what.
type Config struct {
	// Paths are files and folders; "-" is Stdin, read once.
	Paths []string
	Stdin io.Reader
	// Decoder and the kinds that it was made with.
	Decoder *resource.Decoder
	Kinds   []resource.Kind
	// Store gets the secrets.
	Store *secret.Store
}

// Source reads the files of a Config. It is used by one goroutine at a time.
type Source struct {
	cfg    Config
	loaded bool

	files   map[string]*file           // by path
	claims  claims                     // of the files, as of the last update
	was     map[string]resource.Result // by path: what files held then that have changed since
	pending map[string]*change         // by path, until settled
	touched map[string]time.Time       // by path: when an event named it, since the last scan
	dirty   bool                       // something happened since the last scan
	scanned time.Time

	found    scan
	watch    watching
	ready    time.Time // of the oldest change not yet applied; zero: none
	set      *resource.Set
	problems []status.Problem
}

var _ source.Source = (*Source)(nil)

// file is one file as it was last taken.
type file struct {
	path     string
	root     int         // of Config.Paths, for the order
	info     fs.FileInfo // nil for a stream
	sum      [32]byte
	good     resource.Result
	problems []status.Problem
	broken   bool
	unset    []string
}

// touch keeps what a file held at the last update, before it changes.
func (s *Source) touch(f *file) {
	if _, ok := s.was[f.path]; !ok {
		s.was[f.path] = f.good
	}
}

// New returns a Source. It reads nothing yet.
func New(cfg Config) *Source {
	return &Source{
		cfg: cfg, files: map[string]*file{}, pending: map[string]*change{}, touched: map[string]time.Time{},
		claims: newClaims(), was: map[string]resource.Result{},
		set: resource.NewSet(nil, cfg.Kinds), watch: watching{open: openNotifier},
	}
}

// StartError says why what was read is not fit to be served from the start:
// files that cannot be read or decoded, of which there is no older state yet,
// and environment variables that are not set.
type StartError struct {
	Problems []status.Problem
	Unset    []string
}

// Error returns every problem on a line of its own.
func (e *StartError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if len(e.Unset) > 0 {
		lines = append(lines, "environment variables that are not set: "+strings.Join(e.Unset, ", "))
	}
	return strings.Join(lines, "\n")
}

// Load reads everything once. The update is always complete, as far as the
// files could be decoded; a *StartError says that it should not be served.
func (s *Source) Load(ctx context.Context) (source.Update, error) {
	if err := s.load(ctx); err != nil {
		return source.Update{}, err
	}
	u := s.update()
	if u == nil {
		u = &source.Update{Problems: s.problems}
	}
	u.Set = s.set
	s.loaded = true
	return *u, s.startError()
}

// Run serves what Load has read, or loads it, and then every change, until ctx
// ends. If it loads, a *StartError is returned before anything is applied.
func (s *Source) Run(ctx context.Context, apply func(source.Update)) error {
	if !s.loaded {
		if _, err := s.Load(ctx); err != nil {
			return err
		}
	}
	if err := s.watch.start(); err != nil {
		return err
	}
	defer s.watch.stop()
	// What changed between Load and the first watch is found by this scan.
	s.dirty = true
	apply(source.Update{Set: s.set, Problems: s.problems})
	err := s.follow(ctx, apply)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *Source) startError() error {
	e := &StartError{Problems: s.found.problems}
	for _, f := range s.ordered() {
		e.Unset = append(e.Unset, f.unset...)
		if !f.broken {
			continue
		}
		for _, p := range f.problems {
			if p.Severity == status.Error {
				e.Problems = append(e.Problems, p)
			}
		}
	}
	if len(e.Problems)+len(e.Unset) == 0 {
		return nil
	}
	return e
}

// follow applies changes until ctx ends. Events are only noted as they come, so
// that a thousand of them cost one look at the folders.
func (s *Source) follow(ctx context.Context, apply func(source.Update)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-s.watch.events():
			if !ok {
				return errors.New("watch files: the notifier has ended")
			}
			if !s.note(e, now) {
				continue
			}
		case <-s.watch.errors():
			s.overflow(now)
		case <-timer.C:
			s.dirty = s.dirty || s.watch.pollDue(now)
			due = now.Add(s.step(now, apply))
			timer.Reset(time.Until(due))
			continue
		}
		if soon := latest(now, s.scanned.Add(quiet)); soon.Before(due) {
			due = soon
			timer.Reset(due.Sub(now))
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
