package authn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"sync"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

// KeyRing reads the Secrets of API keys, and is shared by all sets of them that
// read theirs alike: those of two snapshots one after the other, above all. A
// set that differs from the one before by one Secret among 100,000 is made of
// that one's, and only the group that the Secret is in is read again.
//
//	ir.APIKeyGroup ──► keyGroup: follows its Secrets, one node for each
//	                      │
//	                      └──► the keyIndex of every APIKey that has the group
type KeyRing struct {
	store    *secret.Store
	hashed   bool                // the Secrets hold digests
	metadata []ir.MetadataHeader // headers canonical

	macs  sync.Pool
	decoy keyDigest

	mu     sync.Mutex
	groups map[[sha256.Size]byte]*keyGroup // by what they say
}

// keyGroup is a run of entries as their Secrets are now.
type keyGroup struct {
	ring    *KeyRing
	sum     [sha256.Size]byte
	entries []ir.APIKeyEntry
	follow  *secret.Follower

	// What is below is guarded by the ring's mu.
	nodes  []*keyNode    // by entry; nil: it lets nobody in
	faults map[int]error // of entries that cannot be used
	users  []*APIKey
}

// NewKeyRing returns a ring for the Secrets in store that are read as cfg says,
// whatever Secrets these are.
func NewKeyRing(cfg *ir.APIKey, store *secret.Store) *KeyRing {
	r := &KeyRing{store: store, hashed: cfg.Digest == "sha256", metadata: slices.Clone(cfg.FromMetadata), groups: map[[sha256.Size]byte]*keyGroup{}}
	for i := range r.metadata {
		r.metadata[i].Header = http.CanonicalHeaderKey(r.metadata[i].Header)
	}
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails, by its documentation
	_, _ = rand.Read(r.decoy[:])
	r.macs.New = func() any { return hmac.New(sha256.New, key) }
	return r
}

// digest of the SHA-256 of a key.
func (r *KeyRing) digest(sum *[sha256.Size]byte) (d keyDigest) {
	mac := r.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(sum[:])
	mac.Sum(d[:0])
	r.macs.Put(mac)
	return d
}

// join gives a its groups and its index, made of that of whom it has most groups
// in common with.
func (r *KeyRing) join(a *APIKey, entries ir.APIKeyEntries) {
	fresh := map[[sha256.Size]byte]*keyGroup{}
	for _, g := range entries {
		if sum := g.Sum(); !r.has(sum) && fresh[sum] == nil {
			fresh[sum] = newKeyGroup(r, g)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.groups = make([]*keyGroup, 0, len(entries))
	mine := make(map[*keyGroup]bool, len(entries))
	common := map[*APIKey]int{}
	for _, g := range entries {
		group := r.groups[g.Sum()]
		if group == nil {
			group = fresh[g.Sum()]
			r.groups[g.Sum()] = group
		}
		if !mine[group] {
			mine[group] = true
			a.groups = append(a.groups, group)
			for _, u := range group.users {
				common[u]++
			}
			group.users = append(group.users, a)
		}
	}
	var nearest *APIKey
	for u, n := range common {
		if nearest == nil || n > common[nearest] {
			nearest = u
		}
	}
	a.index = indexOf(mine, entries.Len(), nearest)
}

// indexOf returns an index of groups with n entries. It is made of that of
// another, which may be nil. The ring must be locked.
func indexOf(groups map[*keyGroup]bool, n int, other *APIKey) *keyIndex {
	var index *keyIndex
	var out, in []*keyNode
	kept := map[*keyGroup]bool{}
	if other != nil {
		index = other.index.clone(n)
	}
	if index == nil {
		index = newKeyIndex(n)
	} else {
		for _, g := range other.groups {
			if kept[g] = true; !groups[g] {
				out = g.appendNodes(out)
			}
		}
	}
	for g := range groups {
		if !kept[g] {
			in = g.appendNodes(in)
		}
	}
	index.edit(out, in)
	return index
}

func (r *KeyRing) has(sum [sha256.Size]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.groups[sum] != nil
}

// leave lets go of what a has joined for.
func (r *KeyRing) leave(a *APIKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range a.groups {
		g.users = slices.DeleteFunc(g.users, func(u *APIKey) bool { return u == a })
		if len(g.users) == 0 {
			delete(r.groups, g.sum)
		}
	}
}

// newKeyGroup reads a group, and follows its Secrets.
func newKeyGroup(r *KeyRing, from *ir.APIKeyGroup) *keyGroup {
	g := &keyGroup{ring: r, sum: from.Sum(), entries: from.Entries(), faults: map[int]error{}}
	g.nodes = make([]*keyNode, len(g.entries))
	g.follow = secret.Follow(r.store, len(g.entries)*g.stride(), g.ref, g.update)
	return g
}

func (g *keyGroup) appendNodes(list []*keyNode) []*keyNode {
	for _, n := range g.nodes {
		if n != nil {
			list = append(list, n)
		}
	}
	return list
}

// stride is how many secrets are followed for one entry: the key, then what
// the metadata headers are made of.
func (g *keyGroup) stride() int { return 1 + len(g.ring.metadata) }

func (g *keyGroup) ref(i int) secret.Ref {
	e, of := &g.entries[i/g.stride()], i%g.stride()
	if of == 0 {
		return e.Key
	}
	return e.Data(of - 1)
}

// update reads entries again, and tells all indexes that have them.
func (g *keyGroup) update(at []int, read secret.Read) {
	slices.Sort(at)
	last := -1
	for _, i := range at {
		if entry := i / g.stride(); entry != last {
			g.renew(entry, read)
			last = entry
		}
	}
}

func (g *keyGroup) renew(entry int, read secret.Read) {
	n, err := g.read(entry, read)
	g.ring.mu.Lock()
	defer g.ring.mu.Unlock()
	if err != nil {
		g.faults[entry] = err
	} else {
		delete(g.faults, entry)
	}
	var out, in []*keyNode
	if old := g.nodes[entry]; old != nil {
		out = append(out, old)
	}
	if g.nodes[entry] = n; n != nil {
		in = append(in, n)
	}
	for _, u := range g.users {
		u.index.edit(out, in)
	}
}

// read makes a node of one entry. An error names data keys, and no value.
func (g *keyGroup) read(entry int, read secret.Read) (*keyNode, error) {
	at := entry * g.stride()
	v, ok := read(at)
	if !ok || v.IsZero() {
		return nil, errors.New("there is no API key in it")
	}
	sum, err := g.ring.sumOf(v)
	if err != nil {
		return nil, err
	}
	n := &keyNode{digest: g.ring.digest(&sum), entry: &g.entries[entry]}
	if len(g.ring.metadata) > 0 {
		n.values = make([]secret.Value, len(g.ring.metadata))
	}
	for i, m := range g.ring.metadata {
		v, _ := read(at + 1 + i)
		switch {
		case v.IsZero() && m.Required:
			return nil, fmt.Errorf("it lacks the data key %q, which header %s requires", m.Key, m.Header)
		case !validHeaderValue(string(v.Reveal())):
			return nil, fmt.Errorf("its data key %q holds a control byte, which header %s cannot", m.Key, m.Header)
		}
		n.values[i] = v
	}
	return n, nil
}

// sumOf returns the SHA-256 of the key that a Secret holds, or holds a digest
// of.
func (r *KeyRing) sumOf(v secret.Value) (sum [sha256.Size]byte, err error) {
	text := v.Reveal()
	switch {
	case r.hashed:
		if n, err := hex.Decode(sum[:], text[:min(len(text), 2*len(sum))]); err != nil || n != len(sum) || len(text) != 2*len(sum) {
			return sum, errors.New("its digest is not the SHA-256 of a key in hexadecimal")
		}
		if sum == sha256.Sum256(nil) {
			return sum, errors.New("its digest is that of an empty key")
		}
		return sum, nil
	case !validHeaderValue(string(text)):
		return sum, errors.New("its API key holds a control byte, which no header can")
	}
	return sha256.Sum256(text), nil
}
