package dataplane

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestSecurityRow02NormalizePath(t *testing.T) {
	for _, tc := range []struct {
		name, raw, want string
		err             error
	}{
		{name: "plain", raw: "/openai/v1/chat", want: "/openai/v1/chat"},
		{name: "root", raw: "/", want: "/"},
		{name: "trailing slash stays", raw: "/a/", want: "/a/"},
		{name: "dotted names are names", raw: "/a/.well-known/x.y..z", want: "/a/.well-known/x.y..z"},
		{name: "dot segment", raw: "/a/./b", want: "/a/b"},
		{name: "last dot segment", raw: "/a/.", want: "/a/"},
		{name: "parent segment", raw: "/openai/../admin", want: "/admin"},
		{name: "last parent segment", raw: "/a/b/..", want: "/a/"},
		{name: "doubled slash", raw: "/openai//v1", want: "/openai/v1"},
		{name: "leading doubled slash", raw: "//evil.example/x", want: "/evil.example/x"},
		{name: "many slashes", raw: "/a////b//", want: "/a/b/"},
		{name: "parent after doubled slash", raw: "/a//../b", want: "/b"},
		{name: "escape of an unreserved byte", raw: "/%61dmin/%7Ex", want: "/admin/~x"},
		{name: "escape in lower case", raw: "/a%c3%bc", want: "/a%C3%BC"},
		{name: "raw bytes of UTF-8", raw: "/aü", want: "/a%C3%BC"},
		{name: "escaped space stays", raw: "/a%20b", want: "/a%20b"},
		{name: "colon and at", raw: "/model/anthropic.claude-3:0@x/converse", want: "/model/anthropic.claude-3:0@x/converse"},
		{name: "escaped colon stays", raw: "/model/a%3A0", want: "/model/a%3A0"},
		{name: "quote is escaped", raw: `/a"b`, want: "/a%22b"},

		{name: "empty", raw: "", err: errPathForm},
		{name: "no slash", raw: "openai", err: errPathForm},
		{name: "climbs", raw: "/../etc", err: errPathClimbs},
		{name: "climbs later", raw: "/a/../../etc", err: errPathClimbs},
		{name: "escaped slash", raw: "/openai/..%2fadmin", err: errPathEncoded},
		{name: "escaped slash, upper", raw: "/openai%2Fadmin", err: errPathEncoded},
		{name: "escaped dots", raw: "/openai/%2e%2e/admin", err: errPathEncoded},
		{name: "half escaped dots", raw: "/openai/.%2E/admin", err: errPathEncoded},
		{name: "escaped backslash", raw: "/openai/..%5cadmin", err: errPathEncoded},
		{name: "double escape", raw: "/openai/..%252fadmin", err: errPathEncoded},
		{name: "escaped percent", raw: "/a%25", err: errPathEncoded},
		{name: "escaped NUL", raw: "/a%00.json", err: errPathEncoded},
		{name: "escaped CR LF", raw: "/a%0d%0ax:y", err: errPathEncoded},
		{name: "escaped DEL", raw: "/a%7f", err: errPathEncoded},
		{name: "backslash", raw: `/openai\..\admin`, err: errPathBack},
		{name: "parameter", raw: "/admin;x=y", err: errPathParam},
		{name: "dots with a parameter", raw: "/openai/..;/admin", err: errPathParam},
		{name: "escaped semicolon", raw: "/openai/..%3b/admin", err: errPathParam},
		{name: "broken escape", raw: "/a%zz", err: errPathEscape},
		{name: "cut escape", raw: "/a%2", err: errPathEscape},
		{name: "space", raw: "/a b", err: errPathByte},
		{name: "tab", raw: "/a\tb", err: errPathByte},
		{name: "NUL", raw: "/a\x00b", err: errPathByte},
		{name: "fragment", raw: "/a#b", err: errPathByte},
	} {
		got, err := normalizePath(tc.raw)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: %q: got %q, %v; want %q, %v", tc.name, tc.raw, got, err, tc.want, tc.err)
		}
	}
}

// FuzzNormalizePath holds what the rest relies on: a normal path is its own
// normal form, and every decoder of percent escapes reads the same segments.
func FuzzNormalizePath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%41", "//", "/a%2fb", "/ü", "/.%2e/", "/a;b", "/a%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := normalizePath(raw)
		if err != nil {
			return
		}
		again, err := normalizePath(p)
		if err != nil || again != p {
			t.Fatalf("%q → %q → %q, %v", raw, p, again, err)
		}
		decoded, err := url.PathUnescape(p)
		if err != nil {
			t.Fatalf("%q → %q does not unescape: %v", raw, p, err)
		}
		if strings.Count(decoded, "/") != strings.Count(p, "/") || strings.ContainsAny(decoded, "\\\x00\r\n;") {
			t.Fatalf("%q → %q hides a separator: %q", raw, p, decoded)
		}
		clean := path.Clean(decoded)
		if strings.HasSuffix(decoded, "/") && clean != "/" {
			clean += "/"
		}
		if clean != decoded {
			t.Fatalf("%q → %q still means %q", raw, p, clean)
		}
	})
}

func TestSecurityRow22NormalizeHost(t *testing.T) {
	for _, tc := range []struct {
		name, in, host, authority string
		err                       error
	}{
		{name: "plain", in: "ai.example.com", host: "ai.example.com", authority: "ai.example.com"},
		{name: "case", in: "AI.Example.COM", host: "ai.example.com", authority: "ai.example.com"},
		{name: "port", in: "ai.example.com:8080", host: "ai.example.com", authority: "ai.example.com:8080"},
		{name: "trailing dot", in: "ai.example.com.", host: "ai.example.com", authority: "ai.example.com"},
		{name: "trailing dot and port", in: "AI.example.com.:80", host: "ai.example.com", authority: "ai.example.com:80"},
		{name: "IPv4", in: "127.0.0.1:80", host: "127.0.0.1", authority: "127.0.0.1:80"},
		{name: "IPv6", in: "[::1]:80", host: "[::1]", authority: "[::1]:80"},
		{name: "IPv6, long form", in: "[0:0:0:0:0:0:0:1]", host: "[::1]", authority: "[::1]"},
		{name: "underscore", in: "my_svc", host: "my_svc", authority: "my_svc"},
		{name: "empty", in: "", err: errHostMissing},
		{name: "only a port", in: ":80", err: errHostForm},
		{name: "user", in: "a@b", err: errHostForm},
		{name: "two ports", in: "a:80:81", err: errHostForm},
		{name: "no number", in: "a:x", err: errHostForm},
		{name: "port 0", in: "a:0", err: errHostForm},
		{name: "port too large", in: "a:65536", err: errHostForm},
		{name: "empty port", in: "a:", err: errHostForm},
		{name: "space", in: "a b", err: errHostForm},
		{name: "slash", in: "a/b", err: errHostForm},
		{name: "percent", in: "a%2eb", err: errHostForm},
		{name: "two dots", in: "a..b", err: errHostForm},
		{name: "two dots at the end", in: "a..", err: errHostForm},
		{name: "leading dot", in: ".a", err: errHostForm},
		{name: "only a dot", in: ".", err: errHostForm},
		{name: "zone", in: "[fe80::1%25eth0]", err: errHostForm},
		{name: "open bracket", in: "[::1", err: errHostForm},
		{name: "list", in: "a,b", err: errHostForm},
	} {
		host, authority, err := normalizeHost(tc.in)
		if host != tc.host || authority != tc.authority || !errors.Is(err, tc.err) {
			t.Errorf("%s: %q: got %q, %q, %v; want %q, %q, %v", tc.name, tc.in, host, authority, err, tc.host, tc.authority, tc.err)
		}
	}
}

func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{"a", "A.:80", "[::1]:1", "a@b", "..", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, authority, err := normalizeHost(in)
		if err != nil {
			return
		}
		h2, a2, err := normalizeHost(authority)
		if err != nil || h2 != host || a2 != authority {
			t.Fatalf("%q → %q, %q → %q, %q, %v", in, host, authority, h2, a2, err)
		}
	})
}

func TestSplitTarget(t *testing.T) {
	for _, tc := range []struct {
		name, method, target, path, query string
		bad                               bool
	}{
		{name: "origin form", target: "/a?b=c", path: "/a", query: "b=c"},
		{name: "absolute form", target: "http://h/a?b=c", path: "/a", query: "b=c"},
		{name: "absolute form without a path", target: "http://h", path: "/"},
		{name: "absolute form with a query alone", target: "http://h?x=1", path: "/", query: "x=1"},
		{name: "absolute form with dots", target: "http://h/a/../b", path: "/a/../b"},
		{name: "asterisk", method: "OPTIONS", target: "*", path: "/"},
		{name: "asterisk of GET", target: "*", bad: true},
		{name: "other scheme", target: "ftp://h/a", bad: true},
		{name: "user in the target", target: "http://u:p@h/a", bad: true},
		{name: "question mark twice", target: "/a?b?c", path: "/a", query: "b?c"},
	} {
		r := &http.Request{Method: tc.method, RequestURI: tc.target}
		p, q, err := splitTarget(r)
		if (err != nil) != tc.bad || p != tc.path || q != tc.query {
			t.Errorf("%s: got %q, %q, %v", tc.name, p, q, err)
		}
	}
}

func TestSecurityRow25CutQuery(t *testing.T) {
	for _, tc := range []struct{ name, raw, want string }{
		{"alone", "access_token=x", ""},
		{"among others", "a=1&access_token=x&b=%20", "a=1&b=%20"},
		{"twice", "access_token=x&a=1&access_token=y", "a=1"},
		{"escaped name", "acces%73_token=x&a=1", "a=1"},
		{"another's prefix", "access_tokens=x", "access_tokens=x"},
		{"no value", "access_token&a", "a"},
		{"empty", "", ""},
	} {
		if got := cutQuery(tc.raw, "access_token"); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
