package sourcetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// WidgetYAML returns a Widget in namespace default.
func WidgetYAML(name, host string) string {
	return fmt.Sprintf("apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: %s, namespace: default}\nspec:\n  host: %s\n", name, host)
}

// SecretYAML returns a Secret in namespace default with one key.
func SecretYAML(name, key, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: default}\nstringData: {%s: %s}\n", name, key, value)
}

// SecretRef returns where a key of a Secret in namespace default is kept.
func SecretRef(name, key string) secret.Ref {
	return secret.Ref{Kind: "Secret", Namespace: "default", Name: name, Key: key}
}

// Run runs the suite. open returns a new, empty place.
func Run(t *testing.T, open func(t *testing.T) Place) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Place)
	}{
		{"an empty place is an update, too", empty},
		{"what is there at first comes at once", first},
		{"objects come, change and go", comeAndGo},
		{"two objects together", together},
		{"a secret's bytes alone translate nothing", bytesAlone},
		{"a secret's new key is a change", shape},
		{"a removed secret is forgotten", forgotten},
		{"secret fields are kept apart", fields},
		{"what is the same is no update", same},
		{"an object with faults is there, marked", faults},
		{"it ends when it is told to", ends},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func start(t *testing.T, p Place) *Watch {
	t.Helper()
	store := secret.NewStore()
	return Start(t, p.Source(t, store), store)
}

func empty(t *testing.T, p Place) {
	w := start(t, p)
	s := w.Await(t, "the first update", func(s State) bool { return true })
	if s.Set == nil || s.Set.Len() != 0 || !s.Set.Knows(WidgetKind) {
		t.Errorf("first set: %+v", s.Set)
	}
}

func first(t *testing.T, p Place) {
	p.Put(t, "a", WidgetYAML("a", "one"))
	p.Put(t, "s", SecretYAML("s", "k", Marker))
	w := start(t, p)
	s := w.Await(t, "the first update", func(s State) bool { return true })
	if s.Widget("a") != "one" || !w.Store.Has(SecretRef("s", "k")) || s.Set.Len() != 2 {
		t.Errorf("first set has %d objects, widget %q", s.Set.Len(), s.Widget("a"))
	}
}

func comeAndGo(t *testing.T, p Place) {
	p.Put(t, "a", WidgetYAML("a", "one"))
	w := start(t, p)
	one := w.Await(t, "first", func(s State) bool { return s.Widget("a") == "one" }).Object("a")
	p.Put(t, "b", WidgetYAML("b", "two"))
	s := w.Await(t, "add", func(s State) bool { return s.Widget("b") == "two" })
	if s.Object("a") != one {
		t.Error("an object that did not change was replaced")
	}
	p.Put(t, "b", WidgetYAML("b", "three"))
	w.Await(t, "change", func(s State) bool { return s.Widget("b") == "three" })
	p.Delete(t, "b")
	s = w.Await(t, "remove", func(s State) bool { return s.Object("b") == nil })
	if s.Object("a") != one || len(s.Problems) != 0 {
		t.Errorf("at the end: a replaced: %v, problems %v", s.Object("a") != one, s.Problems)
	}
}

func together(t *testing.T, p Place) {
	w := start(t, p)
	w.Await(t, "first", func(State) bool { return true })
	p.Put(t, "both", WidgetYAML("a", "one")+"---\n"+WidgetYAML("b", "two"))
	w.Await(t, "both", func(s State) bool { return s.Widget("a") == "one" && s.Widget("b") == "two" })
	p.Put(t, "both", WidgetYAML("b", "three"))
	w.Await(t, "one of them gone", func(s State) bool { return s.Object("a") == nil && s.Widget("b") == "three" })
}

func bytesAlone(t *testing.T, p Place) {
	p.Put(t, "s", SecretYAML("s", "k", Marker+"1"))
	w := start(t, p)
	s := w.Await(t, "first", func(s State) bool { return s.Set != nil && s.Set.Len() == 1 })
	length := secret.Derive(w.Store, []secret.Ref{SecretRef("s", "k")}, func(v []secret.Value) (int, error) {
		return len(v[0].Reveal()), nil
	})
	p.Put(t, "s", SecretYAML("s", "k", Marker+"123"))
	after := w.Await(t, "new bytes", func(now State) bool { return now.Updates > s.Updates })
	if n, err := length.Get(); n != len(Marker)+3 || err != nil {
		t.Errorf("derived: %d, %v", n, err)
	}
	if after.Sets != s.Sets {
		t.Error("a change of bytes alone delivered a set")
	}
}

func shape(t *testing.T, p Place) {
	p.Put(t, "s", SecretYAML("s", "k", Marker))
	w := start(t, p)
	w.Await(t, "first", func(s State) bool { return s.Set != nil && s.Set.Len() == 1 })
	p.Put(t, "s", SecretYAML("s", "other", Marker))
	w.Await(t, "a new key", func(s State) bool {
		o := s.Set.Get(resource.Key{GroupKind: resource.SecretKind, Namespace: "default", Name: "s"})
		return o != nil && o.Spec.(*resource.Secret).HasKey("other")
	})
	awaitStore(t, w, "the old key is dropped", func() bool { return !w.Store.Has(SecretRef("s", "k")) })
}

func forgotten(t *testing.T, p Place) {
	p.Put(t, "s", SecretYAML("s", "k", Marker))
	p.Put(t, "a", WidgetYAML("a", "one")+"  token: "+Marker+"\n")
	w := start(t, p)
	w.Await(t, "first", func(s State) bool { return s.Set != nil && s.Set.Len() == 2 })
	p.Delete(t, "s")
	p.Delete(t, "a")
	w.Await(t, "gone", func(s State) bool { return s.Set.Len() == 0 })
	awaitStore(t, w, "its bytes are dropped", func() bool { return w.Store.Len() == 0 })
}

// awaitStore waits for what the source does after an update was applied.
func awaitStore(t *testing.T, w *Watch, what string, ok func() bool) {
	t.Helper()
	w.Stop(t) // the source's goroutine has done all that it had begun
	if !ok() {
		t.Errorf("not so: %s", what)
	}
}

func fields(t *testing.T, p Place) {
	p.Put(t, "a", WidgetYAML("a", "one")+"  token: "+Marker+"1\n")
	w := start(t, p)
	s := w.Await(t, "first", func(s State) bool { return s.Widget("a") == "one" })
	ref := s.Object("a").Spec.(*Widget).Spec.Token
	if want := (secret.Ref{Kind: WidgetKind.String(), Namespace: "default", Name: "a", Key: "spec.token"}); ref != want {
		t.Errorf("ref %v, want %v", ref, want)
	}
	token := secret.Derive(w.Store, []secret.Ref{ref}, func(v []secret.Value) (string, error) { return string(v[0].Reveal()), nil })
	p.Put(t, "a", WidgetYAML("a", "one")+"  token: "+Marker+"2\n")
	after := w.Await(t, "new bytes", func(now State) bool { return now.Updates > s.Updates })
	if v, err := token.Get(); v != Marker+"2" || err != nil {
		t.Errorf("derived: %v", err)
	}
	if d := resource.Diff(s.Set, after.Set); len(d) > 0 || after.Object("a").Spec != s.Object("a").Spec {
		t.Errorf("%v is to be translated anew", d)
	}
}

func same(t *testing.T, p Place) {
	p.Put(t, "a", WidgetYAML("a", "one"))
	w := start(t, p)
	before := w.Await(t, "first", func(s State) bool { return s.Widget("a") == "one" })
	p.Put(t, "a", WidgetYAML("a", "one"))
	p.Put(t, "b", WidgetYAML("b", "two"))
	after := w.Await(t, "another", func(s State) bool { return s.Widget("b") == "two" })
	if after.Updates != before.Updates+1 || after.Object("a") != before.Object("a") {
		t.Errorf("%d updates for one change", after.Updates-before.Updates)
	}
}

func faults(t *testing.T, p Place) {
	w := start(t, p)
	w.Await(t, "first", func(State) bool { return true })
	p.Put(t, "a", WidgetYAML("a", "one")+"  prot: 1\n")
	s := w.Await(t, "an unknown field", func(s State) bool { return s.Widget("a") == "one" })
	o := s.Object("a")
	if len(o.Faults) != 1 || !s.Says("spec.prot: unknown field") || !strings.Contains(o.Faults[0].Remedy, "port") {
		t.Errorf("faults %v, problems %v", o.Faults, s.Problems)
	}
	p.Put(t, "a", WidgetYAML("a", "one")+"  port: 1\n")
	w.Await(t, "mended", func(s State) bool { return len(s.Problems) == 0 && len(s.Object("a").Faults) == 0 })
}

func ends(t *testing.T, p Place) {
	w := start(t, p)
	w.Await(t, "first", func(State) bool { return true })
	w.Stop(t)
}
