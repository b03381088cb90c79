package filter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeLayout writes a time in the manner of strftime, in UTC, with Envoy's
// additions: %s for Unix seconds, %f for the fraction, %3f for its first
// three digits. The zero layout writes 2018-04-03T23:06:09.123Z.
type timeLayout []timePart

// timePart is a piece in Go's layout language, a literal, or one of what Go's
// language cannot say.
type timePart struct {
	layout, literal string
	special         byte // 's' or 'f'
	digits          int
}

// layoutOf returns one of strftime's conversions in Go's layout language, or
// "".
func layoutOf(conversion byte) string {
	const conversions = "YymdejHIMSpaAbhBzZFTRD"
	layouts := [...]string{
		"2006", "06", "01", "02", "_2", "002", "15", "03", "04", "05", "PM",
		"Mon", "Monday", "Jan", "Jan", "January", "-0700", "MST",
		"2006-01-02", "15:04:05", "15:04", "01/02/06",
	}
	if i := strings.IndexByte(conversions, conversion); i >= 0 {
		return layouts[i]
	}
	return ""
}

func parseTime(s string) (timeLayout, error) {
	if s == "" {
		return timeLayout{{layout: "2006-01-02T15:04:05.000Z"}}, nil
	}
	var out timeLayout
	for s != "" {
		text, rest, found := strings.Cut(s, "%")
		if text != "" {
			out = append(out, timePart{literal: text})
		}
		if !found {
			break
		}
		p, after, err := parseConversion(rest)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		s = after
	}
	return out, nil
}

func parseConversion(s string) (timePart, string, error) {
	digits := 9
	if s != "" && s[0] >= '1' && s[0] <= '9' {
		digits = int(s[0] - '0')
		if s = s[1:]; s == "" || s[0] != 'f' {
			return timePart{}, "", fmt.Errorf("the time conversion %%%d is not known", digits)
		}
	}
	if s == "" {
		return timePart{}, "", fmt.Errorf("the time format ends in a percent sign")
	}
	switch c := s[0]; c {
	case '%':
		return timePart{literal: "%"}, s[1:], nil
	case 's', 'f':
		return timePart{special: c, digits: digits}, s[1:], nil
	default:
		layout := layoutOf(c)
		if layout == "" {
			return timePart{}, "", fmt.Errorf("the time conversion %%%c is not known", c)
		}
		return timePart{layout: layout}, s[1:], nil
	}
}

func (l timeLayout) append(b []byte, t time.Time) []byte {
	t = t.UTC()
	for _, p := range l {
		switch {
		case p.special == 's':
			b = strconv.AppendInt(b, t.Unix(), 10)
		case p.special == 'f':
			fraction := strconv.Itoa(1e9 + t.Nanosecond())
			b = append(b, fraction[1:1+p.digits]...)
		case p.layout != "":
			b = t.AppendFormat(b, p.layout)
		default:
			b = append(b, p.literal...)
		}
	}
	return b
}
