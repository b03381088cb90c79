package dataplane

import (
	"errors"
	"net/http"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
)

// forms are all normalizations of paths.
var forms = []ir.PathNormalization{ir.PathStrict, ir.PathNone, ir.PathBase, ir.PathMergeSlashes, ir.PathDecodeSlashes}

// TestSecurityRow02PathForms holds each form to what it says of each way to
// write a path; an error is a 400.
func TestSecurityRow02PathForms(t *testing.T) {
	const refused = ""
	for _, tc := range []struct {
		raw string
		// in the order of forms
		want [5]string
	}{
		{"/", [5]string{"/", "/", "/", "/", "/"}},
		{"/a/b", [5]string{"/a/b", "/a/b", "/a/b", "/a/b", "/a/b"}},
		{"/a/../b", [5]string{"/b", refused, "/b", "/b", "/b"}},
		{"/a/./b", [5]string{"/a/b", refused, "/a/b", "/a/b", "/a/b"}},
		{"/a/b/..", [5]string{"/a/", refused, "/a/", "/a/", "/a/"}},
		{"/../b", [5]string{}},
		{"//a", [5]string{"/a", refused, refused, "/a", "/a"}},
		{"/a//..//b", [5]string{"/b", refused, refused, "/b", "/b"}},
		{"/%61", [5]string{"/a", refused, "/a", "/a", "/a"}},
		{"/%c3%bc", [5]string{"/%C3%BC", "/%C3%BC", "/%C3%BC", "/%C3%BC", "/%C3%BC"}},
		{"/%7E%2D%5F", [5]string{"/~-_", refused, "/~-_", "/~-_", "/~-_"}},
		{"/a%20b", [5]string{"/a%20b", "/a%20b", "/a%20b", "/a%20b", "/a%20b"}},
		{"/a/%2e%2e/b", [5]string{refused, refused, "/b", "/b", "/b"}},
		{"/a/.%2E/b", [5]string{refused, refused, "/b", "/b", "/b"}},
		{`/a\b`, [5]string{refused, refused, "/a/b", "/a/b", "/a/b"}},
		{`/a\..\b`, [5]string{refused, refused, "/b", "/b", "/b"}},
		{`/a\\b`, [5]string{refused, refused, refused, "/a/b", "/a/b"}},
		{`\a`, [5]string{refused, refused, "/a", "/a", "/a"}},
		{"/a%2fb", [5]string{4: "/a/b"}},
		{"/a%2F..%2Fb", [5]string{4: "/b"}},
		{"/a%5cb", [5]string{4: "/a/b"}},
		{"/a%5C%2fb", [5]string{4: "/a/b"}},
		{"/a%2f%2e%2e%5c%62", [5]string{4: "/b"}},
		{"/a%252fb", [5]string{}},
		{"/a%25%32%66b", [5]string{}},
		{"/a%%32fb", [5]string{}},
		{"/a%2%66b", [5]string{}},
		{"/%2e%2e/b", [5]string{}},
		{"/a%00", [5]string{}},
		{"/a;b", [5]string{}},
		{"/a%3bb", [5]string{}},
		{"/a%", [5]string{}},
		{"a", [5]string{}},
		{"", [5]string{}},
		{"/a#b", [5]string{2: "/a", 3: "/a", 4: "/a"}},
		{"/a b", [5]string{}},
	} {
		for i, form := range forms {
			got, err := NormalizePathAs(form, tc.raw)
			if got != tc.want[i] || (err != nil) != (tc.want[i] == refused) {
				t.Errorf("%q as %q: %q, %v; want %q", tc.raw, form, got, err, tc.want[i])
			}
		}
	}
	if _, err := NormalizePathAs("other", "/"); !errors.Is(err, errPathsMode) {
		t.Errorf("an unknown form: %v", err)
	}
}

// FuzzNormalizePathAs holds that every form's result is in the strict one, and
// in its own, so that no reader of it finds another path.
func FuzzNormalizePathAs(f *testing.F) {
	for _, s := range []string{"/", `/a\..\b`, "/%2e%2e/x", "/a%2f%2fb", "//", "/a#b", "/%5c%2e", "/%%32f", "/ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, form := range forms {
			p, err := NormalizePathAs(form, raw)
			if err != nil {
				continue
			}
			for _, again := range forms {
				if q, err := NormalizePathAs(again, p); err != nil || q != p {
					t.Fatalf("%q as %q is %q, which as %q is %q, %v", raw, form, p, again, q, err)
				}
			}
		}
	})
}

func TestSecurityRow25CutCookie(t *testing.T) {
	for _, tc := range []struct{ name, line, want string }{
		{"alone", "tok=x", ""},
		{"first", "tok=x; a=b", "a=b"},
		{"last", "a=b; tok=x", "a=b"},
		{"between", "a=b; tok=x;c=d", "a=b;c=d"},
		{"twice", "tok=x; a=b; tok=y", "a=b"},
		{"spaces", "a=b;  tok =x", "a=b"},
		{"another's suffix", "xtok=x; tokx=y", "xtok=x; tokx=y"},
		{"no value", "tok; a=b", "a=b"},
	} {
		h := http.Header{"Cookie": {tc.line}}
		cutCookie(h, "tok")
		if got := h.Get("Cookie"); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	h := http.Header{"Cookie": {"tok=x", "a=b"}}
	if cutCookie(h, "tok"); len(h["Cookie"]) != 1 || h["Cookie"][0] != "a=b" {
		t.Errorf("two lines: %q", h["Cookie"])
	}
}
