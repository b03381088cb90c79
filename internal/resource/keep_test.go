package resource

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestKeepSecrets decodes objects of which only some may have their secrets
// read: those of the others are not stored, and no variable in them is looked
// up, wherever in the object it stands what decides.
func TestKeepSecrets(t *testing.T) {
	kinds := testKinds()
	for i := range kinds {
		switch kinds[i].GroupKind {
		case SecretKind:
			kinds[i].KeepSecrets = func(o *Object) bool { return o.Namespace == "mine" }
		case GroupKind{"test.example.com", "Widget"}:
			kinds[i].KeepSecrets = func(o *Object) bool { return o.Spec.(*widget).Spec.Host == "mine" }
		}
	}
	const head = "apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: a}\n"
	secretOf := func(namespace string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: " + namespace + "}\nstringData: {k: \"${SET}\", l: plain}\ndata: {m: TUFSS0VS}\n"
	}
	for _, tc := range []struct {
		name, text string
		kept       int
		asked      []string
	}{
		{"before what decides", head + "spec: {token: \"${SET}\", host: mine}", 1, []string{"SET"}},
		{"after what decides", head + "spec: {host: mine, token: \"${SET}\"}", 1, []string{"SET"}},
		{"not mine, before", head + "spec: {token: \"${SET}\", host: other}", 0, nil},
		{"not mine, after", head + "spec: {host: other, token: \"${UNSET}\", keys: {x: MARKER-bytes}}", 0, nil},
		{"not understood", head + "spec: {host: mine, hots: other, token: \"${SET}\"}", 0, nil},
		{"another kind", strings.Replace(head, "Widget", "ProtoWidget", 1) + "spec: {host: other, token: \"${SET}\"}", 1, []string{"SET"}},
		{"my Secret", secretOf("mine"), 3, []string{"SET"}},
		{"another's Secret", secretOf("other"), 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked []string
			d := NewDecoder(kinds, Options{Env: func(name string) (string, bool) {
				asked = append(asked, name)
				return "MARKER-env", name == "SET"
			}})
			r := d.Decode("f.yaml", []byte(tc.text))
			if len(r.Objects) != 1 || len(r.Secrets) != tc.kept || !slices.Equal(asked, tc.asked) || len(r.Unset) > 0 {
				t.Errorf("%d objects, %d secrets (want %d), asked for %v (want %v), unset %v\n%v", len(r.Objects), len(r.Secrets), tc.kept, asked, tc.asked, r.Unset, r.Problems)
			}
			if s := fmt.Sprintf("%+v %v", r.Objects[0].Spec, r.Problems); strings.Contains(s, "MARKER") {
				t.Errorf("a secret is shown: %s", s)
			}
		})
	}
}
