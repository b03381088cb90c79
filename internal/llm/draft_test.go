package llm

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/ir"
)

// others returns body's members but the governed ones, as the client wrote
// them.
func others(t *testing.T, body []byte, governed []string) map[string]json.RawMessage {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	for _, name := range governed {
		delete(all, name)
	}
	return all
}

func editors(tb testing.TB) map[string]*Adapter {
	out := map[string]*Adapter{}
	for name := range schemas {
		out[name] = adapter(tb, ir.LLM{Schema: name, Path: "/chat", Model: "m\"<é"}, &ir.LLMOptions{
			Defaults: []ir.JSONMember{{Name: "temperature", Value: "0.5"}, {Name: "n", Value: "[1]", Override: true}},
			Prepend:  []ir.Message{{Role: "system", Content: "s\n\"1\""}, {Role: "user", Content: "u"}},
			Append:   []ir.Message{{Role: "system", Content: "s2"}, {Role: "assistant", Content: "a"}},
			Stream:   true,
		})
	}
	return out
}

// checkEdit holds an edit to its promise: valid JSON stays valid, members that
// are not governed stay byte by byte, and the model is the configured one.
func checkEdit(t *testing.T, a *Adapter, body []byte) {
	t.Helper()
	before := bytes.Clone(body)
	c, err := a.Adapt(&Request{Path: "/x", Body: body})
	if !bytes.Equal(before, body) {
		t.Fatalf("%q: the client's body is written to", before)
	}
	if err != nil || c.Body == nil {
		return
	}
	if !json.Valid(c.Body) {
		t.Fatalf("%q: becomes %q, which is no JSON", body, c.Body)
	}
	if diff := cmp.Diff(others(t, body, a.governed), others(t, c.Body, a.governed)); diff != "" {
		t.Errorf("%q: other members are changed: %s", body, diff)
	}
	var got struct{ Model string }
	if err := json.Unmarshal(c.Body, &got); err != nil || got.Model != a.cfg.Model || c.Model != a.cfg.Model {
		t.Errorf("%q: becomes %q: %+v, %v", body, c.Body, got, err)
	}
	again, err := a.Adapt(&Request{Path: "/x", Body: c.Body})
	if err != nil || again.Model != c.Model {
		t.Errorf("%q: cannot be adapted again: %v", c.Body, err)
	}
}

var editSeeds = []string{
	`{"system":"x","messages":[{"role":"user"}],"contents":[],"system_instruction":{"parts":[]},"stream_options":{"a":1}}`,
	`{"messages":[],"contents":[1 ],"system":[ ],"x":12345678901234567890,"y":[1.0, 2e3]}`,
	`{"systemInstruction":null,"system":null,"temperature":null,"model":7}`, ` { } `,
}

func TestEdit(t *testing.T) {
	for name, a := range editors(t) {
		t.Run(name, func(t *testing.T) {
			for _, s := range append(editSeeds, seeds...) {
				checkEdit(t, a, []byte(s))
			}
		})
	}
}

func FuzzEdit(f *testing.F) {
	for _, s := range append(editSeeds, seeds...) {
		f.Add([]byte(s))
	}
	all := editors(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range all {
			checkEdit(t, a, body)
		}
	})
}

func BenchmarkAdapt(b *testing.B) {
	a := adapter(b, ir.LLM{Schema: "openai", Path: "/chat", Model: "gpt-4o"})
	for name, body := range map[string][]byte{"400byte": large(400, "hello you. "), "10MB": large(10<<20, "hello you. ")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c, err := a.Adapt(&Request{Path: "/x", Body: body}); err != nil || c.Body == nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzSameName(f *testing.F) {
	for _, s := range []string{`model`, `MODEL`, `mode\u006c`, `\ud83d\ude00`, `ſtream`, `\u212a`, `a\"b`, `\ud800`, `\ud800\u0041`, "\xff"} {
		f.Add([]byte(s), "model")
		f.Add([]byte(s), unquote([]byte(s)))
	}
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		if !json.Valid(slices.Concat([]byte{'"'}, raw, []byte{'"'})) {
			return
		}
		if want := strings.EqualFold(unquote(raw), name); sameName(raw, name) != want {
			t.Errorf("%q and %q: want %v", raw, name, want)
		}
	})
}
