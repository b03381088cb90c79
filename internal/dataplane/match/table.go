package match

import (
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// table finds the matchers whose path fits. The zero table is empty.
type table struct {
	exact map[string]*bucket
	// forward holds what is known from its beginning: prefixes, whole paths
	// without case, and regular expressions by the text that they begin with.
	forward, forwardFold trie
	// backward holds suffixes, last byte first.
	backward, backwardFold trie
}

// search is one look-up under way.
type search struct {
	req  *Request
	rank int // of the best matcher so far
}

// newTable returns the table of matchers, which are sorted by rank.
func newTable(matchers []*matcher) table {
	t := table{
		exact:        map[string]*bucket{},
		forwardFold:  trie{fold: true},
		backward:     trie{reverse: true},
		backwardFold: trie{fold: true, reverse: true},
	}
	exact := map[string][]*matcher{}
	for _, m := range matchers {
		if m.path.Kind == ir.PathExact && !m.path.IgnoreCase {
			exact[m.path.Value] = append(exact[m.path.Value], m)
			continue
		}
		t.add(m)
	}
	for path, list := range exact {
		t.exact[path] = newBucket(list)
	}
	for _, tr := range []*trie{&t.forward, &t.forwardFold, &t.backward, &t.backwardFold} {
		tr.freeze()
	}
	return t
}

func (t *table) add(m *matcher) {
	forward, backward := &t.forward, &t.backward
	if m.path.IgnoreCase {
		forward, backward = &t.forwardFold, &t.backwardFold
	}
	switch m.path.Kind {
	case ir.PathAny:
		t.forward.add("", endRaw, m)
	case ir.PathExact:
		forward.add(m.path.Value, endExact, m)
	case ir.PathPrefix:
		forward.add(m.path.Value, endRaw, m)
	case ir.PathSegments:
		// Gateway API: a trailing slash of the prefix does not count.
		forward.add(strings.TrimRight(m.path.Value, "/"), endSegment, m)
	case ir.PathSuffix:
		backward.add(m.path.Value, endRaw, m)
	case ir.PathRegex:
		prefix := ""
		if !m.path.IgnoreCase {
			prefix = literalPrefix(m.path.Value)
		}
		t.forward.add(prefix, endRaw, m)
	}
}

// find leaves the rank of the best matcher in s, if any takes the request.
func (t *table) find(s *search) {
	if len(t.exact) > 0 {
		if b := t.exact[s.req.Path]; b != nil {
			b.find(s)
		}
	}
	t.forward.find(s)
	t.forwardFold.find(s)
	t.backward.find(s)
	t.backwardFold.find(s)
}
