package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readJSON returns the values of a JSON stream; after a breakage, those before
// it.
func readJSON(b []byte) ([]*node, *breakage) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	r := &jsonReader{text: b, dec: dec, line: 1}
	var docs []*node
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		n := r.value(tok, err, 0)
		if r.broken != nil {
			return docs, r.broken
		}
		docs = append(docs, n)
	}
}

// jsonReader makes nodes of a decoder's tokens, counting lines as it goes.
type jsonReader struct {
	text   []byte
	dec    *json.Decoder
	line   int
	passed int // bytes whose newlines are counted
	broken *breakage
}

// here returns the line at which the last token ended.
func (r *jsonReader) here() int {
	if off := min(int(r.dec.InputOffset()), len(r.text)); off > r.passed {
		r.line += bytes.Count(r.text[r.passed:off], []byte("\n"))
		r.passed = off
	}
	return r.line
}

func (r *jsonReader) fail(err error) *node {
	if r.broken == nil {
		line := r.here()
		if se := (*json.SyntaxError)(nil); errors.As(err, &se) {
			line = 1 + bytes.Count(r.text[:max(0, min(int(se.Offset)-1, len(r.text)))], []byte("\n"))
		}
		r.broken = &breakage{line, "this is not JSON", "look for a comma, quote or bracket that is missing or one too many"}
	}
	return &node{}
}

func (r *jsonReader) value(tok json.Token, err error, depth int) *node {
	if err != nil {
		return r.fail(err)
	}
	n := &node{line: r.here()}
	if depth > maxDepth {
		r.broken = &breakage{n.line, fmt.Sprintf("it is nested more than %d deep", maxDepth), "flatten it"}
		return n
	}
	switch t := tok.(type) {
	case bool:
		n.kind, n.text = boolNode, fmt.Sprint(t)
	case string:
		n.kind, n.text = stringNode, t
	case json.Number:
		n.kind, n.text = floatNode, t.String()
		if wholeNumber.MatchString(n.text) {
			n.kind = intNode
		}
	case json.Delim:
		r.compound(n, t, depth)
	}
	return n
}

func (r *jsonReader) compound(n *node, open json.Delim, depth int) {
	n.kind = listNode
	if open == '{' {
		n.kind = mapNode
	}
	for r.broken == nil && r.dec.More() {
		if n.kind == listNode {
			tok, err := r.dec.Token()
			n.items = append(n.items, r.value(tok, err, depth+1))
			continue
		}
		key, err := r.dec.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			r.fail(err)
			return
		}
		line := r.here()
		tok, err := r.dec.Token()
		v := r.value(tok, err, depth+1)
		if name == "" {
			v = &node{kind: badNode, line: line, text: "a key is not text, or empty", remedy: "write the key as text"}
		}
		n.fields = append(n.fields, field{name, line, v})
	}
	if r.broken != nil {
		return
	}
	if _, err := r.dec.Token(); err != nil {
		r.fail(err)
	}
}
