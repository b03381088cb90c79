package resource

import (
	"iter"
	"maps"
	"sync"
)

// Demand counts what translations read of the Secrets, so that a source keeps
// the bytes of no other. It may be used by several goroutines.
type Demand struct {
	mu      sync.RWMutex
	all     bool
	names   map[Key]int
	labels  map[subject]int
	version uint64
}

// NewDemand returns a Demand for no Secret.
func NewDemand() *Demand {
	return &Demand{names: map[Key]int{}, labels: map[subject]int{}}
}

// DemandAll returns a Demand for every Secret.
func DemandAll() *Demand {
	d := NewDemand()
	d.all, d.version = true, 1
	return d
}

// Swap takes away what one translation read, and adds what another did.
func (d *Demand) Swap(old, now Reads) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addLocked(now, 1) // first: what both read is never missing
	d.addLocked(old, -1)
}

func (d *Demand) addLocked(reads Reads, n int) {
	for _, s := range reads {
		if s.GroupKind != SecretKind {
			continue
		}
		s.of &^= forAnswer
		switch s.of {
		case ofObject, ofBody:
			count(d, d.names, Key{SecretKind, s.first, s.second}, n)
		case ofLabel, ofLabelIn:
			count(d, d.labels, s, n)
		}
	}
}

func count[K comparable](d *Demand, m map[K]int, k K, n int) {
	before := m[k]
	switch {
	case before+n == 0:
		delete(m, k)
	default:
		m[k] = before + n
	}
	if before == 0 || before+n == 0 {
		d.version++
	}
}

// Wants reports whether a Secret is read by a translation.
func (d *Demand) Wants(o *Object) bool { return d.WantsAs(o.Key, o.Labels) }

// WantsAs is Wants of a Secret that is not decoded.
func (d *Demand) WantsAs(k Key, labels map[string]string) bool {
	if d == nil {
		return false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.all || d.names[k] > 0 {
		return true
	}
	if len(d.labels) == 0 {
		return false
	}
	for key, value := range labels {
		if d.labels[subject{ofLabel, SecretKind, key, value}] > 0 ||
			d.labels[subject{ofLabelIn, SecretKind, key, labelIn(k.Namespace, value)}] > 0 {
			return true
		}
	}
	return false
}

// Broad reports whether Secrets are wanted that are not known by name.
func (d *Demand) Broad() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.all || len(d.labels) > 0
}

// Names returns the Secrets that are wanted by name, be they there or not.
func (d *Demand) Names() iter.Seq[Key] {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return maps.Keys(maps.Clone(d.names))
}

// Version changes when other Secrets are wanted than before.
func (d *Demand) Version() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.version
}
