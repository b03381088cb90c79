package resource

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/postern-gateway/postern/internal/secret"
)

var update = flag.Bool("update", false, "write what the cases of testdata give into them")

// marker is part of every secret in the cases, and of nothing else.
const marker = "MARKER"

// widget has a field of every type that a resource can be made of.
type widget struct {
	Spec widgetSpec `json:"spec,omitzero"`
}

type widgetSpec struct {
	common
	Host     string            `json:"host,omitempty"`
	Port     uint16            `json:"port,omitempty"`
	Offset   int8              `json:"offset,omitempty"`
	Size     int64             `json:"size,omitempty"`
	Ratio    float64           `json:"ratio,omitempty"`
	Enabled  *bool             `json:"enabled,omitempty"`
	MaxAge   *int32            `json:"maxAge,omitempty"`
	Timeout  Duration          `json:"timeout,omitzero"`
	Target   IntOrString       `json:"target,omitzero"`
	Mode     mode              `json:"mode,omitempty"`
	Selector map[string]string `json:"selector,omitempty"`
	Weights  map[int]int       `json:"weights,omitempty"`
	Names    []string          `json:"names,omitempty"`
	Rules    []*rule           `json:"rules,omitempty"`
	Empty    *struct{}         `json:"empty,omitempty"`
	Any      any               `json:"any,omitempty"`
	Raw      json.RawMessage   `json:"raw,omitempty"`
	Blob     []byte            `json:"blob,omitempty"`

	Token   secret.Ref            `json:"token,omitzero"`
	Keys    map[string]secret.Ref `json:"keys,omitempty"`
	Logins  []login               `json:"logins,omitempty"`
	Nothing string                `json:"-"`
}

type common struct {
	Title string `json:"title,omitempty"`
}

type rule struct {
	Path        string            `json:"path,omitempty"`
	ExtraFields map[string]string `json:"extraFields,omitempty"`
	Sub         *rule             `json:"sub,omitempty"`
}

type login struct {
	User     string      `json:"user,omitempty"`
	Password *secret.Ref `json:"password,omitempty"`
}

type mode int

// UnmarshalJSON reads a name or a number.
func (m *mode) UnmarshalJSON(b []byte) error {
	n, err := ParseEnum(b, []string{"OFFLINE", "STRICT"})
	*m = mode(n)
	return err
}

func testKinds() []Kind {
	secrets := []string{"spec.token", "spec.keys.*", "spec.logins.*.password"}
	plain := func() any { return new(widget) }
	return append(CoreKinds(),
		Kind{GroupKind: GroupKind{"test.example.com", "Widget"}, Versions: []string{"v1", "v1beta1"}, SecretFields: secrets, New: plain},
		Kind{GroupKind: GroupKind{"test.example.com", "ProtoWidget"}, Versions: []string{"v1"}, ProtoJSON: true, SecretFields: secrets, New: plain},
		Kind{GroupKind: GroupKind{"test.example.com", "OpenWidget"}, Versions: []string{"v1"}, Open: []string{"spec.rules.*.sub"}, SecretFields: secrets, New: plain},
		Kind{GroupKind: GroupKind{"test.example.com", "ClusterWidget"}, Versions: []string{"v1"}, Cluster: true, SecretFields: secrets, New: plain},
	)
}

// TestDecodeCases runs the cases of testdata/decode. In an archive, NAME.yaml
// or NAME.json is a case's input and NAME.want what it gives; a case whose name
// begins with env-placeholder or env-refuse is decoded in that mode.
func TestDecodeCases(t *testing.T) {
	files, err := filepath.Glob("testdata/decode/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	cases := 0
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []txtar.File
		wants := map[string]string{}
		for _, f := range a.Files {
			if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
				wants[name] = string(f.Data)
			}
		}
		for _, f := range a.Files {
			ext := filepath.Ext(f.Name)
			if ext == ".want" {
				continue
			}
			cases++
			name := strings.TrimSuffix(f.Name, ext)
			got := decodeCase(t, name, f)
			out = append(out, f, txtar.File{Name: name + ".want", Data: []byte(got)})
			if diff := cmp.Diff(wants[name], got); diff != "" && !*update {
				t.Errorf("%s: %s (-want +got):\n%s", file, name, diff)
			}
		}
		if *update {
			a.Files = out
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cases < 80 {
		t.Errorf("only %d cases", cases)
	}
}

func decodeCase(t *testing.T, name string, f txtar.File) string {
	t.Helper()
	opts := Options{Env: func(s string) (string, bool) {
		v, ok := map[string]string{"SET": "MARKER-env", "EMPTY": "", "LINES": "MARKER-lines\n\n"}[s]
		return v, ok
	}}
	switch {
	case strings.HasPrefix(name, "env-placeholder"):
		opts.EnvMode = EnvPlaceholder
	case strings.HasPrefix(name, "env-refuse"):
		opts.EnvMode = EnvRefuse
	}
	return summary(t, NewDecoder(testKinds(), opts).Decode(f.Name, f.Data))
}

// summary renders a Result for people, and fails if a secret is seen where
// none may be.
func summary(t *testing.T, r Result) string {
	t.Helper()
	var b strings.Builder
	for _, o := range r.Objects {
		spec, err := json.Marshal(o.Spec)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%v %s line %d", o.Key, o.Version, o.Lines.At(""))
		if len(o.Faults) > 0 {
			fmt.Fprintf(&b, ", %d faults", len(o.Faults))
		}
		fmt.Fprintf(&b, "\n  %s\n", spec)
		if len(o.Labels)+len(o.Annotations) > 0 {
			fmt.Fprintf(&b, "  labels %v annotations %v\n", o.Labels, o.Annotations)
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s %v\n", p.Severity, p)
	}
	for _, o := range r.Objects {
		if s := fmt.Sprintf("%+v", *o); strings.Contains(s, marker) {
			t.Errorf("a secret is in an object:\n%s", s)
		}
	}
	if r.Passed > 0 {
		fmt.Fprintf(&b, "passed over: %d\n", r.Passed)
	}
	if r.Broken {
		b.WriteString("broken\n")
	}
	if s := b.String(); strings.Contains(s, marker) {
		t.Errorf("a secret is shown:\n%s", s)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(r.Secrets), func(a, b secret.Ref) int { return strings.Compare(a.String(), b.String()) }) {
		fmt.Fprintf(&b, "bytes of %v: %q\n", ref, r.Secrets[ref].Reveal())
	}
	return b.String()
}

// TestDecodeForms holds the inputs that a text file cannot.
func TestDecodeForms(t *testing.T) {
	const good = "apiVersion: test.example.com/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  host: h\n"
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	for _, c := range []struct {
		name, file, in string
		objects        int
		problem        string
	}{
		{"byte order mark", "a.yaml", "\ufeff" + good, 1, ""},
		{"CRLF", "a.yaml", strings.ReplaceAll(good, "\n", "\r\n"), 1, ""},
		{"UTF-16", "a.yaml", "\xff\xfea\x00", 0, "a.yaml:1: the file is not UTF-8"},
		{"Latin-1", "a.yaml", good + "  title: caf\xe9\n", 0, "a.yaml:7: the file is not UTF-8"},
		{"NUL", "a.yaml", good + "  title: \"a\x00b\"\n", 0, "a control character"},
		{"too large", "a.yaml", good + strings.Repeat("#", DefaultMaxBytes), 0, "split it"},
		{"deep lists", "a.yaml", good + "  any: " + deep("[", "]", 200), 0, "nested more than 100 deep"},
		{"very deep lists", "a.yaml", good + "  any: " + deep("[", "]", 200_000), 0, "nested too deeply"},
		{"deep JSON", "a.json", deep("[", "]", 200), 0, "nested more than 100 deep"},
		{"very deep JSON", "a.json", deep("[", "]", 200_000), 0, "nested"},
		{"billion laughs", "a.yaml", good + "  any: {}\n---\n" + bomb, 0, "its aliases stand for more than 100000 values"},
		{"many values", "a.yaml", good + "  any: [" + strings.Repeat("1,", 1_000_000) + "]\n", 0, "more than 500000 values"},
		{"many documents", "a.yaml", strings.Repeat("---\n", 1_000_000), 0, "more than 500000 values"},
		{"empty", "a.yaml", "", 0, ""},
		{"blank JSON", "a.json", " \n", 0, ""},
		{"many problems", "a.yaml", good + "  names:\n" + strings.Repeat("  - 1\n", 1000), 1, "800 more problems in this file"},
	} {
		r := NewDecoder(testKinds(), Options{}).Decode(c.file, []byte(c.in))
		all := fmt.Sprint(r.Problems)
		if len(r.Objects) != c.objects || !strings.Contains(all, c.problem) || (c.problem == "" && len(r.Problems) > 0) {
			t.Errorf("%s: %d objects, problems %.300s", c.name, len(r.Objects), all)
		}
		if len(r.Problems) > maxProblems+1 {
			t.Errorf("%s: %d problems", c.name, len(r.Problems))
		}
	}
}

func TestDecodeJSONHasNoLines(t *testing.T) {
	in := `{"apiVersion":"test.example.com/v1","kind":"Widget","metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"7",
	  "generation":3,"creationTimestamp":"2026-01-02T03:04:05Z","managedFields":[{"x":"MARKER"}],
	  "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"MARKER","k":"v"}},
	  "spec":{"host":"h","hots":"x","token":"MARKER"},"status":{"x":1}}`
	r := NewDecoder(testKinds(), Options{EnvMode: EnvRefuse}).DecodeJSON([]byte(in))
	if len(r.Objects) != 1 || len(r.Problems) != 1 {
		t.Fatalf("got %d objects, problems %v", len(r.Objects), r.Problems)
	}
	o := r.Objects[0]
	if o.UID != "u" || o.ResourceVersion != "7" || o.Generation != 3 || o.Created.Year() != 2026 || len(o.Annotations) != 1 {
		t.Errorf("metadata: %+v", o)
	}
	if got := r.Problems[0].String(); got != `Widget b/a: spec.hots: unknown field; did you mean host?` {
		t.Errorf("problem: %s", got)
	}
	if dump := fmt.Sprintf("%+v", *o); strings.Contains(dump, marker) {
		t.Errorf("a secret is shown: %s", dump)
	}
}

// TestLargeFileOfSmallObjects keeps decoding linear.
func TestLargeFileOfSmallObjects(t *testing.T) {
	var b bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&b, "---\napiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: w%d}\nspec: {host: h, rules: [{path: /a}]}\n", i)
	}
	r := NewDecoder(testKinds(), Options{}).Decode("a.yaml", b.Bytes())
	if len(r.Objects) != 5000 || len(r.Problems) != 0 {
		t.Fatalf("%d objects, %d problems", len(r.Objects), len(r.Problems))
	}
	if got := r.Objects[4999].Origin("spec.rules[0].path").Line; got != 25000 {
		t.Errorf("line %d", got)
	}
}

func TestNewDecoderRefusesStraySecretFields(t *testing.T) {
	for _, p := range []string{"spec.host", "spec.nowhere", "spec.keys", "spec.any.x"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken for a secret field", p)
				}
			}()
			NewDecoder([]Kind{{GroupKind: GroupKind{"g", "K"}, SecretFields: []string{p}, New: func() any { return new(widget) }}}, Options{})
		}()
	}
}

func TestLinesAt(t *testing.T) {
	in := "apiVersion: test.example.com/v1\nkind: Widget\nmetadata:\n  name: a\n  labels:\n    a.b/c: d\nspec:\n  rules:\n  - path: /x\n    extraFields:\n      x.y: z\n      x: q\n  -\n    path: /y\n"
	o := NewDecoder(testKinds(), Options{}).Decode("a.yaml", []byte(in)).Objects[0]
	for path, want := range map[string]int{
		"": 1, "spec": 7, "spec.rules": 8, "spec.rules[0]": 9, "spec.rules[0].path": 9, "spec.rules[0].extraFields[x.y]": 11,
		"spec.rules[0].extraFields.x.y": 11, "spec.rules[0].extraFields.x": 12, "spec.rules[1].path": 14, "spec.rules[7].path": 8,
		"metadata.labels[a.b/c]": 6, "metadata.labels.a.b/c": 6, "spec.nowhere.at[1].all": 7, "[": 1, "spec[": 7,
	} {
		if got := o.Lines.At(path); got != want {
			t.Errorf("%q is at line %d, want %d", path, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"prefixRewrite", "hostRewrite", "timeout", "jwt", "rbac"}
	for want, near := range map[string]string{
		"prefixrewrite": "prefixRewrite", "prefix_rewrite": "prefixRewrite", "timeuot": "timeout", "jtw": "jwt", "rbca": "rbac",
		"something": "", "x": "", strings.Repeat("prefixRewrite", 10): "",
	} {
		if got := Nearest(want, names); got != near {
			t.Errorf("%q: %q, want %q", want, got, near)
		}
	}
}
