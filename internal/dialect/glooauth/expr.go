package glooauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
)

// checkExpr reports a booleanExpr that cannot be evaluated: of bad form, or
// of names that no config has.
func (r *reader) checkExpr(set *ir.AuthSet) {
	const at = "booleanExpr"
	if strings.TrimSpace(set.Expr) == "" {
		set.Expr = ""
		return
	}
	var names []string
	for _, m := range set.Methods {
		if slices.Contains(names, m.Name) {
			r.fail(at, "give each config a name of its own", "two configs are named %q", m.Name)
		}
		names = append(names, m.Name)
	}
	used, err := parseExpr(set.Expr)
	if err != nil {
		r.fail(at, "write names joined by &&, ||, ! and parentheses", "%v", err)
		return
	}
	for _, n := range used {
		if !slices.Contains(names, n) {
			remedy := dialect.Suggest(n, names)
			if remedy == "" {
				remedy = "name a config"
			}
			r.fail(at, remedy, "no config is named %q", n)
		}
	}
	for _, n := range names {
		if !slices.Contains(used, n) {
			r.p.Warn(at, "name it, or remove the config", "config %q is not in the expression and has no effect", n)
		}
	}
}

// maxExprDepth bounds the nesting of parentheses and negations.
const maxExprDepth = 64

// parseExpr returns the names of an expression:
//
//	or  = and { "||" and }    and = not { "&&" not }
//	not = { "!" } ( name | "(" or ")" )
func parseExpr(text string) (names []string, err error) {
	p := &exprParser{rest: text}
	p.or(0)
	if p.next() != "" {
		p.fail()
	}
	if p.broken {
		return nil, errors.New("the expression has a wrong form")
	}
	if p.deep {
		return nil, fmt.Errorf("the expression is nested more than %d deep", maxExprDepth)
	}
	return p.names, nil
}

type exprParser struct {
	rest         string
	names        []string
	broken, deep bool
}

func (p *exprParser) fail() { p.broken = true }

// next returns the next token without taking it; "": there is none.
func (p *exprParser) next() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	for _, op := range []string{"&&", "||", "!", "(", ")"} {
		if strings.HasPrefix(p.rest, op) {
			return op
		}
	}
	end := strings.IndexAny(p.rest, "&|!() \t\r\n")
	if end < 0 {
		end = len(p.rest)
	}
	if end == 0 && p.rest != "" { // a single & or |
		p.fail()
	}
	return p.rest[:end]
}

func (p *exprParser) take(token string) bool {
	if p.broken || p.deep || p.next() != token || token == "" {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *exprParser) or(depth int) {
	for p.and(depth); p.take("||"); p.and(depth) {
	}
}

func (p *exprParser) and(depth int) {
	for p.not(depth); p.take("&&"); p.not(depth) {
	}
}

func (p *exprParser) not(depth int) {
	for p.take("!") {
	}
	if depth > maxExprDepth {
		p.deep = true
		return
	}
	if p.take("(") {
		if p.or(depth + 1); !p.take(")") {
			p.fail()
		}
		return
	}
	name := p.next()
	if name == "" || strings.ContainsAny(name, "&|!()") || !p.take(name) {
		p.fail()
		return
	}
	p.names = append(p.names, name)
}
