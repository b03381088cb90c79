package llm

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxDepth bounds how deeply a body may be nested; a chat request with tools
// and their schemas needs a few dozen.
const maxDepth = 256

// What the functions below return in place of an end.
const (
	badSyntax = -1
	tooDeep   = -2
)

// value returns the end of the JSON value (RFC 8259) that begins at i. It is
// strict: what it takes, encoding/json takes, and the other way round, up to
// maxDepth.
func value(b []byte, i, depth int) int {
	if i >= len(b) {
		return badSyntax
	}
	switch c := b[i]; {
	case c == '"':
		return text(b, i)
	case c == '{':
		return members(b, i, depth, nil)
	case c == '[':
		return elements(b, i, depth)
	case c == 't':
		return literal(b, i, "true")
	case c == 'f':
		return literal(b, i, "false")
	case c == 'n':
		return literal(b, i, "null")
	case c == '-' || '0' <= c && c <= '9':
		return number(b, i)
	}
	return badSyntax
}

// member is one member of an object: its name between the quotes as written,
// and its value.
type member struct{ nameFrom, nameTo, from, to int }

// members returns the end of the object that begins at i, and shows its
// members to visit.
func members(b []byte, i, depth int, visit func(member)) int {
	if depth >= maxDepth {
		return tooDeep
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return badSyntax
		}
		m := member{nameFrom: i + 1}
		if i = text(b, i); i < 0 {
			return i
		}
		m.nameTo = i - 1
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return badSyntax
		}
		m.from = space(b, i+1)
		if i = value(b, m.from, depth+1); i < 0 {
			return i
		}
		m.to = i
		if visit != nil {
			visit(m)
		}
		var done bool
		if i, done = next(b, i, '}'); done {
			return i
		}
	}
}

// elements returns the end of the array that begins at i.
func elements(b []byte, i, depth int) int {
	if depth >= maxDepth {
		return tooDeep
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = value(b, i, depth+1); i < 0 {
			return i
		}
		var done bool
		if i, done = next(b, i, ']'); done {
			return i
		}
	}
}

// next passes over the comma at i, or says that the closing byte, or something
// else that ends the walk, is there.
func next(b []byte, i int, closing byte) (int, bool) {
	i = space(b, i)
	switch {
	case i >= len(b):
		return badSyntax, true
	case b[i] == ',':
		return space(b, i+1), false
	case b[i] == closing:
		return i + 1, true
	}
	return badSyntax, true
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func literal(b []byte, i int, word string) int {
	if !bytes.HasPrefix(b[i:], []byte(word)) {
		return badSyntax
	}
	return i + len(word)
}

func number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	start := i
	if i = digits(b, i); i == start || b[start] == '0' && i > start+1 {
		return badSyntax
	}
	if i < len(b) && b[i] == '.' {
		if start, i = i+1, digits(b, i+1); i == start {
			return badSyntax
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if start, i = i, digits(b, i); i == start {
			return badSyntax
		}
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text returns the end of the string that begins at i. It looks at eight bytes
// at a time, and at more where a string is long: most of a large body is
// inside strings.
func text(b []byte, i int) int {
	for i++; ; {
		for far := i + longRun; i+8 <= len(b); {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^ones*'"', w^ones*'\\'
			// The lowest flag is exact; a borrow can only spoil those above.
			stop := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs
			if stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			if i += 8; i >= far {
				i = plain(b, i)
				far = len(b)
			}
		}
		if i >= len(b) {
			return badSyntax
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = escape(b, i); i < 0 {
				return i
			}
		case c < ' ':
			return badSyntax
		default: // within the last seven bytes
			i++
		}
	}
}

const (
	longRun = 64      // bytes of a string without an escape
	window  = 4 << 10 // stays in the processor's first cache
)

// plain returns where, from i on, the bytes that stand for themselves in a
// string end, or some way before it. An image in base64 has megabytes of them.
func plain(b []byte, i int) int {
	for i < len(b) {
		w := b[i:min(i+window, len(b))]
		whole := len(w)
		if n := bytes.IndexByte(w, '"'); n >= 0 {
			w = w[:n]
		}
		if n := bytes.IndexByte(w, '\\'); n >= 0 {
			w = w[:n]
		}
		if n := printable(w); n < whole {
			return i + n
		}
		i += whole
	}
	return i
}

// printable returns how many whole words at the beginning of b hold no control
// character; all of b if none does.
func printable(b []byte) int {
	i := 0
	for ; i+32 <= len(b); i += 32 {
		p := (*[32]byte)(b[i:])
		v, w := binary.LittleEndian.Uint64(p[:]), binary.LittleEndian.Uint64(p[8:])
		x, y := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		if ((v-ones*' ')&^v|(w-ones*' ')&^w|(x-ones*' ')&^x|(y-ones*' ')&^y)&highs != 0 {
			return i
		}
	}
	for ; i < len(b); i++ {
		if b[i] < ' ' {
			return i
		}
	}
	return i
}

// escape returns the end of the escape sequence that begins at i.
func escape(b []byte, i int) int {
	if i+1 >= len(b) {
		return badSyntax
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 > len(b) {
			return badSyntax
		}
		for _, c := range b[i+2 : i+6] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return badSyntax
			}
		}
		return i + 6
	}
	return badSyntax
}
