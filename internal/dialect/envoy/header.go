package envoy

import (
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// command is one of Envoy's formatters, or an escaped percent sign.
var command = regexp.MustCompile(`%%|%[A-Z0-9_]+(?:\([^)]*\))?(?::[0-9]+)?%`)

// HeaderValue reads what a field sets a header to: a text in which formatters
// may stand. What is wrong with it is reported at p.
func HeaderValue(p *reading.Place, field, header, text string) ir.HeaderValue {
	v := ir.HeaderValue{Name: header, Origin: p.Origin(field)}
	rest := command.ReplaceAllString(text, "")
	switch {
	case strings.ContainsAny(text, "\r\n\x00"):
		p.Fail(field, "write it on one line", "the value holds a line break or NUL")
	case strings.Contains(rest, "%"):
		p.Fail(field, "write %% for a percent sign", "a percent sign begins no formatter such as %%REQ(:path)%%")
	case strings.Contains(strings.ReplaceAll(text, "%%", ""), "%"):
		v.Format = text
	default:
		v.Value = strings.ReplaceAll(text, "%%", "%")
	}
	return v
}
