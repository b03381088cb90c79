package file

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is a Place for the suite, and the tests' own handle on files.
type folder struct{ dir string }

func newFolder(t *testing.T) folder { return folder{t.TempDir()} }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// Put writes a file as editors do: a new one, renamed over the old.
func (f folder) Put(t *testing.T, name, yaml string) {
	t.Helper()
	f.write(t, "."+name+".new", yaml)
	f.rename(t, "."+name+".new", name+".yaml")
}

func (f folder) Delete(t *testing.T, name string) { f.remove(t, name+".yaml") }

func (f folder) Source(_ *testing.T, store *secret.Store) source.Source {
	return newSource(store, f.dir)
}

func newSource(store *secret.Store, paths ...string) *Source {
	kinds := sourcetest.Kinds()
	return New(Config{Paths: paths, Decoder: resource.NewDecoder(kinds, resource.Options{Env: os.LookupEnv}), Kinds: kinds, Store: store})
}

func (f folder) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(f.path(name)), 0o755))
	must(t, os.WriteFile(f.path(name), []byte(text), 0o600))
}

func (f folder) rename(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.Rename(f.path(from), f.path(to)))
}

func (f folder) remove(t *testing.T, name string) {
	t.Helper()
	must(t, os.RemoveAll(f.path(name)))
}

func (f folder) link(t *testing.T, target, name string) {
	t.Helper()
	must(t, os.Symlink(target, f.path(name)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Place { return newFolder(t) })
}
