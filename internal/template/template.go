// Package template is the template language Inja, version 3.4, as the
// transformation filter of Gloo's Envoy speaks it: names such as a-b are one
// name, extractions and headers can be read, nothing can be included.
//
//	text ──Parse──► Template ──Append(Input)──► bytes, or an Error with line:column
//	                              ▲
//	          Source (headers, body, metadata), Context (JSON), Extractions
//
// A Template is parsed once and rendered by any number of goroutines, each
// with an Input of its own. Everything is bounded: the template's size and
// nesting, the work of a rendering, the size of what comes out, and what the
// package's own JSON reader takes. The package knows no request: what a
// template reads comes through Input, which also tells afterwards what was
// read, so that a caller can treat what was made of a secret as one.
//
// Differences from Inja: `set` and loop variables are scoped as one would
// expect after a loop; else stands once; numbers are kept as they are written;
// a loop over an unknown function, include, extends, block and macros are
// refused when parsing. See https://github.com/pantor/inja and
// github.com/solo-io/envoy-gloo, inja_transformer.cc.
package template

import (
	"fmt"
	"strings"
)

// Bounds of a template's text.
const (
	maxSource    = 256 << 10
	maxStatement = 32 // nested statements
	maxExpr      = 64 // nested expressions
)

// Options say how a template is read.
type Options struct {
	// Advanced separates the parts of a name by slashes alone, as JSON
	// pointers, and keeps extractions out of the variables. Otherwise dots
	// separate too.
	Advanced bool
	// Escape prints strings as they stand between the quotes in JSON.
	Escape bool
}

// Template is a parsed template. It is immutable.
type Template struct {
	src  string
	opts Options
	body []statement
	uses Uses
}

// Error is why a template cannot be parsed, or not be rendered with this
// Input. It never quotes a value, so that it can be shown to anyone.
type Error struct {
	// Line and Column count from 1, columns in bytes.
	Line, Column int
	Text         string

	pos int
}

// Error returns "line:column: text".
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Text) }

// at fills in line and column.
func (e *Error) at(src string) *Error {
	before := src[:min(e.pos, len(src))]
	e.Line = strings.Count(before, "\n") + 1
	e.Column = len(before) - strings.LastIndexByte(before, '\n')
	return e
}

// Parse reads a template.
func Parse(src string, opts Options) (*Template, error) {
	if len(src) > maxSource {
		return nil, &Error{Line: 1, Column: 1, Text: fmt.Sprintf("the template has %d bytes, more than %d", len(src), maxSource)}
	}
	p := &parser{lexer: lexer{src: src, advanced: opts.Advanced}, opts: opts}
	body, err := p.template()
	if err != nil {
		return nil, err.at(src)
	}
	return &Template{src: src, opts: opts, body: body, uses: p.uses}, nil
}

// Uses returns what the template can read.
func (t *Template) Uses() *Uses { return &t.uses }

// Append appends what the template renders to dst. After an error, what was
// appended is not to be used.
func (t *Template) Append(dst []byte, in *Input) ([]byte, error) {
	in.begin(dst, t.opts)
	for _, s := range t.body {
		if err := s.render(in); err != nil {
			return dst, err.at(t.src)
		}
	}
	return in.out, nil
}

// Uses tells what a template can read, found when parsing.
type Uses struct {
	// Body and Context say that body() may be called, or context() or exists().
	Body, Context bool
	// Variables are the names that are read and that no loop binds.
	Variables []string
	// Headers and RequestHeaders are the names that header() and
	// request_header() are called with; AnyHeader says that one is called with
	// a name that is not known beforehand.
	Headers, RequestHeaders []string
	AnyHeader               bool
}
