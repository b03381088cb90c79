package main

import (
	"fmt"
	"slices"
	"strings"
)

// schema returns the structural schema of a version. Each field is a path, a
// "!" if it is required, and its type after a space:
//
//	spec.targetRefs[].name! string
//	spec.type! APIKey|AWSCredentials     (one of these words)
//
// An object on the way keeps what it holds besides. Nothing but a written
// field's type is ever demanded of an object that has not the field's parent.
func schema(fields []string) (map[string]any, error) {
	root := map[string]any{"type": "object", "properties": map[string]any{"spec": open(), "status": open()}}
	for _, f := range fields {
		path, typ, ok := strings.Cut(f, " ")
		if !ok {
			return nil, fmt.Errorf("field %q has no type", f)
		}
		at, steps := root, strings.Split(path, ".")
		for i, step := range steps {
			name, list := strings.CutSuffix(step, "[]")
			name, required := strings.CutSuffix(name, "!")
			if required {
				require(at, name)
			}
			leaf := open()
			if i == len(steps)-1 {
				leaf = leafOf(typ)
			}
			at = child(at, name, list, leaf)
		}
	}
	return root, nil
}

// open is an object of which everything is kept.
func open() map[string]any {
	return map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
}

// leafOf returns the schema of a type's name, or of a choice of words.
func leafOf(typ string) map[string]any {
	switch {
	case typ == "object":
		return open()
	case strings.Contains(typ, "|"):
		words := []any{}
		for w := range strings.SplitSeq(typ, "|") {
			words = append(words, w)
		}
		return map[string]any{"type": "string", "enum": words}
	}
	return map[string]any{"type": typ}
}

func require(at map[string]any, name string) {
	have, _ := at["required"].([]string)
	if !slices.Contains(have, name) {
		have = append(have, name)
		slices.Sort(have)
		at["required"] = have
	}
}

// child returns what is below an object at a name, or at each item of the list
// of that name, having put leaf there if nothing was.
func child(at map[string]any, name string, list bool, leaf map[string]any) map[string]any {
	props, _ := at["properties"].(map[string]any)
	if props == nil {
		props = map[string]any{}
		at["properties"] = props
	}
	old, _ := props[name].(map[string]any)
	if old == nil {
		old = leaf
		if list {
			old = map[string]any{"type": "array", "items": leaf}
		}
		props[name] = old
	}
	if items, ok := old["items"].(map[string]any); ok {
		return items
	}
	return old
}
