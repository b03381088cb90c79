package secret

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

func numbered(i int) Ref {
	if i < 0 {
		return Ref{}
	}
	return Ref{Kind: "Secret", Namespace: "ns", Name: fmt.Sprint("s", i), Key: "k"}
}

func TestFollowerHearsOfThePiecesThatChanged(t *testing.T) {
	s := NewStore()
	s.Put(map[Ref]Value{numbered(1): NewValue([]byte("one"))})
	refs := []Ref{numbered(0), numbered(1), {}, numbered(2), numbered(1)} // one of them twice
	var heard [][]int
	now := map[int]string{}
	f := Follow(s, len(refs), func(i int) Ref { return refs[i] }, func(at []int, read Read) {
		slices.Sort(at)
		heard = append(heard, at)
		for _, i := range at {
			delete(now, i)
			if v, ok := read(i); ok {
				now[i] = string(v.Reveal())
			}
		}
	})
	for _, step := range []struct {
		name string
		do   func()
		at   []int
		now  string
	}{
		{"at first", func() {}, []int{0, 1, 2, 3, 4}, "map[1:one 4:one]"},
		{"put", func() { s.Put(map[Ref]Value{numbered(2): NewValue([]byte("two"))}) }, []int{3}, "map[1:one 3:two 4:one]"},
		{"the same bytes", func() { s.Put(map[Ref]Value{numbered(2): NewValue([]byte("two"))}) }, nil, "map[1:one 3:two 4:one]"},
		{"another's", func() { s.Put(map[Ref]Value{numbered(9): NewValue([]byte("x"))}) }, nil, "map[1:one 3:two 4:one]"},
		{"twice listed", func() { s.Put(map[Ref]Value{numbered(1): NewValue([]byte("uno"))}) }, []int{1, 4}, "map[1:uno 3:two 4:uno]"},
		{"several", func() { s.Drop([]Ref{numbered(1), numbered(2)}) }, []int{1, 3, 4}, "map[]"},
	} {
		step.do()
		var got []int
		if len(heard) > 0 {
			got = heard[0]
		}
		if heard = nil; !slices.Equal(got, step.at) || fmt.Sprint(now) != step.now {
			t.Errorf("%s: heard of %v, knows %v", step.name, got, now)
		}
	}
	runtime.KeepAlive(f)
}

func TestFollowerThatNobodyHoldsHearsNothing(t *testing.T) {
	s := NewStore()
	calls := 0
	Follow(s, 1, numbered, func([]int, Read) { calls++ })
	runtime.GC()
	runtime.GC()
	s.Put(map[Ref]Value{numbered(0): NewValue([]byte("v"))})
	if calls != 1 || len(s.watchers) != 0 {
		t.Errorf("%d calls, %d watched refs", calls, len(s.watchers))
	}
}

func TestFollowerUnderConcurrentChanges(t *testing.T) {
	s := NewStore()
	now := map[int]string{}
	f := Follow(s, 8, numbered, func(at []int, read Read) {
		for _, i := range at {
			v, _ := read(i)
			now[i] = string(v.Reveal())
		}
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				s.Put(map[Ref]Value{numbered(i): NewValue(fmt.Append(nil, n))})
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if now[i] != "199" {
			t.Errorf("%d: %q", i, now[i])
		}
	}
	runtime.KeepAlive(f)
}
