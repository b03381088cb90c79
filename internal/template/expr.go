package template

import (
	"fmt"
	"math"
	"slices"
)

// expr is a part of an expression.
type expr interface {
	eval(in *Input) (Value, *Error)
	// at is where it begins in the template; 0 where nothing can fail.
	at() int
}

type constant struct{ v Value }

func (e constant) eval(*Input) (Value, *Error) { return e.v, nil }
func (e constant) at() int                     { return 0 }

// variable is a name. Where there is nothing of that name, it is a call of
// the function without arguments of the same name.
type variable struct {
	name     string
	parts    []string
	advanced bool
	fallback fn
	pos      int
}

func (e *variable) at() int { return e.pos }

func (e *variable) find(in *Input) (Value, bool, *Error) {
	if err := in.spend(1); err != nil {
		return Value{}, false, place(err, e.pos)
	}
	if v, ok := in.variable(e); ok {
		return v, true, nil
	}
	if e.fallback != nil {
		v, err := e.fallback(in, args{})
		return v, true, place(err, e.pos)
	}
	return Value{}, false, nil
}

func (e *variable) eval(in *Input) (Value, *Error) {
	v, ok, err := e.find(in)
	if err == nil && !ok {
		err = &Error{pos: e.pos, Text: "variable '" + e.name + "' not found"}
	}
	return v, err
}

// fallback is default(first, second): the second where the first is a
// variable that does not exist.
type fallback struct{ first, second expr }

func (e *fallback) at() int { return e.first.at() }

func (e *fallback) eval(in *Input) (Value, *Error) {
	if name, ok := e.first.(*variable); ok {
		v, found, err := name.find(in)
		if found || err != nil {
			return v, err
		}
		return e.second.eval(in)
	}
	return e.first.eval(in)
}

// member is of.name: of what a call returned.
type member struct {
	of    expr
	name  string
	parts []string
	pos   int
}

func (e *member) at() int { return e.pos }

func (e *member) eval(in *Input) (Value, *Error) {
	v, err := e.of.eval(in)
	if err != nil {
		return v, err
	}
	if x, ok := v.Member(e.name); ok {
		return x, nil
	}
	if x, ok := v.Walk(e.parts); ok {
		return x, nil
	}
	return Value{}, &Error{pos: e.pos, Text: "there is no member '" + e.name + "'"}
}

type not struct{ of expr }

func (e *not) at() int { return e.of.at() }

func (e *not) eval(in *Input) (Value, *Error) {
	v, err := e.of.eval(in)
	return Bool(!v.truthy()), err
}

// maxArgs is the most arguments that a function takes.
const maxArgs = 3

// args are the arguments of a call.
type args [maxArgs]Value

// fn is a function. What it returns as error gets the call's place.
type fn func(in *Input, a args) (Value, error)

type call struct {
	name string
	args [maxArgs]expr
	n    int
	fn   fn
	pos  int
}

func (e *call) at() int { return e.pos }

func (e *call) eval(in *Input) (Value, *Error) {
	var a args
	for i := range e.n {
		var err *Error
		if a[i], err = e.args[i].eval(in); err != nil {
			return Value{}, err
		}
	}
	if err := in.spend(2); err != nil {
		return Value{}, place(err, e.pos)
	}
	v, err := e.fn(in, a)
	if err != nil {
		return Value{}, &Error{pos: e.pos, Text: fmt.Sprintf("%s(): %v", e.name, err)}
	}
	return v, nil
}

// binary is an operator between two operands.
type binary struct {
	op          string
	left, right expr
	pos         int
}

func (e *binary) at() int { return e.pos }

func (e *binary) eval(in *Input) (Value, *Error) {
	a, err := e.left.eval(in)
	if err != nil {
		return a, err
	}
	switch {
	case e.op == "and" && !a.truthy():
		return Bool(false), nil
	case e.op == "or" && a.truthy():
		return Bool(true), nil
	}
	b, err := e.right.eval(in)
	if err != nil {
		return b, err
	}
	v, fault := apply(in, e.op, a, b)
	if fault != nil {
		return Value{}, &Error{pos: e.pos, Text: e.op + ": " + fault.Error()}
	}
	return v, nil
}

// apply does what an operator does.
func apply(in *Input, op string, a, b Value) (Value, error) {
	if err := in.spend(1); err != nil {
		return Value{}, err
	}
	switch op {
	case "and", "or":
		return Bool(b.truthy()), nil
	case "in":
		ok, err := contains(in, b, a)
		return Bool(ok), err
	case "+":
		if a.kind == isString && b.kind == isString {
			if err := in.made(len(a.text) + len(b.text)); err != nil {
				return Value{}, err
			}
			return String(a.text + b.text), nil
		}
		return arithmetic(op, a, b)
	case "-", "*", "/", "%", "^":
		return arithmetic(op, a, b)
	}
	c, err := compare(a, b, in.spend)
	return Bool(holds(op, c)), err
}

// holds reports whether a comparison that came out as c is what op asks.
func holds(op string, c int) bool {
	switch op {
	case "==":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// contains reports whether an element of list, or a member's value, is x.
func contains(in *Input, list, x Value) (bool, error) {
	if list.tree == nil {
		c, err := compare(list, x, in.spend)
		return c == 0, err
	}
	for _, v := range list.tree.list {
		if c, err := compare(v, x, in.spend); c == 0 || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

func arithmetic(op string, a, b Value) (Value, error) {
	if a.kind != isNumber || b.kind != isNumber {
		return Value{}, errNumber
	}
	if op == "%" {
		return modulo(a, b)
	}
	if op != "/" && a.integer() && b.integer() {
		if v, ok := wholeArithmetic(op, a, b); ok {
			return v, nil
		}
	}
	x, err := a.float()
	if err != nil {
		return Value{}, err
	}
	y, err := b.float()
	if err != nil {
		return Value{}, err
	}
	switch op {
	case "+":
		return number(x + y)
	case "-":
		return number(x - y)
	case "*":
		return number(x * y)
	case "^":
		return number(math.Pow(x, y))
	}
	if y == 0 {
		return Value{}, errZero
	}
	return number(x / y)
}

var errZero = fmt.Errorf("division by zero")

func modulo(a, b Value) (Value, error) {
	x, err := a.int()
	if err != nil {
		return Value{}, err
	}
	y, err := b.int()
	switch {
	case err != nil:
		return Value{}, err
	case y == 0:
		return Value{}, errZero
	case y == -1: // the smallest number has no opposite
		return Int(0), nil
	}
	return Int(x % y), nil
}

// wholeArithmetic reckons with whole numbers, as far as 64 bits suffice.
func wholeArithmetic(op string, a, b Value) (Value, bool) {
	x, errX := a.int()
	y, errY := b.int()
	if errX != nil || errY != nil {
		return Value{}, false
	}
	switch op {
	case "+":
		r := x + y
		return Int(r), (r > x) == (y > 0)
	case "-":
		r := x - y
		return Int(r), (r < x) == (y > 0)
	case "*":
		if x == 0 || y == 0 {
			return Int(0), true
		}
		r := x * y
		return Int(r), r/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64)
	}
	p := math.Pow(float64(x), float64(y))
	if y < 0 || math.Abs(p) >= 1<<63 {
		return Value{}, false
	}
	return Int(power(x, y)), true
}

// power is x to the y, which is known to fit.
func power(x, y int64) int64 {
	r := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 == 1 {
			r *= x
		}
		x *= x
	}
	return r
}

// sorted returns the elements of a list in order.
func sorted(in *Input, v Value) (Value, error) {
	if v.kind != isArray {
		return Value{}, errList
	}
	if err := in.spend(len(v.tree.list)); err != nil {
		return Value{}, err
	}
	list := slices.Clone(v.tree.list)
	var fault error
	slices.SortStableFunc(list, func(a, b Value) int {
		if fault != nil {
			return 0
		}
		c, err := compare(a, b, in.spend)
		fault = err
		return c
	})
	return Value{kind: isArray, tree: &tree{list: list}}, fault
}
