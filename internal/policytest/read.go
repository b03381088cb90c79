package policytest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Test is one PolicyTest, read.
type Test struct {
	File string
	// Name is namespace/name, without the default namespace.
	Name string
	Spec Spec
	// Problems that keep it from being run.
	Problems []status.Problem
	object   *resource.Object
}

// ErrNoTests says that the paths hold none.
var ErrNoTests = errors.New("no PolicyTest")

// Read returns the tests in files and folders, in order. A file that cannot be
// read or decoded is a Test with Problems, so that it fails. An error is of the
// paths themselves.
func Read(paths []string) ([]*Test, error) {
	decoder := resource.NewDecoder([]resource.Kind{Kind()}, resource.Options{})
	var out []*Test
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, plain(err))
		}
		if !info.IsDir() {
			tests := readFile(decoder, p)
			if len(tests) == 0 {
				return nil, fmt.Errorf("%s holds %w: want apiVersion postern.dev/v1alpha1, kind PolicyTest", p, ErrNoTests)
			}
			out = append(out, tests...)
			continue
		}
		err = filepath.WalkDir(p, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", path, plain(err))
			case path != p && strings.HasPrefix(e.Name(), "."):
				if e.IsDir() {
					return fs.SkipDir
				}
			case !e.IsDir() && isManifest(path):
				out = append(out, readFile(decoder, path)...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w in %s", ErrNoTests, strings.Join(paths, ", "))
	}
	return out, nil
}

// plain is an error of the file system without the path.
func plain(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func isManifest(p string) bool {
	switch strings.ToLower(filepath.Ext(p)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func readFile(d *resource.Decoder, path string) []*Test {
	b, err := os.ReadFile(path)
	if err != nil {
		return []*Test{{File: path, Problems: []status.Problem{status.Errorf(ir.Origin{File: path}, "it cannot be read: %v", plain(err))}}}
	}
	return decode(d, path, b)
}

// decode returns the tests of a file's text; one that never names the kind has
// none.
func decode(d *resource.Decoder, path string, b []byte) []*Test {
	if !bytes.Contains(b, []byte("PolicyTest")) {
		return nil
	}
	r := d.Decode(path, b)
	var out []*Test
	for _, o := range r.Objects {
		t := &Test{File: path, Name: o.Name, Spec: o.Spec.(*document).Spec, object: o, Problems: errorsOf(o.Faults)}
		if o.Namespace != "default" {
			t.Name = o.Namespace + "/" + o.Name
		}
		t.check()
		out = append(out, t)
	}
	var others []status.Problem // of no test above
	for _, p := range errorsOf(r.Problems) {
		if !told(out, p) {
			others = append(others, p)
		}
	}
	if len(others) > 0 {
		out = append(out, &Test{File: path, Problems: others})
	}
	return out
}

func errorsOf(list []status.Problem) []status.Problem {
	var out []status.Problem
	for _, p := range list {
		if p.Severity == status.Error {
			out = append(out, p)
		}
	}
	return out
}

func told(tests []*Test, p status.Problem) bool {
	for _, t := range tests {
		for _, q := range t.Problems {
			if p == q {
				return true
			}
		}
	}
	return false
}

// check finds what the types do not say.
func (t *Test) check() {
	fault := func(field, remedy, format string, args ...any) {
		t.Problems = append(t.Problems, status.Errorf(t.object.Origin(field), format, args...).Fix("%s", remedy))
	}
	if len(t.Spec.Resources) == 0 && strings.TrimSpace(t.Spec.Manifests) == "" {
		fault("spec", "name files in resources, or write them in manifests", "there is nothing to test")
	}
	if len(t.Spec.Cases) == 0 {
		fault("spec", "write a case", "there are no cases")
	}
	seen := map[string]bool{}
	for i := range t.Spec.Cases {
		c, at := &t.Spec.Cases[i], fmt.Sprintf("spec.cases[%d]", i)
		switch {
		case c.Name == "":
			fault(at, "name it", "the case has no name")
		case seen[c.Name]:
			fault(at+".name", "name it otherwise", "there is a case of that name above")
		}
		seen[c.Name] = true
		switch d := c.Expect.Decision; {
		case d == "allow" || d == "deny" || d == "unknown":
		case d == "":
			fault(at+".expect", "write decision: allow, deny or unknown", "no decision is expected")
		case meant(d) != "":
			fault(at+".expect.decision", "did you mean "+meant(d)+"?", "%q is no decision", d)
		default:
			fault(at+".expect.decision", "write allow, deny or unknown", "%q is no decision", d)
		}
	}
}

// meant returns the decision that a word was most likely meant to be, or "".
func meant(word string) string {
	if word == "denied" || word == "reject" || word == "forbid" {
		return "deny"
	}
	return resource.Nearest(word, []string{"allow", "deny", "unknown"})
}

// line returns the line of a case.
func (t *Test) line(i int) int {
	if t.object == nil {
		return 0
	}
	return t.object.Lines.At(fmt.Sprintf("spec.cases[%d]", i))
}
