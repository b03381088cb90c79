package template

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type valueKind uint8

// The kinds of values, in the order in which they compare.
const (
	isNull valueKind = iota
	isBool
	isNumber
	isObject
	isArray
	isString
)

// Value is a JSON value. The zero Value is null. Values share what they hold:
// only Set changes anything.
type Value struct {
	kind valueKind
	// text is a string, or a number as it was written, or "true" or "false".
	text string
	tree *tree
}

// tree is what an array or an object holds. names are sorted and beside list;
// an array has none.
type tree struct {
	names []string
	list  []Value
}

// String returns a string Value.
func String(s string) Value { return Value{kind: isString, text: s} }

// Bool returns a boolean Value.
func Bool(b bool) Value { return Value{kind: isBool, text: strconv.FormatBool(b)} }

// Int returns a number Value.
func Int(n int64) Value { return Value{kind: isNumber, text: strconv.FormatInt(n, 10)} }

// Object returns an empty object, which can be Set.
func Object() Value { return Value{kind: isObject, tree: &tree{}} }

// IsObject reports whether v is an object.
func (v Value) IsObject() bool { return v.kind == isObject }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == isNull }

// Text returns what a template prints: a string as it is, nothing for null,
// everything else as JSON.
func (v Value) Text() string {
	switch v.kind {
	case isObject, isArray:
		return string(v.AppendJSON(nil))
	}
	return v.text
}

// find returns the place of a member, and whether it is there.
func (t *tree) find(name string) (int, bool) { return slices.BinarySearch(t.names, name) }

// Member returns a member of an object, or an element of an array by its
// index in decimal.
func (v Value) Member(name string) (Value, bool) {
	switch v.kind {
	case isObject:
		if i, ok := v.tree.find(name); ok {
			return v.tree.list[i], true
		}
	case isArray:
		if i, err := strconv.ParseUint(name, 10, 31); err == nil && int(i) < len(v.tree.list) && (name == "0" || name[0] != '0') {
			return v.tree.list[i], true
		}
	}
	return Value{}, false
}

// Walk follows parts from member to member.
func (v Value) Walk(parts []string) (Value, bool) {
	for _, p := range parts {
		var ok bool
		if v, ok = v.Member(p); !ok {
			return Value{}, false
		}
	}
	return v, true
}

var errNoObject = errors.New("a name leads into something that is no object")

// Set puts x at a path of names below v, which must be an object or null, and
// makes the objects on the way. What is neither is an error.
func (v *Value) Set(path []string, x Value) error {
	at := v
	for _, name := range path {
		if at.kind == isNull {
			*at = Object()
		}
		if at.kind != isObject {
			return errNoObject
		}
		i, ok := at.tree.find(name)
		if !ok {
			at.tree.names = slices.Insert(at.tree.names, i, name)
			at.tree.list = slices.Insert(at.tree.list, i, Value{})
		}
		at = &at.tree.list[i]
	}
	*at = x
	return nil
}

// AppendJSON appends v as JSON, without spaces and with sorted names.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case isNull:
		return append(b, "null"...)
	case isString:
		return append(appendEscaped(append(b, '"'), v.text), '"')
	case isArray:
		b = append(b, '[')
		for i, x := range v.tree.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = x.AppendJSON(b)
		}
		return append(b, ']')
	case isObject:
		b = append(b, '{')
		for i, x := range v.tree.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendEscaped(append(b, '"'), v.tree.names[i]), '"', ':')
			b = x.AppendJSON(b)
		}
		return append(b, '}')
	}
	return append(b, v.text...)
}

// appendEscaped appends s as it stands between quotes in JSON; bytes that are
// no UTF-8 become U+FFFD.
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if j := strings.IndexByte("\"\\\b\f\n\r\t", c); j >= 0 {
			b = append(b, '\\', `"\bfnrt`[j])
			continue
		}
		switch {
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n - 1
		}
	}
	return b
}

// truthy is what `if` asks: not null, false, 0 or empty.
func (v Value) truthy() bool {
	switch v.kind {
	case isNull:
		return false
	case isBool:
		return v.text == "true"
	case isNumber:
		f, err := v.float()
		return err != nil || f != 0
	case isString:
		return v.text != ""
	}
	return len(v.tree.list) > 0
}

// integer reports whether v is a number without fraction and exponent.
func (v Value) integer() bool { return v.kind == isNumber && !strings.ContainsAny(v.text, ".eE") }

var (
	errNumber = errors.New("a number is needed")
	errWhole  = errors.New("a whole number is needed")
	errHuge   = errors.New("the number is too large")
	errText   = errors.New("a string is needed")
	errList   = errors.New("an array is needed")
	errLists  = errors.New("an array or an object is needed")
)

// int returns a whole number.
func (v Value) int() (int64, error) {
	switch {
	case v.kind != isNumber:
		return 0, errNumber
	case !v.integer():
		f, err := v.float()
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return 0, errWhole
		}
		return int64(f), nil
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil {
		return 0, errHuge
	}
	return n, nil
}

func (v Value) float() (float64, error) {
	if v.kind != isNumber {
		return 0, errNumber
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		return 0, errHuge
	}
	return f, nil
}

// number makes a Value of a result.
func number(f float64) (Value, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return Value{}, errHuge
	}
	format := byte('f')
	if a := math.Abs(f); a >= 1e15 || a != 0 && a < 1e-4 {
		format = 'e'
	}
	text := strconv.FormatFloat(f, format, -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return Value{kind: isNumber, text: text}, nil
}

// compare orders values: by kind, then by content. spend is told what it
// costs.
func compare(a, b Value, spend func(int) error) (int, error) {
	if err := spend(1 + min(len(a.text), len(b.text))/16); err != nil {
		return 0, err
	}
	if a.kind != b.kind {
		return int(a.kind) - int(b.kind), nil
	}
	switch a.kind {
	case isNumber:
		return compareNumbers(a, b), nil
	case isArray, isObject:
		return compareTrees(a.tree, b.tree, spend)
	}
	return strings.Compare(a.text, b.text), nil
}

func compareNumbers(a, b Value) int {
	if a.text == b.text {
		return 0
	}
	i, errI := strconv.ParseInt(a.text, 10, 64)
	j, errJ := strconv.ParseInt(b.text, 10, 64)
	if errI == nil && errJ == nil {
		return cmp(i, j)
	}
	if a.integer() && b.integer() { // beyond 64 bits
		return compareDigits(a.text, b.text)
	}
	x, _ := strconv.ParseFloat(a.text, 64) // beyond 64 bits: infinite
	y, _ := strconv.ParseFloat(b.text, 64)
	return cmp(x, y)
}

func cmp[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareDigits compares whole numbers of any length.
func compareDigits(a, b string) int {
	na, nb := a[0] == '-', b[0] == '-'
	switch {
	case na && nb:
		return compareDigits(b[1:], a[1:])
	case na:
		return -1
	case nb:
		return 1
	case len(a) != len(b):
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func compareTrees(a, b *tree, spend func(int) error) (int, error) {
	for i := range min(len(a.list), len(b.list)) {
		if a.names != nil && a.names[i] != b.names[i] {
			return strings.Compare(a.names[i], b.names[i]), nil
		}
		if c, err := compare(a.list[i], b.list[i], spend); c != 0 || err != nil {
			return c, err
		}
	}
	return len(a.list) - len(b.list), nil
}
