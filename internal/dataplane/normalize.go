package dataplane

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Errors of normalization. Each is answered with 400: a request that could
// mean one thing to a policy and another to an upstream has no right meaning.
var (
	errPathForm     = errors.New("the path must begin with a slash")
	errPathByte     = errors.New("the path holds a byte that must be escaped")
	errPathEscape   = errors.New("the path holds a broken percent escape")
	errPathEncoded  = errors.New("the path holds an escaped slash, backslash, dot segment, percent sign or control byte")
	errPathParam    = errors.New("the path holds a semicolon")
	errPathBack     = errors.New("the path holds a backslash")
	errPathClimbs   = errors.New("the path climbs above its root")
	errHostMissing  = errors.New("the host is missing")
	errHostForm     = errors.New("the host is malformed")
	errHostTwice    = errors.New("the host is given twice and differently")
	errQueryByte    = errors.New("the query holds a byte that must be escaped")
	errTargetForm   = errors.New("the request target is malformed")
	errConnect      = errors.New("CONNECT is not served")
	errHead         = errors.New("HEAD cannot take another method's place, nor another its")
	errMethod       = errors.New("the method is malformed")
	errHeaderFolded = errors.New("a header value holds a line break or NUL")
)

// normalizePath returns the one form of an escaped path that matching,
// policies and the upstream share: dot segments resolved and doubled slashes
// joined (RFC 3986 5.2.4), escapes of unreserved bytes undone and the others
// in upper case (RFC 3986 6.2.2). Forms that programs are known to read
// differently are refused.
func normalizePath(raw string) (string, error) {
	if raw == "" || raw[0] != '/' {
		return "", errPathForm
	}
	if isPlainPath(raw) {
		return raw, nil
	}
	unescaped, err := normalizeEscapes(raw)
	if err != nil {
		return "", err
	}
	return resolveDots(unescaped)
}

// isPlainPath reports whether a path is already in normal form.
func isPlainPath(p string) bool {
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '/':
			if i+1 < len(p) && (p[i+1] == '/' || p[i+1] == '.') {
				return false
			}
		case !isPathByte(c):
			return false
		}
	}
	return true
}

// isPathByte reports whether c stands for itself in a path (RFC 3986 3.3,
// without the semicolon and the percent sign).
func isPathByte(c byte) bool {
	return isUnreserved(c) || strings.IndexByte("/!$&'()*+,=:@", c) >= 0
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func normalizeEscapes(raw string) (string, error) {
	var b strings.Builder
	b.Grow(len(raw) + 8)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case isPathByte(c):
			b.WriteByte(c)
		case c == '%':
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", errPathEscape
			}
			d := unhex(raw[i+1])<<4 | unhex(raw[i+2])
			if err := writeEscape(&b, d); err != nil {
				return "", err
			}
			i += 2
		case c == '\\':
			return "", errPathBack
		case c == ';':
			return "", errPathParam
		case c <= ' ' || c == 0x7f || c == '#' || c == '?':
			return "", errPathByte
		default:
			writeHex(&b, c)
		}
	}
	return b.String(), nil
}

// writeEscape writes the byte d that was escaped in the path.
func writeEscape(b *strings.Builder, d byte) error {
	switch {
	case d == '.' || d == '/' || d == '\\' || d == '%' || d < ' ' || d == 0x7f:
		return errPathEncoded
	case d == ';':
		return errPathParam
	case isUnreserved(d):
		b.WriteByte(d)
	default:
		writeHex(b, d)
	}
	return nil
}

func writeHex(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// resolveDots removes dot segments and joins doubled slashes.
func resolveDots(p string) (string, error) {
	segments := strings.Split(p[1:], "/")
	out := make([]string, 0, len(segments))
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case "..":
			if len(out) == 0 {
				return "", errPathClimbs
			}
			out = out[:len(out)-1]
			if last {
				out = append(out, "")
			}
		case ".", "":
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/"), nil
}

// checkQuery refuses bytes that have no place in a query (RFC 3986 3.4).
func checkQuery(q string) error {
	for i := 0; i < len(q); i++ {
		if c := q[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return errQueryByte
		}
	}
	return nil
}

// splitTarget returns the escaped path and the raw query of a request target
// in origin or absolute form (RFC 9112 3.2). "*" is the path of OPTIONS *.
func splitTarget(r *http.Request) (path, query string, err error) {
	target := r.RequestURI
	if r.Method == http.MethodOptions && target == "*" {
		return "/", "", nil
	}
	if !strings.HasPrefix(target, "/") {
		if r.ProtoMajor > 1 { // where it has one form alone (RFC 9113 8.3.1)
			return "", "", errTargetForm
		}
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return "", "", errTargetForm
		}
		_, rest, _ := strings.Cut(target, "://")
		i := strings.IndexAny(rest, "/?")
		switch {
		case i < 0:
			target = "/"
		case rest[i] == '?':
			target = "/" + rest[i:]
		default:
			target = rest[i:]
		}
	}
	path, query, _ = strings.Cut(target, "?")
	return path, query, nil
}

// normalizeHost returns the canonical host of an authority, lower case,
// without port and trailing dot, and the authority with that host.
func normalizeHost(authority string) (host, canonical string, err error) {
	if authority == "" {
		return "", "", errHostMissing
	}
	name, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		name, port = authority[:i], authority[i+1:]
		if !isPort(port) {
			return "", "", errHostForm
		}
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if strings.HasPrefix(name, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(name[1:], "]"))
		if err != nil || addr.Zone() != "" || !strings.HasSuffix(name, "]") {
			return "", "", errHostForm
		}
		name = "[" + addr.String() + "]"
	} else if !isHostName(name) {
		return "", "", errHostForm
	}
	if port != "" {
		return name, name + ":" + port, nil
	}
	return name, name, nil
}

// CanonicalServerName returns a TLS server name in the form that hosts are
// looked up by. What is no host name is returned as it is, and finds only
// listeners for every host.
func CanonicalServerName(sni string) string {
	if host, _, err := normalizeHost(sni); err == nil {
		return host
	}
	return sni
}

func isPort(p string) bool {
	n := 0
	for i := 0; i < len(p); i++ {
		if p[i] < '0' || p[i] > '9' || len(p) > 5 {
			return false
		}
		n = n*10 + int(p[i]-'0')
	}
	return n > 0 && n <= 65535
}

func isHostName(h string) bool {
	if h == "" || len(h) > 253 || h[0] == '.' || h[len(h)-1] == '.' || strings.Contains(h, "..") {
		return false
	}
	for i := 0; i < len(h); i++ {
		c := h[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}

// cutCookie removes the cookies of one name; the others stay byte for byte, on
// lines of their own as they came.
func cutCookie(h http.Header, name string) {
	var kept []string
	for _, line := range h["Cookie"] {
		pairs := strings.Split(line, ";")
		pairs = slices.DeleteFunc(pairs, func(p string) bool {
			key, _, _ := strings.Cut(p, "=")
			return strings.Trim(key, " \t") == name
		})
		if rest := strings.TrimLeft(strings.Join(pairs, ";"), " \t"); rest != "" {
			kept = append(kept, rest)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// cutQuery returns the raw query without the pairs of one name; the others
// stay byte for byte.
func cutQuery(raw, name string) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	kept := pairs[:0]
	for _, p := range pairs {
		k, _, _ := strings.Cut(p, "=")
		if u, err := url.QueryUnescape(k); err == nil && u == name {
			continue
		}
		kept = append(kept, p)
	}
	return strings.Join(kept, "&")
}
