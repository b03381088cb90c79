// Package static builds programs of this module for tests that run them by
// themselves, in pods and in folders that are all they can see: without C
// libraries, as the image holds them.
//
//	Postern(t), Build(t, "./some/program") ─► bin/test/NAME
//
// A program is linked again only where something has changed in it, whichever
// package's tests ask, at the same time too. `make clean` removes it.
package static

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// built are the programs of this process: from a package to a function that
// builds it, once.
var built sync.Map

// Postern returns the path of the program itself.
func Postern(t testing.TB) string {
	t.Helper()
	return Build(t, "./cmd/postern")
}

// Build returns the path of the program of a package, which is named as from
// the module's folder.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	once, _ := built.LoadOrStore(pkg, sync.OnceValues(func() (string, error) { return build(pkg) }))
	program, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// build makes the program under another name, by which go knows that it is up
// to date, and gives it its own at once: nobody ever starts half of one.
func build(pkg string) (string, error) {
	_, self, _, _ := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(self)))
	if err := readSources(root); err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	release, err := lock(filepath.Join(bin, "lock"))
	if err != nil {
		return "", err
	}
	defer release()
	program := filepath.Join(bin, path.Base(pkg))
	next := program + ".next"
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", next, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return program, publish(next, program)
}

// publish gives next the name of program too, in one step.
func publish(next, program string) error {
	same, err := sameFile(next, program)
	if err != nil || same {
		return err
	}
	link := program + ".link"
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(next, link); err != nil {
		return err
	}
	return os.Rename(link, program)
}

// sameFile reports whether both names are one file's.
func sameFile(next, program string) (bool, error) {
	n, err := os.Stat(next)
	if err != nil {
		return false, err
	}
	p, err := os.Stat(program)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(n, p), err
}

// lock waits until no other process builds.
func lock(name string) (release func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	return func() { _ = f.Close() }, nil
}

// readSources looks at what programs are made of. The go command takes note of
// what a test has looked at, and tells the result of another day only where it
// is still the same; what a command read, it does not know.
func readSources(root string) error {
	for _, dir := range []string{"cmd", "internal", "test"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if err == nil && strings.HasSuffix(path, ".go") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read sources: %w", err)
		}
	}
	_, err := os.Stat(filepath.Join(root, "go.mod"))
	return err
}
