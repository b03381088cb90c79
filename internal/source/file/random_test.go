package file

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source/sourcetest"
)

// TestRandomChangesEndAsFromScratch makes changes at random and compares what
// is served in the end with what a new source reads.
func TestRandomChangesEndAsFromScratch(t *testing.T) {
	f := newFolder(t)
	store := secret.NewStore()
	w := sourcetest.Start(t, newSource(store, f.dir), store)
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 25 {
		for range 1 + rnd.IntN(8) {
			f.anything(t, rnd)
		}
		freshStore := secret.NewStore()
		fresh, err := newSource(freshStore, f.dir).Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		w.Await(t, fmt.Sprint("round ", round), func(s state) bool {
			return equal(s.Set, fresh.Set) && slices.Equal(s.Problems, fresh.Problems)
		})
	}
	fresh := secret.NewStore()
	u, err := newSource(fresh, f.dir).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.Stop(t)
	for _, o := range u.Set.All(resource.SecretKind) {
		if got, want := bytesOf(t, store, o), bytesOf(t, fresh, o); got != want {
			t.Errorf("%v holds %q, from scratch %q", o.Key, got, want)
		}
	}
	if store.Len() != fresh.Len() {
		t.Errorf("%d secrets, from scratch %d", store.Len(), fresh.Len())
	}
}

// bytesOf returns what a store holds of a Secret of SecretYAML.
func bytesOf(t *testing.T, store *secret.Store, o *resource.Object) string {
	t.Helper()
	v, err := secret.Derive(store, []secret.Ref{sourcetest.SecretRef(o.Name, "k")}, func(v []secret.Value) (string, error) {
		return string(v[0].Reveal()), nil
	}).Get()
	if err != nil {
		t.Errorf("%v: %v", o.Key, err)
	}
	return v
}

// anything makes one change of some file or folder. Nothing undecodable: what
// is kept of such a file depends on its past.
func (f folder) anything(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	name := func() string { return fmt.Sprintf("d%d/%c.yaml", rnd.IntN(3), 'a'+rnd.IntN(4)) }
	text := func() string {
		return sourcetest.WidgetYAML(fmt.Sprint("w", rnd.IntN(4)), fmt.Sprint("h", rnd.IntN(1000))) + "---\n" +
			sourcetest.SecretYAML(fmt.Sprint("s", rnd.IntN(4)), "k", fmt.Sprint(sourcetest.Marker, rnd.IntN(1000)))
	}
	switch rnd.IntN(7) {
	case 0, 1, 2:
		f.write(t, name(), text())
	case 3:
		f.remove(t, name())
	case 4:
		f.write(t, ".new", text())
		must(t, os.MkdirAll(f.path("d1"), 0o755))
		f.rename(t, ".new", "d1/a.yaml")
	case 5:
		f.remove(t, fmt.Sprintf("d%d", rnd.IntN(3)))
	case 6:
		f.write(t, name(), "")
	}
}

func equal(a, b *resource.Set) bool {
	for _, gk := range []resource.GroupKind{sourcetest.WidgetKind, resource.SecretKind} {
		if !slices.EqualFunc(a.All(gk), b.All(gk), (*resource.Object).Same) {
			return false
		}
	}
	return true
}
