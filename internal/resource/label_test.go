package resource

import (
	"fmt"
	"testing"
	"time"
)

func TestByLabel(t *testing.T) {
	object := func(ns, name, label string) *Object {
		return &Object{Key: key(kindA, ns, name), Labels: map[string]string{"team": label}}
	}
	one, two, other := object("b", "1", "x"), object("a", "2", "x"), object("a", "3", "y")
	s := NewSet([]*Object{one, two, other, {Key: key(kindA, "a", "4")}, {Key: key(kindB, "a", "5"), Labels: one.Labels}}, nil)
	names := func(s *Set, value string) string {
		out := ""
		for _, o := range s.ByLabel(kindA, "team", value) {
			out += o.Namespace + "/" + o.Name + " "
		}
		return out
	}
	steps := []struct {
		name    string
		changed []*Object
		removed []Key
		x, y    string
	}{
		{"at first", nil, nil, "a/2 b/1 ", "a/3 "},
		{"one changes its label", []*Object{object("b", "1", "y")}, nil, "a/2 ", "a/3 b/1 "},
		{"a new one", []*Object{object("a", "0", "x")}, nil, "a/0 a/2 ", "a/3 b/1 "},
		{"one goes", nil, []Key{key(kindA, "a", "2")}, "a/0 ", "a/3 b/1 "},
		{"one loses its label", []*Object{{Key: key(kindA, "a", "0")}}, nil, "", "a/3 b/1 "},
		{"gone and back", []*Object{object("a", "3", "x")}, []Key{key(kindA, "a", "3")}, "a/3 ", "b/1 "},
	}
	for _, st := range steps {
		before, was := s, names(s, "x")
		s = s.With(st.changed, st.removed)
		if x, y := names(s, "x"), names(s, "y"); x != st.x || y != st.y {
			t.Errorf("%s: x: %s, y: %s", st.name, x, y)
		}
		if names(before, "x") != was {
			t.Errorf("%s: the set before has changed", st.name)
		}
	}
}

func TestViewRecordsLabels(t *testing.T) {
	with := func(value string) *Object {
		return &Object{Key: key(kindA, "n", "1"), Labels: map[string]string{"team": value, "else": "x"}}
	}
	for _, tc := range []struct {
		name          string
		before, after []*Object
		want          bool
	}{
		{"it has the label", []*Object{with("x")}, []*Object{with("x")}, true},
		{"it gets the label", []*Object{with("y")}, []*Object{with("x")}, true},
		{"it loses the label", []*Object{with("x")}, []*Object{with("y")}, true},
		{"it comes", nil, []*Object{with("x")}, true},
		{"it goes", []*Object{with("x")}, nil, true},
		{"another value", []*Object{with("y")}, []*Object{with("z")}, false},
		{"another comes", nil, []*Object{with("y")}, false},
	} {
		before, after := NewSet(tc.before, nil), NewSet(tc.after, nil)
		v := NewView(before)
		v.ByLabel(kindA, "team", "x")
		if got := v.Sees(ChangesOf(before, after, []Key{key(kindA, "n", "1")})); got != tc.want {
			t.Errorf("%s: touches: %v", tc.name, got)
		}
	}
}

// TestManyLabelled holds a change of one object among 100,000 to a small part
// of a second, the label's index included.
func TestManyLabelled(t *testing.T) {
	const many = 100_000
	all := make([]*Object, many)
	for i := range all {
		all[i] = &Object{Key: key(kindA, "n", fmt.Sprintf("o%06d", i)), Labels: map[string]string{"team": "x", "user": fmt.Sprint(i)}}
	}
	s := NewSet(all, nil)
	s.ByLabel(kindA, "team", "x")
	s.ByLabel(kindA, "user", "1")
	start := time.Now()
	const rounds = 5
	for i := range rounds {
		s = s.With([]*Object{{Key: all[i].Key, Labels: map[string]string{"team": "y", "user": fmt.Sprint(i)}}}, nil)
		if n := len(s.ByLabel(kindA, "team", "x")); n != many-1-i {
			t.Fatalf("%d objects", n)
		}
	}
	t.Logf("%v for each change", time.Since(start)/rounds)
}

func BenchmarkByLabel(b *testing.B) {
	const many = 100_000
	all := make([]*Object, many)
	for i := range all {
		all[i] = &Object{Key: key(kindA, "n", fmt.Sprintf("o%06d", i)), Labels: map[string]string{"team": "x"}}
	}
	s := NewSet(all, nil)
	s.ByLabel(kindA, "team", "x")
	for b.Loop() {
		s = s.With([]*Object{{Key: all[0].Key, Labels: all[0].Labels}}, nil)
		s.ByLabel(kindA, "team", "x")
	}
}
