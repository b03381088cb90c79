package resource

import (
	"strconv"
	"strings"
)

// Lines tells at which line of its file each field of an object was written.
// The zero Lines knows none. It holds names of fields and keys, never values,
// and nothing from below a secret field.
type Lines struct{ root *lineNode }

// lineNode is one field, map entry or list item. The kids of a list are its
// items in order, and have no name.
type lineNode struct {
	name string
	line int32
	kids []lineNode
}

// At returns the line of the field at path, such as spec.rules[0].matches; of
// a path that has no line of its own, the nearest enclosing one's. A map key
// with dots may be written after a dot or in brackets. "" is the object.
func (l Lines) At(path string) int {
	if l.root == nil {
		return 0
	}
	at := l.root
	for path != "" {
		kid, rest := at.step(path)
		if kid == nil {
			break
		}
		at, path = kid, rest
	}
	return int(at.line)
}

// step returns the kid that path begins with, and the rest of the path. Where
// several fit, as with keys that contain dots, the longest does.
func (n *lineNode) step(path string) (*lineNode, string) {
	if path[0] == '[' {
		token, rest, ok := strings.Cut(path[1:], "]")
		if i, err := strconv.Atoi(token); ok && err == nil && i >= 0 && i < len(n.kids) && n.kids[i].name == "" {
			return &n.kids[i], rest
		}
		return n.longest(path[1:], "]")
	}
	return n.longest(strings.TrimPrefix(path, "."), "")
}

func (n *lineNode) longest(path, closing string) (*lineNode, string) {
	var best *lineNode
	rest := ""
	for i := range n.kids {
		k := &n.kids[i]
		if k.name == "" || (best != nil && len(k.name) <= len(best.name)) {
			continue
		}
		if after, ok := strings.CutPrefix(path, k.name+closing); ok && boundary(after) {
			best, rest = k, after
		}
	}
	return best, rest
}

func boundary(rest string) bool { return rest == "" || rest[0] == '.' || rest[0] == '[' }

// linesOf returns the table of an object's tree.
func linesOf(n *node) Lines {
	root := lineTree("", n.line, n)
	return Lines{root: &root}
}

func lineTree(name string, line int, n *node) lineNode {
	out := lineNode{name: name, line: int32(line)}
	if n.sealed || n.size() == 0 {
		return out
	}
	out.kids = make([]lineNode, 0, n.size())
	for _, f := range n.fields {
		if f.name != "" {
			out.kids = append(out.kids, lineTree(f.name, f.line, f.value))
		}
	}
	for _, it := range n.items {
		out.kids = append(out.kids, lineTree("", it.line, it))
	}
	return out
}
