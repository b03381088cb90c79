package match

import (
	"fmt"
	"regexp"
	"regexp/syntax"
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

// literalPrefix returns a text that every text which expr fully matches begins
// with; often empty.
func literalPrefix(expr string) string {
	re, err := regexp.Compile(expr)
	if err != nil {
		return ""
	}
	prefix, _ := re.LiteralPrefix()
	return prefix
}
