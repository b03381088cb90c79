package resource

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/status"
)

var (
	kindA = GroupKind{"g.example.com", "A"}
	kindB = GroupKind{"g.example.com", "B"}
)

func key(gk GroupKind, ns, name string) Key { return Key{GroupKind: gk, Namespace: ns, Name: name} }

// TestWithEqualsFromScratch changes a set at random, many times, and compares
// it with one made anew.
func TestWithEqualsFromScratch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	known := []Kind{{GroupKind: kindA}, {GroupKind: kindB}}
	for turn := range 50 {
		now := map[Key]*Object{}
		s := NewSet(nil, known)
		names, edits := 5, 6
		if turn%10 == 0 { // enough for several shards
			names, edits = 2000, 300
		}
		for range 30 {
			before := s
			var changed []*Object
			var removed []Key
			for range rnd.IntN(edits) {
				k := key([]GroupKind{kindA, kindB}[rnd.IntN(2)], fmt.Sprint("ns", rnd.IntN(3)), fmt.Sprint("o", rnd.IntN(names)))
				if slices.ContainsFunc(changed, func(o *Object) bool { return o.Key == k }) || slices.Contains(removed, k) {
					continue
				}
				if rnd.IntN(3) == 0 {
					removed = append(removed, k)
					delete(now, k)
					continue
				}
				o := &Object{Key: k, Generation: rnd.Int64(), Labels: map[string]string{"l": fmt.Sprint(rnd.IntN(3))}}
				changed, now[k] = append(changed, o), o
			}
			s = s.With(changed, removed)
			var all []*Object
			for _, o := range now {
				all = append(all, o)
			}
			same(t, s, NewSet(all, known))
			for _, k := range Diff(before, s) {
				if before.Get(k) == s.Get(k) {
					t.Fatalf("Diff names %v, which is the same", k)
				}
			}
		}
	}
}

func same(t *testing.T, a, b *Set) {
	t.Helper()
	if d := Diff(a, b); len(d) > 0 || a.Len() != b.Len() {
		t.Fatalf("sets differ in %v", d)
	}
	for _, gk := range []GroupKind{kindA, kindB} {
		if !slices.Equal(a.All(gk), b.All(gk)) {
			t.Fatalf("%v: %v and %v", gk, a.All(gk), b.All(gk))
		}
		for i := range 3 {
			if ns := fmt.Sprint("ns", i); !slices.Equal(a.In(gk, ns), b.In(gk, ns)) {
				t.Fatalf("%v in %s differ", gk, ns)
			}
		}
		for _, l := range []string{"0", "1", "2", "none"} {
			if !slices.Equal(a.ByLabel(gk, "l", l), b.ByLabel(gk, "l", l)) {
				t.Fatalf("%v with l=%s: %v and %v", gk, l, a.ByLabel(gk, "l", l), b.ByLabel(gk, "l", l))
			}
			if !slices.EqualFunc(a.GroupsByLabel(gk, "l", l), b.GroupsByLabel(gk, "l", l), sameGroup) {
				t.Fatalf("%v with l=%s is in other groups", gk, l)
			}
		}
		if !a.Knows(gk) || !b.Knows(gk) {
			t.Fatalf("%v is forgotten", gk)
		}
	}
}

func sameGroup(a, b *Group) bool { return slices.Equal(a.Objects(), b.Objects()) }

// TestGroupsAreShared holds that a change of one object leaves all groups of a
// list as they are but those beside it, with what was made of them.
func TestGroupsAreShared(t *testing.T) {
	var all []*Object
	for i := range 5000 {
		all = append(all, &Object{Key: key(kindA, "n", fmt.Sprint("o", i)), Labels: map[string]string{"l": "x"}})
	}
	s := NewSet(all, nil)
	made := 0
	look := func(s *Set) {
		for _, g := range s.GroupsByLabel(kindA, "l", "x") {
			n := g.Derived("length", func(list []*Object) any { made++; return len(list) })
			if n != len(g.Objects()) {
				t.Fatalf("%v made of %d", n, len(g.Objects()))
			}
		}
	}
	look(s)
	if groups := s.GroupsByLabel(kindA, "l", "x"); len(groups) < 10 || made != len(groups) {
		t.Fatalf("%d groups, %d made", len(groups), made)
	}
	for i := range 300 {
		made = 0
		was := s
		if i%2 == 0 {
			s = s.With(nil, []Key{all[i*7].Key})
		} else {
			s = s.With([]*Object{{Key: key(kindA, "n", fmt.Sprint("p", i)), Labels: all[0].Labels}}, nil)
		}
		if look(s); made > 2 {
			t.Errorf("change %d makes %d groups anew", i, made)
		}
		if made = 0; len(was.ByLabel(kindA, "l", "x")) == len(s.ByLabel(kindA, "l", "x")) {
			t.Errorf("change %d is not seen", i)
		}
	}
}

func TestDiff(t *testing.T) {
	one, two := &Object{Key: key(kindA, "n", "1")}, &Object{Key: key(kindA, "n", "2")}
	a := NewSet([]*Object{one, two}, nil)
	b := a.With([]*Object{{Key: two.Key}, {Key: key(kindB, "n", "3")}}, []Key{one.Key})
	want := []Key{one.Key, two.Key, key(kindB, "n", "3")}
	if diff := cmp.Diff(want, Diff(a, b)); diff != "" {
		t.Error(diff)
	}
	if d := Diff(a, a); d != nil {
		t.Errorf("a set differs from itself in %v", d)
	}
}

func TestFirstOfDoubledIsKept(t *testing.T) {
	first := &Object{Key: key(kindA, "n", "1")}
	s := NewSet([]*Object{first, {Key: first.Key}}, nil)
	if s.Get(first.Key) != first || s.Len() != 1 || len(s.All(kindA)) != 1 {
		t.Error("not the first")
	}
}

func TestViewRecordsWhatItRead(t *testing.T) {
	s := NewSet([]*Object{{Key: key(kindA, "n", "1"), Spec: &Namespace{}}}, nil)
	changes := []Key{key(kindA, "n", "1"), key(kindA, "n", "2"), key(kindA, "m", "1"), key(kindB, "n", "1")}
	for _, c := range []struct {
		name string
		read func(*View)
		want []bool
	}{
		{"nothing", func(*View) {}, []bool{false, false, false, false}},
		{"an object", func(v *View) { v.Get(kindA, "n", "1") }, []bool{true, false, false, false}},
		{"an absence", func(v *View) { v.Get(kindA, "n", "2") }, []bool{false, true, false, false}},
		{"a namespace", func(v *View) { v.In(kindA, "n") }, []bool{true, true, false, false}},
		{"an empty namespace", func(v *View) { v.In(kindB, "n") }, []bool{false, false, false, true}},
		{"a kind", func(v *View) { v.All(kindA) }, []bool{true, true, true, false}},
		{"a body", func(v *View) { v.Body(kindA, "n", "1") }, []bool{true, false, false, false}},
		{"the absence of one", func(v *View) { v.Body(kindA, "n", "2") }, []bool{false, true, false, false}},
		{"a spec", func(v *View) { Spec[Namespace](v, kindA, "n", "1") }, []bool{true, false, false, false}},
	} {
		v := NewView(s)
		c.read(v)
		for i, k := range changes {
			if got := v.Sees(ChangesOf(s, s, []Key{k})); got != c.want[i] {
				t.Errorf("%s: a change of %v touches: %v", c.name, k, got)
			}
		}
	}
}

// TestBody: labels and annotations are none of it, and everything else is.
func TestBody(t *testing.T) {
	was := &Object{Key: key(kindA, "n", "1"), Labels: map[string]string{"a": "b"}, Spec: &widget{}, File: "f"}
	set := NewSet([]*Object{was}, nil)
	v := NewView(set)
	v.Body(kindA, "n", "1")
	for _, tc := range []struct {
		name string
		edit func(o *Object)
		want bool
	}{
		{"another label", func(o *Object) { o.Labels = map[string]string{"a": "c"} }, false},
		{"no label", func(o *Object) { o.Labels = nil }, false},
		{"an annotation", func(o *Object) { o.Annotations = map[string]string{"a": "c"} }, false},
		{"another spec", func(o *Object) { o.Spec = &Namespace{} }, true},
		{"both", func(o *Object) { o.Labels, o.Spec = nil, &Namespace{} }, true},
		{"a fault", func(o *Object) { o.Labels, o.Faults = nil, []status.Problem{{}} }, true},
		{"another file", func(o *Object) { o.Labels, o.File = nil, "g" }, true},
	} {
		is := *was
		tc.edit(&is)
		next := set.With([]*Object{&is}, nil)
		if got := v.Sees(ChangesOf(set, next, Diff(set, next))); got != tc.want {
			t.Errorf("%s: concerns the reader: %v", tc.name, got)
		}
	}
	if none := set.With(nil, []Key{was.Key}); !v.Sees(ChangesOf(set, none, Diff(set, none))) {
		t.Error("its end does not concern the reader")
	}
}

func TestOlder(t *testing.T) {
	a, b := &Object{Key: key(kindA, "n", "a")}, &Object{Key: key(kindA, "n", "b")}
	if !a.Older(b) || b.Older(a) {
		t.Error("of one age, names decide")
	}
	a.Created = a.Created.AddDate(1, 0, 0)
	if a.Older(b) || !b.Older(a) {
		t.Error("the earlier creation decides")
	}
}

// TestRenewedIsNoDifference holds that another generation that says the same is
// in the set, and nothing to be translated anew; one that says something else
// is.
func TestRenewedIsNoDifference(t *testing.T) {
	gk := GroupKind{Group: "g.example.com", Kind: "A"}
	was := &Object{Key: key(gk, "n", "1"), Generation: 1, ResourceVersion: "5", Labels: map[string]string{"a": "b"}, Spec: new(widget)}
	a := NewSet([]*Object{was}, nil)
	next := &Object{Key: was.Key, Generation: 2, ResourceVersion: "6", Labels: map[string]string{"a": "b"}, Spec: new(widget)}
	if !next.Says(was) {
		t.Fatal("it says something else")
	}
	b := a.With([]*Object{was.Renewed(next)}, nil)
	if d := Diff(a, b); len(d) > 0 {
		t.Errorf("differs: %v", d)
	}
	if o := b.Get(was.Key); o.Generation != 2 || o.ResourceVersion != "6" || o.Spec != was.Spec {
		t.Errorf("the set has %+v", o)
	}
	next.Labels = map[string]string{"a": "c"}
	if next.Says(was) || len(Diff(b, b.With([]*Object{next}, nil))) != 1 {
		t.Error("another label is no difference")
	}
}

// TestTouchedOfKin compares sets that are made of one another, by a few steps
// or many, and by way of one that both are made of: as it is found by looking
// at everything.
func TestTouchedOfKin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var all []*Object
	for i := range 50 {
		all = append(all, &Object{Key: key(kindA, "n", fmt.Sprint("o", i))})
	}
	step := func(s *Set) *Set {
		k := all[rnd.IntN(len(all))].Key
		if rnd.IntN(2) == 0 {
			return s.With(nil, []Key{k})
		}
		return s.With([]*Object{{Key: k}}, nil)
	}
	for _, steps := range []int{0, 1, 5, kinship - 1, kinship + 5} {
		first := NewSet(all, nil)
		chain := []*Set{first}
		for range steps {
			chain = append(chain, step(chain[len(chain)-1]))
		}
		last := chain[steps]
		for _, pair := range [][2]*Set{{first, last}, {step(first), last}, {step(first), first}, {step(last), step(last)}, {last, first}, {step(last), first}, {step(step(first)), step(step(last))}} {
			a, b := pair[0], pair[1]
			stranger := NewSet(b.All(kindA), nil)
			if diff := cmp.Diff(keysOf(Touched(a, stranger)), keysOf(Touched(a, b))); diff != "" {
				t.Errorf("%d steps: %s", steps, diff)
			}
		}
		if _, known := parted(first, last); known != (steps <= kinship) {
			t.Errorf("%d steps: remembered: %v", steps, known)
		}
	}
	var many []Key
	for i := range longStep + 1 {
		many = append(many, key(kindB, "n", fmt.Sprint(i)))
	}
	first := NewSet(all, nil)
	if _, known := parted(first, first.With(nil, many)); known {
		t.Error("a long step is remembered")
	}
}

// TestKinOfTheGone compares two Sets of which nothing between them is left.
func TestKinOfTheGone(t *testing.T) {
	first := NewSet(nil, nil)
	last := first
	for i := range kinship {
		last = last.With([]*Object{{Key: key(kindA, "n", fmt.Sprint(i))}}, nil)
	}
	runtime.GC()
	if keys, known := parted(first, last); !known || len(keys) != kinship {
		t.Errorf("remembered: %v, %d keys", known, len(keys))
	}
}

func keysOf(keys []Key) string { return fmt.Sprint(keys) }
