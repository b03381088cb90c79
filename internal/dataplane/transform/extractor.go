package transform

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// extractor is an ir.Extractor made ready.
type extractor struct {
	header string // canonical, a pseudo header's, or "" for the body
	whole  *regexp.Regexp
	group  int
	mode   string
	// everything says that the expression takes any text without a line break.
	everything bool
	// parts is what every match becomes, where all are replaced.
	parts       *regexp.Regexp
	replacement string
}

// The modes of an extractor; "": take a group of a full match.
const (
	modeSingle = "single"
	modeAll    = "all"
)

func newExtractor(cfg *ir.Extractor, where side) (extractor, error) {
	x := extractor{group: cfg.Group, mode: cfg.Mode, everything: cfg.Regex == ".*" && cfg.Group == 0}
	if cfg.Name == "" {
		return x, errors.New("it has no name")
	}
	if x.header = strings.ToLower(cfg.Header); !strings.HasPrefix(x.header, ":") {
		x.header = http.CanonicalHeaderKey(cfg.Header)
	}
	if where == onResponse && x.header != "" && dataplane.IsReserved(x.header) {
		return x, fmt.Errorf("header %q is the gateway's own", cfg.Header)
	}
	var err error
	if x.whole, err = match.Regex(cfg.Regex); err != nil {
		return x, err
	}
	if cfg.Group < 0 || cfg.Group > x.whole.NumSubexp() {
		return x, fmt.Errorf("subgroup %d: the expression has %d", cfg.Group, x.whole.NumSubexp())
	}
	switch cfg.Mode {
	case "":
		return x, nil
	case modeSingle, modeAll:
	default:
		return x, fmt.Errorf("mode %q does not exist", cfg.Mode)
	}
	if cfg.Replacement == nil {
		return x, errors.New("it replaces, and has no replacement text")
	}
	x.replacement = *cfg.Replacement
	if cfg.Mode == modeAll {
		if cfg.Group != 0 {
			return x, errors.New("where everything is replaced, subgroup is 0")
		}
		x.parts, err = regexp.Compile(cfg.Regex) // its bounds are checked above
		x.replacement = expandSyntax(x.replacement)
	}
	return x, err
}

// expandSyntax turns ECMAScript's $1 to $99, $& and $$ into what
// regexp.Expand reads; other dollar signs stand for themselves.
func expandSyntax(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' {
			b.WriteByte(s[i])
			continue
		}
		n := i + 1
		for n < len(s) && n < i+3 && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		switch {
		case n > i+1:
			b.WriteString("${" + strings.TrimLeft(s[i+1:n-1], "0") + s[n-1:n] + "}")
			i = n - 1
		case strings.HasPrefix(s[n:], "&"):
			b.WriteString("${0}")
			i++
		default:
			b.WriteString("$$")
			if strings.HasPrefix(s[n:], "$") {
				i++
			}
		}
	}
	return b.String()
}

// maxPlaces bounds the places of groups that are remembered of one text.
const maxPlaces = 1 << 20

var errMatches = errors.New("an extractor's expression matches too often")

var errGrows = errors.New("an extractor's replacement makes the text too large")

// take returns what the extractor makes of a text, of at most limit bytes.
func (x *extractor) take(text string, limit int) (string, error) {
	switch {
	case x.mode == modeAll:
		return x.replaceAll(text, limit)
	case x.mode == "" && x.everything && !strings.Contains(text, "\n"):
		return text, nil
	case x.mode == "" && x.group == 0:
		if x.whole.MatchString(text) {
			return text, nil
		}
		return "", nil
	}
	at := x.whole.FindStringSubmatchIndex(text)
	if x.mode == "" {
		if at == nil || at[2*x.group] < 0 {
			return "", nil
		}
		return text[at[2*x.group]:at[2*x.group+1]], nil
	}
	if at == nil || at[2*x.group] < 0 {
		return text, nil
	}
	if len(text)+len(x.replacement) > limit {
		return "", errGrows
	}
	return text[:at[2*x.group]] + x.replacement + text[at[2*x.group+1]:], nil
}

// replaceAll replaces every match that is not empty.
func (x *extractor) replaceAll(text string, limit int) (string, error) {
	var out []byte
	from, most := 0, maxPlaces/(2*x.parts.NumSubexp()+2)+1
	found := x.parts.FindAllStringSubmatchIndex(text, most)
	if len(found) == most {
		return "", errMatches
	}
	for _, at := range found {
		if at[0] == at[1] {
			continue
		}
		out = append(out, text[from:at[0]]...)
		out = x.parts.ExpandString(out, x.replacement, text, at)
		from = at[1]
		if len(out) > limit {
			return "", errGrows
		}
	}
	return string(append(out, text[from:]...)), nil
}
