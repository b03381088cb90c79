package match

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

func TestRouterRefuses(t *testing.T) {
	two := "x"
	tests := []struct {
		name  string
		match ir.Match
		want  string
	}{
		{"bad regex", ir.Match{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "(a"}}, "missing closing )"},
		{"long regex", ir.Match{Path: ir.PathMatch{Kind: ir.PathRegex, Value: strings.Repeat("a", 5000)}}, "bytes"},
		{"large regex", ir.Match{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "((a{100}){100}){100}"}}, ""},
		{"regex out of its group", ir.Match{Path: ir.PathMatch{Kind: ir.PathRegex, Value: "a)|(?:b"}}, "unexpected )"},
		{"unknown kind", ir.Match{Path: ir.PathMatch{Kind: "glob", Value: "/*"}}, "does not exist"},
		{"header without a name", ir.Match{Headers: []ir.StringMatch{{}}}, "name is empty"},
		{"two comparisons", ir.Match{Headers: []ir.StringMatch{{Name: "x", Exact: &two, Prefix: &two}}}, "at most one"},
		{"pseudo header", ir.Match{Headers: []ir.StringMatch{{Name: ":path"}}}, "cannot be matched"},
		{"bad query regex", ir.Match{Query: []ir.StringMatch{{Name: "x", Regex: ptr("[")}}}, "missing closing ]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewRouter([]*Entry[int]{{}, {Match: tt.match}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "match 1: ") {
				t.Errorf("error %v, want match 1: … %q", err, tt.want)
			}
		})
	}
}

func ptr(s string) *string { return &s }

func TestRouterOrder(t *testing.T) {
	exact := func(v string, order ...int64) *Entry[int] {
		return &Entry[int]{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathExact, Value: v}, Order: order}}
	}
	prefix := func(v string, order ...int64) *Entry[int] {
		return &Entry[int]{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathPrefix, Value: v}, Order: order}}
	}
	tests := []struct {
		name    string
		entries []*Entry[int]
		want    int
	}{
		{"written order", []*Entry[int]{prefix("/"), exact("/a")}, 0},
		{"order beats index", []*Entry[int]{prefix("/", 2), exact("/a", 1)}, 1},
		{"shorter is smaller", []*Entry[int]{prefix("/", 1, 0), exact("/a", 1)}, 1},
		{"element by element", []*Entry[int]{prefix("/", 1, 3), exact("/a", 1, 2, 9)}, 1},
		{"ties go to the first", []*Entry[int]{prefix("/a", 1), exact("/a", 1)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, e := range tt.entries {
				e.Value = i
			}
			r, err := NewRouter(tt.entries)
			if err != nil {
				t.Fatal(err)
			}
			if hit, ok := r.Find(&Request{Path: "/a"}); !ok || hit.Value != tt.want {
				t.Errorf("got %d %v, want %d", hit.Value, ok, tt.want)
			}
		})
	}
}

func TestSegments(t *testing.T) {
	r, err := NewRouter([]*Entry[int]{{Match: ir.Match{Path: ir.PathMatch{Kind: ir.PathSegments, Value: "/chat/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/chat": true, "/chat/": true, "/chat/x": true, "/chatter": false, "/cha": false, "/Chat": false} {
		if _, ok := r.Find(&Request{Path: path}); ok != want {
			t.Errorf("%s: %v, want %v", path, ok, want)
		}
	}
}

func TestHostAsHeader(t *testing.T) {
	for _, name := range []string{"host", ":authority"} {
		r, err := NewRouter([]*Entry[int]{{Match: ir.Match{Headers: []ir.StringMatch{{Name: name, Exact: ptr("a.example")}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Find(&Request{Host: "a.example"}); !ok {
			t.Errorf("%s: its host is not taken", name)
		}
		if _, ok := r.Find(&Request{Host: "b.example", Header: http.Header{"Host": {"a.example"}}}); ok {
			t.Errorf("%s: another host is taken", name)
		}
	}
}

func TestZeroRouterTakesNothing(t *testing.T) {
	var r Router[int]
	if _, ok := r.Find(&Request{Path: "/"}); ok {
		t.Error("the zero Router takes a request")
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		name  string
		match ir.StringMatch
		got   []string
		want  bool
	}{
		{"joined by a comma", ir.StringMatch{Exact: ptr("a,b")}, []string{"a", "b"}, true},
		{"a single one of several is not enough", ir.StringMatch{Exact: ptr("a")}, []string{"a", "b"}, false},
		{"absent", ir.StringMatch{Exact: ptr("")}, nil, false},
		{"empty is present", ir.StringMatch{Exact: ptr("")}, []string{""}, true},
		{"absent, inverted value", ir.StringMatch{Exact: ptr("a"), Invert: true}, nil, false},
		{"other, inverted value", ir.StringMatch{Exact: ptr("a"), Invert: true}, []string{"b"}, true},
		{"absent, inverted presence", ir.StringMatch{Invert: true}, nil, true},
		{"present, inverted presence", ir.StringMatch{Invert: true}, []string{"a"}, false},
		{"regex is a full match", ir.StringMatch{Regex: ptr("a")}, []string{"ab"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.match.Name = "x-tier"
			v, err := NewStrings([]ir.StringMatch{tt.match})
			if err != nil {
				t.Fatal(err)
			}
			if got := v.Header(http.Header{"X-Tier": tt.got}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	v, err := NewStrings([]ir.StringMatch{{Name: "q", Exact: ptr("1")}})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Query(map[string][]string{"q": {"1", "2"}}) || v.Query(map[string][]string{"q": {"2", "1"}}) {
		t.Error("of a query parameter, the first value counts")
	}
}

func TestRegexBound(t *testing.T) {
	for _, expr := range []string{"((a{100}){100}){100}", strings.Repeat("(a{900})", 200), "(a{1,30}){1,200}", "((((a{9}){9}){9}){9}){9}"} {
		if _, err := Regex(expr); err == nil {
			t.Errorf("%.40s: no error", expr)
		}
	}
	for _, expr := range []string{"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", `/v\d+/.*`, "(a|b){1,100}", ""} {
		if _, err := Regex(expr); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func FuzzRegex(f *testing.F) {
	f.Add("/a.*", "/abc")
	f.Add(`\Qa`, "a")
	f.Add("a|b", "ab")
	f.Add(`/v\d+/x(?:/.*)?`, "/v1/x/y")
	f.Add(`/a\b.*`, "/ab")
	f.Add(`abc|abd`, "abd")
	f.Add(`(?i)/a/.+`, "/A/b")
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := Regex(expr)
		if err != nil {
			return
		}
		if loc := re.FindStringIndex(text); loc != nil && (loc[0] != 0 || loc[1] != len(text)) {
			t.Errorf("%q takes %v of %q", expr, loc, text)
		}
		literal, rest, err := rests{}.compile(expr)
		if err != nil {
			t.Fatalf("%q compiles as a whole, not in parts: %v", expr, err)
		}
		if whole, parts := re.MatchString(text), strings.HasPrefix(text, literal) && rest.MatchString(strings.TrimPrefix(text, literal)); whole != parts {
			t.Errorf("%q takes %q: %v as a whole, %v as %q and %v", expr, text, whole, parts, literal, rest)
		}
	})
}
