package ir

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/secret"
)

// APIKeyEntry is one Secret with a key.
type APIKeyEntry struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Key       secret.Ref `json:"key"`
	// Metadata stands beside APIKey.FromMetadata: a zero Ref where the Secret
	// has no such data key. Shorter means zero.
	Metadata []secret.Ref `json:"-"`
	// Created is when the Secret was; zero for Secrets out of files.
	Created time.Time `json:"created,omitzero"`
	Origin  Origin    `json:"origin,omitzero"`
}

// Data returns the secret of metadata i, or zero.
func (e *APIKeyEntry) Data(i int) secret.Ref {
	if i < len(e.Metadata) {
		return e.Metadata[i]
	}
	return secret.Ref{}
}

// Compare orders entries by age, and those of one age by namespace and name.
func (e *APIKeyEntry) Compare(o *APIKeyEntry) int {
	if c := e.Created.Compare(o.Created); c != 0 {
		return c
	}
	if c := strings.Compare(e.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(e.Name, o.Name)
}

// APIKeyGroup is a run of entries. It is immutable; configurations share the
// groups that are the same in both, so that a change among 100,000 entries
// concerns a few dozen.
type APIKeyGroup struct {
	entries []APIKeyEntry
	missing []int // by place in APIKey.FromMetadata; further on all do
	sum     [sha256.Size]byte
}

// NewAPIKeyGroup returns a group of entries, which must not be changed any
// more.
func NewAPIKeyGroup(entries []APIKeyEntry) *APIKeyGroup {
	g := &APIKeyGroup{entries: entries}
	var b []byte
	texts := func(list ...string) {
		for _, s := range list {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	for i := range entries {
		e := &entries[i]
		o := &e.Origin
		texts(e.Namespace, e.Name, o.Kind, o.Namespace, o.Name, o.Field, o.File)
		b = binary.AppendVarint(b, int64(o.Line))
		b = binary.AppendVarint(b, e.Created.Unix())
		b = binary.AppendVarint(b, int64(e.Created.Nanosecond()))
		texts(e.Key.Kind, e.Key.Namespace, e.Key.Name, e.Key.Key)
		b = binary.AppendUvarint(b, uint64(len(e.Metadata)))
		for j, m := range e.Metadata {
			texts(m.Kind, m.Namespace, m.Name, m.Key)
			for j >= len(g.missing) {
				g.missing = append(g.missing, i)
			}
			if m.IsZero() {
				g.missing[j]++
			}
		}
		for j := len(e.Metadata); j < len(g.missing); j++ {
			g.missing[j]++
		}
	}
	g.sum = sha256.Sum256(b)
	return g
}

// Entries returns the entries, which must not be changed.
func (g *APIKeyGroup) Entries() []APIKeyEntry { return g.entries }

// Sum is the same for groups that say the same.
func (g *APIKeyGroup) Sum() [sha256.Size]byte { return g.sum }

// Missing returns how many entries have no metadata i.
func (g *APIKeyGroup) Missing(i int) int {
	if i < len(g.missing) {
		return g.missing[i]
	}
	return len(g.entries)
}

// APIKeyEntries are entries, in groups. The zero value is none.
type APIKeyEntries []*APIKeyGroup

// EntriesOf returns entries in one group.
func EntriesOf(entries ...APIKeyEntry) APIKeyEntries {
	if len(entries) == 0 {
		return nil
	}
	return APIKeyEntries{NewAPIKeyGroup(entries)}
}

// Len returns the number of entries.
func (l APIKeyEntries) Len() int {
	n := 0
	for _, g := range l {
		n += len(g.entries)
	}
	return n
}

// All yields every entry; none may be changed.
func (l APIKeyEntries) All() iter.Seq[*APIKeyEntry] {
	return func(yield func(*APIKeyEntry) bool) {
		for _, g := range l {
			for i := range g.entries {
				if !yield(&g.entries[i]) {
					return
				}
			}
		}
	}
}

// Missing returns how many entries have no metadata i.
func (l APIKeyEntries) Missing(i int) int {
	n := 0
	for _, g := range l {
		n += g.Missing(i)
	}
	return n
}

// FirstMissing returns the first entry that has no metadata i, or nil.
func (l APIKeyEntries) FirstMissing(i int) *APIKeyEntry {
	for _, g := range l {
		if g.Missing(i) == 0 {
			continue
		}
		for j := range g.entries {
			if g.entries[j].Data(i).IsZero() {
				return &g.entries[j]
			}
		}
	}
	return nil
}

// Equal reports whether two say the same, however they are grouped.
func (l APIKeyEntries) Equal(o APIKeyEntries) bool {
	same := func(a, b *APIKeyEntry) bool {
		return NewAPIKeyGroup([]APIKeyEntry{*a}).sum == NewAPIKeyGroup([]APIKeyEntry{*b}).sum
	}
	return slices.EqualFunc(slices.Collect(l.All()), slices.Collect(o.All()), same)
}

// MarshalJSON writes the entries as one list, the metadata by data key.
func (l APIKeyEntries) MarshalJSON() ([]byte, error) {
	type entry struct {
		*APIKeyEntry
		Metadata map[string]secret.Ref `json:"metadata,omitempty"`
	}
	list := []entry{}
	for e := range l.All() {
		shown := entry{APIKeyEntry: e, Metadata: map[string]secret.Ref{}}
		for _, m := range e.Metadata {
			if !m.IsZero() {
				shown.Metadata[m.Key] = m
			}
		}
		list = append(list, shown)
	}
	return json.Marshal(list)
}
