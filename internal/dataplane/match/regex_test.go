package match

import (
	"regexp"
	"testing"
)

func TestCutLiteral(t *testing.T) {
	for _, tc := range []struct{ expr, literal, rest string }{
		{"/v1/[^/]+", "/v1/", "[^/]+"},
		{"/v1/[^/]+/x", "/v1/", "[^/]+/x"},
		{`/v1\.2/.*`, "/v1.2/", ".*"},
		{`/a\\b(c|d)*`, `/a\b`, "(c|d)*"},
		{"/ab*", "/a", "b*"},
		{"/a(?:b|c)d", "/a", "(?:b|c)d"},
		{"/(?i:x)", "/", "(?i:x)"},
		{"/ab|/ac", "/a", "[bc]"}, // what follows is in no one place
		{`\x2fa.`, "/a", "(?-s:.)"},
		{"/a", "", "/a"},
		{"(?i)/a.", "", "(?i)/a."},
		{"/é.", "", "/é."},
		{`/a\b.`, "", `/a\b.`},
		{"[^/]+", "", "[^/]+"},
	} {
		if literal, rest := cutLiteral(tc.expr); literal != tc.literal || rest != tc.rest {
			t.Errorf("%s: %q and %q, want %q and %q", tc.expr, literal, rest, tc.literal, tc.rest)
		}
	}
}

// FuzzCutLiteral holds that the two parts match what the whole does.
func FuzzCutLiteral(f *testing.F) {
	for _, expr := range []string{"/v1/[^/]+", `/a\.b|/ac`, "/ab*(c|d)", "/a{2}b?", `/\Qa.\E.`} {
		f.Add(expr, "/v1/x")
		f.Add(expr, "/a.bc")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		whole, err := Regex(expr)
		if err != nil {
			return
		}
		literal, rest := cutLiteral(expr)
		parts, err := regexp.Compile(`\A(?:` + regexp.QuoteMeta(literal) + `)(?:` + rest + `)\z`)
		if err != nil {
			t.Fatalf("%q becomes %q and %q: %v", expr, literal, rest, err)
		}
		for _, s := range []string{text, literal + text} {
			if whole.MatchString(s) != parts.MatchString(s) {
				t.Errorf("%q of %q: whole %v", expr, s, whole.MatchString(s))
			}
		}
	})
}

func BenchmarkCutLiteral(b *testing.B) {
	for b.Loop() {
		cutLiteral("/v1/models/[^/]+/x")
	}
}
