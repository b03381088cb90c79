package dialecttest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
)

// marker stands in every secret of the cases; nothing that comes out may hold
// it.
const marker = "MARKER"

// Case is a golden file: what goes in, and what came out of it.
type Case struct {
	*txtar.Archive
	update bool
}

// EachCase runs a test for every testdata/*.txtar, of which there are so many
// at least. With update what comes out is written into them.
func EachCase(t *testing.T, least int, update bool, run func(t *testing.T, c *Case)) {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) < least {
		t.Errorf("only %d cases found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run(t, &Case{a, update})
			if update {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Check holds what came out under a name against what the case says, and
// searches it for secrets.
func (c *Case) Check(t *testing.T, name, got string) {
	t.Helper()
	if strings.Contains(got, marker) {
		t.Errorf("%s holds a secret", name)
	}
	for i := range c.Files {
		if c.Files[i].Name != name {
			continue
		}
		if c.update {
			c.Files[i].Data = []byte(got)
		} else if d := cmp.Diff(string(c.Files[i].Data), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		return
	}
	if !c.update {
		t.Errorf("no %s; run with -update", name)
	}
	c.Files = append(c.Files, txtar.File{Name: name, Data: []byte(got)})
}

// YAML writes a part of the model for people; shorten changes its tree, as JSON
// has it.
func YAML(t *testing.T, part any, shorten func(tree any) any) string {
	t.Helper()
	b, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(shorten(tree)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
