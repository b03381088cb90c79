package llm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// What is wrong with a body: in each case the client's fault (400).
var (
	// ErrSyntax means that the body is not one JSON object.
	ErrSyntax = errors.New("body is not a JSON object")
	// ErrDepth means that the body is nested too deeply.
	ErrDepth = errors.New("body is nested too deeply")
	// ErrAmbiguous means that a member which the gateway looks at is there
	// twice, or in another spelling that some parsers take for the same.
	ErrAmbiguous = errors.New("body holds a member twice, or in a second spelling")
	// ErrMember means that a member has a value of the wrong type.
	ErrMember = errors.New("body holds a member of the wrong type")
)

// draft is a JSON object whose governed members can be read and changed. Every
// byte that is not part of a change stays as it came.
type draft struct {
	body   []byte
	fields []field
	end    int    // behind the last member, or behind the opening brace
	count  int    // of members
	last   *field // the member before, if it is governed
	twice  error  // the first ambiguity
}

// field is one governed member.
type field struct {
	name     string
	start    int    // of the member: its name's quote
	next     int    // of the member behind it; 0: it is the last
	from, to int    // of its value in body; to is 0 if it is absent
	text     []byte // a new value; nil: as it came
	removed  bool
	// Inserted behind the first byte of the value and before its last.
	head, tail []byte
}

func newDraft(body []byte, names []string) *draft {
	d := &draft{body: body, fields: make([]field, len(names))}
	for i, name := range names {
		d.fields[i].name = name
	}
	return d
}

// read finds the governed members of body, in one pass. Any other spelling of
// their names is ErrAmbiguous: parsers differ in which they would take.
func read(body []byte, names []string) (*draft, error) {
	d := newDraft(body, names)
	open, err := walk(body, d.see)
	if err != nil {
		return nil, err
	}
	d.end = max(d.end, open)
	return d, d.twice
}

// see takes the next member.
func (d *draft) see(m member) {
	if d.last != nil {
		d.last.next = m.nameFrom - 1
		d.last = nil
	}
	d.end = m.to
	d.count++
	if err := d.note(m); err != nil && d.twice == nil {
		d.twice = err
	}
}

// note records m if it is governed.
func (d *draft) note(m member) error {
	raw := d.body[m.nameFrom:m.nameTo]
	for i := range d.fields {
		f := &d.fields[i]
		if string(raw) == f.name {
			if f.to > 0 {
				return fmt.Errorf("%w: %q", ErrAmbiguous, f.name)
			}
			f.start, f.from, f.to = m.nameFrom-1, m.from, m.to
			d.last = f
			continue
		}
		if sameName(raw, f.name) {
			return fmt.Errorf("%w: %q", ErrAmbiguous, f.name)
		}
	}
	return nil
}

// unquote returns the text of a valid JSON string, given without its quotes.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s string
	if json.Unmarshal(slices.Concat([]byte{'"'}, raw, []byte{'"'}), &s) != nil {
		return string(raw)
	}
	return s
}

// field returns the governed member of that name, or nil.
func (d *draft) field(name string) *field {
	for i := range d.fields {
		if d.fields[i].name == name {
			return &d.fields[i]
		}
	}
	return nil
}

// get returns the current value of a governed member; nil: it is absent.
func (d *draft) get(name string) []byte {
	f := d.field(name)
	switch {
	case f == nil || f.removed:
		return nil
	case f.text != nil:
		return f.text
	case f.to > 0:
		return d.body[f.from:f.to]
	}
	return nil
}

// set gives a governed member a value.
func (d *draft) set(name string, value []byte) {
	if f := d.field(name); f != nil && !bytes.Equal(d.get(name), value) {
		f.text, f.head, f.tail, f.removed = value, nil, nil, false
	}
}

// remove takes a governed member out.
func (d *draft) remove(name string) {
	if f := d.field(name); f != nil {
		f.text, f.head, f.tail, f.removed = nil, nil, nil, f.to > 0
	}
}

// insert puts head behind the opening bracket, brace or quote of a member's
// value, and tail before the closing one.
func (d *draft) insert(name string, head, tail []byte) {
	f := d.field(name)
	if f == nil {
		return
	}
	if f.text != nil {
		f.text = wrap(f.text, head, tail)
		return
	}
	f.head, f.tail = slices.Concat(head, f.head), slices.Concat(f.tail, tail)
}

func wrap(value, head, tail []byte) []byte {
	last := len(value) - 1
	return slices.Concat(value[:1], head, value[1:last], tail, value[last:])
}

// bytes returns the changed body; nil if nothing was changed.
func (d *draft) bytes() []byte {
	var present, added []*field
	size, count := len(d.body), d.count
	for i := range d.fields {
		f := &d.fields[i]
		switch {
		case f.removed:
			count--
			present = append(present, f)
		case f.to > 0 && (f.text != nil || f.head != nil || f.tail != nil):
			present = append(present, f)
		case f.to == 0 && f.text != nil:
			added = append(added, f)
		}
		size += len(f.text) + len(f.head) + len(f.tail) + len(f.name) + 4
	}
	if len(present)+len(added) == 0 {
		return nil
	}
	slices.SortFunc(present, func(a, b *field) int { return cmp.Compare(a.from, b.from) })
	out := d.rewrite(make([]byte, 0, size), present)
	for _, f := range added {
		if count > 0 {
			out = append(out, ',')
		}
		count++
		out = append(append(append(out, quote(f.name)...), ':'), f.text...)
	}
	return append(out, d.body[d.end:]...)
}

// rewrite appends the body up to the end of its members, with those that were
// changed or removed.
func (d *draft) rewrite(out []byte, changed []*field) []byte {
	at := 0
	for _, f := range changed {
		switch {
		case !f.removed:
			out = append(out, d.body[at:f.from]...)
			out = f.write(out, d.body)
			at = f.to
		case f.next > 0: // its comma goes with it
			out = append(out, d.body[at:f.start]...)
			at = f.next
		default: // so does the one before the last
			out = bytes.TrimRight(append(out, d.body[at:f.start]...), " \t\r\n")
			out = bytes.TrimSuffix(out, []byte(","))
			at = f.to
		}
	}
	return append(out, d.body[at:d.end]...)
}

// write appends the changed value.
func (f *field) write(out, body []byte) []byte {
	if f.text != nil {
		return append(out, f.text...)
	}
	out = append(append(out, body[f.from]), f.head...)
	out = append(append(out, body[f.from+1:f.to-1]...), f.tail...)
	return append(out, body[f.to-1])
}

// quote returns s as a JSON string, with <, > and & as they are.
func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string and a Buffer: cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}
