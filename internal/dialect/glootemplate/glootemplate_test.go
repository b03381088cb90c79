package glootemplate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

func TestGroups(t *testing.T) {
	for _, tc := range []struct {
		regex string
		n     int
		ok    bool
	}{
		{".*", 0, true},
		{"(a)(?:b)(?P<n>c)", 2, true},
		{"", 0, false},
		{"(", 0, false},
		{"(?=a)", 0, false},
		{strings.Repeat("a", maxRegex+1), 0, false},
	} {
		if n, ok := groups(tc.regex); n != tc.n || ok != tc.ok {
			t.Errorf("groups(%.20q) = %d, %v", tc.regex, n, ok)
		}
	}
}

// TestTranslateIsStable holds the order of what maps hold: the same template
// must give the same model, or every reload would look like a change.
func TestTranslateIsStable(t *testing.T) {
	h := "x-a"
	in := &Template{
		Headers:    map[string]Text{"x-c": {"3"}, "x-a": {"1"}, "x-b": {"2"}, ":path": {"/"}},
		Extractors: map[string]Extractor{"b": {Header: &h, Regex: "b"}, "a": {Body: true, Regex: "a"}},
	}
	at := reading.Place{Object: &resource.Object{Key: resource.Key{Name: "o"}}, At: "spec", Report: &status.Report{}}
	want := Translate(at, true, in)
	if len(at.Report.Problems) > 0 {
		t.Fatal(at.Report.Problems)
	}
	set := []ir.HeaderTemplate{{Name: ":path", Text: "/"}, {Name: "x-a", Text: "1"}, {Name: "x-b", Text: "2"}, {Name: "x-c", Text: "3"}}
	if d := cmp.Diff(set, want.Set); d != "" || !want.Escape {
		t.Errorf("escape %v, set (-want +got):\n%s", want.Escape, d)
	}
	for range 20 {
		if got := Translate(at, true, in); cmp.Diff(want, got) != "" {
			t.Fatal("the order changes")
		}
	}
}
