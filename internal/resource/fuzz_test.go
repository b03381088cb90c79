package resource

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// FuzzDecode looks for input that makes the decoder panic, or say in a problem
// what it has put away as a secret.
func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/decode/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, in := range a.Files {
			f.Add(strings.HasSuffix(in.Name, ".json"), in.Data)
		}
	}
	d := NewDecoder(testKinds(), Options{MaxBytes: 1 << 16})
	f.Fuzz(func(t *testing.T, asJSON bool, in []byte) {
		name := "a.yaml"
		if asJSON {
			name = "a.json"
		}
		start := time.Now()
		r := d.Decode(name, in)
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("%v for %d bytes", took, len(in))
		}
		if len(r.Problems) > maxProblems+1 {
			t.Fatalf("%d problems", len(r.Problems))
		}
		if r.Broken && len(r.Objects)+len(r.Secrets) > 0 {
			t.Fatal("a broken file gives objects")
		}
		said := fmt.Sprint(r.Problems)
		for _, o := range r.Objects {
			said += fmt.Sprint(o.Faults)
		}
		for _, v := range r.Secrets {
			if v := v.Reveal(); len(v) >= minScrubbed && bytes.Contains([]byte(said), v) {
				t.Fatalf("a problem quotes %q: %v", v, said)
			}
		}
		for _, o := range r.Objects {
			if o.Name == "" || o.Spec == nil || (o.Namespace == "" && o.Kind != "ClusterWidget" && o.Kind != "Namespace") {
				t.Fatalf("object without identity: %+v", o)
			}
		}
		d.DecodeJSON(in)
	})
}

// FuzzSecretNeverQuoted puts a marker where secrets are, in whatever dress, and
// breaks the file around it.
func FuzzSecretNeverQuoted(f *testing.F) {
	f.Add("", "", "", 0)
	f.Add("'", "'", "host: [", 1)
	f.Add("[", "]", "tokn: 1", 2)
	f.Add("{a: ", "}", "token: x", 3)
	f.Add("|\n      ", "\n  x", "\tport: 1", 4)
	f.Add("!x ", "", "&a *b", 5)
	f.Add("\"\\q", "", "keys: {a: 1, a: 2}", 6)
	f.Add("*", "", "%", 0)
	f.Add("&", "", "? [a]", 1)
	f.Add("<<: ", "", "- - -", 2)
	f.Add("${A", "}", "", 3)
	d := NewDecoder(testKinds(), Options{MaxBytes: 1 << 16})
	const hidden = "sk-marker" // cannot be a variable, whose name a problem may tell
	places := []string{
		"spec:\n  token: %s\n",
		"spec:\n  keys: {a: %s}\n",
		"spec:\n  keys:\n    a: %s\n    a: %[1]s\n",
		"spec:\n  logins:\n  - user: u\n    password: %s\n",
		"spec:\n  logins: [{password: %s, passwort: %[1]s}]\n",
		"stringData:\n  a: %s\n",
		"data: {a: %s}\n",
	}
	f.Fuzz(func(t *testing.T, before, after, around string, place int) {
		if strings.Contains(around, hidden) || strings.ContainsAny(before+after, "\n\r\u0085\u2028\u2029") && strings.Contains(before+after, ":") {
			return // a line of its own makes the marker a name, not a secret
		}
		place = (place%len(places) + len(places)) % len(places)
		head := "apiVersion: test.example.com/v1\nkind: ProtoWidget\nmetadata: {name: a}\n"
		if place >= 5 {
			head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
		}
		in := head + fmt.Sprintf(places[place], before+hidden+after) + "  " + around + "\n"
		start := time.Now()
		r := d.Decode("a.yaml", []byte(in))
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("%v for %d bytes", took, len(in))
		}
		if s := fmt.Sprint(r.Problems); strings.Contains(s, hidden) {
			t.Fatalf("%s\nin\n%s", s, in)
		}
	})
}
