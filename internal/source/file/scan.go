package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-gateway/postern/internal/status"
)

// scan is what the paths hold at one moment.
type scan struct {
	files   []foundFile
	streams []foundFile // "-" and pipes, which are read once
	// dirs are the real folders that were read, and around those beside them in
	// which one of names matters: a path that was given, a link, its target.
	dirs, around []string
	names        map[string]bool
	byReal       map[string]string // real path of a file → path
	paths        map[string]bool   // of files
	problems     []status.Problem
	unread       []string // folders that could not be read
}

type foundFile struct {
	path string
	root int
	info fs.FileInfo
}

// has reports whether the scan holds a file of that path.
func (s *scan) has(path string) bool { return s.paths[path] }

// hides reports whether path may still be there, in a folder that could not be
// read.
func (s *scan) hides(path string) bool {
	for _, d := range s.unread {
		if strings.HasPrefix(path, d+string(filepath.Separator)) || path == d {
			return true
		}
	}
	return false
}

// looker gathers a scan. Real paths that were seen are not taken twice: paths
// may overlap, and links may lead in circles.
type looker struct {
	scan
	root int
	seen map[string]bool
}

// look reads the folders, without opening a file.
func look(paths []string) scan {
	l := &looker{seen: map[string]bool{}, scan: scan{names: map[string]bool{}, byReal: map[string]string{}, paths: map[string]bool{}}}
	for i, p := range paths {
		l.root = i
		if p == "-" {
			l.streams = append(l.streams, foundFile{path: p, root: i})
			continue
		}
		l.path(filepath.Clean(p))
	}
	return l.scan
}

// path takes one of the paths that were given.
func (l *looker) path(p string) {
	for up := p; ; up = filepath.Dir(up) {
		if info, err := os.Lstat(up); up == p || err == nil && info.Mode()&fs.ModeSymlink != 0 {
			l.beside(up)
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		l.fail(p, err)
		return
	}
	info, err := os.Stat(p)
	switch {
	case err != nil:
		l.fail(p, err)
	case info.IsDir():
		l.folder(p, real)
	case info.Mode().IsRegular():
		l.beside(real)
		l.file(p, real, info)
	default:
		l.streams = append(l.streams, foundFile{p, l.root, nil})
	}
}

// beside asks for news of one name, whatever its folder.
func (l *looker) beside(name string) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		return // a missing folder: it is looked for every second
	}
	l.around = append(l.around, dir)
	l.names[filepath.Join(dir, filepath.Base(name))] = true
}

func (l *looker) fail(p string, err error) {
	l.problems = append(l.problems, unreadable(p, err))
	if !errors.Is(err, fs.ErrNotExist) {
		l.unread = append(l.unread, p)
	}
}

// folder takes what is in a folder. Hidden names are left out; a ConfigMap's
// files are links through its hidden ..data, and are taken by their own names.
func (l *looker) folder(p, real string) {
	if l.seen[real] {
		return
	}
	l.seen[real] = true
	entries, err := os.ReadDir(p)
	if err != nil {
		l.fail(p, err)
		return
	}
	l.dirs = append(l.dirs, real)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			l.entry(filepath.Join(p, e.Name()), filepath.Join(real, e.Name()), e)
		}
	}
}

func (l *looker) entry(p, real string, e fs.DirEntry) {
	if e.Type()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(p)
		if err != nil {
			if isManifest(p) {
				l.fail(p, err)
			}
			return
		}
		l.beside(target)
		real = target
	}
	info, err := os.Stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist): // gone since the folder was read
	case err != nil:
		l.fail(p, err)
	case info.IsDir():
		l.folder(p, real)
	case isManifest(p):
		l.file(p, real, info)
	}
}

func (l *looker) file(p, real string, info fs.FileInfo) {
	if !l.seen[real] {
		l.seen[real] = true
		l.byReal[real], l.paths[p] = p, true
		l.files = append(l.files, foundFile{p, l.root, info})
	}
}

func isManifest(p string) bool {
	switch strings.ToLower(filepath.Ext(p)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
