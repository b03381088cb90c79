package ir

import (
	"fmt"
	"strings"
)

// Bounds on an AuthSet.Expr.
const (
	maxExprBytes = 4 << 10
	maxExprDepth = 32
)

// AuthExpr is the tree of an AuthSet.Expr. Exactly one of Method, Not, And and
// Or is set; the zero AuthExpr is an And of nothing.
type AuthExpr struct {
	// Method is an index of AuthSet.Methods, plus one.
	Method int
	Not    *AuthExpr
	// And and Or have their operands in the order in which they were written.
	And, Or []AuthExpr
}

// Tree parses the set's Expr: names joined by !, && and ||, which bind in this
// order, and parentheses. A name is a run of letters, digits and any of
// "_-./:". Without an Expr all methods are joined by &&. An error tells the
// byte at which the text ends to make sense.
func (s *AuthSet) Tree() (AuthExpr, error) {
	if strings.TrimSpace(s.Expr) == "" {
		all := AuthExpr{}
		for i := range s.Methods {
			all.And = append(all.And, AuthExpr{Method: i + 1})
		}
		return all, nil
	}
	if len(s.Expr) > maxExprBytes {
		return AuthExpr{}, fmt.Errorf("expression of more than %d bytes", maxExprBytes)
	}
	p := exprParser{text: s.Expr, names: map[string]int{}}
	for i, m := range s.Methods {
		p.names[m.Name] = i + 1
	}
	p.next()
	x, err := p.or(0)
	if err == nil && p.token != "" {
		err = p.wrong("an operator")
	}
	if err != nil {
		return AuthExpr{}, err
	}
	return x, nil
}

// exprParser reads an expression token by token. token is "" at the end.
type exprParser struct {
	text      string
	names     map[string]int
	token     string
	at, after int
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80 || strings.IndexByte("_-./:", c) >= 0
}

func (p *exprParser) next() {
	p.at = p.after
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	end := p.at
	for end < len(p.text) && isNameByte(p.text[end]) {
		end++
	}
	switch rest := p.text[p.at:]; {
	case end > p.at || rest == "":
	case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "||"):
		end += 2
	default:
		end++
	}
	p.token, p.after = p.text[p.at:end], end
}

func (p *exprParser) wrong(want string) error {
	if p.token == "" {
		return fmt.Errorf("expression: it ends at byte %d, where %s is missing", p.at+1, want)
	}
	return fmt.Errorf("expression: %q at byte %d, where %s should be", p.token, p.at+1, want)
}

func (p *exprParser) or(depth int) (AuthExpr, error) {
	list, err := p.list(depth, "||", p.and)
	if len(list) == 1 {
		return list[0], err
	}
	return AuthExpr{Or: list}, err
}

func (p *exprParser) and(depth int) (AuthExpr, error) {
	list, err := p.list(depth, "&&", p.operand)
	if len(list) == 1 {
		return list[0], err
	}
	return AuthExpr{And: list}, err
}

func (p *exprParser) list(depth int, operator string, operand func(int) (AuthExpr, error)) ([]AuthExpr, error) {
	var list []AuthExpr
	for {
		x, err := operand(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
		if p.token != operator {
			return list, nil
		}
		p.next()
	}
}

func (p *exprParser) operand(depth int) (AuthExpr, error) {
	if depth == maxExprDepth {
		return AuthExpr{}, fmt.Errorf("expression: more than %d levels at byte %d", maxExprDepth, p.at+1)
	}
	switch {
	case p.token == "!":
		p.next()
		x, err := p.operand(depth + 1)
		return AuthExpr{Not: &x}, err
	case p.token == "(":
		p.next()
		x, err := p.or(depth + 1)
		if err == nil && p.token != ")" {
			err = p.wrong("an operator or )")
		}
		p.next()
		return x, err
	case p.token == "" || !isNameByte(p.token[0]):
		return AuthExpr{}, p.wrong("the name of a method")
	case p.names[p.token] == 0:
		return AuthExpr{}, fmt.Errorf("expression: no method is called %q, at byte %d", p.token, p.at+1)
	}
	x := AuthExpr{Method: p.names[p.token]}
	p.next()
	return x, nil
}

// Holds evaluates x, where passes tells of each method of the set, by its
// index, whether it lets the caller pass.
func (x *AuthExpr) Holds(passes func(method int) bool) bool {
	switch {
	case x.Method > 0:
		return passes(x.Method - 1)
	case x.Not != nil:
		return !x.Not.Holds(passes)
	case len(x.Or) > 0:
		for i := range x.Or {
			if x.Or[i].Holds(passes) {
				return true
			}
		}
		return false
	}
	for i := range x.And {
		if !x.And[i].Holds(passes) {
			return false
		}
	}
	return true
}
