package authn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postern-gateway/postern/internal/secret"
)

// keyDigest stands for an API key: an HMAC of its SHA-256, under a key of the
// index's own. Nobody who sends keys can tell which digests lie near each
// other, and a dump of the memory holds nothing to look up in a table of
// hashes. That the inner hash is a plain SHA-256 lets stored digests of keys
// serve as well as keys.
type keyDigest [sha256.Size]byte

// keyIndex finds entries by API keys. Reading takes no lock; one writer at a
// time changes single entries. It is an open-addressed hash table of
// immutable nodes: a reader sees each slot before or after a change.
type keyIndex struct {
	macs  sync.Pool
	decoy keyDigest
	table atomic.Pointer[[]atomic.Pointer[keyNode]]

	mu    sync.Mutex
	nodes []*keyNode // by entry; nil: it is not in the table
	used  int        // slots that are not free, the vacated ones included
}

// keyNode is one entry in the index.
type keyNode struct {
	digest keyDigest
	entry  int32 // -1: the slot was vacated
	values []secret.Value
	// next is the next younger entry with the same key.
	next *keyNode
}

var vacated = &keyNode{entry: -1}

// newKeyIndex returns an index with room for n entries.
func newKeyIndex(n int) *keyIndex {
	x := &keyIndex{nodes: make([]*keyNode, n)}
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails, by its documentation
	_, _ = rand.Read(x.decoy[:])
	x.macs.New = func() any { return hmac.New(sha256.New, key) }
	x.allocate(n)
	return x
}

// allocate makes an empty table of which n entries fill three quarters at most.
func (x *keyIndex) allocate(n int) {
	size := 8
	for size*3/4 < n {
		size *= 2
	}
	slots := make([]atomic.Pointer[keyNode], size)
	x.table.Store(&slots)
	x.used = 0
}

// digest of the SHA-256 of a key.
func (x *keyIndex) digest(sum *[sha256.Size]byte) (d keyDigest) {
	mac := x.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(sum[:])
	mac.Sum(d[:0])
	x.macs.Put(mac)
	return d
}

func (d *keyDigest) tag() uint64 { return binary.LittleEndian.Uint64(d[:8]) }

// find returns the oldest entry with a key, or nil. Every key, be it missing,
// unknown or known, costs one digest and one comparison in constant time.
func (x *keyIndex) find(key string) *keyNode {
	sum := digestOf(key)
	d := x.digest(&sum)
	n := lookUp(*x.table.Load(), d.tag())
	with := &x.decoy
	if n != nil {
		with = &n.digest
	}
	if subtle.ConstantTimeCompare(d[:], with[:]) != 1 || n == nil {
		return nil
	}
	return n
}

// lookUp returns the node whose digest begins with tag. A tag is 64 bits of a
// keyed hash: that two keys share one is as likely as a memory fault, and then
// the younger serves nobody (see put).
func lookUp(slots []atomic.Pointer[keyNode], tag uint64) *keyNode {
	mask := uint64(len(slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		n := slots[i].Load()
		if n == nil || n.entry >= 0 && n.digest.tag() == tag {
			return n
		}
	}
}

// put makes an entry found by the digest d, in place of any before.
func (x *keyIndex) put(entry int, d *keyDigest, values []secret.Value) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(entry)
	if slots := *x.table.Load(); (x.used+1)*4 > len(slots)*3 {
		x.rebuildLocked()
	}
	n := &keyNode{digest: *d, entry: int32(entry), values: values}
	slot := x.slotLocked(d.tag())
	head := slot.Load()
	switch {
	case head == nil:
		x.used++
	case head.entry < 0:
	case head.digest != *d:
		return
	case head.entry > n.entry:
		n.next = head
	default:
		x.linkLocked(slot, append(chainOf(head), *n))
		return
	}
	x.nodes[entry] = n
	slot.Store(n)
}

// remove takes an entry out.
func (x *keyIndex) remove(entry int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(entry)
}

func (x *keyIndex) removeLocked(entry int) {
	old := x.nodes[entry]
	if old == nil {
		return
	}
	x.nodes[entry] = nil
	slot := x.slotLocked(old.digest.tag())
	x.linkLocked(slot, slices.DeleteFunc(chainOf(slot.Load()), func(n keyNode) bool { return int(n.entry) == entry }))
}

// shared calls f for each entry that does not serve, because an older one has
// the same key.
func (x *keyIndex) shared(f func(younger, older int)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	slots := *x.table.Load()
	for i := range slots {
		head := slots[i].Load()
		if head == nil {
			continue
		}
		for n := head.next; n != nil; n = n.next {
			f(int(n.entry), int(head.entry))
		}
	}
}

// slotLocked returns the slot of a tag, or the first that it may take.
func (x *keyIndex) slotLocked(tag uint64) *atomic.Pointer[keyNode] {
	slots := *x.table.Load()
	mask := uint64(len(slots) - 1)
	var room *atomic.Pointer[keyNode]
	for i := tag & mask; ; i = (i + 1) & mask {
		n := slots[i].Load()
		switch {
		case n == nil && room != nil:
			return room
		case n == nil:
			return &slots[i]
		case n.entry < 0 && room == nil:
			room = &slots[i]
		case n.entry >= 0 && n.digest.tag() == tag:
			return &slots[i]
		}
	}
}

// chainOf returns copies of the entries that share a key.
func chainOf(n *keyNode) []keyNode {
	var chain []keyNode
	for ; n != nil && n.entry >= 0; n = n.next {
		chain = append(chain, *n)
	}
	return chain
}

// linkLocked fills a slot with new nodes, the oldest entry first. Readers may
// be in the middle of the old ones.
func (x *keyIndex) linkLocked(slot *atomic.Pointer[keyNode], chain []keyNode) {
	slices.SortFunc(chain, func(a, b keyNode) int { return int(b.entry) - int(a.entry) })
	head := vacated
	for i := range chain {
		n := chain[i]
		n.next = nil
		if head != vacated {
			n.next = head
		}
		x.nodes[n.entry] = &n
		head = &n
	}
	slot.Store(head)
}

// rebuildLocked makes a table without vacated slots, and with room.
func (x *keyIndex) rebuildLocked() {
	old := *x.table.Load()
	live := 0
	for i := range old {
		if n := old[i].Load(); n != nil && n.entry >= 0 {
			live++
		}
	}
	size := 8
	for size*3/4 < 2*(live+1) {
		size *= 2
	}
	slots := make([]atomic.Pointer[keyNode], size)
	mask := uint64(size - 1)
	for i := range old {
		n := old[i].Load()
		if n == nil || n.entry < 0 {
			continue
		}
		at := n.digest.tag() & mask
		for slots[at].Load() != nil {
			at = (at + 1) & mask
		}
		slots[at].Store(n)
	}
	x.used = live
	x.table.Store(&slots)
}
