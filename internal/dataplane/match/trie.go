package match

import "math"

// ending says what must follow in a path after a key for it to fit.
type ending int

const (
	endRaw     ending = iota // anything
	endSegment               // the path's end, or a slash
	endExact                 // the path's end
	endings
)

// trie is a radix tree of path keys: a walk along the path meets every key
// that the path begins with, in one pass. The zero trie is empty.
type trie struct {
	root    *node
	buckets []*bucket
	lists   map[*node]*[endings][]*matcher // until freeze
	fold    bool                           // ASCII letters compare without case; keys are lower case
	reverse bool                           // keys and paths are read from their ends
}

// node is as large as a cache line: a walk through a large tree costs a miss
// for each.
type node struct {
	label string  // from the parent's end to this node's
	kids  []*node // by the first byte of their labels, from lo on; with gaps
	least int32   // the smallest rank in this subtree
	ends  [endings]target
	lo    byte
}

func (t *trie) add(key string, end ending, m *matcher) {
	if t.root == nil {
		t.root = &node{}
	}
	buf := make([]byte, len(key))
	for i := range buf {
		buf[i] = t.at(key, i)
	}
	n := t.root.reach(string(buf))
	if t.lists == nil {
		t.lists = map[*node]*[endings][]*matcher{}
	}
	if t.lists[n] == nil {
		t.lists[n] = &[endings][]*matcher{}
	}
	t.lists[n][end] = append(t.lists[n][end], m)
}

// at returns the i-th byte of text in the trie's reading.
func (t *trie) at(text string, i int) byte {
	if t.reverse {
		i = len(text) - 1 - i
	}
	c := text[i]
	if t.fold && 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// reach returns the node for key below n, making it if need be.
func (n *node) reach(key string) *node {
	if key == "" {
		return n
	}
	kid := n.kid(key[0])
	if kid == nil {
		leaf := &node{label: key}
		n.adopt(leaf)
		return leaf
	}
	same := commonPrefix(kid.label, key)
	if same < len(kid.label) { // split the edge
		mid := &node{label: kid.label[:same]}
		kid.label = kid.label[same:]
		mid.adopt(kid)
		n.adopt(mid)
		kid = mid
	}
	return kid.reach(key[same:])
}

// kid returns the child whose label begins with c, or nil.
func (n *node) kid(c byte) *node {
	if i := int(c) - int(n.lo); i >= 0 && i < len(n.kids) {
		return n.kids[i]
	}
	return nil
}

// adopt puts kid into its place among n's children.
func (n *node) adopt(kid *node) {
	c := kid.label[0]
	if len(n.kids) == 0 {
		n.lo = c
	}
	if c < n.lo {
		n.kids = append(make([]*node, n.lo-c), n.kids...)
		n.lo = c
	}
	if need := int(c-n.lo) + 1 - len(n.kids); need > 0 {
		n.kids = append(n.kids, make([]*node, need)...)
	}
	n.kids[c-n.lo] = kid
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// freeze makes the buckets, after the last add.
func (t *trie) freeze() {
	if t.root != nil {
		t.freezeNode(t.root)
	}
	t.lists = nil
}

func (t *trie) freezeNode(n *node) {
	n.least = math.MaxInt32
	if lists := t.lists[n]; lists != nil {
		for end, list := range lists {
			if len(list) > 0 {
				n.ends[end] = aim(list, nil, &t.buckets)
				n.least = min(n.least, int32(list[0].rank))
			}
		}
	}
	for _, kid := range n.kids {
		if kid != nil {
			t.freezeNode(kid)
			n.least = min(n.least, kid.least)
		}
	}
}

// find walks along the path and asks every bucket that it meets.
func (t *trie) find(s *search) {
	path := s.req.Path
	n := t.root
	for i := 0; n != nil && int(n.least) < s.rank; {
		if n.ends != [endings]target{} {
			t.ask(n, s, i == len(path), i == len(path) || t.at(path, i) == '/')
		}
		if i == len(path) {
			return
		}
		n = n.kid(t.at(path, i))
		if n == nil || !t.hasAt(path, i, n.label) {
			return
		}
		i += len(n.label)
	}
}

// ask asks what stands behind the keys that end at n.
func (t *trie) ask(n *node, s *search, atEnd, atSegment bool) {
	n.ends[endRaw].find(t.buckets, s)
	if atSegment {
		n.ends[endSegment].find(t.buckets, s)
	}
	if atEnd {
		n.ends[endExact].find(t.buckets, s)
	}
}

// hasAt reports whether path has label at i, given that it has its first byte.
func (t *trie) hasAt(path string, i int, label string) bool {
	if len(label) == 1 {
		return true
	}
	if len(path)-i < len(label) {
		return false
	}
	if !t.fold && !t.reverse {
		return path[i:i+len(label)] == label
	}
	for j := 1; j < len(label); j++ {
		if t.at(path, i+j) != label[j] {
			return false
		}
	}
	return true
}
