package filter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
)

// format is a text with Envoy's %COMMAND% operators, parsed: literal pieces
// and operators in turn. See Envoy's "Substitution formatting".
type format struct {
	parts []part
	// identity says that a part tells who calls.
	identity bool
}

// part is a literal, or an operator with the most bytes it may write (0: any).
type part struct {
	literal string
	write   operator
	most    int
}

// operator appends what it stands for to b; nothing, if there is nothing.
type operator func(b []byte, in *input) []byte

// input is what operators look at, and what they used.
type input struct {
	ctx context.Context
	e   *dataplane.Exchange
	// status and header are the answer's; header is nil on a request.
	status int
	header http.Header
	// credentials are the caller's that a rendered text holds.
	credentials []authn.Location
	// text is where rendering happens.
	text []byte
}

// inputPool keeps inputs: one for each rendered header would escape.
type inputPool struct{ pool sync.Pool }

func (p *inputPool) get(ctx context.Context, e *dataplane.Exchange) *input {
	in, ok := p.pool.Get().(*input)
	if !ok {
		in = &input{text: make([]byte, 0, 256)}
	}
	in.ctx, in.e = ctx, e
	return in
}

func (p *inputPool) put(in *input) {
	if cap(in.text) <= 4<<10 {
		*in = input{text: in.text[:0]}
		p.pool.Put(in)
	}
}

// render returns the text. It is empty if every operator came out empty and
// there is nothing else.
func (f *format) render(in *input) string {
	b := in.text[:0]
	for i := range f.parts {
		p := &f.parts[i]
		if p.write == nil {
			b = append(b, p.literal...)
			continue
		}
		start := len(b)
		b = p.write(b, in)
		if p.most > 0 && len(b) > start+p.most {
			b = b[:start+p.most]
		}
	}
	in.text = b
	return string(b)
}

// longestFormat bounds what is parsed; header values of such a size travel
// nowhere.
const longestFormat = 16 << 10

// parseFormat parses s. An error names the operator that is not known, or that
// has no sense on that side.
func parseFormat(s string, where side) (*format, error) {
	if len(s) > longestFormat {
		return nil, fmt.Errorf("the format has %d bytes, more than %d", len(s), longestFormat)
	}
	if !isFieldValue(s) {
		return nil, errors.New("the format holds a control byte")
	}
	f := &format{}
	for s != "" {
		text, rest, found := strings.Cut(s, "%")
		f.literal(text)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "%") {
			f.literal("%")
			s = rest[1:]
			continue
		}
		c, rest, err := parseCommand(rest)
		if err != nil {
			return nil, err
		}
		p := part{most: c.most}
		if p.write, err = c.operator(where); err != nil {
			return nil, fmt.Errorf("%%%s%%: %w", c.text, err)
		}
		f.identity = f.identity || c.name == "DYNAMIC_METADATA"
		f.parts = append(f.parts, p)
		s = rest
	}
	return f, nil
}

// literal appends text to the format.
func (f *format) literal(text string) {
	if n := len(f.parts); n > 0 && f.parts[n-1].write == nil {
		f.parts[n-1].literal += text
	} else if text != "" {
		f.parts = append(f.parts, part{literal: text})
	}
}

// command is one %NAME(args):most%.
type command struct {
	text       string // between the percent signs
	name, args string
	hasArgs    bool
	most       int
}

// parseCommand reads a command after its first percent sign, and returns what
// follows the second. Between the brackets, a percent sign is like any other
// byte.
func parseCommand(s string) (command, string, error) {
	n := 0
	for n < len(s) && (s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9' || s[n] == '_') {
		n++
	}
	if n == 0 {
		return command{}, "", errors.New("a percent sign begins no operator; a literal one is written %%")
	}
	c := command{name: s[:n]}
	if n < len(s) && s[n] == '(' {
		for i := n + 1; ; i++ {
			if i >= len(s) {
				return command{}, "", fmt.Errorf("%%%s: the brackets are not closed", c.name)
			}
			if s[i] != ')' {
				continue
			}
			if most, end, ok := parseEnd(s, i+1); ok {
				c.args, c.hasArgs, c.most, c.text = s[n+1:i], true, most, s[:end]
				return c, s[end+1:], nil
			}
		}
	}
	most, end, ok := parseEnd(s, n)
	if !ok {
		return command{}, "", fmt.Errorf("%%%s: the second percent sign is missing", c.name)
	}
	c.most, c.text = most, s[:end]
	return c, s[end+1:], nil
}

// parseEnd reads an optional ":most" and the percent sign at s[i:].
func parseEnd(s string, i int) (most, end int, ok bool) {
	if i < len(s) && s[i] == ':' {
		start := i + 1
		for i = start; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		}
		var err error
		if most, err = strconv.Atoi(s[start:i]); err != nil || most == 0 {
			return 0, 0, false
		}
	}
	return most, i, i < len(s) && s[i] == '%'
}
