package resource

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"

	sigsjson "sigs.k8s.io/json"
)

// raw hands a value as JSON to a type that reads JSON itself, or to an
// interface.
func (w *walker) raw(p *path, n *node, v reflect.Value) {
	if w.faultsWithin(p, n) {
		return
	}
	err := sigsjson.UnmarshalCaseSensitivePreserveInts(n.json(), v.Addr().Interface())
	if te := (*json.UnmarshalTypeError)(nil); errors.As(err, &te) {
		w.fault(p, at(p, n), n.what()+" does not fit here", "look up what the field takes")
	} else if err != nil {
		w.fault(p, at(p, n), err.Error(), "")
	}
}

// faultsWithin reports what is wrong below n whatever its type: bad scalars
// and doubled keys.
func (w *walker) faultsWithin(p *path, n *node) bool {
	found := false
	if n.kind == badNode {
		w.fault(p, n.line, n.text, n.remedy)
		found = true
	}
	seen := map[string]int{}
	for _, f := range n.fields {
		here := p
		if f.name != "" {
			here = &path{up: p, name: f.name, line: f.line}
		}
		if first, ok := seen[f.name]; ok && f.name != "" {
			w.doubled(p, f.name, f.line, first)
			found = true
		}
		seen[f.name] = f.line
		found = w.faultsWithin(here, f.value) || found
	}
	for i, it := range n.items {
		found = w.faultsWithin(&path{up: p, index: i, line: it.line}, it) || found
	}
	return found
}

// text hands text to a type that reads text itself.
func (w *walker) text(p *path, n *node, v reflect.Value) {
	if !w.isText(p, n) {
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil {
		w.fault(p, at(p, n), err.Error(), "")
	}
}

// isText reports whether n is text, and faults it if it is not. The words that
// YAML 1.1 takes for booleans are none, so that a file means the same to
// kubectl; its single letters y and n are, being names more often.
func (w *walker) isText(p *path, n *node) bool {
	if n.kind == stringNode {
		if _, word := boolWord(n); !word || len(n.text) == 1 {
			return true
		}
		w.fault(p, at(p, n), "want text, got a word that YAML 1.1 reads as true or false", "put it in quotes")
		return false
	}
	switch n.kind {
	case boolNode, intNode, floatNode:
		n.sealed = true
		w.fault(p, at(p, n), "want text, got "+n.what(), "put it in quotes")
	default:
		w.mismatch(p, n, "text")
	}
	return false
}

// boolWord returns what YAML 1.1 takes an unquoted word for.
func boolWord(n *node) (value, ok bool) {
	if !n.plain || len(n.text) > 3 {
		return false, false
	}
	switch n.text {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

func (w *walker) scalar(p *path, n *node, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if w.isText(p, n) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		w.boolean(p, n, v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.integer(p, n, v)
	case reflect.Float32, reflect.Float64:
		w.float(p, n, v)
	case reflect.Slice:
		w.bytes(p, n, v)
	default:
		panic(fmt.Sprintf("%s: %s has type %s, which no resource can hold", w.kind.GroupKind, p, v.Type()))
	}
}

func (w *walker) boolean(p *path, n *node, v reflect.Value) {
	value, ok := n.text == "true", n.kind == boolNode
	if n.kind == stringNode {
		value, ok = boolWord(n)
	}
	if !ok {
		w.mismatch(p, n, "true or false")
		return
	}
	v.SetBool(value)
}

// bytes reads base64, as encoding/json does.
func (w *walker) bytes(p *path, n *node, v reflect.Value) {
	if !w.isText(p, n) {
		return
	}
	b, err := base64.StdEncoding.DecodeString(n.text)
	if err != nil {
		w.fault(p, at(p, n), "not base64", "encode it with base64")
		return
	}
	v.SetBytes(b)
}

// numeral returns the text of a number, out of quotes too where proto-JSON
// allows it.
func (w *walker) numeral(p *path, n *node, want string) (string, bool) {
	switch {
	case n.kind == intNode || n.kind == floatNode:
		return n.text, true
	case n.kind == stringNode && jsonNumber.MatchString(n.text):
		if w.kind.ProtoJSON {
			return n.text, true
		}
		w.fault(p, at(p, n), "want "+want+", got text", "write it without quotes")
	default:
		w.mismatch(p, n, want)
	}
	return "", false
}

func (w *walker) integer(p *path, n *node, v reflect.Value) {
	text, ok := w.numeral(p, n, "a whole number")
	if !ok {
		return
	}
	if f, err := strconv.ParseFloat(text, 64); !wholeNumber.MatchString(text) {
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			w.fault(p, at(p, n), "want a whole number", "write it without a fraction")
			return
		}
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if v.CanInt() {
		if i, err := strconv.ParseInt(text, 10, v.Type().Bits()); err == nil {
			v.SetInt(i)
			return
		}
		most := uint64(1)<<(v.Type().Bits()-1) - 1
		w.outOfRange(p, n, fmt.Sprintf("%d to %d", -int64(most)-1, most))
		return
	}
	if u, err := strconv.ParseUint(text, 10, v.Type().Bits()); err == nil {
		v.SetUint(u)
		return
	}
	w.outOfRange(p, n, fmt.Sprintf("0 to %d", uint64(math.MaxUint64)>>(64-v.Type().Bits())))
}

func (w *walker) outOfRange(p *path, n *node, limits string) {
	w.fault(p, at(p, n), "the number is out of range", "write one of "+limits)
}

func (w *walker) float(p *path, n *node, v reflect.Value) {
	text, ok := w.numeral(p, n, "a number")
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if err != nil {
		w.outOfRange(p, n, "a size that a float can hold")
		return
	}
	v.SetFloat(f)
}
