package filter

import (
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
)

func TestTransformMetadata(t *testing.T) {
	e := anonymous("/")
	for _, m := range []dataplane.Metadata{
		{Key: "text", Text: "a"}, {Key: "json", Text: `{"b":{"c":7},"l":[1]}`, JSON: true},
		{Key: "secret", Text: "s", Secret: []string{"X-Api-Key"}}, {Key: "broken", Text: "{", JSON: true},
	} {
		m.Namespace = dataplane.TransformMetadata
		e.SetMetadata(m)
	}
	for key, want := range map[string]string{"text": "a", "json:b:c": "7", "json:l": "[1]", "json:no": "", "text:a": "", "secret": "", "broken": "", "none": ""} {
		f, err := parseFormat("%DYNAMIC_METADATA("+dataplane.TransformMetadata+":"+key+")%", onRequest)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.render(&input{e: e}); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}
