package match

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// edit returns entries with a few others; next numbers those that come.
func (w world) edit(entries []*Entry[int], next *int) []*Entry[int] {
	fresh := func() *Entry[int] {
		*next++
		return &Entry[int]{Match: w.match(), Value: *next}
	}
	out := slices.Clone(entries)
	for range 1 + w.IntN(3) {
		at := w.IntN(len(out) + 1)
		end := min(len(out), at+1+w.IntN(2))
		switch w.IntN(5) {
		case 0:
			out = slices.Delete(out, at, end)
		case 1:
			out = slices.Insert(out, at, fresh(), fresh())
		case 2:
			out = slices.Replace(out, at, end, fresh())
		default: // other values behind the same matches
			for i := at; i < end; i++ {
				same := *out[i]
				*next++
				same.Value = *next
				out[i] = &same
			}
		}
	}
	return out
}

// TestChangedRouterIsTheNaiveMatcher changes routers at random, with orders of
// which many are equal.
func TestChangedRouterIsTheNaiveMatcher(t *testing.T) {
	hits, late, gone := 0, 0, 0
	for seed := range uint64(8) {
		w := world{rand.New(rand.NewPCG(seed, 5)), seed%4 == 0}
		next := 0
		var entries []*Entry[int]
		r := new(Router[int])
		for range 50 {
			if entries = w.edit(entries, &next); len(entries) < 150 {
				for _, e := range w.entries(300 + w.IntN(400)) {
					next++
					e.Value, entries = next, append(entries, e)
				}
			}
			before, old := r, slices.Clone(r.list)
			var err error
			if r, err = r.With(entries); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if found(t, r, entries, w.request()) {
					hits++
				}
			}
			allFound(t, r, entries, w.request())
			found(t, before, old, w.request()) // stays as it was
			if r.late != nil {
				late++
			}
			if r.gone != nil {
				gone++
			}
		}
	}
	if hits < 1000 || late < 150 || gone < 150 {
		t.Errorf("%d requests matched, %d routers had late entries and %d gone ones: this shows little", hits, late, gone)
	}
}

// allFound sees to it that r yields all that takes a request, in order.
func allFound(t *testing.T, r *Router[int], entries []*Entry[int], req *Request) {
	t.Helper()
	var want, got []int
	for _, i := range inOrder(entries) {
		if m := &entries[i].Match; len(m.Model) == 0 && naiveTakes(m, req) {
			want = append(want, entries[i].Value)
		}
	}
	r.All(req, func(h Hit[int]) bool { got = append(got, h.Value); return true })
	if !slices.Equal(got, want) {
		t.Fatalf("%+v: got %v, want %v", req, got, want)
	}
}

func TestChangedRouterRefuses(t *testing.T) {
	entries := []*Entry[int]{{}}
	for i := range 500 {
		entries = append(entries, &Entry[int]{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathExact, Value: fmt.Sprint("/", i)}}})
	}
	r, err := NewRouter(entries)
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.Insert(slices.Clone(entries), 7, &Entry[int]{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "("}}})
	if _, err = r.With(entries); err == nil || !strings.HasPrefix(err.Error(), "match 7: ") {
		t.Errorf("error %v, want one of match 7", err)
	}
}

// TestChangedFindDoesNotAllocate: late entries cost a request no allocation.
func TestChangedFindDoesNotAllocate(t *testing.T) {
	for _, s := range shapes {
		r := newChanged(t, s, 1000)
		if r.late == nil {
			t.Fatalf("%s: no late entries", s.name)
		}
		for _, i := range []int{77, 990} {
			req := s.request(i)
			if n := testing.AllocsPerRun(100, func() { r.Find(req) }); n != 0 {
				t.Errorf("%s: %v allocations", s.name, n)
			}
		}
	}
}

// newChanged returns a Router of n entries to which the last eight came late.
func newChanged(tb testing.TB, s shape, n int) *Router[int] {
	entries := s.entries(n)
	r, err := NewRouter(entries[:n-8])
	if err == nil {
		r, err = r.With(entries)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// BenchmarkChanged looks up in a Router with late entries.
func BenchmarkChanged(b *testing.B) {
	const n = 10_000
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) { benchFind(b, newChanged(b, s, n), shuffled(s, n)) })
	}
}

// BenchmarkWith changes one of 20,000 entries: what stands behind it, or its
// match.
func BenchmarkWith(b *testing.B) {
	const n = 20_000
	for _, s := range shapes {
		for _, moves := range []bool{false, true} {
			name := "value"
			if moves {
				name = "match"
			}
			b.Run(s.name+"/"+name, func(b *testing.B) {
				entries := s.entries(n)
				r, err := NewRouter(entries)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					entries = slices.Clone(entries)
					e := *entries[i*7919%n]
					if moves {
						e.Match = s.match(n + i)
						e.Match.Order = ir.Order{int64(i * 7919 % n)}
					}
					entries[i*7919%n] = &e
					if r, err = r.With(entries); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
