package dataplane

import (
	"errors"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

var (
	errPathSlashes = errors.New("the path holds a doubled slash")
	errPathNormal  = errors.New("the path is not in normal form")
	errPathsMode   = errors.New("there is no such normalization of paths")
)

// NormalizePathAs returns an escaped path as matching, policies and the
// upstream see it, or why it means different things to different programs.
// Whatever the form, what comes out is in the strict one's, so that nobody who
// reads it can find another path in it.
func NormalizePathAs(form ir.PathNormalization, raw string) (string, error) {
	switch form {
	case ir.PathStrict:
		return normalizePath(raw)
	case ir.PathNone:
		p, err := normalizePath(raw)
		if err == nil && (len(p) != len(raw) || !strings.EqualFold(p, raw)) { // hexadecimal digits in any case
			return "", errPathNormal
		}
		return p, err
	case ir.PathBase, ir.PathMergeSlashes, ir.PathDecodeSlashes:
	default:
		return "", errPathsMode
	}
	raw, _, _ = strings.Cut(raw, "#")
	if strings.ContainsAny(raw, "%\\") {
		raw = plainSeparators(raw, form == ir.PathDecodeSlashes)
	}
	if form == ir.PathBase && strings.Contains(raw, "//") {
		return "", errPathSlashes
	}
	return normalizePath(raw)
}

// plainSeparators undoes escapes of dots, and with decode those of slashes and
// backslashes, once; and takes backslashes for slashes. None of what it puts in
// can be part of another escape.
func plainSeparators(raw string, decode bool) string {
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]) {
			switch d := unhex(raw[i+1])<<4 | unhex(raw[i+2]); {
			case d == '.', decode && (d == '/' || d == '\\'):
				c = d
				i += 2
			}
		}
		if c == '\\' {
			c = '/'
		}
		b.WriteByte(c)
	}
	return b.String()
}
