package gloo

import "testing"

func TestFormatted(t *testing.T) {
	for _, tc := range []struct {
		in, literal  string
		commands, ok bool
	}{
		{"", "", false, true},
		{"plain", "plain", false, true},
		{"100%%", "100%", false, true},
		{"%%REQ%%", "%REQ%", false, true},
		{"%REQ(x)%", "", true, true},
		{"%REQ(x):10%", "", true, true},
		{"a %PROTOCOL% b", "", true, true},
		{"50%", "", false, false},
		{"%REQ(x", "", false, false},
		{"%REQ(x)", "", false, false},
		{"%lower%", "", false, false},
		{"%%%", "", false, false},
	} {
		literal, commands, ok := formatted(tc.in)
		if ok != tc.ok || commands != tc.commands || (!commands && ok && literal != tc.literal) {
			t.Errorf("formatted(%q) = %q, %v, %v", tc.in, literal, commands, ok)
		}
	}
}

func FuzzFormatted(f *testing.F) {
	f.Add("%REQ(:path)% %%")
	f.Fuzz(func(t *testing.T, s string) {
		literal, commands, ok := formatted(s)
		if ok && !commands && len(literal) > len(s) {
			t.Errorf("%q became longer: %q", s, literal)
		}
	})
}
