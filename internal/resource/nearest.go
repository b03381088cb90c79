package resource

import "strings"

// Nearest returns the one of names that want was most likely meant to be, by
// edit distance, or "" if none is near: for "did you mean". Of equally near
// ones it returns the first.
func Nearest(want string, names []string) string {
	if len(want) > 64 {
		return ""
	}
	best, least := "", max(1, len(want)/3)+1
	for _, n := range names {
		if n == want || len(n) > 64 {
			continue
		}
		if d := distance(strings.ToLower(want), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that make b of a.
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
