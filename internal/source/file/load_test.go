package file

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
	"github.com/postern-gateway/postern/internal/status"
)

// TestStart says what is fit to be served from the start.
func TestStart(t *testing.T) {
	y := sourcetest.WidgetYAML
	t.Setenv("POSTERN_SET", sourcetest.Marker)
	for _, c := range []struct {
		name    string
		files   map[string]string
		objects int
		refusal string
	}{
		{"nothing", nil, 0, ""},
		{"a good file", map[string]string{"a.yaml": y("a", "one")}, 1, ""},
		{"an object with faults", map[string]string{"a.yaml": y("a", "[x]")}, 1, ""},
		{"a file that is no YAML", map[string]string{"a.yaml": y("a", "one"), "b.yaml": "a: [\n", "c.yaml": "a: \t@"}, 1, "b.yaml:2"},
		{"an object without a name", map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {}\n"}, 0, "there is no name"},
		{"a variable that is set", map[string]string{"a.yaml": sourcetest.SecretYAML("s", "k", `"${POSTERN_SET}"`)}, 1, ""},
		{"one that is not", map[string]string{"a.yaml": sourcetest.SecretYAML("s", "k", `"${POSTERN_UNSET}"`)}, 1, "not set: POSTERN_UNSET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t)
			for name, text := range c.files {
				f.write(t, name, text)
			}
			u, err := newSource(secret.NewStore(), f.dir).Load(context.Background())
			refused(t, err, c.refusal)
			if u.Set == nil || u.Set.Len() != c.objects {
				t.Errorf("set %v, problems %v", u.Set, u.Problems)
			}
			err = newSource(secret.NewStore(), f.dir).Run(ended(), func(source.Update) {
				if c.refusal != "" {
					t.Error("it is served nevertheless")
				}
			})
			refused(t, err, c.refusal)
		})
	}
}

func TestMissingPath(t *testing.T) {
	f := newFolder(t)
	_, err := newSource(secret.NewStore(), f.path("nowhere")).Load(context.Background())
	refused(t, err, "nowhere: it cannot be read: no such file or directory; create it, or leave the path out")
}

// refused checks that err is a *StartError that contains text, or nil.
func refused(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" && err == nil {
		return
	}
	var se *StartError
	if !errors.As(err, &se) || text == "" || !strings.Contains(se.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestStandardInput(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "file"))
	kinds := sourcetest.Kinds()
	src := New(Config{
		Paths: []string{"-", f.dir}, Stdin: strings.NewReader(sourcetest.WidgetYAML("a", "input") + "  prot: 1\n"),
		Decoder: resource.NewDecoder(kinds, resource.Options{}), Kinds: kinds, Store: secret.NewStore(),
	})
	store := secret.NewStore()
	src.cfg.Store = store
	w := sourcetest.Start(t, src, store)
	s := w.Await(t, "first", func(state) bool { return true })
	if s.Widget("a") != "input" || !s.Says("stdin:6: Widget default/a: spec.prot") || !s.Says("this object is also at stdin:1") {
		t.Errorf("widget %q, problems %v", s.Widget("a"), s.Problems)
	}
	f.write(t, "b.yaml", sourcetest.WidgetYAML("b", "file"))
	s = w.Await(t, "a change beside it", func(s state) bool { return s.Widget("b") == "file" })
	if s.Widget("a") != "input" {
		t.Error("standard input is forgotten")
	}
}

// TestBetweenLoadAndRun changes files while nobody watches them.
func TestBetweenLoadAndRun(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "one"))
	store := secret.NewStore()
	src := newSource(store, f.dir)
	if _, err := src.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.write(t, "a.yaml", sourcetest.WidgetYAML("a", "two-and-longer"))
	f.write(t, "sub/b.yaml", sourcetest.WidgetYAML("b", "three"))
	w := sourcetest.Start(t, src, store)
	w.Await(t, "both are found", func(s state) bool { return s.Widget("a") == "two-and-longer" && s.Widget("b") == "three" })
}

// TestDoubledSecretKeepsTheFirst sees that the bytes are those of the object
// that is kept.
func TestDoubledSecretKeepsTheFirst(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.SecretYAML("s", "k", sourcetest.Marker+"a"))
	f.write(t, "b.yaml", sourcetest.SecretYAML("s", "k", sourcetest.Marker+"b"))
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	w.Await(t, "first", func(s state) bool { return s.Says("this object is also at") })
	d := secret.Derive(store, []secret.Ref{sourcetest.SecretRef("s", "k")}, func(v []secret.Value) (string, error) { return string(v[0].Reveal()), nil })
	if v, _ := d.Get(); v != sourcetest.Marker+"a" {
		t.Error("not the first file's bytes")
	}
	f.remove(t, "a.yaml")
	w.Await(t, "the second takes its place", func(s state) bool { return len(s.Problems) == 0 })
	if v, _ := d.Get(); v != sourcetest.Marker+"b" {
		t.Error("not the second file's bytes")
	}
}

func TestReloadWithAVariableUnset(t *testing.T) {
	f := newFolder(t)
	f.write(t, "a.yaml", sourcetest.SecretYAML("s", "k", sourcetest.Marker))
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	w.Await(t, "first", func(s state) bool { return s.Set.Len() == 1 })
	f.write(t, "a.yaml", sourcetest.SecretYAML("s", "k", `"${POSTERN_UNSET}"`))
	w.Await(t, "it is said", func(s state) bool { return s.Says("POSTERN_UNSET is not set") })
	w.Stop(t)
	if store.Has(sourcetest.SecretRef("s", "k")) {
		t.Error("the old bytes are still served")
	}
	if slices.ContainsFunc(w.State().Problems, func(p status.Problem) bool { return p.Severity != "error" }) {
		t.Errorf("problems %v", w.State().Problems)
	}
}
