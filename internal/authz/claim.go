package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/ir"
)

// What one regular expression may be, as written and as compiled: RE2 takes
// linear time, but the line rises with both.
const (
	maxRegexBytes = 1 << 10
	maxRegexInst  = 10_000
)

// claim is an ir.ClaimMatch made ready.
type claim struct {
	path    []string
	label   string // of the path, quoted, for reasons
	matcher ir.ClaimMatcher
	value   string
	truth   bool           // of ClaimBoolean
	regex   *regexp.Regexp // of ClaimRegex
}

func newClaim(cfg ir.ClaimMatch) (claim, error) {
	c := claim{path: slices.Clone(cfg.Path), label: fmt.Sprintf("%q", strings.Join(cfg.Path, ".")), matcher: cfg.Matcher, value: cfg.Value}
	if len(c.path) == 0 || slices.Contains(c.path, "") {
		return claim{}, fmt.Errorf("claim %s: a name in its path is empty", c.label)
	}
	var err error
	switch c.matcher {
	case ir.ClaimExact, ir.ClaimListContains:
	case ir.ClaimBoolean:
		c.truth = c.value == "true"
		if !c.truth && c.value != "false" {
			err = fmt.Errorf("BOOLEAN wants true or false, not %q", c.value)
		}
	case ir.ClaimRegex:
		c.regex, err = compileRegex(c.value)
	default:
		err = fmt.Errorf("unknown matcher %q", c.matcher)
	}
	if err != nil {
		return claim{}, fmt.Errorf("claim %s: %w", c.label, err)
	}
	return c, nil
}

// compileRegex compiles an RE2 expression that must match all of a string.
// It is parsed by itself first, so that it cannot reach out of its group.
func compileRegex(expr string) (*regexp.Regexp, error) {
	if len(expr) > maxRegexBytes {
		return nil, fmt.Errorf("regular expression of more than %d bytes", maxRegexBytes)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxRegexInst {
		return nil, errors.New("regular expression is too large when compiled")
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// matches compares types as well as values: a string is not a list of one, a
// list is none of its elements, and a number matches nothing.
func (c *claim) matches(claims map[string]any) bool {
	switch v := authn.LookUp(claims, c.path).(type) {
	case string:
		return c.matcher == ir.ClaimExact && v == c.value ||
			c.matcher == ir.ClaimRegex && c.regex.MatchString(v)
	case bool:
		return c.matcher == ir.ClaimBoolean && v == c.truth
	case []any:
		return c.matcher == ir.ClaimListContains && contains(v, c.value)
	}
	return false
}

func contains(list []any, value string) bool {
	for _, e := range list {
		if s, ok := e.(string); ok && s == value {
			return true
		}
	}
	return false
}

// objection says why matches is false.
func (c *claim) objection(claims map[string]any) string {
	name, wants := "EXACT_STRING", "a string"
	switch c.matcher {
	case ir.ClaimBoolean:
		name, wants = "BOOLEAN", "a boolean"
	case ir.ClaimListContains:
		name, wants = "LIST_CONTAINS", "a list"
	case ir.ClaimRegex:
		name = "REGEX_MATCH"
	}
	is := kindOf(authn.LookUp(claims, c.path))
	switch {
	case is == "":
		return fmt.Sprintf("claim %s is absent", c.label)
	case is != wants:
		return fmt.Sprintf("claim %s is %s, %s wants %s", c.label, is, name, wants)
	case c.matcher == ir.ClaimListContains:
		return fmt.Sprintf("claim %s does not contain %q", c.label, c.value)
	case c.matcher == ir.ClaimRegex:
		return fmt.Sprintf("claim %s does not match %q", c.label, c.value)
	}
	return fmt.Sprintf("claim %s is not %q", c.label, c.value)
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return ""
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case json.Number:
		return "a number"
	}
	return "an object"
}
