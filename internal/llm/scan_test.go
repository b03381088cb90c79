package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestScanBody(t *testing.T) {
	tests := []struct {
		name, body string
		want       Scan
		err        error
	}{
		{"usual", `{"model":"gpt-4","stream":true,"messages":[]}`, Scan{"gpt-4", true, true}, nil},
		{"last", ` { "messages" : [ {"model":"inner"} ] , "model" : "gpt-4" } `, Scan{"gpt-4", true, false}, nil},
		{"none", `{}`, Scan{}, nil},
		{"escapes in the value", `{"model":"gpt\u002d4\/x"}`, Scan{"gpt-4/x", true, false}, nil},
		{"quotes inside strings", `{"a":"\"model\":\"x\"","model":"y"}`, Scan{"y", true, false}, nil},
		{"stream null", `{"stream":null}`, Scan{}, nil},
		{"twice", `{"model":"a","model":"b"}`, Scan{}, ErrAmbiguous},
		{"upper case", `{"MODEL":"a"}`, Scan{}, ErrAmbiguous},
		{"escaped name", `{"mode\u006c":"a"}`, Scan{}, ErrAmbiguous},
		{"escaped name after the plain one", `{"model":"a","\u006dodel":"b"}`, Scan{}, ErrAmbiguous},
		{"long s", `{"ſtream":true}`, Scan{}, ErrAmbiguous},
		{"escaped long s", `{"\u017ftream":true}`, Scan{}, ErrAmbiguous},
		{"stream twice", `{"stream":false,"Stream":true}`, Scan{}, ErrAmbiguous},
		{"model of another type", `{"model":1}`, Scan{}, ErrMember},
		{"model null", `{"model":null}`, Scan{}, ErrMember},
		{"model of two lines", `{"model":"a\nb"}`, Scan{}, ErrMember},
		{"model with NUL", `{"model":"a\u0000"}`, Scan{}, ErrMember},
		{"model with spaces around", `{"model":" a"}`, Scan{}, ErrMember},
		{"model that is no text", `{"model":"a\ud800"}`, Scan{}, ErrMember},
		{"model of bytes that are no text", "{\"model\":\"a\xff\"}", Scan{}, ErrMember},
		{"endless model", `{"model":"` + strings.Repeat("a", maxModel+1) + `"}`, Scan{}, ErrMember},
		{"long strings", `{"x":"` + strings.Repeat("y", 10000) + `\n` + strings.Repeat("é", 5000) + `","model":"a"}`, Scan{"a", true, false}, nil},
		{"control character in a long string", `{"x":"` + strings.Repeat("y", 9001) + "\x1f" + strings.Repeat("y", 9001) + `","model":"a"}`, Scan{}, ErrSyntax},
		{"long string without an end", `{"model":"a","x":"` + strings.Repeat("y", 9001), Scan{}, ErrSyntax},
		{"stream as a string", `{"stream":"true"}`, Scan{}, ErrMember},
		{"empty", ``, Scan{}, ErrSyntax},
		{"array", `[{"model":"a"}]`, Scan{}, ErrSyntax},
		{"not a number", `{"model":"a","x":NaN}`, Scan{}, ErrSyntax},
		{"two values", `{"model":"a"}{"model":"b"}`, Scan{}, ErrSyntax},
		{"NUL behind", "{\"model\":\"a\"}\x00", Scan{}, ErrSyntax},
		{"comment", `{"model":"a"/*,"model":"b"*/}`, Scan{}, ErrSyntax},
		{"trailing comma", `{"model":"a",}`, Scan{}, ErrSyntax},
		{"single quotes", `{'model':'a'}`, Scan{}, ErrSyntax},
		{"BOM", "\xef\xbb\xbf{}", Scan{}, ErrSyntax},
		{"line feed in a string", "{\"model\":\"a\n\"}", Scan{}, ErrSyntax},
		{"cut off", `{"model":"a`, Scan{}, ErrSyntax},
		{"too deep", `{"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`, Scan{}, ErrDepth},
		{"deep enough", `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, Scan{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ScanBody([]byte(tt.body))
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
			if tt.body == "" {
				tt.err = nil // a request without a body names nothing
			}
			if got, _, err := ScanRequest("application/json", []byte(tt.body)); !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("as a request's: got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// checkScan holds ScanBody against two other parsers: what it tells, both
// tell, and it takes nothing that encoding/json refuses.
func checkScan(t *testing.T, body []byte) {
	t.Helper()
	got, err := ScanBody(body)
	start := bytes.TrimLeft(body, " \t\r\n")
	object := json.Valid(body) && len(start) > 0 && start[0] == '{'
	if err == nil != object && (err == nil || errors.Is(err, ErrSyntax)) {
		t.Fatalf("%q: %v, but an object by encoding/json: %v", body, err, object)
	}
	if err != nil {
		return
	}
	var std struct {
		Model  *string
		Stream *bool
	}
	if err := json.Unmarshal(body, &std); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if (std.Model != nil) != got.HasModel || got.HasModel && *std.Model != got.Model {
		t.Errorf("%q: encoding/json reads another model than %+v", body, got)
	}
	if (std.Stream != nil && *std.Stream) != got.Stream {
		t.Errorf("%q: encoding/json reads another stream than %+v", body, got)
	}
	if m := gjson.GetBytes(body, "model"); m.Exists() != got.HasModel || got.HasModel && m.String() != got.Model {
		t.Errorf("%q: gjson reads model %q, not %+v", body, m.String(), got)
	}
	if s := gjson.GetBytes(body, "stream"); (s.Type == gjson.True) != got.Stream {
		t.Errorf("%q: gjson reads another stream than %+v", body, got)
	}
}

var seeds = []string{
	`{"model":"gpt-4","stream":true,"messages":[{"role":"user","content":"hi"}]}`,
	`{"a":-0.5e+10,"b":[true,false,null,{}],"model":"x\n\u00e9"}`, `{}`, `[]`, `{"model":"a","Model":"b"}`,
	`{"mode\u006c":1}`, `{"x":01}`, `{"x":1.}`, `{"x":1e}`, `{"x":-}`, `{"x":"\x"}`, `{"x":"\u12g4"}`, ` {"stream" : false} `,
	`{"n":12345678901234567890,"system":"be brief"}`, `{"12345678\"":"1234567\\"}`, "{\"x\":\"1234567\x01\"}", `{"model":"\ud800"}`,
}

func TestScanLikeOthers(t *testing.T) {
	for _, s := range seeds {
		checkScan(t, []byte(s))
		for cut := range len(s) { // every prefix, and every byte spoiled
			checkScan(t, []byte(s[:cut]))
			for _, c := range []byte("\"\\{}[],:0e.\x00\x1f\xff u") {
				b := []byte(s)
				b[cut] = c
				checkScan(t, b)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkScan(t, body) })
}

// large returns a body of n bytes whose model comes behind all of them.
func large(n int, content string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"messages":[{"role":"user","content":"`)
	for b.Len() < n*9/10 {
		b.WriteString(content)
	}
	b.WriteString(`"}],"model":"gpt-4","more":"`)
	for b.Len() < n-2 {
		b.WriteString("x")
	}
	b.WriteString(`"}`)
	return b.Bytes()
}

func BenchmarkScan(b *testing.B) {
	prose := `The quick brown fox jumps over the lazy dog.\nIt said \"again\", and so on. `
	for name, body := range map[string][]byte{
		"prose10MB":   large(10<<20, prose),
		"base6410MB":  large(10<<20, strings.Repeat("iVBORw0KGgo", 8)),
		"tokens10MB":  []byte(`{"x":[` + strings.Repeat(`1,{"a":[]},`, 950000) + `1],"model":"gpt-4"}`),
		"names10MB":   []byte(`{` + strings.Repeat(`"\u006dx":1,"ab":2,`, 500000) + `"model":"gpt-4"}`),
		"chat400byte": large(400, prose),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if s, err := ScanBody(body); err != nil || s.Model != "gpt-4" {
					b.Fatal(err)
				}
			}
		})
	}
}
