package ir

import (
	"reflect"
	"testing"
)

// TestStepKind holds that every alternative of a step has a word for it.
func TestStepKind(t *testing.T) {
	kinds := map[string]string{}
	for i := range reflect.TypeFor[Step]().NumField() {
		f := reflect.TypeFor[Step]().Field(i)
		if f.Type.Kind() != reflect.Pointer {
			continue
		}
		var s Step
		reflect.ValueOf(&s).Elem().Field(i).Set(reflect.New(f.Type.Elem()))
		kind := s.Kind()
		if other := kinds[kind]; kind == "" || other != "" {
			t.Errorf("a step with %s is called %q, as one with %q", f.Name, kind, other)
		}
		kinds[kind] = f.Name
	}
	if got := new(Step).Kind(); got != "" {
		t.Errorf("an empty step is called %q", got)
	}
}
