package dialect

import (
	"fmt"
	"strings"
)

// nearest returns the name in names most like want, or "".
func nearest(want string, names []string) string {
	best, bestCost := "", len(want)/2+1
	for _, n := range names {
		if abs(len(n)-len(want)) >= bestCost { // the distance is no less
			continue
		}
		if c := distance(want, n); c < bestCost {
			best, bestCost = n, c
		}
	}
	return best
}

// Suggest returns "; did you mean X?" for the name most like want, or "".
// Problems about a name that is not there end in it.
func Suggest(want string, names []string) string {
	if n := nearest(want, names); n != "" && n != want {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// distance is the edit distance between a and b, ignoring case.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
