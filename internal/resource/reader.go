package resource

// subject is one thing that can be read of a Set, and that a change can
// concern.
type subject struct {
	of aspect
	GroupKind
	// first and second are namespace and name, or a label's key and value.
	first, second string
}

// aspect is what is read of a kind.
type aspect uint8

const (
	ofObject    aspect = iota // one object, or its absence
	ofBody                    // the same, but for labels and annotations
	ofKind                    // every object
	ofKeys                    // which objects there are
	ofNamespace               // every object in a namespace
	ofLabel                   // every object with a label
	ofLabelIn                 // the same, in a namespace

	// forAnswer marks what was read only to answer a Question.
	forAnswer aspect = 1 << 7
)

// labelIn is a label's value in a namespace, for subjects. No namespace's name
// holds a slash.
func labelIn(namespace, value string) string { return namespace + "/" + value }

// Changes are what a change of a Set can be seen by. The zero Changes are none.
type Changes struct{ subjects map[subject]struct{} }

// ChangesOf returns the changes of keys from one Set to another.
func ChangesOf(before, after *Set, keys []Key) Changes {
	c := Changes{subjects: make(map[subject]struct{}, 4*len(keys))}
	add := func(s subject) { c.subjects[s] = struct{}{} }
	for _, k := range keys {
		was, is := before.Get(k), after.Get(k)
		for _, o := range []*Object{was, is} {
			if o == nil {
				continue
			}
			for key, value := range o.Labels {
				add(subject{ofLabel, k.GroupKind, key, value})
				add(subject{ofLabelIn, k.GroupKind, key, labelIn(k.Namespace, value)})
			}
		}
		if (was == nil) != (is == nil) {
			add(subject{of: ofKeys, GroupKind: k.GroupKind})
		}
		add(subject{ofObject, k.GroupKind, k.Namespace, k.Name})
		if was == nil || is == nil || !was.relabelled(is) {
			add(subject{ofBody, k.GroupKind, k.Namespace, k.Name})
		}
		add(subject{of: ofKind, GroupKind: k.GroupKind})
		add(subject{ofNamespace, k.GroupKind, k.Namespace, ""})
	}
	return c
}

// Sees reports whether one of the changes can alter what was read by v.
func (v *View) Sees(c Changes) bool {
	return v.Reads().TouchedBy(c)
}

// Reads is what was read of a Set.
type Reads []subject

// Reads returns what v has recorded so far.
func (v *View) Reads() Reads {
	out := make(Reads, 0, len(v.read))
	for s := range v.read {
		out = append(out, s)
	}
	return out
}

// TouchedBy reports whether one of the changes can alter what was read.
func (r Reads) TouchedBy(c Changes) bool {
	for _, s := range r {
		s.of &^= forAnswer
		if _, ok := c.subjects[s]; ok {
			return true
		}
	}
	return false
}

// Readers knows who has read what, so that those whom a change concerns are
// found without asking the others. The zero Readers are none.
type Readers[T comparable] struct {
	of map[subject]*readership[T]
	by map[T][]*readership[T]
}

// readership is everyone who has read one thing.
type readership[T comparable] struct {
	subject
	readers map[T]struct{}
}

// Read takes note that a reader has read something, and nothing else any more.
func (r *Readers[T]) Read(reader T, reads Reads) {
	r.Forget(reader)
	if r.of == nil {
		r.of, r.by = map[subject]*readership[T]{}, map[T][]*readership[T]{}
	}
	list := make([]*readership[T], 0, len(reads))
	for _, s := range reads {
		rs := r.of[s]
		if rs == nil {
			rs = &readership[T]{subject: s, readers: map[T]struct{}{}}
			r.of[s] = rs
		}
		rs.readers[reader] = struct{}{}
		list = append(list, rs)
	}
	r.by[reader] = list
}

// Reads returns what a reader has read.
func (r *Readers[T]) Reads(reader T) Reads {
	list := r.by[reader]
	out := make(Reads, len(list))
	for i, rs := range list {
		out[i] = rs.subject
	}
	return out
}

// Forget takes note that a reader is gone.
func (r *Readers[T]) Forget(reader T) {
	for _, rs := range r.by[reader] {
		delete(rs.readers, reader)
		if len(rs.readers) == 0 {
			delete(r.of, rs.subject)
		}
	}
	delete(r.by, reader)
}

// Concerned returns those who have read what changed, and of the others those
// who have read it for the answers of questions; each once, in no order.
func (r *Readers[T]) Concerned(c Changes) (surely, perhaps []T) {
	seen := map[T]struct{}{}
	find := func(mark aspect) (out []T) {
		for s := range c.subjects {
			s.of |= mark
			rs := r.of[s]
			if rs == nil {
				continue
			}
			for reader := range rs.readers {
				if _, ok := seen[reader]; !ok {
					seen[reader] = struct{}{}
					out = append(out, reader)
				}
			}
		}
		return out
	}
	surely = find(0)
	return surely, find(forAnswer)
}
