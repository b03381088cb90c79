package template

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var (
	errEmpty  = errors.New("the list is empty")
	errMember = errors.New("there is no such member")
	errFormat = errors.New("the string is no number")
)

func length(_ *Input, a args) (Value, error) {
	switch v := a[0]; v.kind {
	case isNull:
		return Int(0), nil
	case isString:
		return Int(int64(len(v.text))), nil
	case isArray, isObject:
		return Int(int64(len(v.tree.list))), nil
	}
	return Int(1), nil
}

// element returns the list that v holds.
func elements(v Value) ([]Value, error) {
	switch {
	case v.tree == nil:
		return nil, errLists
	case len(v.tree.list) == 0:
		return nil, errEmpty
	}
	return v.tree.list, nil
}

func first(_ *Input, a args) (Value, error) {
	list, err := elements(a[0])
	if err != nil {
		return Value{}, err
	}
	return list[0], nil
}

func last(_ *Input, a args) (Value, error) {
	list, err := elements(a[0])
	if err != nil {
		return Value{}, err
	}
	return list[len(list)-1], nil
}

// extreme returns max or min: of several equal ones the first.
func extreme(largest bool) fn {
	return func(in *Input, a args) (Value, error) {
		list, err := elements(a[0])
		if err != nil {
			return Value{}, err
		}
		best := list[0]
		for _, v := range list[1:] {
			c, err := compare(v, best, in.spend)
			if err != nil {
				return Value{}, err
			}
			if largest && c > 0 || !largest && c < 0 {
				best = v
			}
		}
		return best, nil
	}
}

func rangeOf(in *Input, a args) (Value, error) {
	n, err := a[0].int()
	if err != nil {
		return Value{}, err
	}
	if n < 0 || n > maxRange {
		return Value{}, fmt.Errorf("a number from 0 to %d is needed", maxRange)
	}
	if err := in.spend(int(n)); err != nil {
		return Value{}, err
	}
	list := make([]Value, n)
	for i := range list {
		list[i] = Int(int64(i))
	}
	return Value{kind: isArray, tree: &tree{list: list}}, nil
}

// prefix returns the longest beginning of s that parse takes.
func prefix(s, bytes string) string {
	s = strings.TrimLeft(s, " \t\r\n")
	n := 0
	for n < len(s) && strings.IndexByte(bytes, s[n]) >= 0 {
		n++
	}
	return s[:min(n, maxNumber)]
}

func toFloat(_ *Input, a args) (Value, error) {
	if a[0].kind == isNumber {
		f, err := a[0].float()
		if err != nil {
			return Value{}, err
		}
		return number(f)
	}
	if a[0].kind != isString {
		return Value{}, errText
	}
	for s := prefix(a[0].text, "+-0123456789.eE"); s != ""; s = s[:len(s)-1] {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return number(f)
		}
	}
	return Value{}, errFormat
}

func toInt(_ *Input, a args) (Value, error) {
	switch a[0].kind {
	case isNumber:
		f, err := a[0].float()
		if err != nil || math.Abs(f) >= 1<<53 {
			if a[0].integer() {
				return a[0], nil
			}
			return Value{}, errHuge
		}
		return Int(int64(f)), nil
	case isString:
		s := prefix(a[0].text, "+-0123456789")
		for n := len(s); n > 0; n-- {
			if i, err := strconv.ParseInt(s[:n], 10, 64); err == nil {
				return Int(i), nil
			} else if errors.Is(err, strconv.ErrRange) {
				return Value{}, errHuge
			}
		}
		return Value{}, errFormat
	}
	return Value{}, errText
}

func parity(odd bool) fn {
	return func(_ *Input, a args) (Value, error) {
		n, err := a[0].int()
		return Bool((n%2 != 0) == odd), err
	}
}

func divisibleBy(_ *Input, a args) (Value, error) {
	n, err := a[0].int()
	if err != nil {
		return Value{}, err
	}
	by, err := a[1].int()
	return Bool(by != 0 && (by == -1 || n%by == 0)), err
}

// round keeps a number of digits after the point.
func round(_ *Input, a args) (Value, error) {
	f, err := a[0].float()
	if err != nil {
		return Value{}, err
	}
	digits, err := a[1].int()
	switch {
	case err != nil:
		return Value{}, err
	case digits < -300 || digits > 300:
		return Value{}, errHuge
	}
	scale := math.Pow(10, float64(digits))
	f = math.Round(f*scale) / scale
	if digits == 0 && math.Abs(f) < 1<<53 {
		return Int(int64(f)), nil
	}
	return number(f)
}

// at returns a member of an object or an element of an array.
func at(_ *Input, a args) (Value, error) {
	name := a[1]
	switch {
	case a[0].kind == isObject && name.kind != isString:
		return Value{}, errText
	case a[0].kind == isArray && !name.integer():
		return Value{}, errWhole
	case a[0].tree == nil:
		return Value{}, errLists
	}
	v, ok := a[0].Member(name.text)
	if !ok {
		return Value{}, errMember
	}
	return v, nil
}

// exists asks for a name in the context; it counts not as reading the value.
func exists(in *Input, a args) (Value, error) {
	if a[0].kind != isString {
		return Value{}, errText
	}
	for i := range in.Extractions {
		if !in.Merged && !in.opts.Advanced && in.Extractions[i].Name == a[0].text {
			return Bool(true), nil
		}
	}
	_, ok := in.Context.Walk(split(a[0].text, false))
	return Bool(ok && in.Context.kind == isObject), nil
}

func existsIn(_ *Input, a args) (Value, error) {
	if a[1].kind != isString {
		return Value{}, errText
	}
	if a[0].kind != isObject {
		return Bool(false), nil
	}
	_, ok := a[0].Member(a[1].text)
	return Bool(ok), nil
}

// join puts the elements of a list together; those that are no strings as
// JSON.
func join(in *Input, a args) (Value, error) {
	if a[0].kind != isArray {
		return Value{}, errList
	}
	if a[1].kind != isString {
		return Value{}, errText
	}
	var b []byte
	for i, v := range a[0].tree.list {
		if i > 0 {
			b = append(b, a[1].text...)
		}
		before := len(b)
		if v.kind == isString {
			b = append(b, v.text...)
		} else {
			b = v.AppendJSON(b)
		}
		if len(b) > in.limit {
			return Value{}, errOutput
		}
		if err := in.spend(1 + (len(b)-before)/16); err != nil {
			return Value{}, err
		}
	}
	return String(string(b)), nil
}
