package authn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// maxDepth bounds how deep the JSON of a token or a key set may nest.
const maxDepth = 16

var (
	errNotJSON   = errors.New("not a JSON object in UTF-8")
	errDuplicate = errors.New("a JSON member appears twice")
	errDeep      = errors.New("JSON nests too deep")
)

// decodeObject reads one JSON object and nothing after it. Unlike
// encoding/json it refuses members that appear twice, at any depth (two
// readers could take different ones; RFC 7519 section 4 allows refusing), and
// bytes that are not UTF-8. Numbers become json.Number.
func decodeObject(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errNotJSON
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errNotJSON
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errNotJSON
	}
	return m, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, errNotJSON
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth == maxDepth {
		return nil, errDeep
	}
	if delim == '{' {
		return decodeMembers(dec, depth+1)
	}
	list := []any{}
	for dec.More() {
		v, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err = dec.Token()
	return list, err
}

func decodeMembers(dec *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, errNotJSON
		}
		name, ok := tok.(string)
		if !ok {
			return nil, errNotJSON
		}
		if _, twice := m[name]; twice {
			return nil, errDuplicate
		}
		if m[name], err = decodeValue(dec, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return m, err
}
