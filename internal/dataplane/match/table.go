package match

import (
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// table finds the matchers whose path fits. The zero table is empty.
type table struct {
	exact    index    // whole paths
	segments prefixes // prefixes of whole segments
	slashed  prefixes // raw prefixes that end with a slash
	raw      prefixes // other raw prefixes, where these have few lengths
	// forward holds what else is known from its beginning: prefixes, whole
	// paths without case, and regular expressions by the text that they begin
	// with.
	forward, forwardFold trie
	// backward holds suffixes, last byte first.
	backward, backwardFold trie
}

// search is one look-up under way.
type search struct {
	req  *Request
	rank int     // of the best matcher so far
	gone rankSet // that are passed over
}

// newTable returns the table of matchers, which are sorted by rank.
func newTable(matchers []*matcher) table {
	t := table{
		forwardFold:  trie{fold: true},
		backward:     trie{reverse: true},
		backwardFold: trie{fold: true, reverse: true},
	}
	var exact, segments, slashed, raw keyed
	for _, m := range matchers {
		switch key, end := m.key(); {
		case m.path.Kind == ir.PathSuffix:
			t.backwards(m.path.IgnoreCase).add(key, end, m)
		case m.path.IgnoreCase && key != "":
			t.forwardFold.add(key, end, m)
		case end == endExact:
			exact.add(key, m)
		case end == endSegment:
			segments.add(key, m)
		case strings.HasSuffix(key, "/"):
			slashed.add(key[:len(key)-1], m)
		default:
			raw.add(key, m)
		}
	}
	t.exact = newIndex(&exact, nil)
	t.segments, t.slashed = newSegments(&segments, false), newSegments(&slashed, true)
	var few bool
	if t.raw, few = newRaw(&raw); !few {
		for i, key := range raw.keys {
			for _, m := range raw.lists[i] {
				t.forward.add(key, endRaw, m)
			}
		}
	}
	for _, tr := range []*trie{&t.forward, &t.forwardFold, &t.backward, &t.backwardFold} {
		tr.freeze()
	}
	return t
}

func (t *table) backwards(fold bool) *trie {
	if fold {
		return &t.backwardFold
	}
	return &t.backward
}

// key returns what a path must hold for m to be asked, and what must follow.
func (m *matcher) key() (string, ending) {
	switch m.path.Kind {
	case ir.PathExact:
		return m.path.Value, endExact
	case ir.PathSegments:
		// Gateway API: a trailing slash of the prefix does not count.
		return strings.TrimRight(m.path.Value, "/"), endSegment
	case ir.PathPrefix, ir.PathSuffix:
		return m.path.Value, endRaw
	case ir.PathRegex:
		return m.literal, endRaw
	}
	return "", endRaw
}

// find leaves the rank of the best matcher in s, if any takes the request.
func (t *table) find(s *search) {
	t.exact.find(s.req.Path, s)
	t.segments.find(s)
	t.slashed.find(s)
	t.raw.find(s)
	t.forward.find(s)
	t.forwardFold.find(s)
	t.backward.find(s)
	t.backwardFold.find(s)
}
