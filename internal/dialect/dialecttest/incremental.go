package dialecttest

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Incremental changes a set at random, out of the objects of all cases,
// and holds every state's result against one made from nothing: a translation
// that read something without the View's knowledge would differ.
func (s *Suite) Incremental(t *testing.T) {
	pool := s.allObjects(t)
	random := rand.New(rand.NewPCG(1, 2))
	translator, merger := dialect.NewTranslator(s.Dialects), new(dialect.Merger)
	set := resource.NewSet(nil, s.Kinds)
	repeated, total := 0, 0
	for range 200 {
		set = change(random, set, pool)
		fragments, report, done := translator.Translate(set)
		config, merged := merger.Merge(fragments)
		report.Join(merged)

		fresh, wantReport, all := dialect.NewTranslator(s.Dialects).Translate(set)
		want, wantMerged := new(dialect.Merger).Merge(fresh)
		wantReport.Join(wantMerged)
		repeated, total = repeated+done, total+all
		if d := cmp.Diff(text(t, want, wantReport), text(t, config, report)); d != "" {
			t.Fatalf("incremental differs (-from nothing +incremental):\n%s", d)
		}
	}
	if repeated >= total/2 {
		t.Errorf("%d of %d translations were repeated; what did not change should not be", repeated, total)
	}
}

// allObjects returns the objects of all cases; many share a key.
func (s *Suite) allObjects(t *testing.T) []*resource.Object {
	t.Helper()
	var pool []*resource.Object
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, _ := s.Objects(t, a)
		pool = append(pool, objects...)
	}
	return pool
}

// change puts a few objects into a set and takes a few out.
func change(random *rand.Rand, set *resource.Set, pool []*resource.Object) *resource.Set {
	var put []*resource.Object
	var removed []resource.Key
	seen := map[resource.Key]bool{}
	for range 1 + random.IntN(4) {
		o := pool[random.IntN(len(pool))]
		if seen[o.Key] {
			continue
		}
		seen[o.Key] = true
		if set.Get(o.Key) != nil && random.IntN(3) == 0 {
			removed = append(removed, o.Key)
		} else {
			put = append(put, o)
		}
	}
	return set.With(put, removed)
}

func text(t *testing.T, config any, report status.Report) string {
	t.Helper()
	report.Sort()
	b, err := json.MarshalIndent([]any{config, report}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
