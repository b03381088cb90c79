package telemetry

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/postern-gateway/postern/internal/ir"
)

// line is one JSON object under way. log/slog's handler would do, for several
// times the cost: it takes its members as boxed values.
type line struct{ b []byte }

// key begins a member that is not the first.
func (l *line) key(name string) {
	l.b = append(l.b, ',', '"')
	l.b = append(l.b, name...)
	l.b = append(l.b, '"', ':')
}

// always writes a text of the gateway's own, also an empty one.
func (l *line) always(name, value string) {
	l.key(name)
	l.quoted(value, longestText)
}

// text writes a text of at most so many bytes, unless it is empty.
func (l *line) text(name, value string, most int) {
	if value != "" {
		l.key(name)
		l.quoted(value, most)
	}
}

func (l *line) texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	l.key(name)
	l.b = append(l.b, '[')
	for i, v := range values[:min(len(values), mostPassed)] {
		if i > 0 {
			l.b = append(l.b, ',')
		}
		l.quoted(v, longestText)
	}
	l.b = append(l.b, ']')
}

func (l *line) number(name string, n int64) {
	if n != 0 {
		l.key(name)
		l.integer(n)
	}
}

func (l *line) integer(n int64) { l.b = strconv.AppendInt(l.b, n, 10) }

// milliseconds writes d with three decimals.
func (l *line) milliseconds(d time.Duration) {
	l.b = strconv.AppendFloat(l.b, float64(d.Microseconds())/1000, 'f', 3, 64)
}

// origin writes "kind namespace/name: field, file:line", as far as known.
func (l *line) origin(name string, o *ir.Origin) {
	if *o == (ir.Origin{}) {
		return
	}
	l.key(name)
	l.b = append(l.b, '"')
	start := len(l.b)
	part := func(before, s string) {
		if s == "" {
			return
		}
		if len(l.b) > start {
			l.b = append(l.b, before...)
		}
		l.escaped(s, longestText)
	}
	part("", o.Kind)
	part(" ", o.Namespace)
	if o.Namespace != "" {
		part("/", o.Name)
	} else {
		part(" ", o.Name)
	}
	part(": ", o.Field)
	part(", ", o.File)
	if o.File != "" && o.Line != 0 {
		l.b = append(l.b, ':')
		l.integer(int64(o.Line))
	}
	l.b = append(l.b, '"')
}

func (l *line) quoted(s string, most int) {
	l.b = append(l.b, '"')
	l.escaped(s, most)
	l.b = append(l.b, '"')
}

// escaped writes at most so many bytes of s, and "…" if there are more.
func (l *line) escaped(s string, most int) {
	cut := len(s) > most
	if cut {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, n = utf8.DecodeRuneInString(s[i:]); !deceives(r) && (r != utf8.RuneError || n > 1) {
				i += n
				continue
			}
		}
		l.b = append(l.b, s[start:i]...)
		l.escape(r)
		i += n
		start = i
	}
	l.b = append(l.b, s[start:]...)
	if cut {
		l.b = append(l.b, "…"...)
	}
}

// deceives reports whether a character moves a terminal's cursor, breaks a
// line, or turns the text around.
func deceives(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}

func (l *line) escape(r rune) {
	switch r {
	case '"', '\\':
		l.b = append(l.b, '\\', byte(r))
	case '\n':
		l.b = append(l.b, `\n`...)
	case '\r':
		l.b = append(l.b, `\r`...)
	case '\t':
		l.b = append(l.b, `\t`...)
	default:
		const digits = "0123456789abcdef"
		l.b = append(l.b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	}
}
