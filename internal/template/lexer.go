package template

import "strings"

type kind int

const (
	tokEOF kind = iota
	tokText
	tokOpenPrint
	tokOpenStatement
	tokOpenLine
	tokClose // of a print, a statement or a line
	tokName
	tokNumber
	tokString
	tokOp // an operator or a bracket; its text tells which
)

// token is a piece of a template, with its place.
type token struct {
	kind kind
	text string
	pos  int
}

// describe says what a token is, in an error.
func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end"
	case tokText:
		return "text"
	case tokClose:
		if t.text == "" || t.text == "\n" {
			return "the line's end"
		}
	}
	return "'" + t.text + "'"
}

// lexer cuts a template into tokens. Outside of brackets it yields text, and
// passes over comments; inside, names, literals and operators.
type lexer struct {
	src      string
	advanced bool
	pos      int
	// until closes what is open: "}}", "%}" or "\n"; empty: text.
	until string
	// operand says that the last token ended an operand, so that a minus sign
	// is an operator and begins no number.
	operand bool
}

// next returns the next token.
func (l *lexer) next() (token, *Error) {
	if l.until != "" {
		return l.inside()
	}
	start := l.pos
	for l.pos < len(l.src) {
		i := strings.IndexAny(l.src[l.pos:], "{#")
		if i < 0 {
			break
		}
		l.pos += i
		switch open := l.opening(); {
		case open == "":
			l.pos++
			continue
		case l.pos > start:
			text := l.src[start:l.pos]
			if strings.HasSuffix(open, "-") {
				text = stripLine(text)
			}
			if text != "" {
				return token{tokText, text, start}, nil
			}
			return l.open(open)
		default:
			return l.open(open)
		}
	}
	if start == len(l.src) {
		return token{tokEOF, "", start}, nil
	}
	l.pos = len(l.src)
	return token{tokText, l.src[start:], start}, nil
}

// opening returns the sequence that opens something here, or "".
func (l *lexer) opening() string {
	rest := l.src[l.pos:]
	for _, open := range [...]string{"{{-", "{{", "{%+", "{%-", "{%", "{#-", "{#"} {
		if strings.HasPrefix(rest, open) {
			return open
		}
	}
	if strings.HasPrefix(rest, "##") && (l.pos == 0 || l.src[l.pos-1] == '\n') {
		return "##"
	}
	return ""
}

// open goes inside, or over a comment.
func (l *lexer) open(open string) (token, *Error) {
	t := token{text: open, pos: l.pos}
	l.pos += len(open)
	l.operand = false
	switch open[:2] {
	case "{{":
		t.kind, l.until = tokOpenPrint, "}}"
	case "{%":
		t.kind, l.until = tokOpenStatement, "%}"
	case "##":
		t.kind, l.until = tokOpenLine, "\n"
	default:
		end := strings.Index(l.src[l.pos:], "#}")
		if end < 0 {
			return t, &Error{pos: t.pos, Text: "the comment is not closed"}
		}
		trim := end > 0 && l.src[l.pos+end-1] == '-'
		l.pos += end + 2
		if trim {
			l.skip(" \t")
			l.skipNewline()
		}
		return l.next()
	}
	return t, nil
}

func (l *lexer) skip(set string) {
	for l.pos < len(l.src) && strings.IndexByte(set, l.src[l.pos]) >= 0 {
		l.pos++
	}
}

func (l *lexer) skipNewline() {
	if strings.HasPrefix(l.src[l.pos:], "\r\n") {
		l.pos += 2
	} else if strings.HasPrefix(l.src[l.pos:], "\n") {
		l.pos++
	}
}

// inside returns the next token of a print or a statement.
func (l *lexer) inside() (token, *Error) {
	if l.until == "\n" {
		l.skip(" \t\r")
	} else {
		l.skip(" \t\r\n")
	}
	rest := l.src[l.pos:]
	switch {
	case rest == "":
		if l.until == "\n" { // the last line needs no end
			l.until = ""
			return token{tokClose, "", l.pos}, nil
		}
		return token{tokEOF, "", l.pos}, nil
	case l.until != "\n" && rest[0] == '-' && strings.HasPrefix(rest[1:], l.until):
		return l.close(len(l.until)+1, true), nil
	case strings.HasPrefix(rest, l.until):
		return l.close(len(l.until), false), nil
	}
	return l.body(rest)
}

func (l *lexer) close(n int, trim bool) token {
	t := token{tokClose, l.src[l.pos : l.pos+n], l.pos}
	l.pos += n
	l.until = ""
	if trim {
		l.skip(" \t\r\n")
	}
	return t
}

// body returns the token that rest begins with.
func (l *lexer) body(rest string) (token, *Error) {
	c := rest[0]
	switch {
	case isAlpha(c) || strings.IndexByte("_@$~", c) >= 0:
		return l.take(tokName, l.nameEnd(rest)), nil
	case isDigit(c) || c == '-' && !l.operand:
		return l.take(tokNumber, numberEnd(rest)), nil
	case c == '"':
		end := stringEnd(rest)
		if end < 0 {
			return token{}, &Error{pos: l.pos, Text: "the string is not closed"}
		}
		return l.take(tokString, end), nil
	}
	for _, op := range [...]string{"==", "!=", "<=", ">="} {
		if strings.HasPrefix(rest, op) {
			return l.take(tokOp, 2), nil
		}
	}
	if strings.IndexByte("+-*/^%.,:()[]{}<>=", c) >= 0 {
		return l.take(tokOp, 1), nil
	}
	if c == '\'' {
		return token{}, &Error{pos: l.pos, Text: "strings stand between double quotes"}
	}
	if c == '|' {
		return token{}, &Error{pos: l.pos, Text: "there are no pipes; write f(x)"}
	}
	return token{}, &Error{pos: l.pos, Text: "this character has no meaning here"}
}

func (l *lexer) take(k kind, n int) token {
	t := token{k, l.src[l.pos : l.pos+n], l.pos}
	l.pos += n
	switch k {
	case tokName:
		l.operand = t.text != "and" && t.text != "or" && t.text != "not" && t.text != "in"
	case tokOp:
		l.operand = strings.Contains(")]}", t.text)
	default:
		l.operand = true
	}
	return t
}

// nameEnd returns where a name ends: it may hold minus signs, so that a-b is
// one name.
func (l *lexer) nameEnd(s string) int {
	i := 1
	for i < len(s) && (isAlpha(s[i]) || isDigit(s[i]) || strings.IndexByte("._/-", s[i]) >= 0 || l.advanced && s[i] == '~') {
		i++
	}
	if s[i-1] == '-' && strings.HasPrefix(s[i:], "}}") && l.until == "}}" || s[i-1] == '-' && strings.HasPrefix(s[i:], "%}") && l.until == "%}" {
		i-- // the sign of a closing bracket that trims
	}
	return i
}

// numberEnd takes more than numbers; the JSON reader decides.
func numberEnd(s string) int {
	i := 1
	for i < len(s) {
		c := s[i]
		exponent := (c == '+' || c == '-') && (s[i-1] == 'e' || s[i-1] == 'E')
		if !isDigit(c) && c != '.' && c != 'e' && c != 'E' && !exponent {
			break
		}
		i++
	}
	return i
}

func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// stripLine removes what stands after the last line break if it is nothing
// but spaces.
func stripLine(text string) string {
	s := strings.TrimRight(text, " \t")
	if s == "" || s[len(s)-1] == '\n' || s[len(s)-1] == '\r' {
		return s
	}
	return text
}

func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
