package template

import "testing"

var sink string

// A header is rendered by one allocation: the header itself.
func BenchmarkHeaderTemplate(b *testing.B) {
	tmpl, err := Parse("Bearer {{ huggingface-api-key }}", Options{})
	if err != nil {
		b.Fatal(err)
	}
	x := NewExtraction("huggingface-api-key")
	x.Value = String("hf_0123456789abcdefghijklmnopqrstuvwx")
	in := &Input{Extractions: []Extraction{x}}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		out, err := tmpl.Append(buf[:0], in)
		if err != nil {
			b.Fatal(err)
		}
		sink = string(out)
	}
}

func BenchmarkBodyTemplate(b *testing.B) {
	tmpl, err := Parse(`{"model": "{{ name }}", "ids": [{% for r in rows %}{{ r.id }}{% if not loop.is_last %},{% endif %}{% endfor %}], "n": {{ length(list) + n }}}`, Options{})
	if err != nil {
		b.Fatal(err)
	}
	in := input(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Append(nil, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseJSON(b *testing.B) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHeaderTemplateAllocates(t *testing.T) {
	tmpl, err := Parse("Bearer {{ key }}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := NewExtraction("key")
	x.Value = String("secret")
	in := &Input{Extractions: []Extraction{x}}
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		out, _ := tmpl.Append(buf[:0], in)
		sink = string(out)
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
