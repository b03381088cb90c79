package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/postern-gateway/postern/internal/source"
)

// change is a file that differs from what was taken of it.
type change struct {
	info  fs.FileInfo // as last seen; nil: not there
	since time.Time   // it has been left alone
}

// quiet returns how long the file must be left alone.
func (c *change) quiet(known *file) time.Duration {
	switch {
	case c.info == nil:
		return quietMissing
	case c.info.Size() == 0 && known != nil && known.info != nil && known.info.Size() > 0:
		return quietEmpty
	}
	return quiet
}

// step does what is due now: it looks for changes, takes those that have
// settled, applies them, and returns when to come again.
func (s *Source) step(now time.Time, apply func(source.Update)) time.Duration {
	wait := s.scanned.Add(quiet).Sub(now)
	if s.dirty && wait <= 0 {
		s.dirty, s.scanned, wait = false, now, quiet
		s.rescan(now)
	}
	next := s.watch.nextPoll(now)
	if s.dirty { // what is pending may be out of date
		return min(next, wait)
	}
	unsettled := false
	for path, c := range s.pending {
		wait := c.since.Add(c.quiet(s.files[path])).Sub(now)
		if wait <= 0 {
			wait = s.settle(path, c, now)
		}
		if s.pending[path] == nil {
			continue
		}
		next = min(next, wait)
		if c.quiet(s.files[path]) != quietEmpty {
			unsettled = true
		}
	}
	if s.ready.IsZero() {
		return next
	}
	if wait := s.ready.Add(patience).Sub(now); unsettled && wait > 0 {
		return min(next, wait)
	}
	s.ready = time.Time{}
	s.deliver(apply)
	return next
}

// settle takes a file that has been left alone, or finds that it has not, and
// returns when to ask again.
func (s *Source) settle(path string, c *change, now time.Time) time.Duration {
	info, err := os.Stat(path)
	switch {
	case !s.found.has(path), errors.Is(err, fs.ErrNotExist):
		info = nil // gone, or no longer ours: a folder, another name of a file
	case err != nil:
		s.take(path, nil, unreadable(path, err))
		return 0
	}
	if !sameInfo(info, c.info) {
		c.info, c.since = info, now
		return c.quiet(s.files[path])
	}
	if info == nil {
		s.forget(path)
		return 0
	}
	if !s.read(path, info) {
		c.since = now
		return quiet
	}
	return 0
}

// changed notes that there is something to deliver.
func (s *Source) changed() {
	if s.ready.IsZero() {
		s.ready = time.Now()
	}
}

// sameInfo reports whether nothing seems to have happened to a file.
func sameInfo(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode() && os.SameFile(a, b)
}

// rescan compares the folders with what was taken of them.
func (s *Source) rescan(now time.Time) {
	before := s.found
	s.found = look(s.cfg.Paths)
	grown, problems := s.watch.follow(s.found)
	s.found.problems = append(s.found.problems, problems...)
	// What appeared between the look at a folder and the watch on it was not
	// told of: look again.
	s.dirty = grown
	if len(before.problems)+len(s.found.problems) > 0 {
		s.changed() // which may turn out to be none
	}
	for _, f := range s.found.files {
		known := s.files[f.path]
		if known == nil {
			known = &file{path: f.path, root: f.root}
			s.files[f.path] = known
		}
		s.compare(f.path, f.info, known, now)
	}
	for path, known := range s.files {
		if !s.found.has(path) && known.info != nil && !s.found.hides(path) {
			s.compare(path, nil, known, now)
		}
	}
	clear(s.touched)
}

// compare makes a change of a file that differs from what was taken of it.
func (s *Source) compare(path string, info fs.FileInfo, known *file, now time.Time) {
	c := s.pending[path]
	touched, told := s.touched[path]
	if !told {
		touched = now
	}
	switch {
	case c == nil && (told || !sameInfo(info, known.info)):
		s.pending[path] = &change{info: info, since: touched}
	case c != nil && (told || !sameInfo(info, c.info)):
		c.info, c.since = info, latest(touched, c.since)
	}
}

// load takes everything as it is, waiting only for files that are being
// written.
func (s *Source) load(ctx context.Context) error {
	s.found = look(s.cfg.Paths)
	if err := s.readStreams(); err != nil {
		return err
	}
	for _, f := range s.found.files {
		s.files[f.path] = &file{path: f.path, root: f.root}
		for tries := 0; !s.read(f.path, f.info); tries++ {
			if tries == 50 {
				s.take(f.path, f.info, problemOf(f.path, "it is being written all the time").Fix("write it elsewhere, and move it here"))
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(quiet):
			}
			if info, err := os.Stat(f.path); err == nil {
				f.info = info
			}
		}
	}
	s.ready = time.Time{}
	return nil
}
