package match

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// naive is the specification: every match is tried, the best order wins.
func naive(entries []*Entry[int], req *Request) int {
	best := -1
	for i, e := range entries {
		if !naiveTakes(&e.Match, req) {
			continue
		}
		if best < 0 || slices.Compare(e.Match.Order, entries[best].Match.Order) < 0 {
			best = i
		}
	}
	return best
}

func naiveTakes(m *ir.Match, req *Request) bool {
	if !naivePath(m.Path, req.Path) {
		return false
	}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, req.Method) {
		return false
	}
	for _, h := range m.Headers {
		got := req.Header.Values(h.Name)
		if !naiveString(h, len(got) > 0, strings.Join(got, ",")) {
			return false
		}
	}
	for _, q := range m.Query {
		if !naiveString(q, req.Query.Has(q.Name), req.Query.Get(q.Name)) {
			return false
		}
	}
	for _, v := range m.Model {
		if !naiveString(v, req.HasModel, req.Model) {
			return false
		}
	}
	return true
}

func naivePath(m ir.PathMatch, path string) bool {
	value := m.Value
	if m.IgnoreCase && m.Kind != ir.PathRegex {
		value, path = strings.ToLower(value), strings.ToLower(path)
	}
	switch m.Kind {
	case ir.PathExact:
		return path == value
	case ir.PathPrefix:
		return strings.HasPrefix(path, value)
	case ir.PathSegments:
		value = strings.TrimRight(value, "/")
		return path == value || strings.HasPrefix(path, value+"/")
	case ir.PathSuffix:
		return strings.HasSuffix(path, value)
	case ir.PathRegex:
		if m.IgnoreCase {
			value = "(?i)" + value
		}
		return regexp.MustCompile(`\A(?:` + value + `)\z`).MatchString(path)
	}
	return true
}

func naiveString(m ir.StringMatch, present bool, got string) bool {
	switch {
	case m.Exact == nil && m.Prefix == nil && m.Suffix == nil && m.Regex == nil:
		return present != m.Invert
	case !present:
		return false
	case m.Exact != nil:
		return (got == *m.Exact) != m.Invert
	case m.Prefix != nil:
		return strings.HasPrefix(got, *m.Prefix) != m.Invert
	case m.Suffix != nil:
		return strings.HasSuffix(got, *m.Suffix) != m.Invert
	}
	return regexp.MustCompile(`\A(?:`+*m.Regex+`)\z`).MatchString(got) != m.Invert
}

// world draws matches and requests from a vocabulary small enough that they
// often meet.
type world struct {
	*rand.Rand
	models bool // matches may look at the model
}

func (w world) pick(of ...string) string { return of[w.IntN(len(of))] }

func (w world) path() string {
	var b strings.Builder
	for range w.IntN(4) {
		b.WriteByte('/')
		b.WriteString(w.pick("", "a", "b", "ab", "A", "aB", "chat", "chatter", "v1"))
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func (w world) pathMatch() ir.PathMatch {
	m := ir.PathMatch{Value: w.path(), IgnoreCase: w.IntN(4) == 0}
	switch w.IntN(6) {
	case 0:
		m.Kind = ir.PathExact
	case 1:
		m.Kind = ir.PathPrefix
	case 2:
		m.Kind = ir.PathSegments
	case 3:
		m.Kind = ir.PathSuffix
	case 4:
		m.Kind = ir.PathRegex
		m.Value = w.pick("/a.*", "/(a|b)(/.*)?", ".*b", "/chat(ter)?", "/[ab]+", "", "/v1|/a", "(?i)/CHAT", "^/a$", "/a(?m:$).*")
	default:
		m = ir.PathMatch{}
	}
	return m
}

func (w world) stringMatch(names ...string) ir.StringMatch {
	m := ir.StringMatch{Name: w.pick(names...), Invert: w.IntN(5) == 0}
	value := w.pick("", "1", "2", "12", "1,2", "3")
	switch w.IntN(8) {
	case 0:
		m.Prefix = &value
	case 1:
		m.Suffix = &value
	case 2:
		value = w.pick("1.*", "[12]", "(1|2),2")
		m.Regex = &value
	case 3:
	default:
		m.Exact = &value
	}
	return m
}

func (w world) match() ir.Match {
	m := ir.Match{Path: w.pathMatch()}
	for range w.IntN(3) {
		m.Order = append(m.Order, int64(w.IntN(4)))
	}
	for range w.IntN(3) {
		m.Headers = append(m.Headers, w.stringMatch("x-a", "X-B"))
	}
	if w.IntN(3) == 0 {
		m.Query = append(m.Query, w.stringMatch("q", "p"))
	}
	if w.IntN(3) == 0 {
		m.Methods = append(m.Methods, w.pick("GET", "POST"))
	}
	if w.IntN(5) == 0 {
		m.Methods = append(m.Methods, w.pick("PUT", "POST"))
	}
	for w.models && w.IntN(2) == 0 {
		v := w.stringMatch("")
		v.Name = ""
		m.Model = append(m.Model, v)
	}
	return m
}

func (w world) request() *Request {
	req := &Request{Method: w.pick("GET", "POST", "PUT", "DELETE"), Path: w.path(), Header: http.Header{}, Query: url.Values{}}
	for range w.IntN(4) {
		req.Header.Add(w.pick("X-A", "X-B"), w.pick("", "1", "2", "3", "12"))
	}
	for range w.IntN(3) {
		req.Query.Add(w.pick("q", "p"), w.pick("", "1", "2", "12"))
	}
	if w.models && w.IntN(4) > 0 {
		req.Model, req.HasModel = w.pick("", "1", "2", "3", "12", "1,2"), true
	}
	return req
}

func (w world) entries(n int) []*Entry[int] {
	out := make([]*Entry[int], n)
	for i := range out {
		out[i] = &Entry[int]{Match: w.match(), Value: i}
	}
	return out
}

func TestRouterIsTheNaiveMatcher(t *testing.T) {
	hits := 0
	for seed := range uint64(250) {
		w := world{rand.New(rand.NewPCG(seed, 1)), seed%2 == 0}
		hits += compareWithNaive(t, w, 1+w.IntN(120))
	}
	if hits < 500 {
		t.Errorf("%d requests matched: the vocabulary is too wide to show anything", hits)
	}
}

func compareWithNaive(t *testing.T, w world, n int) (hits int) {
	t.Helper()
	entries := w.entries(n)
	r, err := NewRouter(entries)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		req := w.request()
		if found(t, r, entries, req) {
			hits++
		}
	}
	return hits
}

// found reports whether an entry takes a request, and sees to it that r finds
// the one that naive does.
func found(t *testing.T, r *Router[int], entries []*Entry[int], req *Request) bool {
	t.Helper()
	want := naive(entries, req)
	hit, ok := r.Find(req)
	if ok != (want >= 0) || ok && (hit.Value != entries[want].Value || hit.Path != entries[want].Match.Path) {
		t.Fatalf("%+v: got %+v %v, want entry %d of %d", req, hit, ok, want, len(entries))
	}
	return ok
}

func FuzzRouter(f *testing.F) {
	f.Add(uint64(1), uint64(2), 10, false)
	f.Add(uint64(7), uint64(9), 16, true)
	f.Fuzz(func(t *testing.T, a, b uint64, n int, models bool) {
		if n < 0 || n > 16 { // the more routes, the fewer worlds in a time
			return
		}
		compareWithNaive(t, world{rand.New(rand.NewPCG(a, b)), models}, n)
	})
}

// FuzzPath compares one trie look-up with the naive matcher on free text.
func FuzzPath(f *testing.F) {
	f.Add("/chat", "/chat/x", "/chatter", true)
	f.Add("/", "", "/a", false)
	f.Fuzz(func(t *testing.T, p, q, path string, fold bool) {
		for i := range p + q + path { // the naive fold is Unicode's
			if i < len(p+q+path) && (p + q + path)[i] >= 0x80 {
				return
			}
		}
		var entries []*Entry[int]
		for _, v := range []string{p, q} {
			for _, k := range []ir.PathKind{ir.PathExact, ir.PathPrefix, ir.PathSegments, ir.PathSuffix} {
				entries = append(entries, &Entry[int]{Match: ir.Match{
					Path:  ir.PathMatch{Kind: k, Value: v, IgnoreCase: fold},
					Order: ir.Order{int64(-len(v))},
				}, Value: len(entries)})
			}
		}
		r, err := NewRouter(entries)
		if err != nil {
			t.Fatal(err)
		}
		req := &Request{Path: path}
		hit, ok := r.Find(req)
		if want := naive(entries, req); ok != (want >= 0) || ok && hit.Value != want {
			t.Fatalf("got %d %v, want %d", hit.Value, ok, want)
		}
	})
}
