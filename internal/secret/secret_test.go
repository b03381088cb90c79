package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const marker = "MARKER-hunter2"

func TestValueNeverPrints(t *testing.T) {
	v := NewValue([]byte(marker))
	holder := struct{ V Value }{v}
	js, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, out := range []string{fmt.Sprintf(verb, v), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder)} {
			if strings.Contains(out, marker) || strings.Contains(out, fmt.Sprintf("%x", marker)) {
				t.Errorf("%s prints the value: %s", verb, out)
			}
		}
	}
	if strings.Contains(string(js), marker) {
		t.Errorf("json prints the value: %s", js)
	}
	if got := string(v.Reveal()); got != marker {
		t.Errorf("Reveal = %q", got)
	}
}

func TestDerivedFollowsItsBytes(t *testing.T) {
	ref := Ref{Kind: "Secret", Namespace: "a", Name: "b", Key: "c"}
	s := NewStore()
	made := 0
	d := Derive(s, []Ref{ref}, func(v []Value) (int, error) {
		made++
		if string(v[0].Reveal()) == "bad" {
			return 0, errors.New("not a number")
		}
		return len(v[0].Reveal()), nil
	})
	steps := []struct {
		name    string
		do      func() bool
		changed bool
		want    int
		err     string
	}{
		{"missing at first", func() bool { return false }, false, 0, "Secret a/b[c]: secret not found"},
		{"put", func() bool { return s.Put(map[Ref]Value{ref: NewValue([]byte("abc"))}) }, true, 3, ""},
		{"the same bytes", func() bool { return s.Put(map[Ref]Value{ref: NewValue([]byte("abc"))}) }, false, 3, ""},
		{"another's bytes", func() bool { return s.Put(map[Ref]Value{{Name: "x"}: NewValue([]byte("q"))}) }, true, 3, ""},
		{"bytes that do not parse", func() bool { return s.Put(map[Ref]Value{ref: NewValue([]byte("bad"))}) }, true, 0, "not a number"},
		{"good again", func() bool { return s.Put(map[Ref]Value{ref: NewValue([]byte("abcd"))}) }, true, 4, ""},
		{"dropped", func() bool { return s.Drop([]Ref{ref}) }, true, 0, "secret not found"},
		{"dropped twice", func() bool { return s.Drop([]Ref{ref}) }, false, 0, "secret not found"},
	}
	for _, st := range steps {
		if got := st.do(); got != st.changed {
			t.Errorf("%s: changed = %v", st.name, got)
		}
		got, err := d.Get()
		if got != st.want || (err == nil) != (st.err == "") || (err != nil && !strings.Contains(err.Error(), st.err)) {
			t.Errorf("%s: got %d, %v; want %d, %q", st.name, got, err, st.want, st.err)
		}
	}
	if made != 3 {
		t.Errorf("parsed %d times, want once for each version (3)", made)
	}
}

func TestStoreForgetsWhatNobodyHolds(t *testing.T) {
	ref := Ref{Kind: "Secret", Name: "n", Key: "k"}
	s := NewStore()
	for range 100 {
		Derive(s, []Ref{ref}, func([]Value) (int, error) { return 0, nil })
	}
	runtime.GC()
	runtime.GC()
	s.Put(map[Ref]Value{ref: NewValue([]byte("v"))})
	if n := len(s.watchers[ref]); n != 0 {
		t.Errorf("%d watchers still known", n)
	}
}
