package static

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPostern builds the program, which says what it is, and does not link it
// again for the next who asks.
func TestPostern(t *testing.T) {
	program := Postern(t)
	if out, err := exec.Command(program, "version").Output(); err != nil || !strings.HasPrefix(string(out), "postern ") {
		t.Errorf("%q, %v", out, err)
	}
	before, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build("./cmd/postern"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(program); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was linked again (%v)", err)
	}
}

// TestPublish replaces a program in one step, and a name left over from one
// that was interrupted does not hinder it.
func TestPublish(t *testing.T) {
	dir := t.TempDir()
	next, program := filepath.Join(dir, "p.next"), filepath.Join(dir, "p")
	for _, text := range []string{"one", "two"} {
		must(t, os.RemoveAll(next), os.WriteFile(next, []byte(text), 0o755), os.WriteFile(program+".link", nil, 0o755))
		for range 2 {
			must(t, publish(next, program))
			if b, err := os.ReadFile(program); err != nil || string(b) != text {
				t.Errorf("%q, %v, not %q", b, err, text)
			}
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestFault says what a package that cannot be built says.
func TestFault(t *testing.T) {
	if _, err := build("./cmd/none"); err == nil || !strings.Contains(err.Error(), "./cmd/none") {
		t.Errorf("%v", err)
	}
}
