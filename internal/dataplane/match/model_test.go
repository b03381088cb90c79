package match

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// byName is an entry for models, of a path, with what else it asks.
func byName(path string, order int64, models ...ir.StringMatch) *Entry[int] {
	return &Entry[int]{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathSegments, Value: path}, Model: models, Order: ir.Order{order}}}
}

func TestGroup(t *testing.T) {
	exact := func(s string) ir.StringMatch { return ir.StringMatch{Exact: &s} }
	entries := []*Entry[int]{
		byName("/", 1, exact("a")),
		byName("/", 2, exact("b")),
		byName("/chat", 3, ir.StringMatch{Prefix: ptr("c-")}),
		byName("/", 4, ir.StringMatch{Regex: ptr("d.*")}, ir.StringMatch{Exact: ptr("dx"), Invert: true}),
		byName("/plain", 5),
		byName("/", 6, exact("late")),
		byName("/", 7),
		byName("/", 8, exact("never")),
		byName("/none", 0, ir.StringMatch{Invert: true}),
	}
	for i := range entries {
		entries[i].Value = i
	}
	r, err := NewRouter(entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, path, model string
		named             bool
		members           []int // nil: no group
		want              int
	}{
		{"first", "/x", "a", true, []int{0, 1, 3, 5}, 0},
		{"second", "/x", "b", true, []int{0, 1, 3, 5}, 1},
		{"of a longer path too", "/chat", "c-1", true, []int{0, 1, 2, 3, 5}, 2},
		{"all must hold", "/x", "d1", true, []int{0, 1, 3, 5}, 3},
		{"one does not", "/x", "dx", true, []int{0, 1, 3, 5}, 6},
		{"unknown", "/x", "z", true, []int{0, 1, 3, 5}, 6},
		{"none named", "/x", "", false, []int{0, 1, 3, 5}, 6},
		{"empty name", "/x", "", true, []int{0, 1, 3, 5}, 6},
		{"behind the fallback", "/x", "never", true, []int{0, 1, 3, 5}, 6},
		{"those before a fallback alone", "/plain", "late", true, []int{0, 1, 3}, 4},
		{"case counts", "/x", "A", true, []int{0, 1, 3, 5}, 6},
		{"one that wants no model", "/none", "", false, []int{8, 0, 1, 3, 5}, 8},
		{"and gets one", "/none", "b", true, []int{8, 0, 1, 3, 5}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := &Request{Path: tc.path}
			g, ok := r.Group(req)
			var members []int
			g.Members(func(h Hit[int]) bool { members = append(members, h.Value); return true })
			if !ok || !slices.Equal(members, tc.members) {
				t.Errorf("group %v of %v, want %v", ok, members, tc.members)
			}
			if hit, ok := g.Choose(tc.model, tc.named); !ok || hit.Value != tc.want {
				t.Errorf("chosen %v %v, want %d", hit.Value, ok, tc.want)
			}
			req.Model, req.HasModel = tc.model, tc.named
			if hit, ok := r.Find(req); !ok || hit.Value != tc.want {
				t.Errorf("found %v %v, want %d", hit.Value, ok, tc.want)
			}
		})
	}
}

func TestNoGroup(t *testing.T) {
	for name, entries := range map[string][]*Entry[int]{
		"no models":              {byName("/", 1)},
		"a plain route is first": {byName("/", 1), byName("/", 2, ir.StringMatch{Exact: ptr("a")})},
		"another path":           {byName("/b", 1, ir.StringMatch{Exact: ptr("a")}), byName("/", 2)},
	} {
		r, err := NewRouter(entries)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Group(&Request{Path: "/a"}); ok {
			t.Errorf("%s: a group", name)
		}
		if _, ok := r.Find(&Request{Path: "/a"}); !ok {
			t.Errorf("%s: nothing found", name)
		}
	}
	if _, err := NewRouter([]*Entry[int]{byName("/", 1, ir.StringMatch{Regex: ptr("(")})}); err == nil {
		t.Error("a bad expression for the model is no error")
	}
}

// TestAll: every entry that takes the request, in order; without a group.
func TestAll(t *testing.T) {
	for seed := range uint64(40) {
		w := world{rand.New(rand.NewPCG(seed, 3)), true}
		entries := w.entries(60)
		r, err := NewRouter(entries)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			req := w.request()
			var want, got []int
			for i := range entries {
				if len(entries[i].Match.Model) == 0 && naiveTakes(&entries[i].Match, req) {
					want = append(want, i)
				}
			}
			slices.SortStableFunc(want, func(a, b int) int { return slices.Compare(entries[a].Match.Order, entries[b].Match.Order) })
			r.All(req, func(h Hit[int]) bool { got = append(got, h.Value); return true })
			if !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
}
