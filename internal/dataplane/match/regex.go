package match

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a regular expression. RE2's time is linear in the input and in the
// compiled program, so a bound on the program bounds both memory and time.
const (
	maxRegexBytes        = 4 << 10
	maxRegexInstructions = 4 << 10
)

// Regex compiles expr (RE2 syntax) to an expression that matches a whole text
// or nothing. An expression of more than 4,096 bytes, or whose compiled
// program would have more than about 4,096 instructions (such as nested
// repetitions), is an error.
func Regex(expr string) (*regexp.Regexp, error) {
	if len(expr) > maxRegexBytes {
		return nil, fmt.Errorf("regular expression has %d bytes, more than %d", len(expr), maxRegexBytes)
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	// Measured on the tree: compiling is what the bound is to prevent.
	if programSize(tree) > maxRegexInstructions {
		return nil, fmt.Errorf("regular expression compiles to more than %d instructions", maxRegexInstructions)
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// programSize estimates how many instructions re compiles to. It stops
// counting soon after the bound.
func programSize(re *syntax.Regexp) int {
	size := 1
	switch re.Op {
	case syntax.OpLiteral:
		size = len(re.Rune)
	case syntax.OpCapture:
		size = 2
	}
	for _, sub := range re.Sub {
		size += programSize(sub) + 1
		if size > maxRegexInstructions {
			return maxRegexInstructions + 1
		}
	}
	if re.Op == syntax.OpRepeat {
		times := max(re.Max, re.Min+1, 1)
		size = min(size*times, maxRegexInstructions+1)
	}
	return size
}

// rests are compiled expressions by their text. Routes that differ in the
// text which they begin with share what follows: it is compiled once, and
// stays in the processor's cache.
type rests map[string]*regexp.Regexp

// compile returns the text that every match of expr begins with, and an
// expression for what follows there.
func (r rests) compile(expr string) (literal string, rest *regexp.Regexp, err error) {
	whole, err := Regex(expr) // for its bounds, and its words
	if err != nil {
		return "", nil, err
	}
	literal, text := cutLiteral(expr)
	if literal == "" {
		return "", whole, nil
	}
	if rest = r[text]; rest == nil {
		if rest, err = Regex(text); err != nil {
			return "", whole, nil
		}
		r[text] = rest
	}
	return literal, rest, nil
}

// cutLiteral parts an expression from the text that it begins with. Where it
// looks back at what is before a place, it stays whole.
func cutLiteral(expr string) (literal, rest string) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat || looksBack(tree) {
		return "", expr
	}
	first := tree.Sub[0]
	if first.Op != syntax.OpLiteral || first.Flags&syntax.FoldCase != 0 {
		return "", expr
	}
	for _, r := range first.Rune {
		if r >= utf8.RuneSelf { // U+FFFD also matches bytes that are no UTF-8
			return "", expr
		}
	}
	literal = string(first.Rune)
	follows := &syntax.Regexp{Op: syntax.OpConcat, Flags: tree.Flags, Sub: tree.Sub[1:]}
	if text, ok := after(expr, literal); ok {
		again, err := syntax.Parse(text, syntax.Perl)
		if err == nil && (again.Equal(follows) || len(follows.Sub) == 1 && again.Equal(follows.Sub[0])) {
			return literal, text
		}
	}
	return literal, follows.String() // which takes milliseconds for a class such as [^/]
}

// after cuts a literal, of which characters may be escaped, off an expression.
func after(expr, literal string) (rest string, ok bool) {
	for i := range len(literal) {
		expr = strings.TrimPrefix(expr, `\`)
		if expr == "" || expr[0] != literal[i] {
			return "", false
		}
		expr = expr[1:]
	}
	return expr, true
}

func looksBack(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(re.Sub, looksBack)
}
