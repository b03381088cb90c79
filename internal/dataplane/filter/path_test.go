package filter

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func ptr(s string) *string { return &s }

func full(s string) *ir.PathRewrite     { return &ir.PathRewrite{Full: &s} }
func prefix(s string) *ir.PathRewrite   { return &ir.PathRewrite{Prefix: &s} }
func segments(s string) *ir.PathRewrite { return &ir.PathRewrite{Segments: &s} }
func regex(p, s string) *ir.PathRewrite {
	return &ir.PathRewrite{Regex: &ir.RegexRewrite{Pattern: p, Substitution: s}}
}

func TestPath(t *testing.T) {
	gpt2 := "/models/openai-community/gpt2"
	for _, tc := range []struct {
		name    string
		rewrite *ir.PathRewrite
		match   ir.PathMatch
		target  string
		want    string // "400" for a refusal
	}{
		{"full", full("/v1/chat"), ir.PathMatch{}, "/a/b", "/v1/chat"},
		{"full keeps the query", full("/v1/chat"), ir.PathMatch{}, "/a?q=1", "/v1/chat?q=1"},
		{"full with a query", full("/chat?api-version=1"), ir.PathMatch{}, "/a", "/chat?api-version=1"},
		{"full with a query joins", full("/chat?api-version=1"), ir.PathMatch{}, "/a?q=1", "/chat?api-version=1&q=1"},
		{"full with a query wins", full("/chat?api-version=1"), ir.PathMatch{}, "/a?api%2Dversion=9&q=1", "/chat?api-version=1&q=1"},
		{"full is escaped", full("/é x"), ir.PathMatch{}, "/a", "/%C3%A9%20x"},
		{"full may hold an escaped slash", full("/models/org%2Fname;v=1"), ir.PathMatch{}, "/a", "/models/org%2Fname;v=1"},
		{"prefix", prefix(gpt2), raw("/huggingface-gloo-gw"), "/huggingface-gloo-gw", gpt2},
		{"prefix keeps rest and query", prefix(gpt2), raw("/huggingface-gloo-gw"), "/huggingface-gloo-gw/z?q=1", gpt2 + "/z?q=1"},
		{"prefix is raw", prefix(gpt2), raw("/huggingface-gloo-gw"), "/huggingface-gloo-gwZZ", gpt2 + "ZZ"},
		{"prefix of an exact match", prefix("/v1"), exact("/a/b"), "/a/b", "/v1"},
		{"prefix of a regex match", prefix("/v1"), ir.PathMatch{Kind: ir.PathRegex, Value: "/a.*"}, "/a/b", "/v1"},
		{"prefix where nothing was matched", prefix("/v1"), ir.PathMatch{}, "/a", "/v1/a"},
		{"prefix to root joins slashes", prefix("/"), raw("/x"), "/x/y", "/y"},
		{"prefix with slash to one without", prefix("/b"), raw("/a/"), "/a/y", "/by"},
		{"prefix to nothing", prefix(""), raw("/a"), "/a/y", "/y"},
		{"prefix to nothing at all", prefix(""), raw("/a"), "/a", "/"},
		{"prefix to nothing, no slash", prefix(""), raw("/a"), "/ab", "/b"},
		{"prefix makes a dot segment", prefix("/"), raw("/a"), "/a../secret", "400"},
		{"prefix completes a dot segment", prefix("/b/."), raw("/a"), "/a./secret", "400"},
		{"prefix makes one dot", prefix("/"), raw("/a"), "/a./x", "400"},
		{"prefix, dots that are no segment", prefix("/b"), raw("/a"), "/a../x", "/b../x"},
		{"segments", segments("/xyz"), whole("/foo"), "/foo/bar", "/xyz/bar"},
		{"segments, slash in replacement", segments("/xyz/"), whole("/foo"), "/foo/bar", "/xyz/bar"},
		{"segments, slash in match", segments("/xyz"), whole("/foo/"), "/foo/bar", "/xyz/bar"},
		{"segments, both slashes", segments("/xyz/"), whole("/foo/"), "/foo/bar", "/xyz/bar"},
		{"segments alone", segments("/xyz"), whole("/foo"), "/foo", "/xyz"},
		{"segments and a slash", segments("/xyz"), whole("/foo"), "/foo/", "/xyz/"},
		{"segments to nothing", segments(""), whole("/foo"), "/foo/bar", "/bar"},
		{"segments to nothing, slash", segments(""), whole("/foo"), "/foo/", "/"},
		{"segments to nothing, alone", segments(""), whole("/foo"), "/foo", "/"},
		{"segments to root, slash", segments("/"), whole("/foo"), "/foo/", "/"},
		{"segments to root", segments("/"), whole("/foo"), "/foo", "/"},
		{"segments to root, rest", segments("/"), whole("/foo"), "/foo/bar/?q=1", "/bar/?q=1"},
		{"segments of root", segments("/v1"), whole("/"), "/a", "/v1/a"},
		{"segments of root alone", segments("/v1"), whole("/"), "/", "/v1/"},
		{"regex", regex("^/service/([^/]+)(/.*)$", `\2/instance/\1`), ir.PathMatch{}, "/service/foo/v1/api?q=1", "/v1/api/instance/foo?q=1"},
		{"regex replaces all", regex("one", "two"), ir.PathMatch{}, "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"},
		{"regex without a match", regex("nothing", "x"), ir.PathMatch{}, "/a", "/a"},
		{"regex, dollar is itself", regex("/a", "/$1"), ir.PathMatch{}, "/a", "/$1"},
		{"regex joins slashes", regex("^/a", "/b/"), ir.PathMatch{}, "/a/x", "/b/x"},
		{"regex makes a dot segment", regex("^/a(.*)$", `/b/\1`), ir.PathMatch{}, "/a../secret", "400"},
		{"regex loses the slash", regex("^/", ""), ir.PathMatch{}, "/a", "400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := serve(t, tc.match, must(t)(NewPath(tc.rewrite)))
			res := g.do(t, "GET "+tc.target)
			if tc.want == "400" {
				if res.StatusCode != 400 {
					t.Fatalf("got %d %s", res.StatusCode, bodyOf(t, res))
				}
				return
			}
			s := upstream(t, res)
			got := s.Path
			if s.Query != "" {
				got += "?" + s.Query
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			before, _, _ := strings.Cut(tc.target, "?")
			if original := s.Header.Get(originalPath); original != before {
				t.Errorf("original path %q", original)
			}
		})
	}
}

func raw(v string) ir.PathMatch   { return ir.PathMatch{Kind: ir.PathPrefix, Value: v} }
func whole(v string) ir.PathMatch { return ir.PathMatch{Kind: ir.PathSegments, Value: v} }
func exact(v string) ir.PathMatch { return ir.PathMatch{Kind: ir.PathExact, Value: v} }

func TestPathIsRefusedWhenMade(t *testing.T) {
	for _, tc := range []struct {
		name    string
		rewrite *ir.PathRewrite
		want    string
	}{
		{"nothing", &ir.PathRewrite{}, "nothing to rewrite to"},
		{"no slash", full("v1"), "must begin with a slash"},
		{"prefix without slash", prefix("v1"), "must begin with a slash"},
		{"climbs", full("/../x"), "climbs"},
		{"escaped dot", full("/%2e%2e/x"), "escaped"},
		{"escaped percent", full("/a%25"), "escaped"},
		{"half an escape", prefix("/a%2"), "broken"},
		{"backslash", full(`/a\b`), "backslash"},
		{"fragment", full("/a#b"), "byte"},
		{"query in a prefix", prefix("/a?b"), "byte"},
		{"line break in the query", full("/a?b=\r\nx"), "byte"},
		{"dots beside an escaped slash", full("/a/../b%2Fc"), "normal form"},
		{"bad expression", regex("(", "x"), "missing closing"},
		{"huge expression", regex("(abcdefghij){900}", "x"), "regular expression"},
		{"group that is not there", regex("a", `\1`), "0 groups"},
		{"bad escape", regex("a", `\n`), "backslash"},
		{"query in a substitution", regex("a", "b?c"), "query"},
		{"control byte", regex("a", "b\n"), "control byte"},
	} {
		_, err := NewPath(tc.rewrite)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// FuzzPath holds that whatever a client sends, the upstream's path is normal.
func FuzzPath(f *testing.F) {
	f.Add("/a../b", "/a", "/", 1)
	f.Add("/a/b", "/a/", "/x/", 2)
	f.Add("/a%20b", "/a%2", "/x", 1)
	f.Add("/one/two", "(o)(n?)", `/\1/\2`, 3)
	f.Fuzz(func(t *testing.T, path, matchValue, to string, kind int) {
		path, err := dataplane.NormalizePath(path)
		if err != nil {
			return
		}
		m, cfg := ir.PathMatch{}, full(to)
		switch kind {
		case 1:
			m, cfg = raw(matchValue), prefix(to)
		case 2:
			m, cfg = whole(matchValue), segments(to)
		case 3:
			cfg = regex(matchValue, to)
		}
		if !strings.HasPrefix(path, m.Value) {
			return
		}
		r, err := newRewrite(cfg)
		if err != nil || strings.Contains(r.text, ";") || strings.Contains(strings.ToLower(r.text), "%2f") {
			return
		}
		got, err := r.path(path, m)
		if err != nil {
			return
		}
		if normal, err := dataplane.NormalizePath(got); err != nil || normal != got {
			t.Errorf("%q by %q to %q: %q is not normal: %q, %v", path, matchValue, to, got, normal, err)
		}
	})
}

func BenchmarkPath(b *testing.B) {
	stage, err := NewPath(prefix("/models/openai-community/gpt2"))
	if err != nil {
		b.Fatal(err)
	}
	e := anonymous("/huggingface-gloo-gw/v1")
	e.Matched = raw("/huggingface-gloo-gw")
	b.ReportAllocs()
	for b.Loop() {
		if a := stage.Run(b.Context(), e); a != nil {
			b.Fatal(a)
		}
	}
}
