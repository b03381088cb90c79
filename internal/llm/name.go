package llm

import (
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// sameName reports whether raw, a valid JSON string without its quotes, is
// name in some spelling: with escapes, or in another case (by Unicode's simple
// folding, as encoding/json compares). It stops at the first difference, so
// that a body of a million odd names costs no more than one of plain ones.
func sameName(raw []byte, name string) bool {
	for len(raw) > 0 && name != "" {
		got, n := runeOf(raw)
		want, m := utf8.DecodeRuneInString(name)
		if !sameFold(got, want) {
			return false
		}
		raw, name = raw[n:], name[m:]
	}
	return len(raw) == 0 && name == ""
}

func sameFold(a, b rune) bool {
	if a == b {
		return true
	}
	for r := unicode.SimpleFold(b); r != b; r = unicode.SimpleFold(r) {
		if r == a {
			return true
		}
	}
	return false
}

// runeOf returns the first character of raw, and how many bytes spell it.
func runeOf(raw []byte) (rune, int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	if raw[1] != 'u' {
		return rune(unescaped[raw[1]]), 2
	}
	r := hex4(raw[2:6])
	if utf16.IsSurrogate(r) && len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(raw[8:12])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	if utf16.IsSurrogate(r) {
		return utf8.RuneError, 6
	}
	return r, 6
}

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func hex4(b []byte) rune {
	v, _ := strconv.ParseUint(string(b), 16, 16) // four digits: the scanner has seen to it
	return rune(v)
}
