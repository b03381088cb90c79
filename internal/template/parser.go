package template

import (
	"fmt"
	"slices"
	"strings"
)

// parser builds the tree of a template by recursive descent.
type parser struct {
	lexer
	opts   Options
	tok    token
	uses   Uses
	nested int // statements
	deep   int // expressions
	// bound are the names that loops and sets have given a value here.
	bound []string
}

func (p *parser) advance() *Error {
	t, err := p.next()
	p.tok = t
	return err
}

func (p *parser) fail(format string, args ...any) *Error {
	return &Error{pos: p.tok.pos, Text: fmt.Sprintf(format, args...)}
}

// template parses to the end.
func (p *parser) template() ([]statement, *Error) {
	body, ended, err := p.block(token{})
	if err == nil && ended.kind != tokEOF {
		return nil, &Error{pos: ended.pos, Text: ended.text + " without its beginning"}
	}
	return body, err
}

// block parses statements until the end or a word that continues or ends the
// statement opener, and returns that word with the parser behind it.
func (p *parser) block(opener token) ([]statement, token, *Error) {
	var out []statement
	for {
		if err := p.advance(); err != nil {
			return nil, token{}, err
		}
		switch p.tok.kind {
		case tokEOF:
			if opener.text != "" {
				return nil, token{}, &Error{pos: opener.pos, Text: opener.text + " is not ended"}
			}
			return out, p.tok, nil
		case tokText:
			out = append(out, text(p.tok.text))
		case tokOpenPrint:
			e, err := p.printed()
			if err != nil {
				return nil, token{}, err
			}
			out = append(out, e)
		default:
			s, word, err := p.statement()
			if err != nil || s == nil {
				return out, word, err
			}
			out = append(out, s)
		}
	}
}

func (p *parser) printed() (statement, *Error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return &printed{e}, p.closed()
}

// closed checks that a print or statement ends here.
func (p *parser) closed() *Error {
	if p.tok.kind != tokClose {
		return p.fail("expected the end of the expression, got %s", p.tok.describe())
	}
	return nil
}

// statement parses a statement; it returns nil and the word where that ends
// or continues another.
func (p *parser) statement() (statement, token, *Error) {
	if err := p.advance(); err != nil {
		return nil, token{}, err
	}
	word := p.tok
	if word.kind != tokName {
		return nil, word, p.fail("expected a statement, got %s", word.describe())
	}
	if err := p.advance(); err != nil {
		return nil, word, err
	}
	if p.nested++; p.nested > maxStatement {
		return nil, word, p.fail("statements are nested more than %d times", maxStatement)
	}
	defer func() { p.nested-- }()
	var s statement
	var err *Error
	switch word.text {
	case "if":
		s, err = p.ifStatement(word)
	case "for":
		s, err = p.forStatement(word)
	case "set":
		s, err = p.setStatement()
	case "else":
		return nil, word, nil
	case "endif", "endfor":
		return nil, word, p.closed()
	case "include", "extends", "block", "endblock", "macro", "endmacro", "import", "from", "call":
		err = &Error{pos: word.pos, Text: word.text + " is not available"}
	default:
		err = &Error{pos: word.pos, Text: fmt.Sprintf("unknown statement '%s'", word.text)}
	}
	return s, word, err
}

func (p *parser) ifStatement(opener token) (statement, *Error) {
	s := &ifElse{}
	for {
		cond, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if err := p.closed(); err != nil {
			return nil, err
		}
		body, word, err := p.block(opener)
		if err != nil {
			return nil, err
		}
		s.arms = append(s.arms, arm{cond, body})
		switch {
		case word.text == "endif":
			return s, nil
		case word.text != "else":
			return nil, &Error{pos: word.pos, Text: word.text + " inside of if"}
		case p.tok.kind == tokName && p.tok.text == "if":
			if err := p.advance(); err != nil {
				return nil, err
			}
			continue
		}
		if err := p.closed(); err != nil {
			return nil, err
		}
		if s.otherwise, word, err = p.block(opener); err == nil && word.text != "endif" {
			err = &Error{pos: word.pos, Text: word.text + " where endif is expected"}
		}
		return s, err
	}
}

// variable takes the name of a variable that is to be bound.
func (p *parser) variable() (string, *Error) {
	name := p.tok.text
	if p.tok.kind != tokName || isWord(name) {
		return "", p.fail("expected the name of a variable, got %s", p.tok.describe())
	}
	return name, p.advance()
}

func isWord(s string) bool {
	return slices.Contains([]string{"and", "or", "not", "in", "true", "false", "null"}, s)
}

func (p *parser) forStatement(opener token) (statement, *Error) {
	s := &loop{pos: opener.pos}
	var err *Error
	if s.value, err = p.variable(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokOp && p.tok.text == "," {
		if err = p.advance(); err != nil {
			return nil, err
		}
		s.key = s.value
		if s.value, err = p.variable(); err != nil {
			return nil, err
		}
	}
	if strings.ContainsAny(s.key+s.value, "./") {
		return nil, p.fail("the variable of a loop holds neither dots nor slashes")
	}
	if p.tok.kind != tokName || p.tok.text != "in" {
		return nil, p.fail("expected 'in', got %s", p.tok.describe())
	}
	if err = p.advance(); err != nil {
		return nil, err
	}
	if s.over, err = p.expression(0); err != nil {
		return nil, err
	}
	if err = p.closed(); err != nil {
		return nil, err
	}
	bound := len(p.bound)
	p.bound = append(p.bound, s.value, s.key, "loop")
	var word token
	if s.body, word, err = p.block(opener); err == nil && word.text != "endfor" {
		err = &Error{pos: word.pos, Text: word.text + " inside of for"}
	}
	p.bound = p.bound[:bound]
	return s, err
}

func (p *parser) setStatement() (statement, *Error) {
	name, err := p.variable()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokOp || p.tok.text != "=" {
		return nil, p.fail("expected '=', got %s", p.tok.describe())
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return &set{parts: split(name, false), to: e}, p.closed()
}
