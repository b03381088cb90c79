package resource

import (
	"maps"
	"reflect"
)

// Question is for who must read more than he wants to know, as a route reads a
// Gateway to learn which of its listeners take it. It reads through the View
// that it is given, depends on nothing else that can change, and makes an answer
// anew each time. Answers are compared as reflect.DeepEqual does.
type Question func(v *View) any

// Ask returns the answer to a question. A change of what was read for answers
// alone concerns the reader only where an answer differs, or what is read for
// it. To find that out, q is kept with what was read.
func (v *View) Ask(q Question) any {
	own := NewView(v.set)
	answer := q(own)
	for s := range own.read {
		s.of |= forAnswer
		v.note(s)
	}
	v.asked = append(v.asked, q)
	return answer
}

// Asked returns the questions that have been asked, in their order.
func (v *View) Asked() []Question { return v.asked }

// SameAnswers reports whether questions are answered alike by two Sets, and with
// the same reads. The two Views, one of each, must serve nothing else.
func SameAnswers(asked []Question, before, after *View) bool {
	for _, q := range asked {
		clear(before.read)
		clear(after.read)
		was, is := q(before), q(after)
		if !maps.Equal(before.read, after.read) || !reflect.DeepEqual(was, is) {
			return false
		}
	}
	return true
}
