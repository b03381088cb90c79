package resource

import "testing"

// TestAsk: a reader is concerned where the answer to its question differs, or
// what is read for it; what it reads besides concerns it as ever.
func TestAsk(t *testing.T) {
	object := func(name, host string) *Object {
		return &Object{Key: key(kindA, "n", name), Spec: &Namespace{}, Labels: map[string]string{"host": host}}
	}
	// The question follows a label from one object to the next.
	question := func(v *View) any {
		if o := v.Get(kindA, "n", "1"); o != nil {
			return v.Get(kindA, "n", o.Labels["host"]) != nil
		}
		return nil
	}
	set := NewSet([]*Object{object("1", "2"), object("2", "")}, nil)
	v := NewView(set)
	if v.Ask(question) != true {
		t.Fatal("the question finds nothing")
	}
	v.Get(kindA, "n", "beside")
	var readers Readers[string]
	readers.Read("reader", v.Reads())
	for _, tc := range []struct {
		name            string
		changed         []*Object
		removed         []Key
		surely, perhaps bool
		otherwise       bool
	}{
		{name: "nothing that was read", changed: []*Object{object("3", "")}},
		{name: "the same answer", changed: []*Object{object("2", "x")}, perhaps: true},
		{name: "another answer", removed: []Key{key(kindA, "n", "2")}, perhaps: true, otherwise: true},
		{name: "no answer", removed: []Key{key(kindA, "n", "1")}, perhaps: true, otherwise: true},
		{name: "the same answer by other reads", changed: []*Object{object("1", "1")}, perhaps: true, otherwise: true},
		{name: "something read besides", changed: []*Object{object("beside", "")}, surely: true},
		{name: "both", changed: []*Object{object("beside", ""), object("2", "x")}, surely: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next := set.With(tc.changed, tc.removed)
			changes := ChangesOf(set, next, Diff(set, next))
			surely, perhaps := readers.Concerned(changes)
			if (len(surely) == 1) != tc.surely || (len(perhaps) == 1) != tc.perhaps {
				t.Errorf("surely %v, perhaps %v", surely, perhaps)
			}
			if same := SameAnswers(v.Asked(), NewView(set), NewView(next)); same == tc.otherwise {
				t.Errorf("the answers are the same: %v", same)
			}
			touched := tc.surely || tc.perhaps
			if v.Sees(changes) != touched || v.Reads().TouchedBy(changes) != touched {
				t.Error("who asks nothing again must see every change of what was read")
			}
		})
	}
}

// TestAskDemands: a Secret that was read to answer a question is wanted.
func TestAskDemands(t *testing.T) {
	v := NewView(NewSet(nil, nil))
	v.Ask(func(v *View) any {
		v.InByLabel(SecretKind, "n", "team", "red")
		return v.Get(SecretKind, "n", "s")
	})
	d := NewDemand()
	d.Swap(nil, v.Reads())
	if !d.WantsAs(key(SecretKind, "n", "s"), nil) || !d.WantsAs(key(SecretKind, "n", "t"), map[string]string{"team": "red"}) {
		t.Error("it is not wanted")
	}
	if d.WantsAs(key(SecretKind, "n", "t"), nil) {
		t.Error("another is wanted, too")
	}
	d.Swap(v.Reads(), nil)
	if d.Broad() || d.WantsAs(key(SecretKind, "n", "s"), nil) {
		t.Error("it is wanted for ever")
	}
}
