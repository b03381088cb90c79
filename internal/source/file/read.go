package file

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// stdin is what positions in standard input are called.
const stdin = "stdin"

// read takes a file, unless it changes under the reading.
func (s *Source) read(path string, info fs.FileInfo) bool {
	if !info.Mode().IsRegular() {
		s.take(path, info, problemOf(path, "this is no regular file").Fix("remove it, or name it in a path of its own"))
		return true
	}
	b, after, err := s.bytes(path)
	if err != nil {
		s.take(path, info, unreadable(path, err))
		return true
	}
	if !sameInfo(info, after) {
		return false
	}
	s.decode(path, info, b)
	return true
}

// bytes returns a file's contents, one byte more than the limit at most, and
// what was known of it afterwards.
func (s *Source) bytes(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(s.cfg.Decoder.MaxBytes())+1))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	return b, info, err
}

// decode makes objects of a file's bytes if they are new.
func (s *Source) decode(path string, info fs.FileInfo, b []byte) {
	f := s.files[path]
	sum := sha256.Sum256(b)
	if f.info != nil && !f.broken && sum == f.sum {
		f.info = info
		delete(s.pending, path)
		return
	}
	r := s.cfg.Decoder.Decode(path, b)
	f.sum = sum
	if r.Broken {
		s.take(path, info, r.Problems...)
		return
	}
	reuse(f.good.Objects, r.Objects)
	s.touch(f)
	f.info, f.good, f.problems, f.unset, f.broken = info, r, r.Problems, r.Unset, false
	delete(s.pending, path)
	s.changed()
}

// reuse puts the old objects in the place of new ones that are the same, so
// that a change of one object in a file is none of the others.
func reuse(old, now []*resource.Object) {
	known := make(map[resource.Key]*resource.Object, len(old))
	for _, o := range old {
		known[o.Key] = o
	}
	for i, o := range now {
		if k := known[o.Key]; k != nil && k.Same(o) {
			now[i] = k
		}
	}
}

// take notes that a file cannot be decoded: its last good objects stay.
func (s *Source) take(path string, info fs.FileInfo, problems ...status.Problem) {
	f := s.files[path]
	if len(f.good.Objects) > 0 {
		problems = append(problems, status.Warningf(ir.Origin{File: path}, "the file's last good objects stay in force").Fix("mend the file"))
	}
	if info != nil {
		f.info = info
	}
	f.problems, f.broken = problems, true
	delete(s.pending, path)
	s.changed()
}

// forget takes the removal of a file.
func (s *Source) forget(path string) {
	if f := s.files[path]; f != nil {
		s.touch(f)
	}
	delete(s.files, path)
	delete(s.pending, path)
	s.changed()
}

// readStreams reads, once, what can be read only once.
func (s *Source) readStreams() error {
	for _, st := range s.found.streams {
		name, r := stdin, s.cfg.Stdin
		if st.path != "-" {
			f, err := os.Open(st.path)
			if err != nil {
				return err
			}
			defer f.Close()
			name, r = st.path, f
		}
		if r == nil {
			return errors.New("there is no standard input to read")
		}
		b, err := io.ReadAll(io.LimitReader(r, int64(s.cfg.Decoder.MaxBytes())+1))
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		s.files[name] = &file{path: name, root: st.root}
		s.decode(name, nil, b)
	}
	return nil
}

func problemOf(path, format string, args ...any) status.Problem {
	return status.Errorf(ir.Origin{File: path}, format, args...)
}

// unreadable words an error of the file system without the path, which the
// problem's origin has.
func unreadable(path string, err error) status.Problem {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	p := problemOf(path, "it cannot be read: %v", err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return p.Fix("give this user the right to read it")
	case errors.Is(err, fs.ErrNotExist):
		return p.Fix("create it, or leave the path out")
	}
	return p
}
