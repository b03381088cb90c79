package keep

import (
	"errors"
	"testing"
)

type thing struct{ closed int }

func (t *thing) Close() { t.closed++ }

func TestThingLivesAsLongAsASessionHoldsIt(t *testing.T) {
	var k Keep
	made := 0
	create := func() (*thing, error) { made++; return &thing{}, nil }
	key := Key("pool", map[string]int{"port": 1})

	first := k.Begin()
	a, _ := Get(first, key, create)
	again, _ := Get(first, key, create)
	second := k.Begin()
	b, _ := Get(second, key, create)
	if a != b || a != again || made != 1 {
		t.Fatalf("made %d things, want the same one", made)
	}
	first.Release()
	first.Release()
	if a.closed != 0 {
		t.Error("closed while a session holds it")
	}
	second.Release()
	if a.closed != 1 || k.Len() != 0 {
		t.Errorf("closed %d times, %d kept", a.closed, k.Len())
	}
	third := k.Begin()
	if c, _ := Get(third, key, create); c == a {
		t.Error("a closed thing came back")
	}
}

func TestWhatCannotBeMadeIsNotKept(t *testing.T) {
	var k Keep
	s := k.Begin()
	if _, err := Get(s, "x", func() (*thing, error) { return nil, errors.New("no") }); err == nil {
		t.Error("no error")
	}
	s.Release()
	if k.Len() != 0 {
		t.Error("a failure is kept")
	}
}

func TestKeyDependsOnConfigurationAndKind(t *testing.T) {
	type config struct{ A, B string }
	if Key("x", config{"1", "2"}) == Key("x", config{"12", ""}) || Key("x", 1) == Key("y", 1) {
		t.Error("keys collide")
	}
	one, same := config{"1", "2"}, config{"1", "2"}
	if Key("x", one) != Key("x", same) {
		t.Error("key is not stable")
	}
}
