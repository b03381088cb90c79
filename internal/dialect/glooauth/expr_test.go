package glooauth

import (
	"slices"
	"strings"
	"testing"
)

func TestParseExpr(t *testing.T) {
	for _, tc := range []struct {
		text  string
		names string
		ok    bool
	}{
		{"a", "a", true},
		{"a&&b||c", "a b c", true},
		{" ( a || !b ) && !!(c-1) ", "a b c-1", true},
		{"", "", false},
		{"a b", "", false},
		{"a &&", "", false},
		{"&& a", "", false},
		{"a & b", "", false},
		{"a | b", "", false},
		{"(a", "", false},
		{"a)", "", false},
		{"()", "", false},
		{"!", "", false},
		{strings.Repeat("(", 100) + "a" + strings.Repeat(")", 100), "", false},
	} {
		names, err := parseExpr(tc.text)
		if (err == nil) != tc.ok || tc.ok && strings.Join(names, " ") != tc.names {
			t.Errorf("%q: %v, %v", tc.text, names, err)
		}
	}
}

func FuzzParseExpr(f *testing.F) {
	for _, s := range []string{"a && (b || !c)", "((", "a&b", "!!!!a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		names, err := parseExpr(s)
		if err == nil && (len(names) == 0 || slices.Contains(names, "")) {
			t.Errorf("%q: names %q", s, names)
		}
	})
}
