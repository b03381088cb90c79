package authn

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// keyDigest stands for an API key: an HMAC of its SHA-256, under a key of the
// ring's own. Nobody who sends keys can tell which digests lie near each
// other, and a dump of the memory holds nothing to look up in a table of
// hashes. That the inner hash is a plain SHA-256 lets stored digests of keys
// serve as well as keys.
type keyDigest [sha256.Size]byte

func (d *keyDigest) tag() uint64 { return binary.LittleEndian.Uint64(d[:8]) }

// keyIndex finds entries by digests of API keys. Reading takes no lock; one
// writer at a time replaces shards, which are immutable. An index that is made
// of another shares with it the shards that hold the same.
type keyIndex struct {
	shards []atomic.Pointer[keyShard] // as many as a power of two
}

// keyShard holds nodes in the order of their tags, which stand beside them to
// be searched without a detour. Each tag is there once.
type keyShard struct {
	tags  []uint64
	nodes []*keyNode
	// chains counts the nodes that others share a key with.
	chains int
}

// keyNode is one entry in an index.
type keyNode struct {
	digest keyDigest
	entry  *ir.APIKeyEntry
	values []secret.Value
	// next is the next younger entry with the same key.
	next *keyNode
}

// keysPerShard is about how many nodes a shard holds.
const keysPerShard = 64

// newKeyIndex returns an empty index for about n entries.
func newKeyIndex(n int) *keyIndex {
	count := 1
	for count*keysPerShard < n {
		count *= 2
	}
	x := &keyIndex{shards: make([]atomic.Pointer[keyShard], count)}
	for i := range x.shards {
		x.shards[i].Store(&keyShard{})
	}
	return x
}

// clone returns an index that holds what x does, or nil if x is not made for n
// entries.
func (x *keyIndex) clone(n int) *keyIndex {
	if n > 4*keysPerShard*len(x.shards) || n*8 < keysPerShard*len(x.shards) && len(x.shards) > 1 {
		return nil
	}
	c := &keyIndex{shards: make([]atomic.Pointer[keyShard], len(x.shards))}
	for i := range x.shards {
		c.shards[i].Store(x.shards[i].Load())
	}
	return c
}

// shard returns where digests of a tag are.
func (x *keyIndex) shard(tag uint64) *atomic.Pointer[keyShard] {
	return &x.shards[tag&uint64(len(x.shards)-1)]
}

// find returns the oldest entry with a digest, or nil. Every digest costs one
// comparison in constant time: with decoy where there is no other.
func (x *keyIndex) find(d, decoy *keyDigest) *keyNode {
	s := x.shard(d.tag()).Load()
	n := s.lookUp(d.tag())
	with := decoy
	if n != nil {
		with = &n.digest
	}
	if subtle.ConstantTimeCompare(d[:], with[:]) != 1 || n == nil {
		return nil
	}
	return n
}

// lookUp returns the node with a tag. A tag is 64 bits of a keyed hash: that
// two keys share one is as likely as a memory fault, and then one of them
// serves nobody.
func (s *keyShard) lookUp(tag uint64) *keyNode {
	if i, ok := slices.BinarySearch(s.tags, tag); ok {
		return s.nodes[i]
	}
	return nil
}

// edit takes nodes out, told by their entries, and puts others in.
func (x *keyIndex) edit(out, in []*keyNode) {
	type change struct{ out, in []*keyNode }
	changes := map[*atomic.Pointer[keyShard]]*change{}
	of := func(n *keyNode) *change {
		at := x.shard(n.digest.tag())
		c := changes[at]
		if c == nil {
			c = &change{}
			changes[at] = c
		}
		return c
	}
	for _, n := range out {
		c := of(n)
		c.out = append(c.out, n)
	}
	for _, n := range in {
		c := of(n)
		c.in = append(c.in, n)
	}
	for at, c := range changes {
		at.Store(at.Load().edited(c.out, c.in))
	}
}

// edited returns the shard after an edit.
func (s *keyShard) edited(out, in []*keyNode) *keyShard {
	all := make([]*keyNode, 0, len(s.nodes)+len(in))
	gone := make(map[*ir.APIKeyEntry]bool, len(out))
	for _, n := range out {
		gone[n.entry] = true
	}
	for _, head := range s.nodes {
		for n := head; n != nil; n = n.next {
			if !gone[n.entry] {
				all = append(all, n)
			}
		}
	}
	all = append(all, in...)
	slices.SortFunc(all, func(a, b *keyNode) int {
		if c := cmp.Compare(a.digest.tag(), b.digest.tag()); c != 0 {
			return c
		}
		return a.entry.Compare(b.entry)
	})
	e := &keyShard{tags: make([]uint64, 0, len(all)), nodes: make([]*keyNode, 0, len(all))}
	for i := 0; i < len(all); {
		end := i + 1
		for end < len(all) && all[end].digest.tag() == all[i].digest.tag() {
			end++
		}
		head := chain(all[i:end])
		if head.next != nil {
			e.chains++
		}
		e.tags, e.nodes = append(e.tags, head.digest.tag()), append(e.nodes, head)
		i = end
	}
	return e
}

// chain returns nodes, the oldest first, linked with those that share its key.
// Nodes belong to several indexes: one that would change is copied.
func chain(list []*keyNode) *keyNode {
	var next *keyNode
	for i := len(list) - 1; i >= 0; i-- {
		n := list[i]
		if n.digest != list[0].digest {
			continue
		}
		if n.next != next {
			link := *n
			link.next, n = next, &link
		}
		next = n
	}
	return next
}

// shared calls f for each entry that does not serve, because an older one has
// the same key.
func (x *keyIndex) shared(f func(younger, older *ir.APIKeyEntry)) {
	for i := range x.shards {
		s := x.shards[i].Load()
		if s.chains == 0 {
			continue
		}
		for _, head := range s.nodes {
			for n := head.next; n != nil; n = n.next {
				f(n.entry, head.entry)
			}
		}
	}
}
