package template

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// infix are the operators between two operands, with what binds them: as in
// Inja, `and` and `or` bind alike.
func infix(t token) (op string, binds int) {
	if t.kind == tokName && (t.text == "and" || t.text == "or") {
		return t.text, 1
	}
	if t.kind == tokName && t.text == "in" {
		return t.text, 2
	}
	if t.kind != tokOp {
		return "", 0
	}
	switch t.text {
	case "==", "!=", "<", "<=", ">", ">=":
		return t.text, 2
	case "+", "-":
		return t.text, 3
	case "*", "/", "%":
		return t.text, 4
	case "^":
		return t.text, 5
	}
	return "", 0
}

// bindsNot is how strongly `not` binds: more than any comparison.
const bindsNot = 4

// expression parses operands joined by operators that bind more than floor.
func (p *parser) expression(floor int) (expr, *Error) {
	if p.deep++; p.deep > maxExpr {
		return nil, p.fail("the expression is nested more than %d times", maxExpr)
	}
	defer func() { p.deep-- }()
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	for joined := 0; ; joined++ {
		op, binds := infix(p.tok)
		if binds <= floor {
			return left, nil
		}
		if joined > maxExpr {
			return nil, p.fail("the expression has more than %d operators", maxExpr)
		}
		pos := p.tok.pos
		if err := p.advance(); err != nil {
			return nil, err
		}
		under := binds
		if op == "^" { // binds to the right
			under--
		}
		right, err := p.expression(under)
		if err != nil {
			return nil, err
		}
		left = &binary{op: op, left: left, right: right, pos: pos}
	}
}

// operand parses one operand, and the members taken out of it.
func (p *parser) operand() (expr, *Error) {
	e, err := p.primary()
	for n := 0; err == nil && p.tok.kind == tokOp && p.tok.text == "."; n++ {
		if n > maxExpr {
			return nil, p.fail("more than %d members of members", maxExpr)
		}
		if err = p.advance(); err != nil {
			break
		}
		if p.tok.kind != tokName {
			return nil, p.fail("expected a name, got %s", p.tok.describe())
		}
		e = &member{of: e, name: p.tok.text, parts: split(p.tok.text, p.opts.Advanced), pos: p.tok.pos}
		err = p.advance()
	}
	return e, err
}

func (p *parser) primary() (expr, *Error) {
	t := p.tok
	switch t.kind {
	case tokString, tokNumber:
		return p.literal(t.text)
	case tokName:
		return p.name()
	case tokOp:
		switch t.text {
		case "(":
			return p.brackets()
		case "[", "{":
			return p.literal(p.src[t.pos:])
		}
	}
	return nil, p.fail("expected a value, got %s", t.describe())
}

func (p *parser) brackets() (expr, *Error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

func (p *parser) expect(op string) *Error {
	if p.tok.kind != tokOp || p.tok.text != op {
		return p.fail("expected '%s', got %s", op, p.tok.describe())
	}
	return p.advance()
}

// literal reads a JSON value that begins at the present token.
func (p *parser) literal(from string) (expr, *Error) {
	r := reader{text: from, build: true}
	v, err := r.value(0)
	if err != nil {
		return nil, p.fail("not a JSON value: %v", err)
	}
	if p.tok.kind == tokNumber && r.pos != len(from) {
		return nil, p.fail("'%s' is not a number", from)
	}
	p.pos = p.tok.pos + r.pos
	p.lexer.operand = true
	return constant{v}, p.advance()
}

// name parses what begins with a name: a word, a call, or a variable.
func (p *parser) name() (expr, *Error) {
	t := p.tok
	switch t.text {
	case "true", "false":
		return constant{Bool(t.text == "true")}, p.advance()
	case "null":
		return constant{}, p.advance()
	case "not":
		if err := p.advance(); err != nil {
			return nil, err
		}
		e, err := p.expression(bindsNot)
		return &not{e}, err
	case "and", "or", "in":
		return nil, p.fail("expected a value, got '%s'", t.text)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokOp && p.tok.text == "(" {
		return p.call(t)
	}
	v := &variable{name: t.text, parts: split(t.text, p.opts.Advanced), advanced: p.opts.Advanced, pos: t.pos}
	if fn := function(t.text, 0); fn != nil {
		v.fallback = fn
		p.note(t.text, nil)
	}
	if !slices.Contains(p.bound, v.parts[0]) {
		p.uses.Variables = append(p.uses.Variables, t.text)
	}
	return v, nil
}

func (p *parser) call(t token) (expr, *Error) {
	c := &call{name: t.text, pos: t.pos}
	var list []expr
	if err := p.advance(); err != nil {
		return nil, err
	}
	for p.tok.kind != tokOp || p.tok.text != ")" {
		if len(list) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		e, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if list = append(list, e); len(list) > maxArgs {
			return nil, p.fail("%s() has too many arguments", t.text)
		}
	}
	c.n = copy(c.args[:], list)
	p.note(t.text, list)
	if t.text == "default" && c.n == 2 {
		return &fallback{c.args[0], c.args[1]}, p.advance()
	}
	if c.fn = function(t.text, c.n); c.fn == nil {
		return nil, &Error{pos: t.pos, Text: unknownFunction(t.text, c.n)}
	}
	return c, p.advance()
}

func unknownFunction(name string, n int) string {
	if name == "super" || name == "data_source" {
		return name + " is not available"
	}
	for i := range maxArgs + 1 {
		if function(name, i) != nil {
			return fmt.Sprintf("%s() takes %d arguments, not %d", name, i, n)
		}
	}
	return fmt.Sprintf("unknown function '%s'", name)
}

// note records what a call of a function reads.
func (p *parser) note(name string, args []expr) {
	switch name {
	case "body":
		p.uses.Body = true
	case "context", "exists":
		p.uses.Context = true
	case "header", "request_header":
		if len(args) != 1 {
			return
		}
		c, ok := args[0].(constant)
		if !ok {
			p.uses.AnyHeader = true
			return
		}
		canonical := textproto.CanonicalMIMEHeaderKey(c.v.text)
		if name == "header" {
			p.uses.Headers = append(p.uses.Headers, canonical)
		} else {
			p.uses.RequestHeaders = append(p.uses.RequestHeaders, canonical)
		}
	}
}

// split returns the parts of a name.
func split(name string, advanced bool) []string {
	if !advanced {
		name = strings.ReplaceAll(name, ".", "/")
	}
	parts := strings.Split(strings.TrimSuffix(name, "/"), "/")
	if advanced {
		for i := range parts { // RFC 6901 section 4
			parts[i] = strings.ReplaceAll(strings.ReplaceAll(parts[i], "~1", "/"), "~0", "~")
		}
	}
	return parts
}
