package llm

import "bytes"

// Object is a JSON body whose top-level members are known, so that each of
// those who look at it need not scan it again. It is immutable.
type Object struct {
	body    []byte
	members []member
	// open is behind the opening brace; end behind the last member, or open.
	open, end int
	partial   bool // there are more members than are kept
	err       error
}

// mostMembers bounds what an Object keeps of a body; a chat request has about
// twenty members. Of a body with more, each look is a scan.
const mostMembers = 256

// NewObject finds the members of body in one pass. It is never nil: what is
// wrong with the body shows when it is read.
func NewObject(body []byte) *Object {
	o := &Object{body: body, members: make([]member, 0, 16)}
	keep := func(m member) {
		o.end = m.to
		if len(o.members) < mostMembers {
			o.members = append(o.members, m)
		} else {
			o.partial = true
		}
	}
	o.open, o.err = walk(body, keep)
	o.end = max(o.end, o.open)
	return o
}

// walk shows the members of body to visit, and returns where the first could
// begin.
func walk(body []byte, visit func(member)) (int, error) {
	start := space(body, 0)
	if start >= len(body) || body[start] != '{' {
		return 0, ErrSyntax
	}
	end := members(body, start, 0, visit)
	switch {
	case end == tooDeep:
		return 0, ErrDepth
	case end < 0 || space(body, end) != len(body):
		return 0, ErrSyntax
	}
	return start + 1, nil
}

// of reports whether o was made of body, and knows all of it.
func (o *Object) of(body []byte) bool {
	return o != nil && !o.partial && len(o.body) == len(body) && len(body) > 0 && &o.body[0] == &body[0]
}

// draft is read, without another pass.
func (o *Object) draft(names []string) (*draft, error) {
	if o.partial {
		return read(o.body, names)
	}
	if o.err != nil {
		return nil, o.err
	}
	d := newDraft(o.body, names)
	d.end = o.open
	for _, m := range o.members {
		d.see(m)
	}
	return d, d.twice
}

// readKnown is read; o, if it is of that body, spares the pass.
func readKnown(o *Object, body []byte, names []string) (*draft, error) {
	if o.of(body) {
		return o.draft(names)
	}
	return read(body, names)
}

// mayBeObject reports whether anybody could take body for a JSON object.
func mayBeObject(body []byte) bool { return bytes.IndexByte(body, '{') >= 0 }
