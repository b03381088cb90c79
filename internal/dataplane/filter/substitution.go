package filter

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// substitution is an ir.RegexRewrite made ready: it replaces every match, as
// RE2's GlobalReplace does.
type substitution struct {
	re *regexp.Regexp
	// template is in the syntax of regexp.Expand.
	template string
}

func newSubstitution(cfg *ir.RegexRewrite) (*substitution, error) {
	if _, err := match.Regex(cfg.Pattern); err != nil { // for its bounds
		return nil, err
	}
	re, err := regexp.Compile(cfg.Pattern)
	if err != nil {
		return nil, err
	}
	template, err := expandSyntax(cfg.Substitution, re.NumSubexp())
	if err != nil {
		return nil, fmt.Errorf("substitution %q: %w", cfg.Substitution, err)
	}
	return &substitution{re, template}, nil
}

// apply replaces every match in s.
func (s *substitution) apply(text string) string { return s.re.ReplaceAllString(text, s.template) }

// expandSyntax turns RE2's \0 to \9 and \\ into what regexp.Expand reads.
func expandSyntax(s string, groups int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '$':
			b.WriteString("$$")
		case c == ' ':
			b.WriteString("%20")
		case c < ' ' || c == 0x7f:
			return "", errors.New("holds a control byte")
		case c != '\\':
			b.WriteByte(c)
		default:
			i++
			if i == len(s) || s[i] != '\\' && (s[i] < '0' || s[i] > '9') {
				return "", errors.New("a backslash must be followed by a digit or a backslash")
			}
			if s[i] == '\\' {
				b.WriteByte('\\')
				continue
			}
			if n := int(s[i] - '0'); n > groups {
				return "", fmt.Errorf("\\%d: the pattern has %d groups", n, groups)
			}
			fmt.Fprintf(&b, "${%c}", s[i])
		}
	}
	return b.String(), nil
}

func queryName(pair string) (string, error) {
	name, _, _ := strings.Cut(pair, "=")
	return url.QueryUnescape(name)
}
