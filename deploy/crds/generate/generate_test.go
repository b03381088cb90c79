package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/builtin"
)

const root = "../../.."

// TestUpToDate holds that what is written is what the dialects say today.
func TestUpToDate(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	fresh := t.TempDir()
	own := filepath.Join("deploy", "crds")
	if err := os.CopyFS(filepath.Join(fresh, own), os.DirFS(filepath.Join(root, own))); err != nil {
		t.Fatal(err)
	}
	if err := write(fresh, strings.TrimSpace(string(out))); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = filepath.WalkDir(filepath.Join(fresh, "deploy", "chart"), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		rel, err := filepath.Rel(fresh, name)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(root, rel))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not what would be written now: run make deploy\n%v", rel, err)
			if len(want) < 100_000 {
				t.Log(cmp.Diff(string(got), string(want)))
			}
		}
		return nil
	})
	if err != nil || n < 6 {
		t.Fatal(n, err)
	}
}

// TestFactsAreOfKinds: a fact of a kind or version that nobody reads is a slip.
func TestFactsAreOfKinds(t *testing.T) {
	known := map[string]bool{}
	for _, k := range builtin.Kinds(builtin.Dialects(builtin.Options{})) {
		known[k.GroupKind.String()] = true
		for _, v := range k.Versions {
			known[k.GroupKind.String()+" "+v] = true
		}
	}
	for gk, f := range facts {
		if !known[gk.String()] {
			t.Errorf("%s is read by no family", gk)
		}
		for v := range f.fields {
			if !known[gk.String()+" "+v] {
				t.Errorf("%s: no family reads version %s", gk, v)
			}
		}
	}
}

func TestSchema(t *testing.T) {
	got, err := schema([]string{"spec.type! A|B", "spec.refs[].name! string", "spec.list![] object"})
	if err != nil {
		t.Fatal(err)
	}
	spec := map[string]any{
		"type": "object", "x-kubernetes-preserve-unknown-fields": true, "required": []string{"list", "type"},
		"properties": map[string]any{
			"type": map[string]any{"type": "string", "enum": []any{"A", "B"}},
			"refs": map[string]any{"type": "array", "items": map[string]any{
				"type": "object", "x-kubernetes-preserve-unknown-fields": true, "required": []string{"name"},
				"properties": map[string]any{"name": map[string]any{"type": "string"}},
			}},
			"list": map[string]any{"type": "array", "items": open()},
		},
	}
	if d := cmp.Diff(spec, got["properties"].(map[string]any)["spec"]); d != "" {
		t.Error(d)
	}
	if _, err := schema([]string{"spec.type!"}); err == nil {
		t.Error("a field without a type is taken")
	}
}
