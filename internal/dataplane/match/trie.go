package match

import (
	"math"
	"strings"
)

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
	fold    bool // ASCII letters compare without case; keys are lower case
	reverse bool // keys and paths are read from their ends
}

type node struct {
	label string // from the parent's end to this node's
	first string // the first byte of each child's label
	kids  []*node
	least int // the smallest rank in this subtree
	ends  [endings]*bucket
	lists [endings][]*matcher // until freeze
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
	n.lists[end] = append(n.lists[end], m)
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
	i := strings.IndexByte(n.first, key[0])
	if i < 0 {
		leaf := &node{label: key}
		n.first += key[:1]
		n.kids = append(n.kids, leaf)
		return leaf
	}
	kid := n.kids[i]
	same := commonPrefix(kid.label, key)
	if same < len(kid.label) { // split the edge
		mid := &node{label: kid.label[:same], first: kid.label[same : same+1], kids: []*node{kid}}
		kid.label = kid.label[same:]
		n.kids[i] = mid
		kid = mid
	}
	return kid.reach(key[same:])
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
		t.root.freeze()
	}
}

func (n *node) freeze() {
	n.least = math.MaxInt
	for end, list := range n.lists {
		if len(list) > 0 {
			n.ends[end] = newBucket(list)
			n.least = min(n.least, list[0].rank)
		}
		n.lists[end] = nil
	}
	for _, kid := range n.kids {
		kid.freeze()
		n.least = min(n.least, kid.least)
	}
}

// find walks along the path and asks every bucket that it meets.
func (t *trie) find(s *search) {
	path := s.req.Path
	n := t.root
	for i := 0; n != nil && n.least < s.rank; {
		if b := n.ends[endRaw]; b != nil {
			b.find(s)
		}
		if b := n.ends[endSegment]; b != nil && (i == len(path) || t.at(path, i) == '/') {
			b.find(s)
		}
		if i == len(path) {
			if b := n.ends[endExact]; b != nil {
				b.find(s)
			}
			return
		}
		n = t.step(n, path, i)
		if n != nil {
			i += len(n.label)
		}
	}
}

// step returns the child of n whose whole label the path has at i, or nil.
func (t *trie) step(n *node, path string, i int) *node {
	k := strings.IndexByte(n.first, t.at(path, i))
	if k < 0 {
		return nil
	}
	kid := n.kids[k]
	if len(path)-i < len(kid.label) {
		return nil
	}
	if !t.fold && !t.reverse {
		if path[i:i+len(kid.label)] != kid.label {
			return nil
		}
		return kid
	}
	for j := 1; j < len(kid.label); j++ {
		if t.at(path, i+j) != kid.label[j] {
			return nil
		}
	}
	return kid
}
