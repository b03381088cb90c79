package resource

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// walker fills one object's structs, led by their types. This is the one place
// where Postern reflects on its own account.
type walker struct {
	p    *pass
	kind *Kind
	obj  *Object
	// later are secret fields of which the whole object decides whether they
	// are read; unread says of a Secret that its bytes are not.
	later  []func()
	unread bool
}

// path is where in an object the walk stands; nil is the object itself.
type path struct {
	up    *path
	name  string
	index int // of a list's item, where name is empty
	line  int
}

// String returns the path as people write it: spec.rules[0].headers[x.y].
func (p *path) String() string {
	if p == nil {
		return ""
	}
	up := p.up.String()
	switch {
	case p.name == "":
		return up + "[" + strconv.Itoa(p.index) + "]"
	case !isWord(p.name):
		return up + "[" + p.name + "]"
	case up == "":
		return p.name
	}
	return up + "." + p.name
}

func isWord(s string) bool {
	for _, c := range s {
		if !(c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return s != ""
}

// fault records a fault of the field at p.
func (w *walker) fault(p *path, line int, what, remedy string) {
	o := w.obj
	origin := ir.Origin{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Field: p.String(), File: w.p.file, Line: w.p.line(line)}
	pr := status.Problem{Severity: status.Error, Origin: origin, What: what, Remedy: remedy}
	w.p.report(pr)
	if len(o.Faults) < maxProblems {
		o.Faults = append(o.Faults, pr)
	}
}

// notFields are the members of an object that are not its kind's own.
var notFields = map[string]bool{"apiVersion": true, "kind": true, "metadata": true, "status": true}

// spec fills what Kind.New returns.
func (w *walker) spec(n *node) {
	w.obj.Spec = w.kind.New()
	w.value(nil, w.ownFields(n), reflect.ValueOf(w.obj.Spec).Elem())
}

// ownFields returns the object without notFields, of which it reports doubled
// ones. The result shares its fields with n, whose last they become: what is
// renamed in one is renamed in the other.
func (w *walker) ownFields(n *node) *node {
	seen := map[string]int{}
	var others, own []field
	for _, f := range n.fields {
		if !notFields[f.name] {
			own = append(own, f)
			continue
		}
		if first, ok := seen[f.name]; ok {
			w.doubled(nil, f.name, f.line, first)
		}
		seen[f.name] = f.line
		others = append(others, f)
	}
	n.fields = append(others, own...)
	return &node{kind: mapNode, line: n.line, fields: n.fields[len(others):]}
}

func (w *walker) doubled(up *path, name string, line, first int) {
	what := "the field is written twice"
	if w.p.file != "" {
		what += ", first at line " + strconv.Itoa(first)
	}
	w.fault(&path{up: up, name: name}, line, what, "keep one of the two")
}

var (
	refType         = reflect.TypeFor[secret.Ref]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value fills v, which is addressable, with n. A null is absent.
func (w *walker) value(p *path, n *node, v reflect.Value) {
	t := v.Type()
	switch {
	case t == refType:
		w.secretField(p, n, v)
	case n.kind == badNode:
		w.fault(p, n.line, n.text, n.remedy)
	case n.kind == nullNode:
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		w.value(p, n, v.Elem())
	case reflect.PointerTo(t).Implements(jsonUnmarshaler):
		w.raw(p, n, v)
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		w.text(p, n, v)
	case t.Kind() == reflect.Struct:
		w.structure(p, n, v)
	case t.Kind() == reflect.Map:
		w.mapping(p, n, v)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		w.list(p, n, v)
	case t.Kind() == reflect.Interface:
		w.raw(p, n, v)
	default:
		w.scalar(p, n, v)
	}
}

// empty warns of a field without a value in a file. It is absent, as for an API
// server; whoever wrote "jwt:" and nothing below may take it for a protection.
func (w *walker) empty(p *path, n *node) {
	root := p
	for root != nil && root.up != nil {
		root = root.up
	}
	if w.p.file == "" || root == nil || root.name == "metadata" || w.kind.isOpen(p) {
		return
	}
	w.complain(status.Warning, p, at(p, n), "the field has no value, which is as good as leaving it out", "write its value, or remove it")
}

func (w *walker) structure(p *path, n *node, v reflect.Value) {
	if n.kind != mapNode {
		w.mismatch(p, n, "a mapping of fields")
		return
	}
	info := w.p.d.structInfo(v.Type())
	seen := make(map[*fieldInfo]int, len(n.fields))
	for i := range n.fields {
		f := &n.fields[i]
		fi := info.find(f.name, w.kind.ProtoJSON)
		if fi == nil {
			w.unknown(p, f, info)
			continue
		}
		f.name = fi.name
		if first, ok := seen[fi]; ok {
			w.doubled(p, fi.name, f.line, first)
			f.value.sealed = true
			continue
		}
		seen[fi] = f.line
		here := &path{up: p, name: fi.name, line: f.line}
		if f.value.kind == nullNode {
			w.empty(here, f.value)
		}
		w.value(here, f.value, fi.of(v))
	}
}

// unknown reports a field that the struct does not declare. Its name is quoted
// only if it cannot be part of a secret: {key:value} without a space and
// {key: va,lue} without quotes both make names of secrets.
func (w *walker) unknown(p *path, f *field, info *structInfo) {
	f.value.sealed = true
	if f.name == "" {
		w.fault(p, f.line, f.value.text, f.value.remedy)
		return
	}
	if w.kind.isOpen(p) {
		return
	}
	near := ""
	if isWord(f.name) {
		near = Nearest(f.name, info.names())
	}
	switch {
	case near != "":
		w.fault(&path{up: p, name: f.name}, f.line, "unknown field", "did you mean "+near+"?")
	case isWord(f.name) && len(f.name) <= 64 && f.value.kind != nullNode:
		w.fault(&path{up: p, name: f.name}, f.line, "unknown field", "remove it, or look its name up")
	default:
		f.name = ""
		w.fault(p, f.line, "an unknown field without a value", "write \"name: value\", with a space after the colon, and a value with a comma in quotes")
	}
}

func (w *walker) mapping(p *path, n *node, v reflect.Value) {
	if n.kind != mapNode {
		w.mismatch(p, n, "a mapping")
		return
	}
	t := v.Type()
	v.Set(reflect.MakeMapWithSize(t, len(n.fields)))
	seen := make(map[string]int, len(n.fields))
	for i := range n.fields {
		f := &n.fields[i]
		if f.name == "" {
			w.fault(p, f.line, f.value.text, f.value.remedy)
			continue
		}
		if t.Elem() == refType && f.value.kind == nullNode {
			f.name = "" // it may be "name:secret", without the space
			w.fault(p, f.line, "a secret is empty", "write \"name: secret\", with a space after the colon, and a secret with a comma in quotes")
			continue
		}
		if first, ok := seen[f.name]; ok {
			w.doubled(p, f.name, f.line, first)
			f.value.sealed = true
			continue
		}
		seen[f.name] = f.line
		key := reflect.New(t.Key()).Elem()
		if !w.mapKey(p, f, key) {
			continue
		}
		elem := reflect.New(t.Elem()).Elem()
		w.value(&path{up: p, name: f.name, line: f.line}, f.value, elem)
		v.SetMapIndex(key, elem)
	}
}

// mapKey fills a map's key of f's name.
func (w *walker) mapKey(p *path, f *field, key reflect.Value) bool {
	if key.Kind() == reflect.String {
		key.SetString(f.name)
		return true
	}
	n := &node{kind: intNode, line: f.line, text: f.name}
	if !wholeNumber.MatchString(f.name) {
		w.fault(p, f.line, "a key is not a number", "write whole numbers before the colons")
		return false
	}
	before := len(w.obj.Faults)
	w.scalar(p, n, key)
	return len(w.obj.Faults) == before
}

func (w *walker) list(p *path, n *node, v reflect.Value) {
	if n.kind != listNode {
		w.mismatch(p, n, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, it := range n.items {
		at := &path{up: p, index: i, line: it.line}
		if it.kind == nullNode {
			w.fault(at, it.line, "the item is empty", "write it, or remove the dash")
			continue
		}
		w.value(at, it, v.Index(i))
	}
}

// mismatch reports a value of the wrong type, without quoting it.
func (w *walker) mismatch(p *path, n *node, want string) {
	n.sealed = true
	remedy := "write " + want
	if n.kind == listNode && !strings.HasPrefix(want, "a list") {
		remedy += ", without the dash"
	}
	w.fault(p, at(p, n), "want "+want+", got "+n.what(), remedy)
}

// at returns the line of a fault: that of the field's name if there is one.
func at(p *path, n *node) int {
	if p != nil && p.line != 0 {
		return p.line
	}
	return n.line
}
