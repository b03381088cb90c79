package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The bounds of one file. Without aliases a document's nodes are bounded by
// its bytes; the budget is for what aliases add.
const (
	maxDepth   = 100
	maxAliased = 100_000
)

// breakage is why a file cannot be decoded at all. It quotes nothing of the
// file, since any of it may be secret.
type breakage struct {
	line         int
	what, remedy string
}

// readYAML returns the documents of a YAML stream; after a breakage, those
// before it.
func readYAML(b []byte) (docs []*node, broken *breakage) {
	defer func() {
		if r := recover(); r != nil { // the parser's own panics, on hostile input
			broken = &breakage{what: "this cannot be read as YAML"}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(b))
	r := &yamlReader{}
	for {
		var y yaml.Node
		err := dec.Decode(&y)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, yamlBreakage(err, b)
		}
		n := r.node(&y, 0)
		if r.broken != nil {
			return docs, r.broken
		}
		docs = append(docs, n)
	}
}

// yamlReader turns the parser's nodes into ours.
type yamlReader struct {
	aliased int // nodes made below aliases
	within  []*yaml.Node
	broken  *breakage
}

func (r *yamlReader) node(y *yaml.Node, depth int) *node {
	if r.broken != nil {
		return &node{}
	}
	if len(r.within) > 0 {
		if r.aliased++; r.aliased > maxAliased {
			r.broken = &breakage{y.Line, fmt.Sprintf("its aliases stand for more than %d values", maxAliased), "write the values out, or use fewer aliases"}
		}
	}
	if depth > maxDepth {
		r.broken = &breakage{y.Line, fmt.Sprintf("it is nested more than %d deep", maxDepth), "flatten it"}
	}
	if r.broken != nil {
		return &node{}
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return r.node(y.Content[0], depth)
	case yaml.AliasNode:
		return r.alias(y, depth)
	case yaml.MappingNode:
		return r.mapping(y, depth)
	case yaml.SequenceNode:
		return r.sequence(y, depth)
	case yaml.ScalarNode:
		return scalar(y)
	}
	return &node{line: y.Line}
}

func (r *yamlReader) alias(y *yaml.Node, depth int) *node {
	for _, w := range r.within {
		if w == y.Alias {
			return bad(y, "an alias contains itself", "write the value out")
		}
	}
	r.within = append(r.within, y.Alias)
	n := r.node(y.Alias, depth+1)
	r.within = r.within[:len(r.within)-1]
	return n
}

func (r *yamlReader) sequence(y *yaml.Node, depth int) *node {
	if foreignTag(y, "!!seq") {
		return bad(y, "a YAML tag that is not known here", "write the list without a tag")
	}
	n := &node{kind: listNode, line: y.Line, items: make([]*node, 0, len(y.Content))}
	for _, c := range y.Content {
		it := r.node(c, depth+1)
		if it.line != c.Line { // an alias: where it stands, not where it points
			moved := *it
			moved.line, it = c.Line, &moved
		}
		n.items = append(n.items, it)
	}
	return n
}

func (r *yamlReader) mapping(y *yaml.Node, depth int) *node {
	if foreignTag(y, "!!map") {
		return bad(y, "a YAML tag that is not known here", "write the mapping without a tag")
	}
	n := &node{kind: mapNode, line: y.Line, fields: make([]field, 0, len(y.Content)/2)}
	var merged []field
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merged = append(merged, r.merge(v, depth)...)
		case k.Kind != yaml.ScalarNode || k.Value == "" || k.ShortTag() == "!!null":
			n.fields = append(n.fields, field{line: k.Line, value: bad(k, "a key is not text, or empty", "write the key as text")})
		default:
			n.fields = append(n.fields, field{k.Value, k.Line, r.node(v, depth+1)})
		}
	}
	n.addMissing(merged)
	return n
}

// merge returns the fields that a merge key brings in, the winning one first.
func (r *yamlReader) merge(y *yaml.Node, depth int) []field {
	n := r.node(y, depth+1)
	if n.kind == mapNode {
		return n.fields
	}
	var out []field
	for _, it := range n.items {
		if it.kind != mapNode {
			n = it
			break
		}
		out = append(out, it.fields...)
	}
	if n.kind != listNode {
		out = append(out, field{line: y.Line, value: bad(y, "a merge key << does not stand for a mapping", "give it an alias of a mapping")})
	}
	return out
}

// addMissing adds the merged fields whose names are not there yet.
func (n *node) addMissing(merged []field) {
	if len(merged) == 0 {
		return
	}
	have := make(map[string]bool, len(n.fields))
	for _, f := range n.fields {
		have[f.name] = true
	}
	for _, f := range merged {
		if f.name == "" || !have[f.name] {
			have[f.name] = true
			n.fields = append(n.fields, f)
		}
	}
}

func bad(y *yaml.Node, what, remedy string) *node {
	return &node{kind: badNode, line: y.Line, text: what, remedy: remedy}
}

func foreignTag(y *yaml.Node, usual string) bool {
	return y.Style&yaml.TaggedStyle != 0 && y.ShortTag() != usual
}

var (
	leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+$`)
	wholeNumber = regexp.MustCompile(`^[-+]?[0-9][0-9_]*$`)
	jsonNumber  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// scalar turns a YAML scalar into ours: YAML 1.2's core types, with 1.1's
// dates as text.
func scalar(y *yaml.Node) *node {
	n := &node{line: y.Line, text: y.Value, plain: y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0}
	switch y.ShortTag() {
	case "!!str", "!!timestamp", "!!merge":
		n.kind = stringNode
	case "!!null":
		n.kind, n.text = nullNode, ""
	case "!!bool":
		n.kind, n.text = boolNode, strings.ToLower(y.Value)
		if n.text != "true" && n.text != "false" {
			return bad(y, "it is tagged as a boolean and is none", "write true or false")
		}
	case "!!int", "!!float":
		return number(y, n)
	default:
		return bad(y, "a YAML tag that is not known here", "write the value without a tag, in quotes if it is text")
	}
	return n
}

func number(y *yaml.Node, n *node) *node {
	if leadingZero.MatchString(y.Value) {
		return bad(y, "a number with a leading zero, which YAML 1.1 reads in base 8", "write it without the zero, or in quotes if it is text")
	}
	plain := strings.TrimPrefix(strings.ReplaceAll(y.Value, "_", ""), "+")
	n.kind = intNode
	if wholeNumber.MatchString(plain) {
		n.text = plain
		return n
	}
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		n.text = strconv.FormatInt(i, 10)
		return n
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		n.text = strconv.FormatUint(u, 10)
		return n
	}
	n.kind, n.text = floatNode, plain
	if jsonNumber.MatchString(plain) {
		return n
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return bad(y, "not a number, or an infinite one", "write a finite number, or put it in quotes if it is text")
	}
	n.text = strconv.FormatFloat(f, 'g', -1, 64)
	return n
}
