package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// notifier tells of changes in folders; fsnotify's Watcher in life.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Close() error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
}

type fsNotifier struct{ *fsnotify.Watcher }

func (n fsNotifier) Events() <-chan fsnotify.Event { return n.Watcher.Events }
func (n fsNotifier) Errors() <-chan error          { return n.Watcher.Errors }

func openNotifier() (notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return fsNotifier{w}, nil
}

// watching is the set of folders that we are told about. Where we are not,
// files are looked at every second.
type watching struct {
	open    func() (notifier, error)
	n       notifier
	failed  error           // why there is no notifier
	dirs    map[string]bool // watched; true: one that was scanned
	polling bool
	polled  time.Time
}

func (w *watching) start() error {
	w.dirs = map[string]bool{}
	w.n, w.failed = w.open()
	if w.failed != nil && !exhausted(w.failed) {
		return fmt.Errorf("watch files: %w", w.failed)
	}
	return nil
}

func (w *watching) stop() {
	if w.n != nil {
		_ = w.n.Close()
	}
}

func (w *watching) events() <-chan fsnotify.Event {
	if w.n == nil {
		return nil
	}
	return w.n.Events()
}

func (w *watching) errors() <-chan error {
	if w.n == nil {
		return nil
	}
	return w.n.Errors()
}

// exhausted reports whether the system has no more watches to give.
func exhausted(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// follow watches exactly the folders of a scan. It reports whether one of them
// is new, and says where it cannot.
func (w *watching) follow(s scan) (grown bool, problems []status.Problem) {
	w.polling = w.n == nil || len(s.problems) > 0
	if w.n == nil {
		return false, []status.Problem{pollingProblem(w.failed)}
	}
	want := make(map[string]bool, len(s.dirs)+len(s.around))
	for _, d := range s.around {
		want[d] = false
	}
	for _, d := range s.dirs {
		want[d] = true
	}
	for d := range w.dirs {
		if _, ok := want[d]; !ok {
			w.forget(d)
		}
	}
	for d, scanned := range want {
		if _, ok := w.dirs[d]; ok {
			w.dirs[d] = scanned
			continue
		}
		err := w.n.Add(d)
		switch {
		case err == nil:
			w.dirs[d], grown = scanned, true
		case exhausted(err) && len(problems) == 0:
			problems = append(problems, pollingProblem(err))
		}
		w.polling = w.polling || err != nil
	}
	return grown, problems
}

// forget ends the watch on a folder, if it has not ended with the folder.
func (w *watching) forget(dir string) {
	_ = w.n.Remove(dir)
	delete(w.dirs, dir)
}

func pollingProblem(err error) status.Problem {
	return status.Warningf(ir.Origin{}, "the system tells of no more changes of files (%v); they are looked at every second instead", err).
		Fix("raise fs.inotify.max_user_watches and max_user_instances, or use fewer folders")
}

func (w *watching) interval() time.Duration {
	if w.polling {
		return pollOften
	}
	return pollRarely
}

// nextPoll returns how long it is to the next look at the files.
func (w *watching) nextPoll(now time.Time) time.Duration {
	if w.polled.IsZero() {
		w.polled = now
	}
	return max(w.polled.Add(w.interval()).Sub(now), time.Millisecond)
}

func (w *watching) pollDue(now time.Time) bool {
	if now.Sub(w.polled) < w.interval() {
		return false
	}
	w.polled = now
	return true
}

// note takes an event, and reports whether it concerns us.
func (s *Source) note(e fsnotify.Event, now time.Time) bool {
	name := filepath.Clean(e.Name)
	base := filepath.Base(name)
	if _, watched := s.watch.dirs[name]; watched {
		if e.Has(fsnotify.Remove | fsnotify.Rename) {
			s.watch.forget(name)
		}
		s.dirty = true
		return true
	}
	path, known := s.found.byReal[name]
	comesOrGoes := e.Has(fsnotify.Create | fsnotify.Remove | fsnotify.Rename)
	switch {
	case known || s.found.names[name]:
	case strings.HasPrefix(base, ".."): // a ConfigMap's new version
	case !s.watch.dirs[filepath.Dir(name)], strings.HasPrefix(base, "."), !comesOrGoes && !isManifest(base):
		return false
	}
	if known && e.Op != fsnotify.Chmod {
		s.touched[path] = now
		if c := s.pending[path]; c != nil {
			c.since = now
		}
	}
	s.dirty = true
	return true
}

// overflow takes an error of the notifier: events may be lost, so that any file
// may have changed.
func (s *Source) overflow(now time.Time) {
	s.dirty = true
	for path, f := range s.files {
		if f.info != nil {
			s.touched[path] = now
		}
	}
}
