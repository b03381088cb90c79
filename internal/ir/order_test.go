package ir

import (
	"slices"
	"testing"
)

// TestOrderText: orders compare as the texts behind them, whatever their lengths.
func TestOrderText(t *testing.T) {
	texts := []string{"", "a", "a/b", "abcdef", "abcdefg", "abcdefgh", "abcdefgz", "b", "é"} // sorted
	for i, a := range texts {
		for j, b := range texts {
			got := slices.Compare(Order{1}.Text(a), Order{1}.Text(b))
			if want := min(max(i-j, -1), 1); got != want {
				t.Errorf("%q and %q: %d, want %d", a, b, got, want)
			}
		}
	}
}
