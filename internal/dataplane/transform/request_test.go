package transform

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

func TestHeaders(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  ir.Template
		want string // of X-Out, joined
	}{
		{"set", ir.Template{Set: header("x-out", "v")}, "v"},
		{"set replaces", ir.Template{Set: header("x-out", "v{{ header(\"x-out\") }}")}, "vclient"},
		{"an empty text removes", ir.Template{Set: header("x-out", "{{ header(\"x-no\") }}")}, ""},
		{"append", ir.Template{Append: header("x-out", "v")}, "client|two|v"},
		{"an empty text is not appended", ir.Template{Append: header("x-out", "")}, "client|two"},
		{"remove after set", ir.Template{Set: header("x-out", "v"), Remove: []string{"X-OUT"}}, ""},
		{"append after remove", ir.Template{Remove: []string{"x-out"}, Append: header("x-out", "v")}, "v"},
		{"later templates see earlier ones", ir.Template{Set: []ir.HeaderTemplate{{Name: "x-a", Text: "1"}, {Name: "x-out", Text: "{{ header(\"x-a\") }}2"}}}, "12"},
		{"the body's members", ir.Template{Set: header("x-out", "{{ model }}-{{ n }}")}, "m-12345678901234567890"},
		{"the body", ir.Template{Set: header("x-out", "{{ length(body()) }}")}, "52"},
		{"pseudo headers", ir.Template{Set: header("x-out", `{{ header(":method") }} {{ header(":path") }} {{ header(":authority") }} {{ header(":scheme") }}`)}, "POST /a?q=1 gw.test http"},
		{"an extractor", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-in", Regex: "(.*)-(.*)", Group: 2}}, Set: header("x-out", "{{ e }}")}, "right"},
		{"an extractor must match the whole", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-in", Regex: "left"}}, Set: header("x-out", "[{{ e }}]")}, "[]"},
		{"an extractor of no header", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-no", Regex: ".*"}}, Set: header("x-out", "[{{ e }}]")}, "[]"},
		{"an extractor of a repeated header", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-out", Regex: ".*"}}, Set: header("x-out", "{{ e }}")}, "client"},
		{"an extractor of the body", ir.Template{Extractors: []ir.Extractor{{Name: "e", Regex: `.*"model":"(.)".*`, Group: 1}}, Set: header("x-out", "{{ e }}")}, "m"},
		{"an extractor of the path", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: ":path", Regex: `/(.).*`, Group: 1}}, Set: header("x-out", "{{ e }}")}, "a"},
		{"a dotted extractor", ir.Template{Extractors: []ir.Extractor{{Name: "a.b", Header: "x-in", Regex: ".*"}}, Set: header("x-out", "{{ a.b }} {{ a }}")}, `left-right {"b":"left-right"}`},
		{"an extractor hides a member", ir.Template{Extractors: []ir.Extractor{{Name: "model", Header: "x-in", Regex: ".*"}}, Set: header("x-out", "{{ model }}")}, "left-right"},
		{"advanced", ir.Template{Advanced: true, Extractors: []ir.Extractor{{Name: "e", Header: "x-in", Regex: ".*"}}, Set: header("x-out", `{{ extraction("e") }} {{ o/k }} {{ exists("e") }}`)}, "left-right v false"},
		{"single replaces a group", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-in", Regex: "(.*)-(.*)", Group: 1, Mode: "single", Replacement: text("$1")}}, Set: header("x-out", "{{ e }}")}, "$1-right"},
		{"single without a match", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-in", Regex: "l", Mode: "single", Replacement: text("x")}}, Set: header("x-out", "{{ e }}")}, "left-right"},
		{"all", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x-in", Regex: "([a-z])t", Mode: "all", Replacement: text("<$1$&$$>")}}, Set: header("x-out", "{{ e }}")}, "le<fft$>-rig<hht$>"},
		{"metadata", ir.Template{Metadata: []ir.MetadataTemplate{{Key: "k", Text: `{"a":{"b":7}}`, JSON: true}, {Namespace: "ns", Key: "s", Text: "v"}}, Set: header("x-out", `{{ dynamic_metadata("k:a:b") }}{{ dynamic_metadata("s", "ns") }}[{{ dynamic_metadata("k:z") }}]`)}, "7v[]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := transforming(t, tc.cfg)
			s := g.got("POST /a?q=1", `{"model":"m","n":12345678901234567890,"o":{"k":"v"}}`, "X-Out: client", "X-Out: two", "X-In: left-right")
			got := strings.Join(s.Header["X-Out"], "|")
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBody(t *testing.T) {
	in := `{"b":1,"a":{"x":"y"},"big":12345678901234567890}`
	take := []ir.Extractor{{Name: "e.f", Header: "x-in", Regex: ".*"}}
	for _, tc := range []struct {
		name, body string
		cfg        ir.Template
		want       string
	}{
		{"stays byte for byte", ` {"b" : 1}`, ir.Template{Set: header("x", "y")}, ` {"b" : 1}`},
		{"template", in, ir.Template{Body: text(`{"n": {{ b + 1 }}, "a": "{{ a.x }}"}`)}, `{"n": 2, "a": "y"}`},
		{"template without a body", "", ir.Template{Body: text(`made`)}, `made`},
		{"template sees the headers as they came", in, ir.Template{Body: text(`{{ header("x-in") }}`), Set: header("x-in", "new")}, `v`},
		{"headers see the body as it came", in, ir.Template{Body: text(`{{ big }}`), Set: header("x-in", "{{ big }}")}, `12345678901234567890`},
		{"text that is not parsed", "a=b", ir.Template{DontParse: true, Body: text(`<{{ body() }}>`)}, `<a=b>`},
		{"errors ignored", "a=b", ir.Template{IgnoreParseError: true, Body: text(`<{{ body() }}{{ default(b, "none") }}>`)}, `<a=bnone>`},
		{"merge extractors", in, ir.Template{MergeExtractors: true, Extractors: take}, `{"a":{"x":"y"},"b":1,"big":12345678901234567890,"e":{"f":"v"}}`},
		{"merge extractors into nothing", "", ir.Template{MergeExtractors: true, Extractors: take}, `{"e":{"f":"v"}}`},
		{"merge members", in, ir.Template{MergeJSON: []ir.MergeMember{{Path: "a.z", Text: "{{ b }}"}, {Path: "c.d", Text: "text"}, {Path: "o", Text: `{"p": [1]}`}, {Path: "no", Text: ""}, {Path: "yes", Text: "", OverrideEmpty: true}}},
			`{"a":{"x":"y","z":1},"b":1,"big":12345678901234567890,"c":{"d":"text"},"o":{"p":[1]},"yes":""}`},
		{"escape", `{"q":"a\"b"}`, ir.Template{Escape: true, Body: text(`{"q":"{{ q }}"}`)}, `{"q":"a\"b"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := transforming(t, tc.cfg).got("POST /", tc.body, "X-In: v", "Content-Type: application/json")
			if s.Body != tc.want || s.Header.Get("Content-Length") != "" && s.Header.Get("Content-Length") == "0" {
				t.Errorf("got %q, want %q", s.Body, tc.want)
			}
		})
	}
}

func TestContentType(t *testing.T) {
	for _, tc := range []struct {
		name, method, body string
		cfg                ir.Template
		kept               bool
	}{
		{"a body", "POST", "{}", ir.Template{}, true},
		{"no body", "GET", "", ir.Template{}, false},
		{"a body that becomes empty", "POST", "{}", ir.Template{Body: text("")}, false},
		{"passthrough", "GET", "", ir.Template{Passthrough: true}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := transforming(t, tc.cfg).got(tc.method+" /", tc.body, "Content-Type: text/x")
			if (s.Header.Get("Content-Type") != "") != tc.kept {
				t.Errorf("got %q", s.Header.Get("Content-Type"))
			}
		})
	}
}

// What is bad gets a clear answer, and nothing reaches the upstream.
func TestBadRequests(t *testing.T) {
	use := ir.Template{Set: header("x-out", "{{ model }}")}
	flat := ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "x", Regex: ".*"}}, Set: header("x-out", "{{ e }}")}
	big := strings.Repeat("a", 10<<20)
	for _, tc := range []struct {
		name, body string
		cfg        ir.Template
		status     int
		want       string
	}{
		{"no JSON", "a=b", flat, 400, "bad request: the body is not JSON: at byte 1: no value begins so"},
		{"doubled keys", `{"model":"a","model":"b"}`, use, 400, "bad request: the body is not JSON: at byte 26: a member occurs twice in the object that ends here"},
		{"doubled keys where nobody reads", `{"model":"a","model":"b"}`, flat, 400, "bad request: the body is not JSON: at byte 26: a member occurs twice in the object that ends here"},
		{"deep nesting", strings.Repeat("[", 100000), flat, 400, "bad request: the body is not JSON: at byte 129: nested too deeply"},
		{"a huge number", `{"model":` + strings.Repeat("9", 5000) + `}`, use, 400, "bad request: the body is not JSON: at byte 5010: the number is too long"},
		{"10 MB", big, use, 413, "payload too large"},
		{"10 MB for an extractor", big, ir.Template{DontParse: true, Extractors: []ir.Extractor{{Name: "e", Regex: ".*"}}}, 413, "payload too large"},
		{"unknown variable", `{}`, use, 400, "bad request: 1:4: variable 'model' not found"},
		{"an array in place of an object", `[1]`, flat, 400, "bad request: extractors cannot be put into a body that is no object"},
		{"a member below a string", `{"a":"x"}`, ir.Template{MergeJSON: []ir.MergeMember{{Path: "a.b", Text: "1"}}}, 400, "bad request: a name leads into something that is no object"},
		{"a line break in a header", `{"model":"a\r\nX-Evil: 1"}`, use, 400, "bad request: header X-Out would hold a control byte"},
		{"a long header", `{"model":"` + strings.Repeat("a", 70000) + `"}`, use, 400, "bad request: header X-Out would be too long"},
		{"an endless template", `{"l":[` + strings.Repeat("0,", 5000) + `0]}`, ir.Template{Body: text(`{% for a in l %}{% for b in l %}{{ a }}{% endfor %}{% endfor %}`)}, 400, "bad request: 1:20: the template takes too long"},
		{"a path that climbs", `{"model":"/../x"}`, ir.Template{Set: header(":path", "{{ model }}")}, 400, "bad request: the path climbs above its root"},
		{"an ambiguous path", `{"model":"/a%2fb"}`, ir.Template{Set: header(":path", "{{ model }}")}, 400, "bad request: the path holds an escaped slash, backslash, dot segment, percent sign or control byte"},
		{"a method that is none", `{"model":"G T"}`, ir.Template{Set: header(":method", "{{ model }}")}, 400, "bad request: the method is malformed"},
		{"CONNECT", `{}`, ir.Template{Set: header(":method", "CONNECT")}, 400, "bad request: CONNECT is not served"},
		{"HEAD", `{}`, ir.Template{Set: header(":method", "HEAD")}, 400, "bad request: HEAD cannot take another method's place, nor another its"},
		{"an explosive replacement", strings.Repeat("a", 1<<20-10), ir.Template{DontParse: true, Extractors: []ir.Extractor{{Name: "e", Regex: "a", Mode: "all", Replacement: text(strings.Repeat("b", 1000))}}}, 400, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := transforming(t, tc.cfg)
			reached := false
			g.answer = func(http.ResponseWriter, *http.Request) { reached = true }
			res, body := g.send("POST /", tc.body)
			if res.StatusCode != tc.status || body != tc.want && tc.want != "" || reached {
				t.Errorf("got %d %q, reached %v", res.StatusCode, body, reached)
			}
			if r := g.last(); r.Verdict != dataplane.Invalid || r.Policy != "mesh/transform" || r.Origin != where || r.Cause == "" {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// What a body is made into counts among the bodies that are held.
func TestRow26Budget(t *testing.T) {
	g := newGateway(t)
	g.bodies = dataplane.NewBudget(4 << 20)
	g.one(nil, stage(t, request(ir.Template{Set: header("x-out", "{{ default(a, 1) }}")})))
	if res, body := g.send("POST /", "["+strings.Repeat("0,", 200_000)+"0]"); res.StatusCode != 503 || body != "too busy to hold the request body" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	if s := g.got("POST /", "{}"); s.Header.Get("X-Out") != "1" {
		t.Errorf("got %+v", s)
	}
}

// A body that no template needs streams through, however large it is.
func TestPassthroughStreams(t *testing.T) {
	big := strings.Repeat("x", 5<<20)
	for name, cfg := range map[string]ir.Template{
		"passthrough":      {Passthrough: true, Set: header("x-out", "v")},
		"not to be parsed": {DontParse: true, Set: header("x-out", "v")},
	} {
		g := transforming(t, cfg)
		n := 0
		g.answer = func(w http.ResponseWriter, r *http.Request) {
			buf := make([]byte, 1<<16)
			for {
				m, err := r.Body.Read(buf)
				if n += m; err != nil {
					break
				}
			}
			if g.bodies.Used() > 1<<20 {
				t.Errorf("%s: %d bytes are held", name, g.bodies.Used())
			}
			w.Header().Set("X-Got", r.Header.Get("X-Out"))
		}
		if res, _ := g.send("POST /", big); res.StatusCode != 200 || n != len(big) || res.Header.Get("X-Got") != "v" {
			t.Errorf("%s: %d, %d bytes", name, res.StatusCode, n)
		}
	}
}

func TestPseudoHeaders(t *testing.T) {
	g := transforming(t, ir.Template{Set: []ir.HeaderTemplate{{Name: ":path", Text: "/v1//{{ model }}/./c?x={{ n }}"}, {Name: ":method", Text: "PUT"}}})
	if s := g.got("POST /a?old=1", `{"model":"m","n":2}`); s.Method != "PUT" || s.Target != "/v1/m/c?x=2" {
		t.Errorf("got %s %s", s.Method, s.Target)
	}
}

func TestRules(t *testing.T) {
	rule := func(path, value string) ir.TransformRule {
		return ir.TransformRule{Match: &ir.Match{Path: ir.PathMatch{Kind: ir.PathPrefix, Value: path}, Order: ir.Order{int64(-len(path))}}, Request: &ir.Template{Set: header("x-out", value)}}
	}
	g := newGateway(t).one(nil, stage(t, &ir.Transform{Rules: []ir.TransformRule{
		rule("/a", "first"), rule("/a/b", "never"), {Match: &ir.Match{Methods: []string{"PUT"}}}, {Request: &ir.Template{Set: header("x-out", "rest")}},
	}}))
	for line, want := range map[string]string{"GET /a/b": "first", "GET /c": "rest", "PUT /c": ""} {
		if s := g.got(line, ""); s.Header.Get("X-Out") != want {
			t.Errorf("%s: got %q, want %q", line, s.Header.Get("X-Out"), want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  ir.Template
		want string
	}{
		{"template", ir.Template{Set: header("a", "{{ f( }}")}, "template of header a: 1:7: expected a value"},
		{"unknown function", ir.Template{Body: text("\n{{ f() }}")}, "template of body: 2:4: unknown function 'f'"},
		{"subgroup", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "a", Regex: "(a)", Group: 2}}}, "subgroup 2: the expression has 1"},
		{"no replacement", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "a", Regex: "a", Mode: "all"}}}, "no replacement text"},
		{"subgroup of all", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "a", Regex: "(a)", Group: 1, Mode: "all", Replacement: text("")}}}, "subgroup is 0"},
		{"mode", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "a", Regex: "a", Mode: "x"}}}, `mode "x" does not exist`},
		{"regex", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "a", Regex: "("}}}, "missing closing"},
		{"an explosive regex", ir.Template{Extractors: []ir.Extractor{{Name: "e", Header: "a", Regex: "(abcdefghij){999}"}}}, "instructions"},
		{"no name", ir.Template{Extractors: []ir.Extractor{{Header: "a", Regex: "a"}}}, "no name"},
		{"two bodies", ir.Template{Body: text(""), Passthrough: true}, "several ways"},
		{"merge without parsing", ir.Template{DontParse: true, MergeJSON: []ir.MergeMember{{Path: "a", Text: "b"}}}, "only if it is parsed"},
		{"host", ir.Template{Set: header("host", "a")}, "there is a rewrite for it"},
		{"authority", ir.Template{Set: header(":authority", "a")}, "cannot be written"},
		{"append to the path", ir.Template{Append: header(":path", "a")}, "cannot be written"},
		{"framing", ir.Template{Set: header("content-length", "a")}, "belongs to the connection"},
		{"header name", ir.Template{Remove: []string{"a b"}}, "not the name of a header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(&ir.Transform{Rules: []ir.TransformRule{{Request: &tc.cfg}}}, "s", where)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := New(&ir.Transform{Rules: []ir.TransformRule{{Response: &ir.Template{Set: header("a", `{{ request_header("authorization") }}`)}}}}, "s", where); err == nil {
		t.Error("a credential may be sent to the client")
	}
}
