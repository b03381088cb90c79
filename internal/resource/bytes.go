package resource

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// secretField moves a scalar's bytes out, and leaves their Ref in v.
func (w *walker) secretField(p *path, n *node, v reflect.Value) {
	defer func() { n.sealed = true }()
	switch {
	case n.kind == nullNode:
		return
	case n.kind != stringNode:
		w.fault(p, at(p, n), "want text", "write the secret in quotes")
		return
	}
	ref := secret.Ref{Kind: w.obj.GroupKind.String(), Namespace: w.obj.Namespace, Name: w.obj.Name, Key: p.String()}
	v.Set(reflect.ValueOf(ref))
	take := func() { w.keep(p, at(p, n), ref, n.text) }
	if w.kind.KeepSecrets != nil { // the rest of the object says whether
		w.later = append(w.later, take)
		w.p.hidden = append(w.p.hidden, n.text)
		return
	}
	take()
}

// wanted reports whether the bytes of the object's secrets are to be kept. An
// object that was not understood in full may not say what its author meant.
func (w *walker) wanted() bool {
	return w.kind.KeepSecrets == nil || len(w.obj.Faults) == 0 && w.kind.KeepSecrets(w.obj)
}

// takeLater takes the secret fields, if they are wanted; otherwise their bytes
// are not read: no variable is put in, and nothing is stored.
func (w *walker) takeLater() {
	if !w.wanted() {
		return
	}
	for _, take := range w.later {
		take()
	}
}

// keep expands variables in a secret's text and stores its bytes.
func (w *walker) keep(p *path, line int, ref secret.Ref, text string) {
	if text, ok := w.expand(p, line, text); ok {
		w.p.res.Secrets[ref] = secret.NewValue([]byte(trim(text)))
	}
}

// trim takes off what editors and block scalars put at the end.
func trim(s string) string { return strings.TrimRight(s, "\r\n") }

// placeholder stands in for a variable that is not set, where nothing is served.
const placeholder = "placeholder"

// variable is ${NAME}, or $${NAME}, which stands for the text ${NAME}.
var variable = regexp.MustCompile(`\$?\$\{[A-Z_][A-Z0-9_]*\}`)

// expand puts environment variables in for ${NAME}. It reports whether the
// text is usable.
func (w *walker) expand(p *path, line int, text string) (string, bool) {
	ok := true
	out := variable.ReplaceAllStringFunc(text, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := m[2 : len(m)-1]
		if w.p.d.opts.EnvMode == EnvRefuse {
			w.complain(status.Error, p, line, "it contains the text ${"+name+"}, and variables are put in for files alone", "write the value itself")
			ok = false
			return m
		}
		if v, set := w.p.d.opts.Env(name); set {
			return v
		}
		if w.p.d.opts.EnvMode == EnvPlaceholder {
			w.complain(status.Warning, p, line, "the environment variable "+name+" is not set; a placeholder stands in for it", "set it before serving")
			return placeholder
		}
		w.complain(status.Error, p, line, "the environment variable "+name+" is not set", "set it")
		if !slices.Contains(w.p.res.Unset, name) {
			w.p.res.Unset = append(w.p.res.Unset, name)
		}
		ok = false
		return m
	})
	return out, ok
}

// complain reports a problem that is no fault of decoding: the bytes are
// missing, and whatever needs them is closed by that.
func (w *walker) complain(s status.Severity, p *path, line int, what, remedy string) {
	o := w.obj.Origin(p.String())
	o.File, o.Line = w.p.file, w.p.line(line)
	w.p.report(status.Problem{Severity: s, Origin: o, What: what, Remedy: remedy})
}

// secretObject decodes a v1 Secret: its shape into the object, its bytes out.
func (w *walker) secretObject(n *node) {
	keys := map[string]bool{}
	spec := &Secret{}
	w.unread = !w.wanted()
	seen := map[string]int{}
	own := w.ownFields(n)
	for i := range own.fields {
		f := &own.fields[i]
		if first, ok := seen[f.name]; ok && f.name != "" {
			w.secretDoubled(nil, f, first)
			continue
		}
		seen[f.name] = f.line
		at := &path{name: f.name, line: f.line}
		switch f.name {
		case "type":
			w.value(at, f.value, reflect.ValueOf(&spec.Type).Elem())
		case "immutable":
			w.value(at, f.value, reflect.ValueOf(new(bool)).Elem())
		case "data", "stringData":
		default:
			w.unknown(nil, f, &structInfo{fields: []*fieldInfo{{name: "type"}, {name: "immutable"}, {name: "data"}, {name: "stringData"}}})
		}
	}
	for _, member := range []string{"data", "stringData"} { // the second wins
		if m := own.get(member); m != nil {
			w.secretData(&path{name: member, line: lineIn(own, member, m.line)}, m, keys)
		}
	}
	spec.Keys = slices.Sorted(maps.Keys(keys))
	w.obj.Spec = spec
}

func (w *walker) secretDoubled(p *path, f *field, first int) {
	f.value.sealed = true
	if !dataKey.MatchString(f.name) {
		w.fault(p, f.line, "a key is written twice", "keep one of the two")
		return
	}
	w.doubled(p, f.name, f.line, first)
}

var dataKey = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

// secretData takes one of a Secret's two maps.
func (w *walker) secretData(p *path, m *node, keys map[string]bool) {
	if m.kind == nullNode {
		return
	}
	if m.kind != mapNode {
		w.mismatch(p, m, "a mapping of keys")
		return
	}
	seen := map[string]int{}
	for i := range m.fields {
		f := &m.fields[i]
		f.value.sealed = true
		if first, ok := seen[f.name]; ok {
			w.secretDoubled(p, f, first)
			continue
		}
		seen[f.name] = f.line
		if f.value.kind == nullNode {
			f.name = "" // it may be part of a secret: {key: va,lue}
			w.fault(p, f.line, "a key without a value", "write \"key: value\", with a space after the colon, and a value with a comma in quotes")
			continue
		}
		if !dataKey.MatchString(f.name) {
			f.name = ""
			w.fault(p, f.line, "a key that no Secret can have", "use letters, digits, '-', '_' and '.', and a space after the colon")
			continue
		}
		keys[f.name] = true
		if w.unread {
			w.p.hidden = append(w.p.hidden, f.value.text)
			continue
		}
		w.secretValue(&path{up: p, name: f.name, line: f.line}, f)
	}
}

func (w *walker) secretValue(p *path, f *field) {
	ref := secret.Ref{Kind: SecretKind.String(), Namespace: w.obj.Namespace, Name: w.obj.Name, Key: f.name}
	delete(w.p.res.Secrets, ref) // a faulty stringData must not leave data's in force
	if f.value.kind != stringNode {
		w.fault(p, f.line, "want text", "put the value in quotes")
		return
	}
	if p.up.name == "stringData" {
		w.keep(p, f.line, ref, f.value.text)
		return
	}
	b, err := base64.StdEncoding.DecodeString(strings.Map(unspaced, f.value.text))
	if err != nil {
		w.fault(p, f.line, fmt.Sprintf("the value of key %s is not base64", f.name), "encode it with base64, or move the key to stringData")
		return
	}
	if w.p.d.opts.EnvMode == EnvRefuse {
		w.keep(p, f.line, ref, string(b))
		return
	}
	w.p.res.Secrets[ref] = secret.NewValue([]byte(trim(string(b))))
}

// unspaced drops the white space by which people wrap base64.
func unspaced(c rune) rune {
	if strings.ContainsRune(" \t\r\n", c) {
		return -1
	}
	return c
}
