package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
)

func editor(tb testing.TB, remove []string, set ...string) *Editor {
	tb.Helper()
	cfg := ir.BodyEdit{Remove: remove}
	for i := 0; i < len(set); i += 2 {
		cfg.Set = append(cfg.Set, ir.BodyMember{Name: set[i], Value: set[i+1]})
	}
	ed, err := NewEditor(&cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return ed
}

func TestEditor(t *testing.T) {
	for _, tc := range []struct {
		name              string
		remove, set       []string
		contentType, body string
		want              string // empty: unchanged
		err               error
	}{
		{"set over", nil, []string{"a", ` {"x":1} `}, "", `{"a" : 1, "b":2}`, `{"a" : {"x":1}, "b":2}`, nil},
		{"set anew", nil, []string{"a", "1", "b", "null"}, "", `{"c":3 }`, `{"c":3,"a":1,"b":null }`, nil},
		{"set in an empty one", nil, []string{"a", "1", "b", "2"}, "", ` { } `, ` {"a":1,"b":2 } `, nil},
		{"set to what it is", nil, []string{"a", "1"}, "", `{"a":1}`, "", nil},
		{"remove the first", []string{"a"}, nil, "", `{ "a":1, "b":2 }`, `{ "b":2 }`, nil},
		{"remove the middle", []string{"b"}, nil, "", `{"a":1 , "b":[2] , "c":3}`, `{"a":1 , "c":3}`, nil},
		{"remove the last", []string{"b"}, nil, "", `{"a":1 , "b":2 }`, `{"a":1  }`, nil},
		{"remove the only one", []string{"a"}, nil, "", `{ "a":"}," }`, `{ }`, nil},
		{"remove two at the end", []string{"c", "b"}, nil, "", `{"a":1,"b":2,"c":3}`, `{"a":1}`, nil},
		{"remove two at the beginning", []string{"a", "b"}, nil, "", `{"a":1,"b":2,"c":3}`, `{"c":3}`, nil},
		{"remove every other", []string{"a", "c"}, nil, "", `{"a":1,"b":2,"c":3}`, `{"b":2}`, nil},
		{"remove all and set", []string{"a", "b"}, []string{"c", "3"}, "", `{"a":1,"b":2}`, `{"c":3}`, nil},
		{"removals come first", []string{"a"}, []string{"a", "2"}, "", `{"a":1,"b":2}`, `{"a":2,"b":2}`, nil},
		{"remove what is not there", []string{"a"}, nil, "", `{"b":2}`, "", nil},
		{"nested ones stay", []string{"a"}, nil, "", `{"b":{"a":1}}`, "", nil},
		{"the last set holds", nil, []string{"a", "1", "a", "2"}, "", `{}`, `{"a":2}`, nil},
		{"twice", []string{"a"}, nil, "", `{"a":1,"a":2}`, "", ErrAmbiguous},
		{"another case", []string{"a"}, nil, "", `{"A":1}`, "", ErrAmbiguous},
		{"escaped", nil, []string{"a", "1"}, "", `{"\u0061":1}`, "", ErrAmbiguous},
		{"no JSON to us, perhaps to others", []string{"a"}, nil, "", `{"a":NaN}`, "", ErrSyntax},
		{"a list", []string{"a"}, nil, "", `[{"a":1}]`, "", ErrSyntax},
		{"no JSON to anybody", []string{"a"}, nil, "", `hello`, "", nil},
		{"empty", nil, []string{"a", "1"}, "", ``, "", nil},
		{"a form", nil, []string{"a", "1"}, formType, "--XX\r\n{", "", nil},
		{"what is said to be a form", nil, []string{"a", "1"}, formType, `{}`, `{"a":1}`, nil},
		{"another charset", nil, []string{"a", "1"}, "application/json; charset=utf-16", `{}`, "", ErrSyntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ed := editor(t, tc.remove, tc.set...)
			for _, o := range []*Object{nil, NewObject([]byte(tc.body))} {
				body := []byte(tc.body)
				if o != nil {
					body = o.body
				}
				got, err := ed.Edit(tc.contentType, body, o)
				if !errors.Is(err, tc.err) || string(got) != tc.want {
					t.Errorf("got %s, %v; want %s, %v", got, err, tc.want, tc.err)
				}
			}
		})
	}
}

func TestNewEditorRefuses(t *testing.T) {
	for name, cfg := range map[string]ir.BodyEdit{
		"no name":       {Set: []ir.BodyMember{{Value: "1"}}},
		"empty removal": {Remove: []string{""}},
		"no JSON":       {Set: []ir.BodyMember{{Name: "a", Value: "x"}}},
	} {
		if _, err := NewEditor(&cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if !editor(t, nil).Idle() {
		t.Error("an empty edit has something to do")
	}
}

// FuzzRemove: what is left is JSON, without the removed members, and with all
// others as they were; an Object tells the same as a pass of its own.
func FuzzRemove(f *testing.F) {
	for _, s := range append(editSeeds, seeds...) {
		f.Add([]byte(s), "model", "n")
	}
	f.Add([]byte(`{"a":1,"b":2 , "c":3}`), "c", "a")
	f.Fuzz(func(t *testing.T, body []byte, a, b string) {
		ed, err := NewEditor(&ir.BodyEdit{Remove: []string{a, b}, Set: []ir.BodyMember{{Name: "put", Value: "true"}}})
		if err != nil || strings.EqualFold(a, "put") || strings.EqualFold(b, "put") {
			return
		}
		got, err := ed.Edit("", body, nil)
		known, kerr := ed.Edit("", body, NewObject(body))
		if !bytes.Equal(got, known) || (err == nil) != (kerr == nil) {
			t.Fatalf("%q: %q, %v; with an Object %q, %v", body, got, err, known, kerr)
		}
		if err != nil || got == nil {
			return
		}
		governed := []string{a, b, "put"}
		var left map[string]json.RawMessage
		if err := json.Unmarshal(got, &left); err != nil {
			t.Fatalf("%q: becomes %q: %v", body, got, err)
		}
		if left[a] != nil || left[b] != nil || string(left["put"]) != "true" {
			t.Errorf("%q: becomes %q", body, got)
		}
		if diff := cmp.Diff(others(t, body, governed), others(t, got, governed)); diff != "" {
			t.Errorf("%q: other members are changed: %s", body, diff)
		}
	})
}

// TestManyMembers: a body with more members than an Object keeps is read all
// the same.
func TestManyMembers(t *testing.T) {
	body := []byte(`{` + strings.Repeat(`"x":1,`, mostMembers+10) + `"model":"m"}`)
	s, o, err := ScanRequest("", body)
	if err != nil || s.Model != "m" || o.of(body) || !o.partial {
		t.Errorf("got %+v, %v", s, err)
	}
	got, err := editor(t, nil, "model", `"n"`).Edit("", body, o)
	if err != nil || !bytes.HasSuffix(got, []byte(`,"model":"n"}`)) {
		t.Errorf("edited: %v", err)
	}
	if o := NewObject([]byte(`{"model":"m"}`)); o.of(slices.Clone(o.body)) {
		t.Error("an Object is taken for another body's")
	}
}
