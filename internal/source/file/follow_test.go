package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
)

type state = sourcetest.State

func hosts(s state, want map[string]string) bool {
	n := 0
	for name, host := range want {
		if host != "" {
			n++
		}
		if s.Widget(name) != host {
			return false
		}
	}
	return s.Set.Len() == n
}

// TestChanges makes changes of files, and says what is to be served after each.
func TestChanges(t *testing.T) {
	y := sourcetest.WidgetYAML
	type served map[string]string
	type step struct {
		name string
		do   func(*testing.T, folder)
		want served
		says string
	}
	for _, c := range []struct {
		name  string
		first func(*testing.T, folder)
		steps []step
	}{
		{"written in place", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "one")) }, []step{
			{"longer", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "longer-one")) }, served{"a": "longer-one"}, ""},
			{"of the same length", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "longer-two")) }, served{"a": "longer-two"}, ""},
			{"moved", func(t *testing.T, f folder) { f.rename(t, "a.yaml", "b.yml") }, served{"a": "longer-two"}, ""},
			{"moved out of sight", func(t *testing.T, f folder) { f.rename(t, "b.yml", "b.txt") }, served{"a": ""}, ""},
		}},
		{"other names", nil, []step{
			{"text, hidden files, hidden folders", func(t *testing.T, f folder) {
				f.write(t, "a.txt", y("a", "x"))
				f.write(t, ".b.yaml", y("b", "x"))
				f.write(t, ".git/c.yaml", y("c", "x"))
				f.write(t, "d.yaml~", y("d", "x"))
				f.write(t, "e.JSON", `{"apiVersion": "v1", "kind": "Pod"}`)
				f.write(t, "f.yaml", y("f", "one"))
			}, served{"f": "one"}, ""},
		}},
		{"folders", func(t *testing.T, f folder) { f.write(t, "one/a.yaml", y("a", "one")) }, []step{
			{"a new one, deep", func(t *testing.T, f folder) { f.write(t, "two/deep/er/b.yaml", y("b", "two")) }, served{"a": "one", "b": "two"}, ""},
			{"a file in it", func(t *testing.T, f folder) { f.write(t, "two/deep/er/c.yaml", y("c", "three")) }, served{"a": "one", "b": "two", "c": "three"}, ""},
			{"moved", func(t *testing.T, f folder) { f.rename(t, "two", "three") }, served{"a": "one", "b": "two", "c": "three"}, ""},
			{"a change where it is now", func(t *testing.T, f folder) { f.write(t, "three/deep/er/c.yaml", y("c", "four")) }, served{"a": "one", "b": "two", "c": "four"}, ""},
			{"removed", func(t *testing.T, f folder) { f.remove(t, "three") }, served{"a": "one"}, ""},
			{"made again", func(t *testing.T, f folder) { f.write(t, "three/c.yaml", y("c", "five")) }, served{"a": "one", "c": "five"}, ""},
		}},
		// Put whole: a machine that sleeps while a file is written shows an empty one.
		{"one that cannot be decoded", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "one")) }, []step{
			{"keeps its last good objects", func(t *testing.T, f folder) { f.Put(t, "a", y("a", "two")+"  x: [\n") }, served{"a": "one"}, "last good objects"},
			{"beside another", func(t *testing.T, f folder) { f.write(t, "b.yaml", y("b", "one")) }, served{"a": "one", "b": "one"}, "last good objects"},
			{"without its object's name", func(t *testing.T, f folder) {
				f.Put(t, "a", strings.Replace(y("a", "two"), "name: a", "nam: a", 1))
			}, served{"a": "one", "b": "one"}, "there is no name"},
			{"until it is mended", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "three")) }, served{"a": "three", "b": "one"}, ""},
			{"a new one has none", func(t *testing.T, f folder) { f.write(t, "c.yaml", "a: [\n") }, served{"a": "three", "b": "one"}, "c.yaml:2"},
			{"and may go", func(t *testing.T, f folder) { f.remove(t, "c.yaml") }, served{"a": "three", "b": "one"}, ""},
		}},
		{"the same object twice", func(t *testing.T, f folder) { f.write(t, "b.yaml", y("a", "b")) }, []step{
			{"the first file's is kept", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "a")) }, served{"a": "a"}, "this object is also at"},
			{"the other's follows", func(t *testing.T, f folder) { f.remove(t, "a.yaml") }, served{"a": "b"}, ""},
		}},
		{"links", func(t *testing.T, f folder) {
			f.write(t, ".real/a.yaml", y("a", "one"))
			f.link(t, ".real/a.yaml", "a.yaml")
			f.link(t, "a.yaml", "same.yaml")
			f.link(t, ".", "circle")
		}, []step{
			{"what they lead to is changed", func(t *testing.T, f folder) { f.write(t, ".real/a.yaml", y("a", "two")) }, served{"a": "two"}, ""},
			{"one leads to itself", func(t *testing.T, f folder) { f.link(t, "loop.yaml", "loop.yaml") }, served{"a": "two"}, "loop.yaml: it cannot be read"},
			{"one leads nowhere", func(t *testing.T, f folder) { f.remove(t, "loop.yaml"); f.link(t, "nowhere", "b.yaml") }, served{"a": "two"}, "b.yaml: it cannot be read"},
			{"no more", func(t *testing.T, f folder) { f.remove(t, "b.yaml") }, served{"a": "two"}, ""},
			{"a file gets an earlier name", func(t *testing.T, f folder) { f.write(t, "r.yaml", y("r", "one")) }, served{"a": "two", "r": "one"}, ""},
			{"and has one object still", func(t *testing.T, f folder) { f.link(t, "r.yaml", "q.yaml"); f.write(t, "z.yaml", y("z", "one")) }, served{"a": "two", "r": "one", "z": "one"}, ""},
		}},
		{"a mounted ConfigMap", func(t *testing.T, f folder) {
			f.write(t, "..2026_01/a.yaml", y("a", "one"))
			f.write(t, "..2026_01/b.yaml", y("b", "one"))
			f.link(t, "..2026_01", "..data")
			f.link(t, "..data/a.yaml", "a.yaml")
			f.link(t, "..data/b.yaml", "b.yaml")
		}, []step{
			{"a new version, both files at once", func(t *testing.T, f folder) { f.swap(t, "..2026_02", y("a", "two"), y("b", "two")) }, served{"a": "two", "b": "two"}, ""},
			{"and the next", func(t *testing.T, f folder) { f.swap(t, "..2026_03", y("a", "three"), y("b", "three")) }, served{"a": "three", "b": "three"}, ""},
		}},
		{"not a file", func(t *testing.T, f folder) { f.write(t, "a.yaml", y("a", "one")) }, []step{
			{"a pipe is not waited for", func(t *testing.T, f folder) { must(t, syscall.Mkfifo(f.path("p.yaml"), 0o600)) }, served{"a": "one"}, "p.yaml: this is no regular file"},
			{"a folder of such a name is one", func(t *testing.T, f folder) { f.remove(t, "p.yaml"); f.write(t, "p.yaml/b.yaml", y("b", "two")) }, served{"a": "one", "b": "two"}, ""},
			{"a huge file", func(t *testing.T, f folder) { f.write(t, "h.yaml", strings.Repeat("#", 9<<20)) }, served{"a": "one", "b": "two"}, "split it"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			if c.first != nil {
				c.first(t, f)
			}
			store := secret.NewStore()
			w := sourcetest.Start(t, newSource(store, f.dir), store)
			w.Await(t, "first", func(s state) bool { return true })
			for _, st := range c.steps {
				st.do(t, f)
				w.Await(t, st.name, func(s state) bool {
					return hosts(s, st.want) && (len(s.Problems) == 0) == (st.says == "") && s.Says(st.says) == (st.says != "")
				})
			}
		})
	}
}

// swap brings a mounted ConfigMap's new version in, as the kubelet does.
func (f folder) swap(t *testing.T, version, a, b string) {
	t.Helper()
	old, err := os.Readlink(f.path("..data"))
	must(t, err)
	f.write(t, version+"/a.yaml", a)
	f.write(t, version+"/b.yaml", b)
	f.link(t, version, "..data_tmp")
	f.rename(t, "..data_tmp", "..data")
	f.remove(t, old)
}

// TestNeverHalfWritten writes a file in pieces, each of them valid YAML, and
// sees that no half of it is served.
func TestNeverHalfWritten(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "one"))
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	before := w.Await(t, "first", func(s state) bool { return s.Widget("a") == "one" })
	out, err := os.Create(f.path("a.yaml"))
	must(t, err)
	pace := time.NewTicker(quiet / 4)
	defer pace.Stop()
	for i := range 40 {
		_, err := fmt.Fprintf(out, "---\n%s", sourcetest.WidgetYAML(fmt.Sprint("w", i), "x"))
		must(t, err)
		<-pace.C
	}
	must(t, out.Close())
	after := w.Await(t, "all of it", func(s state) bool { return s.Set.Len() == 40 })
	// One, unless this machine slept between two writes.
	if n := after.Updates - before.Updates; os.Getenv("POSTERN_SOAK") != "" && n > 3 {
		t.Errorf("%d updates", n)
	}
}

// TestEmptiedFileIsNotBelievedAtOnce empties a file and fills it again, as some
// editors do.
func TestEmptiedFileIsNotBelievedAtOnce(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "one"))
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	w.Await(t, "first", func(s state) bool { return s.Widget("a") == "one" })
	start := time.Now()
	f.write(t, "a.yaml", "")
	f.write(t, "b.yaml", sourcetest.WidgetYAML("b", "two"))
	s := w.Await(t, "another file is not kept waiting", func(s state) bool { return s.Widget("b") == "two" })
	if s.Widget("a") != "one" && time.Since(start) < quietEmpty {
		t.Error("the emptied file was believed at once")
	}
	s = w.Await(t, "then it is", func(s state) bool { return s.Object("a") == nil })
	const grain = 10 * time.Millisecond // of a file's time of change, which may lie before start
	if took := s.Last.Sub(start); took < quietEmpty-grain {
		t.Errorf("after %v", took)
	}
}

// TestRootsComeAndGo removes the folder itself, and a single file.
func TestRootsComeAndGo(t *testing.T) {
	f := newFolder(t)
	f.write(t, "dir/a.yaml", sourcetest.WidgetYAML("a", "one"))
	f.write(t, "single", sourcetest.WidgetYAML("b", "one"))
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.path("dir"), f.path("single"), f.path("dir")+"/a.yaml"), store)
	w.Await(t, "first", func(s state) bool { return hosts(s, map[string]string{"a": "one", "b": "one"}) })
	f.remove(t, "dir")
	w.Await(t, "folder gone", func(s state) bool { return hosts(s, map[string]string{"b": "one"}) && s.Says("no such file") })
	f.write(t, "dir/a.yaml", sourcetest.WidgetYAML("a", "two"))
	w.Await(t, "folder back", func(s state) bool {
		return hosts(s, map[string]string{"a": "two", "b": "one"}) && len(s.Problems) == 0
	})
	f.write(t, "new", sourcetest.WidgetYAML("b", "two"))
	f.rename(t, "new", "single")
	w.Await(t, "file replaced", func(s state) bool { return s.Widget("b") == "two" })
}

// TestSwappedLinkToFolder follows a link among a path's own folders.
func TestSwappedLinkToFolder(t *testing.T) {
	f := newFolder(t)
	f.write(t, "v1/conf/a.yaml", sourcetest.WidgetYAML("a", "one"))
	f.write(t, "v2/conf/a.yaml", sourcetest.WidgetYAML("a", "two"))
	f.link(t, "v1", "current")
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.path("current/conf")), store)
	w.Await(t, "first", func(s state) bool { return s.Widget("a") == "one" })
	f.link(t, "v2", "next")
	f.rename(t, "next", "current")
	w.Await(t, "swapped", func(s state) bool { return s.Widget("a") == "two" })
	f.write(t, "v2/conf/a.yaml", sourcetest.WidgetYAML("a", "three"))
	w.Await(t, "changed where it leads now", func(s state) bool { return s.Widget("a") == "three" })
}

// deaf is a notifier that tells nothing: the system's watches are used up, or
// its queue has overflowed.
type deaf struct {
	add    error
	events chan fsnotify.Event
	errs   chan error
}

func (d deaf) Add(string) error              { return d.add }
func (d deaf) Remove(string) error           { return nil }
func (d deaf) Close() error                  { return nil }
func (d deaf) Events() <-chan fsnotify.Event { return d.events }
func (d deaf) Errors() <-chan error          { return d.errs }

func TestWithoutWatches(t *testing.T) {
	for _, c := range []struct {
		name string
		open func() (notifier, error)
	}{
		{"none to be had", func() (notifier, error) { return nil, syscall.EMFILE }},
		{"used up", func() (notifier, error) { return deaf{add: syscall.ENOSPC}, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t)
			store := secret.NewStore()
			src := newSource(store, f.dir)
			src.watch.open = c.open
			w := sourcetest.Start(t, src, store)
			w.Await(t, "it says so", func(s state) bool { return s.Says("looked at every second") })
			f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "one"))
			w.Await(t, "a change is found", func(s state) bool { return s.Widget("a") == "one" })
		})
	}
}

func TestOverflowLooksAtEverything(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "one"))
	errs := make(chan error)
	store := secret.NewStore()
	src := newSource(store, f.dir)
	src.watch.open = func() (notifier, error) { return deaf{errs: errs}, nil }
	w := sourcetest.Start(t, src, store)
	w.Await(t, "first", func(s state) bool { return s.Widget("a") == "one" })
	// A change that neither size nor time betrays.
	info, err := os.Stat(f.path("a.yaml"))
	must(t, err)
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "two"))
	must(t, os.Chtimes(f.path("a.yaml"), info.ModTime(), info.ModTime()))
	errs <- fsnotify.ErrEventOverflow
	w.Await(t, "found", func(s state) bool { return s.Widget("a") == "two" })
}

// TestUnreadable needs a user whom rights concern.
func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	f := newFolder(t)
	f.write(t, "d/a.yaml", sourcetest.WidgetYAML("a", "one"))
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	w.Await(t, "first", func(s state) bool { return s.Widget("a") == "one" })
	for _, name := range []string{"d/a.yaml", "d"} {
		must(t, os.Chmod(f.path(name), 0))
		w.Await(t, "kept", func(s state) bool { return s.Widget("a") == "one" && s.Says("permission denied") })
		must(t, os.Chmod(f.path(name), 0o700))
		w.Await(t, "mended", func(s state) bool { return len(s.Problems) == 0 })
	}
}

// TestOneOfAThousand measures the start and one change.
func TestOneOfAThousand(t *testing.T) {
	f := newFolder(t)
	for i := range 1000 {
		f.write(t, fmt.Sprintf("d%d/w%d.yaml", i%10, i), sourcetest.WidgetYAML(fmt.Sprint("w", i), "one"))
	}
	store := secret.NewStore()
	began := time.Now()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	s := w.Await(t, "first", func(s state) bool { return s.Set.Len() == 1000 })
	t.Logf("1000 files are served after %v", s.Last.Sub(began))
	for i := range 5 {
		host := fmt.Sprint("round", i)
		before := w.State()
		began = time.Now()
		f.write(t, "d0/w500.yaml", sourcetest.WidgetYAML("w500", host))
		s = w.Await(t, "changed", func(s state) bool { return s.Widget("w500") == host })
		took := s.Last.Sub(began)
		t.Logf("a change of one is served after %v", took)
		if os.Getenv("POSTERN_SOAK") != "" && took > time.Second { // on a quiet machine
			t.Errorf("after %v", took)
		}
		for n := range 1000 {
			if name := fmt.Sprint("w", n); n != 500 && s.Object(name) != before.Object(name) {
				t.Fatalf("%s was decoded again", name)
			}
		}
	}
	began = time.Now()
	f.remove(t, filepath.Join("d0", "w500.yaml"))
	s = w.Await(t, "removed", func(s state) bool { return s.Object("w500") == nil })
	t.Logf("a removal is served after %v", s.Last.Sub(began))
}
