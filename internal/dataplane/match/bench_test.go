package match

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// shape makes the i-th of n matches, and a request that it takes.
type shape struct {
	name    string
	match   func(i int) ir.Match
	request func(i int) *Request
}

func pathShape(name string, kind ir.PathKind, rest string) shape {
	path := func(i int) string { return fmt.Sprintf("/team-%05d/chat", i) }
	return shape{name,
		func(i int) ir.Match { return ir.Match{Path: ir.PathMatch{Kind: kind, Value: path(i)}} },
		func(i int) *Request { return &Request{Method: "POST", Path: path(i) + rest} },
	}
}

func raggedPath(i int) string {
	rnd := rand.New(rand.NewPCG(uint64(i), 0))
	name := make([]byte, 4+rnd.IntN(20))
	for j := range name {
		name[j] = byte('a' + rnd.IntN(26))
	}
	return fmt.Sprintf("/%s-%d/", name, i)
}

var shapes = []shape{
	pathShape("prefix", ir.PathPrefix, "/completions"),
	{"tree", // prefixes of so many lengths that each cannot be looked up by itself
		func(i int) ir.Match {
			return ir.Match{Path: ir.PathMatch{Kind: ir.PathPrefix, Value: strings.TrimSuffix(raggedPath(i), "/") + "-x"}}
		},
		func(i int) *Request {
			return &Request{Method: "POST", Path: strings.TrimSuffix(raggedPath(i), "/") + "-x/chat/completions"}
		}},
	{"ragged", // the same, each ending with a slash
		func(i int) ir.Match { return ir.Match{Path: ir.PathMatch{Kind: ir.PathPrefix, Value: raggedPath(i)}} },
		func(i int) *Request { return &Request{Method: "POST", Path: raggedPath(i) + "/chat/completions"} }},
	pathShape("segments", ir.PathSegments, "/completions"),
	pathShape("exact", ir.PathExact, ""),
	{"header",
		func(i int) ir.Match {
			return ir.Match{
				Path:    ir.PathMatch{Kind: ir.PathExact, Value: "/v1/chat/completions"},
				Headers: []ir.StringMatch{{Name: "x-model", Exact: ptr(fmt.Sprintf("model-%05d", i))}},
			}
		},
		func(i int) *Request {
			return &Request{Method: "POST", Path: "/v1/chat/completions", Header: http.Header{"X-Model": {fmt.Sprintf("model-%05d", i)}}}
		}},
	{"regex",
		func(i int) ir.Match {
			return ir.Match{Path: ir.PathMatch{Kind: ir.PathRegex, Value: fmt.Sprintf(`/team-%05d/v\d+/.*`, i)}}
		},
		func(i int) *Request { return &Request{Method: "POST", Path: fmt.Sprintf("/team-%05d/v1/chat", i)} }},
}

var sizes = []int{10, 1000, 10000}

func BenchmarkRouter(b *testing.B) {
	for _, s := range shapes {
		for _, n := range sizes {
			r := newShape(b, s, n)
			b.Run(fmt.Sprintf("%s/one/%d", s.name, n), func(b *testing.B) { benchFind(b, r, []*Request{s.request(n - 1)}) })
			b.Run(fmt.Sprintf("%s/all/%d", s.name, n), func(b *testing.B) { benchFind(b, r, shuffled(s, n)) })
		}
	}
}

func newShape(tb testing.TB, s shape, n int) *Router[int] {
	r, err := NewRouter(s.entries(n))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func (s shape) entries(n int) []*Entry[int] {
	entries := make([]*Entry[int], n)
	for i := range entries {
		entries[i] = &Entry[int]{Match: s.match(i), Value: i}
		entries[i].Match.Order = ir.Order{int64(i)}
	}
	return entries
}

// shuffled returns 1,024 requests for entries all over the table, so that the
// figure has the misses of a real cache in it.
func shuffled(s shape, n int) []*Request {
	rnd := rand.New(rand.NewPCG(1, 2))
	out := make([]*Request, 1024)
	for i := range out {
		out[i] = s.request(rnd.IntN(n))
	}
	return out
}

func benchFind(b *testing.B, r *Router[int], reqs []*Request) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := r.Find(reqs[i&(len(reqs)-1)]); !ok {
			b.Fatal("no match")
		}
		i++
	}
}

func BenchmarkHosts(b *testing.B) {
	for _, n := range sizes {
		entries := make([]HostEntry[int], n)
		for i := range entries {
			pattern := fmt.Sprintf("team-%05d.example.com", i)
			if i%2 == 1 {
				pattern = "*." + pattern
			}
			entries[i] = HostEntry[int]{pattern, i}
		}
		h, err := NewHosts(entries)
		if err != nil {
			b.Fatal(err)
		}
		for name, host := range map[string]string{"exact": fmt.Sprintf("team-%05d.example.com", n-2), "suffix": fmt.Sprintf("a.team-%05d.example.com", n-1)} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := h.Find(host); !ok {
						b.Fatal("no match")
					}
				}
			})
		}
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	for _, s := range shapes {
		r := newShape(t, s, 100)
		req := s.request(77)
		if n := testing.AllocsPerRun(100, func() { r.Find(req) }); n != 0 {
			t.Errorf("%s: %v allocations", s.name, n)
		}
	}
}

func BenchmarkNewRouter(b *testing.B) {
	for _, s := range shapes[:4] {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				newShape(b, s, 10000)
			}
		})
	}
}

// BenchmarkGroup finds and chooses one of many routes that the model tells
// apart.
func BenchmarkGroup(b *testing.B) {
	for _, n := range []int{10, 1000} {
		var entries []*Entry[int]
		for i := range n {
			entries = append(entries, byName("/", int64(i), ir.StringMatch{Exact: ptr(fmt.Sprint("model-", i))}))
		}
		r, err := NewRouter(entries)
		if err != nil {
			b.Fatal(err)
		}
		req := &Request{Method: "POST", Path: "/v1/chat/completions"}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, ok := r.Group(req)
				if hit, found := g.Choose("model-7", true); !ok || !found || hit.Value != 7 {
					b.Fatal(hit)
				}
			}
		})
	}
}
