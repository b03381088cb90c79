package template

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"sorted and compact", ` { "b" : [ 1 , 2 ] , "a" : { } } `, `{"a":{},"b":[1,2]}`},
		{"numbers as they are written", `[1.50, 1E5, 12345678901234567890123, -0, 1e999]`, `[1.50,1E5,12345678901234567890123,-0,1e999]`},
		{"words", `[true, false, null]`, `[true,false,null]`},
		{"escapes", `"\u00e9\ud83d\ude00\/\b\f\n\r\t\u0001"`, `"é😀/\b\f\n\r\t\u0001"`},
		{"a string alone", `"a"`, `"a"`},
		{"empty", ``, `!at byte 1: the text ends too early`},
		{"doubled", `{"model":"a","x":1,"model":"b"}`, `!at byte 32: a member occurs twice in the object that ends here`},
		{"doubled by escape", `{"model":"a","mod\u0065l":"b"}`, `!at byte 31: a member occurs twice in the object that ends here`},
		{"doubled below", `[{"a":{"x":1,"x":1}}]`, `!at byte 20: a member occurs twice in the object that ends here`},
		{"same name in two objects", `[{"a":1},{"a":1}]`, `[{"a":1},{"a":1}]`},
		{"a comma at the end", `[1,]`, `!at byte 4: no value begins so`},
		{"no comma", `[1 2]`, `!at byte 4: expected a comma or ']'`},
		{"no colon", `{"a" 1}`, `!at byte 6: expected a colon`},
		{"no name", `{1:1}`, `!at byte 2: expected the name of a member`},
		{"unclosed", `{"a":1`, `!at byte 7: expected a comma or '}'`},
		{"unclosed string", `"a`, `!at byte 3: the string is not closed`},
		{"unclosed after an escape", `"a\`, `!at byte 3: the string is not closed`},
		{"control byte", "\"a\nb\"", `!at byte 3: a control byte in a string must be escaped`},
		{"control byte after an escape", "\"\\n\nb\"", `!at byte 4: a control byte in a string must be escaped`},
		{"half a pair", `"\ud83d"`, `!at byte 8: the escape is malformed`},
		{"half a pair and another", `"\ud83d\u0041"`, `!at byte 8: the escape is malformed`},
		{"short escape", `"\u12"`, `!at byte 2: the escape is malformed`},
		{"signed escape", `"\u+123"`, `!at byte 2: the escape is malformed`},
		{"two values", `{} {}`, `!at byte 4: something follows the value`},
		{"leading zero", `01`, `!at byte 2: something follows the value`},
		{"lone minus", `-`, `!at byte 2: the number is malformed`},
		{"no digits after the point", `1.`, `!at byte 3: the number is malformed`},
		{"no exponent", `1e+`, `!at byte 4: the number is malformed`},
		{"a word cut", `tru`, `!at byte 1: no value begins so`},
		{"not UTF-8", "\"\xff\"", `!at byte 1: the text is not UTF-8`},
		{"form data", `a=b&c=d`, `!at byte 1: no value begins so`},
		{"a long number", strings.Repeat("9", 300), `!at byte 301: the number is too long`},
		{"deep", strings.Repeat("[", 200), `!at byte 129: nested too deeply`},
		{"deep objects", strings.Repeat(`{"a":`, 200), `!at byte 641: nested too deeply`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := ParseJSON(tc.text)
			got := string(v.AppendJSON(nil))
			if err != nil {
				got = "!" + err.Error()
			}
			if err != nil && !errors.Is(err, ErrJSON) || tc.name == "leading zero" && err == nil {
				t.Errorf("got error %v", err)
			}
			if tc.name != "leading zero" && got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if check := CheckJSON(tc.text); (check == nil) != (err == nil) {
				t.Errorf("CheckJSON says %v", check)
			}
		})
	}
}

func TestSet(t *testing.T) {
	var v Value
	for _, path := range []string{"b", "a.x", "a.y", "b"} {
		if err := v.Set(strings.Split(path, "."), String(path)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(v.AppendJSON(nil)); got != `{"a":{"x":"a.x","y":"a.y"},"b":"b"}` {
		t.Errorf("got %s", got)
	}
	if err := v.Set([]string{"b", "c"}, Int(1)); err == nil {
		t.Error("set below a string")
	}
	if list, _ := ParseJSON("[]"); list.Set([]string{"a"}, Int(1)) == nil {
		t.Error("set below a list")
	}
}

// A body of the worst kind takes no more than was said.
func TestJSONMemory(t *testing.T) {
	for name, text := range map[string]string{
		"empty arrays":  "[" + strings.Repeat("[],", 1<<18) + "[]]",
		"zeros":         "[" + strings.Repeat("0,", 1<<19) + "0]",
		"empty objects": "[" + strings.Repeat("{},", 1<<18) + "{}]",
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		v, err := ParseJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		values := 1 + strings.Count(text, ",") + strings.Count(text, "[") + strings.Count(text, "{")
		if took, most := int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(values)*ValueBytes; took > most {
			t.Errorf("%s: took %d bytes, said at most %d", name, took, most)
		}
		runtime.KeepAlive(v)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{data, `[1.5e3,"\u00e9\ud83d\ude00",{"a":[]}]`, `{"a":1,"a":2}`, `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseJSON(s)
		if (CheckJSON(s) == nil) != (err == nil) {
			t.Fatal("CheckJSON differs")
		}
		if err != nil {
			return
		}
		text := v.AppendJSON(nil)
		if !json.Valid([]byte(s)) || !json.Valid(text) {
			t.Fatalf("%q became %q", s, text)
		}
		again, err := ParseJSON(string(text))
		if err != nil || string(again.AppendJSON(nil)) != string(text) {
			t.Fatalf("%q does not stay: %v", text, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, tc := range plain {
		f.Add(tc.text, false)
	}
	f.Add("{{ a/b~1 }}", true)
	f.Fuzz(func(t *testing.T, src string, advanced bool) {
		if _, err := Parse(src, Options{Advanced: advanced}); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("%q: %#v", src, err)
			}
		}
	})
}

func FuzzRender(f *testing.F) {
	for _, tc := range plain {
		f.Add(tc.text, data)
	}
	f.Fuzz(func(t *testing.T, src, context string) {
		tmpl, err := Parse(src, Options{})
		if err != nil {
			return
		}
		v, _ := ParseJSON(context)
		in := &Input{Source: message{}, Context: v, MaxOutput: 1 << 16}
		out, err := tmpl.Append([]byte("before"), in)
		if err == nil && (len(out) > 1<<16+6 || string(out[:6]) != "before") {
			t.Fatalf("%q: %d bytes", src, len(out))
		}
	})
}
