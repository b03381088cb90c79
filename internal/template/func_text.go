package template

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// texts checks that the first n arguments are strings, and charges them.
func texts(in *Input, a args, n int) error {
	for _, v := range a[:n] {
		if v.kind != isString {
			return errText
		}
		if err := in.spend(len(v.text) / 16); err != nil {
			return err
		}
	}
	return nil
}

// mapped returns s with each byte changed; letters beyond ASCII stay.
func mapped(in *Input, a args, change func(i int, c byte) byte) (Value, error) {
	if err := texts(in, a, 1); err != nil {
		return Value{}, err
	}
	b := []byte(a[0].text)
	for i, c := range b {
		b[i] = change(i, c)
	}
	return String(string(b)), nil
}

func upperByte(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c - 'A' + 'a'
	}
	return c
}

func upper(in *Input, a args) (Value, error) {
	return mapped(in, a, func(_ int, c byte) byte { return upperByte(c) })
}

func lower(in *Input, a args) (Value, error) {
	return mapped(in, a, func(_ int, c byte) byte { return lowerByte(c) })
}

func capitalize(in *Input, a args) (Value, error) {
	return mapped(in, a, func(i int, c byte) byte {
		if i == 0 {
			return upperByte(c)
		}
		return lowerByte(c)
	})
}

func trim(in *Input, a args) (Value, error) {
	if err := texts(in, a, 1); err != nil {
		return Value{}, err
	}
	return String(strings.Trim(a[0].text, " \t\n\v\f\r")), nil
}

// substring is (s, start) or (s, start, length). A start outside of the string
// gives "", a length below 1 or beyond the end everything from there.
func substring(in *Input, a args) (Value, error) {
	if err := texts(in, a, 1); err != nil {
		return Value{}, err
	}
	s := a[0].text
	start, err := a[1].int()
	if err != nil || !a[1].integer() || start < 0 || start >= int64(len(s)) {
		return String(""), nil
	}
	s = s[start:]
	if a[2].kind == isNull {
		return String(s), nil
	}
	n, err := a[2].int()
	if err != nil || !a[2].integer() {
		return String(""), nil
	}
	if n > 0 && n < int64(len(s)) {
		s = s[:n]
	}
	return String(s), nil
}

// replace is (s, old, new): every occurrence.
func replace(in *Input, a args) (Value, error) {
	if err := texts(in, a, 3); err != nil {
		return Value{}, err
	}
	return replaceAll(in, a[0].text, a[1].text, a[2].text)
}

func replaceAll(in *Input, s, before, after string) (Value, error) {
	if before == "" {
		return String(s), nil
	}
	if err := in.spend(len(s) / 16); err != nil {
		return Value{}, err
	}
	n := strings.Count(s, before)
	if err := in.made(len(s) + n*(len(after)-len(before))); err != nil {
		return Value{}, err
	}
	return String(strings.ReplaceAll(s, before, after)), nil
}

// Random holds what replace_with_random() put in place of each pattern, so
// that it does so again. The zero Random has drawn nothing.
type Random struct{ drawn map[string]string }

// maxRandoms bounds the patterns of one Random.
const maxRandoms = 64

// of returns the 128 random bits for a pattern, in base64 without padding.
func (r *Random) of(pattern string) string {
	if s := r.drawn[pattern]; s != "" {
		return s
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := base64.RawStdEncoding.EncodeToString(b[:])
	if r.drawn == nil {
		r.drawn = map[string]string{}
	}
	if len(r.drawn) < maxRandoms {
		r.drawn[strings.Clone(pattern)] = s
	}
	return s
}

func replaceWithRandom(in *Input, a args) (Value, error) {
	if err := texts(in, a, 2); err != nil {
		return Value{}, err
	}
	r := in.Random
	if r == nil {
		r = &in.random
	}
	return replaceAll(in, a[0].text, a[1].text, r.of(a[1].text))
}

func encode(url bool) fn {
	return func(in *Input, a args) (Value, error) {
		if err := texts(in, a, 1); err != nil {
			return Value{}, err
		}
		if err := in.made(len(a[0].text)/3*4 + 4); err != nil {
			return Value{}, err
		}
		if url {
			return String(base64.RawURLEncoding.EncodeToString([]byte(a[0].text))), nil
		}
		return String(base64.StdEncoding.EncodeToString([]byte(a[0].text))), nil
	}
}

// decode gives "" for what is no base64: padded in the ordinary alphabet,
// not padded in that for URLs, as in Envoy.
func decode(url bool) fn {
	return func(in *Input, a args) (Value, error) {
		if err := texts(in, a, 1); err != nil {
			return Value{}, err
		}
		coding := base64.StdEncoding.Strict()
		if url {
			coding = base64.RawURLEncoding.Strict()
		}
		if strings.ContainsAny(a[0].text, "\r\n") {
			return String(""), nil
		}
		b, err := coding.DecodeString(a[0].text)
		if err != nil {
			return String(""), nil
		}
		return String(string(b)), nil
	}
}

// rawString is a string as it stands between the quotes in JSON.
func rawString(in *Input, a args) (Value, error) {
	if err := texts(in, a, 1); err != nil {
		return Value{}, err
	}
	b := appendEscaped(nil, a[0].text)
	if err := in.made(len(b)); err != nil {
		return Value{}, err
	}
	return String(string(b)), nil
}

// wordCount counts the words of all strings in a value, names included; a
// number or boolean is one.
func wordCount(in *Input, a args) (Value, error) {
	n, err := words(in, a[0])
	return Int(int64(n)), err
}

func words(in *Input, v Value) (int, error) {
	if err := in.spend(1 + len(v.text)/16); err != nil {
		return 0, err
	}
	switch v.kind {
	case isNull:
		return 0, nil
	case isString:
		return wordsOf(v.text), nil
	case isNumber, isBool:
		return 1, nil
	}
	total := 0
	for i, x := range v.tree.list {
		if v.tree.names != nil {
			total += wordsOf(v.tree.names[i])
		}
		n, err := words(in, x)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// wordsOf counts what white space of the C locale separates.
func wordsOf(s string) int {
	n, inside := 0, false
	for i := range len(s) {
		space := s[i] == ' ' || s[i] >= '\t' && s[i] <= '\r'
		if !space && !inside {
			n++
		}
		inside = !space
	}
	return n
}
