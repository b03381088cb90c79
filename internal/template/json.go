package template

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what the JSON reader takes.
const (
	maxDepth  = 128
	maxNumber = 256 // bytes
	// ValueBytes is what a Value takes in memory at most, names and the
	// bookkeeping of reading it counted in, its text not.
	ValueBytes = 160
)

// ErrJSON is what every error of the JSON reader is. Their texts tell what is
// wrong and where, and quote nothing.
var ErrJSON = errors.New("the JSON cannot be read")

// jsonError is an error at a place of the text.
type jsonError struct {
	pos  int
	what string
}

func (e *jsonError) Error() string        { return fmt.Sprintf("at byte %d: %s", e.pos+1, e.what) }
func (e *jsonError) Is(target error) bool { return target == ErrJSON }

// ParseJSON reads one JSON value (RFC 8259). Numbers stay as they are
// written, so that long ones survive. A member that occurs twice in an object
// is an error: programs differ in which of them they believe. So are more
// than 128 levels, numbers of more than 256 bytes, text that is no UTF-8, and
// halves of surrogate pairs. The Value shares the bytes of text.
func ParseJSON(text string) (Value, error) { return parseJSON(text, true) }

// CheckJSON is ParseJSON for who needs no Value: it holds nothing but the
// names of the objects that are open.
func CheckJSON(text string) error {
	_, err := parseJSON(text, false)
	return err
}

func parseJSON(text string, build bool) (Value, error) {
	r := reader{text: text, build: build}
	if !utf8.ValidString(text) {
		return Value{}, r.fail("the text is not UTF-8")
	}
	v, err := r.value(0)
	if err != nil {
		return Value{}, err
	}
	if r.space(); r.pos < len(text) {
		return Value{}, r.fail("something follows the value")
	}
	return v, nil
}

// reader reads a JSON value by recursive descent. What is open sits on its two
// stacks, and is copied to its exact size when closed.
type reader struct {
	text  string
	pos   int
	build bool

	members []pair
	list    []Value
}

type pair struct {
	name  string
	value Value
}

func (r *reader) fail(what string) error { return &jsonError{r.pos, what} }

func (r *reader) space() {
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case ' ', '\n', '\r', '\t':
			r.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, or 0.
func (r *reader) peek() byte {
	r.space()
	if r.pos < len(r.text) {
		return r.text[r.pos]
	}
	return 0
}

func (r *reader) value(depth int) (Value, error) {
	c := r.peek()
	switch {
	case c == '"':
		s, err := r.string()
		return String(s), err
	case c == '{' || c == '[':
		if depth >= maxDepth {
			return Value{}, r.fail("nested too deeply")
		}
		if c == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case c == '-' || isDigit(c):
		return r.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(r.text[r.pos:], word) {
			r.pos += len(word)
			if word == "null" {
				return Value{}, nil
			}
			return Bool(word == "true"), nil
		}
	}
	if r.pos >= len(r.text) {
		return Value{}, r.fail("the text ends too early")
	}
	return Value{}, r.fail("no value begins so")
}

// more passes over a comma, or over the closing byte, and reports which.
func (r *reader) more(closing byte) (bool, error) {
	switch r.peek() {
	case ',':
		r.pos++
		return true, nil
	case closing:
		r.pos++
		return false, nil
	}
	return false, r.fail("expected a comma or '" + string(closing) + "'")
}

func (r *reader) array(depth int) (Value, error) {
	r.pos++
	start := len(r.list)
	more := true
	if r.peek() == ']' {
		r.pos++
		more = false
	}
	for more {
		v, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		if r.build {
			r.list = append(r.list, v)
		}
		if more, err = r.more(']'); err != nil {
			return Value{}, err
		}
	}
	if !r.build {
		return Value{}, nil
	}
	t := &tree{list: slices.Clone(r.list[start:])}
	r.list = r.list[:start]
	return Value{kind: isArray, tree: t}, nil
}

func (r *reader) object(depth int) (Value, error) {
	r.pos++
	start := len(r.members)
	more := true
	if r.peek() == '}' {
		r.pos++
		more = false
	}
	for more {
		if r.peek() != '"' {
			return Value{}, r.fail("expected the name of a member")
		}
		name, err := r.string()
		if err != nil {
			return Value{}, err
		}
		if r.peek() != ':' {
			return Value{}, r.fail("expected a colon")
		}
		r.pos++
		v, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		r.members = append(r.members, pair{name, v})
		if more, err = r.more('}'); err != nil {
			return Value{}, err
		}
	}
	return r.closeObject(start)
}

// closeObject sorts the members above start, and takes them off the stack.
func (r *reader) closeObject(start int) (Value, error) {
	list := r.members[start:]
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(list); i++ {
		if list[i].name == list[i-1].name {
			return Value{}, r.fail("a member occurs twice in the object that ends here")
		}
	}
	r.members = r.members[:start]
	if !r.build {
		return Value{}, nil
	}
	t := &tree{names: make([]string, len(list)), list: make([]Value, len(list))}
	for i, m := range list {
		t.names[i], t.list[i] = m.name, m.value
	}
	return Value{kind: isObject, tree: t}, nil
}

func (r *reader) digits() int {
	start := r.pos
	for r.pos < len(r.text) && isDigit(r.text[r.pos]) {
		r.pos++
	}
	return r.pos - start
}

func (r *reader) number() (Value, error) {
	start := r.pos
	if r.text[r.pos] == '-' {
		r.pos++
	}
	whole := r.pos
	ok := r.digits() > 0 && (r.text[whole] != '0' || r.pos == whole+1)
	if ok && strings.HasPrefix(r.text[r.pos:], ".") {
		r.pos++
		ok = r.digits() > 0
	}
	if ok && r.pos < len(r.text) && (r.text[r.pos] == 'e' || r.text[r.pos] == 'E') {
		r.pos++
		if r.pos < len(r.text) && (r.text[r.pos] == '+' || r.text[r.pos] == '-') {
			r.pos++
		}
		ok = r.digits() > 0
	}
	switch {
	case !ok:
		return Value{}, r.fail("the number is malformed")
	case r.pos-start > maxNumber:
		return Value{}, r.fail("the number is too long")
	}
	return Value{kind: isNumber, text: r.text[start:r.pos]}, nil
}

// string reads a string; without escapes it shares the text.
func (r *reader) string() (string, error) {
	r.pos++
	start := r.pos
	for ; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; {
		case c == '"':
			s := r.text[start:r.pos]
			r.pos++
			return s, nil
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", r.fail("a control byte in a string must be escaped")
		}
	}
	return "", r.fail("the string is not closed")
}

func (r *reader) escaped(start int) (string, error) {
	b := []byte(r.text[start:r.pos])
	for r.pos < len(r.text) {
		c := r.text[r.pos]
		switch {
		case c == '"':
			r.pos++
			return string(b), nil
		case c < ' ':
			return "", r.fail("a control byte in a string must be escaped")
		case c != '\\':
			b = append(b, c)
			r.pos++
			continue
		}
		var err error
		if b, err = r.escape(b); err != nil {
			return "", err
		}
	}
	return "", r.fail("the string is not closed")
}

func (r *reader) escape(b []byte) ([]byte, error) {
	if r.pos+1 >= len(r.text) {
		return b, r.fail("the string is not closed")
	}
	c := r.text[r.pos+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		r.pos += 2
		return append(b, "\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return b, r.fail("the escape is not known")
	}
	first, ok := r.hex(r.pos)
	if ok && utf16.IsSurrogate(first) {
		second, _ := r.hex(r.pos + 6)
		first = utf16.DecodeRune(first, second)
		ok = first != utf8.RuneError
		r.pos += 6
	}
	if !ok {
		return b, r.fail("the escape is malformed")
	}
	r.pos += 6
	return utf8.AppendRune(b, first), nil
}

// hex reads \uXXXX.
func (r *reader) hex(at int) (rune, bool) {
	if at+6 > len(r.text) || r.text[at:at+2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(r.text[at+2:at+6], 16, 16)
	return rune(n), err == nil && r.text[at+2] != '+' && r.text[at+2] != '_'
}
