package resource

import (
	"bytes"
	"encoding/json"
)

// node is one value of a document, whether it was written in YAML or in JSON.
// Aliases and merge keys are resolved; doubled keys are all there.
type node struct {
	kind nodeKind
	// text is a scalar's text; a number's is valid JSON. Of a badNode it says
	// what is wrong.
	text string
	// remedy of a badNode.
	remedy string
	line   int
	// plain says that the scalar stood without quotes.
	plain bool
	// sealed says that nothing from below may be kept or named.
	sealed bool
	fields []field
	items  []*node
}

type field struct {
	name  string
	line  int
	value *node
}

type nodeKind int

const (
	nullNode nodeKind = iota
	boolNode
	intNode
	floatNode
	stringNode
	mapNode
	listNode
	badNode
)

// what names the node's type for people.
func (n *node) what() string {
	switch n.kind {
	case boolNode:
		return "true or false"
	case intNode, floatNode:
		return "a number"
	case stringNode:
		return "text"
	case mapNode:
		return "a mapping"
	case listNode:
		return "a list"
	}
	return "nothing"
}

func (n *node) size() int { return len(n.fields) + len(n.items) }

// get returns the first value of a mapping's key, or nil.
func (n *node) get(name string) *node {
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

// json returns the node as JSON; of doubled keys the first.
func (n *node) json() []byte {
	var b bytes.Buffer
	n.appendJSON(&b)
	return b.Bytes()
}

func (n *node) appendJSON(b *bytes.Buffer) {
	switch n.kind {
	case boolNode, intNode, floatNode:
		b.WriteString(n.text)
	case stringNode:
		appendString(b, n.text)
	case mapNode:
		n.appendObject(b)
	case listNode:
		b.WriteByte('[')
		for i, it := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			it.appendJSON(b)
		}
		b.WriteByte(']')
	default:
		b.WriteString("null")
	}
}

func (n *node) appendObject(b *bytes.Buffer) {
	seen := make(map[string]bool, len(n.fields))
	b.WriteByte('{')
	for _, f := range n.fields {
		if seen[f.name] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[f.name] = true
		appendString(b, f.name)
		b.WriteByte(':')
		f.value.appendJSON(b)
	}
	b.WriteByte('}')
}

func appendString(b *bytes.Buffer, s string) {
	enc, err := json.Marshal(s)
	if err != nil {
		panic("a string that is no JSON: " + err.Error())
	}
	b.Write(enc)
}
