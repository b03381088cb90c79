package resource

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/status"
)

// structInfo is what the walk needs to know of a struct type: its JSON fields,
// those of embedded structs included.
type structInfo struct {
	fields []*fieldInfo
	byName map[string]*fieldInfo
}

type fieldInfo struct {
	name  string
	index []int
}

// find returns the field that a document calls name, or nil. With proto, the
// snake_case form of a name is that name.
func (s *structInfo) find(name string, proto bool) *fieldInfo {
	if f := s.byName[name]; f != nil {
		return f
	}
	if proto && strings.Contains(name, "_") {
		return s.byName[camel(name)]
	}
	return nil
}

func (s *structInfo) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// camel returns the JSON name of a proto field, as protoc derives it:
// underscores go, and a letter after one becomes a capital.
func camel(snake string) string {
	var b strings.Builder
	up := false
	for _, c := range snake {
		if c == '_' {
			up = true
			continue
		}
		if up && c >= 'a' && c <= 'z' {
			c += 'A' - 'a'
		}
		up = false
		b.WriteRune(c)
	}
	return b.String()
}

// of returns the field of a struct value, making embedded structs on the way.
func (f *fieldInfo) of(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func (d *Decoder) structInfo(t reflect.Type) *structInfo {
	if s, ok := d.types.Load(t); ok {
		return s.(*structInfo)
	}
	s := &structInfo{byName: map[string]*fieldInfo{}}
	s.collect(t, nil)
	for _, f := range s.byName {
		s.fields = append(s.fields, f)
	}
	slices.SortFunc(s.fields, func(a, b *fieldInfo) int { return slices.Compare(a.index, b.index) })
	d.types.Store(t, s)
	return s
}

// collect adds the fields of t; of two with one name the outer one counts.
func (s *structInfo) collect(t reflect.Type, index []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if tag == "-" {
			continue
		}
		at := append(slices.Clone(index), i)
		inner := sf.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if sf.Anonymous && tag == "" && inner.Kind() == reflect.Struct {
			s.collect(inner, at)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		if tag == "" {
			tag = sf.Name
		}
		if old := s.byName[tag]; old == nil || len(at) < len(old.index) {
			s.byName[tag] = &fieldInfo{name: tag, index: at}
		}
	}
}

// checkSecretFields panics if a kind's secret fields are not where its struct
// has a secret.Ref: the bytes would go astray.
func (d *Decoder) checkSecretFields(k *Kind) {
	if k.GroupKind == SecretKind {
		return
	}
	for _, p := range k.SecretFields {
		t := reflect.TypeOf(k.New()).Elem()
		for _, name := range strings.Split(p, ".") {
			t = d.child(t, name)
			if t == nil {
				panic(fmt.Sprintf("%s: secret field %s: no field %s", k.GroupKind, p, name))
			}
		}
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t != refType {
			panic(fmt.Sprintf("%s: secret field %s is a %s, not a secret.Ref", k.GroupKind, p, t))
		}
	}
}

// child returns the type below t at a field's name, or at "*".
func (d *Decoder) child(t reflect.Type, name string) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case name == "*" && (t.Kind() == reflect.Map || t.Kind() == reflect.Slice):
		return t.Elem()
	case name != "*" && t.Kind() == reflect.Struct && t != refType:
		if f := d.structInfo(t).byName[name]; f != nil {
			return fieldType(t, f.index)
		}
	}
	return nil
}

// isVital reports whether a fault is in a vital field, or in one that may have
// been meant to be one.
func (k *Kind) isVital(fault status.Problem) bool {
	for step := range strings.SplitSeq(fault.Origin.Field, ".") {
		name, _, _ := strings.Cut(step, "[")
		if slices.Contains(k.Vital, name) || Nearest(name, k.Vital) != "" {
			return true
		}
	}
	return false
}

// isOpen reports whether p lies at or below one of k's open paths.
func (k *Kind) isOpen(p *path) bool {
	if len(k.Open) == 0 {
		return false
	}
	var steps []string
	for ; p != nil; p = p.up {
		steps = append(steps, p.name)
	}
	slices.Reverse(steps)
	return slices.ContainsFunc(k.Open, func(open string) bool {
		if open == "" {
			return true
		}
		for i, name := range strings.Split(open, ".") {
			if i >= len(steps) || (name != "*" && name != steps[i]) {
				return false
			}
		}
		return true
	})
}

// fieldType follows an index through embedded structs and pointers to them.
func fieldType(t reflect.Type, index []int) reflect.Type {
	for _, i := range index {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		t = t.Field(i).Type
	}
	return t
}
