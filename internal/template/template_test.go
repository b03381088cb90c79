package template

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// message is what templates of the tests read.
type message struct{}

func (message) Header(name string) string {
	return map[string]string{"x-a": "one", ":path": "/p?q=1"}[strings.ToLower(name)]
}

func (message) RequestHeader(name string) string {
	return map[string]string{"x-r": "asked"}[strings.ToLower(name)]
}

func (message) Body() string { return `{"raw": 1}` }

func (message) Metadata(namespace, key string) Value {
	if namespace == "ns" && key == "obj" {
		v, _ := ParseJSON(`{"b":1,"a":[true]}`)
		return v
	}
	if namespace == "" && key == "n" {
		return Int(7)
	}
	if key == "bool" {
		return Bool(true)
	}
	return Value{}
}

const data = `{
 "name": "Ann", "n": 3, "f": 2.5, "t": true, "nil": null, "empty": "", "list": [3, 1, 2], "words": ["b", "a"],
 "obj": {"k": "v", "deep": {"x": 1}}, "big": 12345678901234567890, "rows": [{"id": 1}, {"id": 2}],
 "none": [], "a-b": "dashed", "quote": "say \"hi\"\n", "min": -4, "uni": "é€", "nested": [[1], [2, 3]], "$ref": "r", "body": "shadow"
}`

// plain cases use dotted names; want beginning with "!" is an error's text.
var plain = []struct{ name, text, want string }{
	{"text", "just text", "just text"},
	{"empty", "", ""},
	{"braces that open nothing", "{ a } # }} %} #}", "{ a } # }} %} #}"},
	{"a name with dashes", "Bearer {{ huggingface-api-key }}", "Bearer hf_x"},
	{"a name from the context", "{{ a-b }}", "dashed"},
	{"names begin with a dollar", "{{ $ref }}", "r"},
	{"no spaces", "{{name}}", "Ann"},
	{"extractions first", "{{ n2 }}", "two"},
	{"subtraction needs spaces", "{{ n - 1 }}", "2"},
	{"a sign after a space", "{{ n -1 }}", "2"},
	{"a sign", "{{ -1 }}", "-1"},
	{"a sign in the second print", "{{ n }}{{ -1 }}", "3-1"},
	{"a sign after an operator", "{{ n + -1 }}", "2"},
	{"a sign after a call", "{{ length(name) -1 }}", "2"},
	{"several lines", "a\n{{ name }}\nb", "a\nAnn\nb"},
	{"lines inside of a print", "{{\n name \n}}", "Ann"},
	{"dots", "{{ obj.k }}", "v"},
	{"slashes", "{{ obj/deep/x }}", "1"},
	{"an element", "{{ list.1 }}", "1"},
	{"a leading zero is no index", "{{ list.01 }}", "!1:4: variable 'list.01' not found"},
	{"an element that is not there", "{{ list.9 }}", "!1:4: variable 'list.9' not found"},
	{"unknown", "x\n  {{ nobody }}", "!2:6: variable 'nobody' not found"},
	{"unknown below a string", "{{ name.x }}", "!1:4: variable 'name.x' not found"},
	{"null prints nothing", "[{{ nil }}]", "[]"},
	{"boolean", "{{ t }}", "true"},
	{"float", "{{ f }}", "2.5"},
	{"an object as JSON, sorted", "{{ obj }}", `{"deep":{"x":1},"k":"v"}`},
	{"an array as JSON", "{{ words }}", `["b","a"]`},
	{"twenty digits survive", "{{ big }}", "12345678901234567890"},
	// Literals.
	{"string", `{{ "a b" }}`, "a b"},
	{"string with escapes", `{{ "q\"\\\u0041\n" }}`, "q\"\\A\n"},
	{"string with a closing bracket", `{{ "}}" }}`, "}}"},
	{"number", `{{ 1.5e3 }}`, "1.5e3"},
	{"true", `{{ true }}`, "true"},
	{"null", `{{ null }}`, ""},
	{"array", `{{ [1, "a", null] }}`, `[1,"a",null]`},
	{"object in an object", `{{ {"a": {"b": 1}} }}`, `{"a":{"b":1}}`},
	{"malformed array", `{{ [1, }}`, "!1:4: not a JSON value: at byte 5: no value begins so"},
	{"a name in an array", `{{ [name] }}`, "!1:4: not a JSON value: at byte 2: no value begins so"},
	{"malformed number", `{{ 1.2.3 }}`, "!1:4: '1.2.3' is not a number"},
	{"a leading zero", `{{ 01 }}`, "!1:4: not a JSON value: at byte 3: the number is malformed"},
	{"a lone sign", `{{ -name }}`, "!1:4: not a JSON value: at byte 2: the number is malformed"},
	{"unclosed string", `{{ "a }}`, "!1:4: the string is not closed"},
	{"bad escape", `{{ "\q" }}`, "!1:4: not a JSON value: at byte 2: the escape is not known"},
	{"single quotes", `{{ 'a' }}`, "!1:4: strings stand between double quotes"},
	{"doubled member", `{{ {"a":1,"a":2} }}`, "!1:4: not a JSON value: at byte 14: a member occurs twice in the object that ends here"},
	// Operators.
	{"add", "{{ 1 + 2 }}", "3"},
	{"add strings", `{{ name + "!" }}`, "Ann!"},
	{"add floats", "{{ 1 + 0.5 }}", "1.5"},
	{"float that is whole", "{{ 0.5 + 0.5 }}", "1.0"},
	{"add a string and a number", "{{ name + 1 }}", "!1:9: +: a number is needed"},
	{"subtract", "{{ 5 - 7 }}", "-2"},
	{"multiply", "{{ 6 * 7 }}", "42"},
	{"divide", "{{ 7 / 2 }}", "3.5"},
	{"divide evenly", "{{ 4 / 2 }}", "2.0"},
	{"divide by zero", "{{ 1 / 0 }}", "!1:6: /: division by zero"},
	{"modulo", "{{ 7 % 4 }}", "3"},
	{"modulo of a negative", "{{ -7 % 4 }}", "-3"},
	{"modulo zero", "{{ 7 % 0 }}", "!1:6: %: division by zero"},
	{"modulo of a fraction", "{{ 7.5 % 2 }}", "!1:8: %: a whole number is needed"},
	{"power", "{{ 2 ^ 10 }}", "1024"},
	{"power binds to the right", "{{ 2 ^ 3 ^ 2 }}", "512"},
	{"power to a negative", "{{ 2 ^ -1 }}", "0.5"},
	{"power overflows into a float", "{{ 10 ^ 20 }}", "1e+20"},
	{"power without end", "{{ 10 ^ 999 }}", "!1:7: ^: the number is too large"},
	{"overflow becomes a float", "{{ 9223372036854775807 + 1 }}", "9.223372036854776e+18"},
	{"multiplication binds more", "{{ 1 + 2 * 3 }}", "7"},
	{"brackets", "{{ (1 + 2) * 3 }}", "9"},
	{"from left to right", "{{ 10 - 3 - 2 }}", "5"},
	{"equal", "{{ n == 3 }}", "true"},
	{"equal with another spelling", "{{ 1 == 1.0 }}", "true"},
	{"equal of different kinds", `{{ 1 == "1" }}`, "false"},
	{"equal objects", `{{ obj == {"k":"v","deep":{"x":1}} }}`, "true"},
	{"equal of long numbers", "{{ big == 12345678901234567890 }}", "true"},
	{"long numbers differ in their last digit", "{{ big < 12345678901234567891 }}", "true"},
	{"not equal", `{{ name != "Bob" }}`, "true"},
	{"less", "{{ 1 < 2 }}", "true"},
	{"less or equal", "{{ 2 <= 2 }}", "true"},
	{"greater", `{{ "b" > "a" }}`, "true"},
	{"greater or equal", "{{ 1 >= 2 }}", "false"},
	{"kinds have an order", `{{ null < false }}`, "true"},
	{"and", `{{ t and n }}`, "true"},
	{"and stops early", `{{ false and nobody }}`, "false"},
	{"or stops early", `{{ t or nobody }}`, "true"},
	{"and and or bind alike", `{{ true or true and false }}`, "false"},
	{"not", `{{ not empty }}`, "true"},
	{"not binds more than ==", `{{ not n == false }}`, "true"},
	{"not not", `{{ not not n }}`, "true"},
	{"in", `{{ 2 in list }}`, "true"},
	{"not in", `{{ not (9 in list) }}`, "true"},
	{"in an object's values", `{{ "v" in obj }}`, "true"},
	{"a single equals sign", "{{ n = 3 }}", "!1:6: expected the end of the expression, got '='"},
	{"a missing operand", "{{ 1 + }}", "!1:8: expected a value, got '}}'"},
	{"two values", "{{ n name }}", "!1:6: expected the end of the expression, got 'name'"},
	{"an operator alone", "{{ and }}", "!1:4: expected a value, got 'and'"},
	{"nothing", "{{ }}", "!1:4: expected a value, got '}}'"},
	{"unclosed", "{{ n", "!1:5: expected the end of the expression, got the end"},
	{"unclosed brackets", "{{ (n }}", "!1:7: expected ')', got '}}'"},
	{"pipes", "{{ name | upper }}", "!1:9: there are no pipes; write f(x)"},
	{"a strange character", "{{ n ; }}", "!1:6: this character has no meaning here"},
	{"member of a call", `{{ at(rows, 1).id }}`, "2"},
	{"members of a call", `{{ context().obj.deep.x }}`, "1"},
	{"no such member", `{{ at(rows, 1).no }}`, "!1:16: there is no member 'no'"},
	// Statements.
	{"if", "{% if t %}yes{% endif %}", "yes"},
	{"if not", "{% if empty %}yes{% endif %}", ""},
	{"else", `{% if none %}a{% else %}b{% endif %}`, "b"},
	{"else if", `{% if n == 1 %}a{% else if n == 3 %}b{% else %}c{% endif %}`, "b"},
	{"else after else if", `{% if n == 1 %}a{% else if n == 2 %}b{% else %}c{% endif %}`, "c"},
	{"nested", `{% if t %}{% if n %}x{% endif %}y{% endif %}`, "xy"},
	{"zero is false", `{% if 0 %}a{% else %}b{% endif %}`, "b"},
	{"an unknown condition", `{% if nobody %}a{% endif %}`, "!1:7: variable 'nobody' not found"},
	{"unended if", "{% if t %}a", "!1:4: if is not ended"},
	{"unended for", "{% for x in list %}a", "!1:4: for is not ended"},
	{"stray endif", "{% endif %}", "!1:4: endif without its beginning"},
	{"stray else", "{% else %}", "!1:4: else without its beginning"},
	{"stray endfor", "a{% endfor %}", "!1:5: endfor without its beginning"},
	{"crossed", "{% if t %}{% endfor %}", "!1:14: endfor inside of if"},
	{"two elses", "{% if t %}{% else %}{% else %}{% endif %}", "!1:24: else where endif is expected"},
	{"endif in for", "{% for x in list %}{% endif %}", "!1:23: endif inside of for"},
	{"for", "{% for x in list %}{{ x }},{% endfor %}", "3,1,2,"},
	{"for over nothing", "{% for x in none %}{{ x }}{% endfor %}", ""},
	{"for over an object", "{% for k, v in obj %}{{ k }}={{ v }};{% endfor %}", `deep={"x":1};k=v;`},
	{"for over rows", "{% for r in rows %}{{ r.id }}{% endfor %}", "12"},
	{"for over a string", "{% for x in name %}{% endfor %}", "!1:13: an array is needed"},
	{"for over an array as an object", "{% for k, v in list %}{% endfor %}", "!1:16: an object is needed"},
	{"loop.index", "{% for x in list %}{{ loop.index }}{{ loop.index1 }} {% endfor %}", "01 12 23 "},
	{"loop.is_first, is_last", "{% for x in list %}{% if loop.is_first %}<{% endif %}{{ x }}{% if loop.is_last %}>{% else %},{% endif %}{% endfor %}", "<3,1,2>"},
	{"loop.parent", "{% for r in nested %}{% for x in r %}{{ loop.parent.index }}{{ loop.index }} {% endfor %}{% endfor %}", "00 10 11 "},
	{"loop outside", "{{ loop.index }}", "!1:4: variable 'loop.index' not found"},
	{"loop.other", "{% for x in list %}{{ loop.other }}{% endfor %}", "!1:23: variable 'loop.other' not found"},
	{"the variable ends with the loop", "{% for x in list %}{% endfor %}{{ x }}", "!1:35: variable 'x' not found"},
	{"a loop's variable hides", "{% for name in words %}{{ name }}{% endfor %}{{ name }}", "baAnn"},
	{"for without in", "{% for x of list %}{% endfor %}", "!1:10: expected 'in', got 'of'"},
	{"for without a variable", "{% for 1 in list %}{% endfor %}", "!1:8: expected the name of a variable, got '1'"},
	{"set", `{% set x = n + 1 %}{{ x }}`, "4"},
	{"set again", `{% set x = 1 %}{% set x = x + 1 %}{{ x }}`, "2"},
	{"set in a loop stays", `{% set s = 0 %}{% for x in list %}{% set s = s + x %}{% endfor %}{{ s }}`, "6"},
	{"set a path", `{% set a.b = 1 %}{{ a.b }}`, "1"},
	{"set hides", `{% set name = "Bob" %}{{ name }}`, "Bob"},
	{"set an object", `{% set o = {"a": [5]} %}{{ o.a.0 }}`, "5"},
	{"set without value", `{% set x %}`, "!1:10: expected '=', got '%}'"},
	{"set of a word", `{% set not = 1 %}`, "!1:8: expected the name of a variable, got 'not'"},
	{"include", `{% include "a" %}`, "!1:4: include is not available"},
	{"extends", `{% extends "a" %}`, "!1:4: extends is not available"},
	{"block", `{% block a %}{% endblock %}`, "!1:4: block is not available"},
	{"macro", `{% macro a() %}{% endmacro %}`, "!1:4: macro is not available"},
	{"unknown statement", `{% while t %}`, "!1:4: unknown statement 'while'"},
	{"no statement", `{% 1 %}`, "!1:4: expected a statement, got '1'"},
	{"comment", "a{# {{ nobody }} #}b", "ab"},
	{"unclosed comment", "a{# b", "!1:2: the comment is not closed"},
	{"line statements", "## for x in list\n{{ x }}\n## endfor\n", "3\n1\n2\n"},
	{"a line statement ends with the text", "## if t\na\n## endif", "a\n"},
	{"a hash within a line", "a ## b", "a ## b"},
	{"trim after", "{{ name -}} \n b", "Annb"},
	{"trim before, a line of spaces", "a\n  {{- name }}", "a\nAnn"},
	{"trim before keeps other text", "a {{- name }}", "a Ann"},
	{"trim a statement", "{%- if t -%}\n x {%- endif %}", "x "},
	{"trim a comment", "a\n  {#- c -#}  \nb", "a\nb"},
	{"plus keeps", "{%+ if t %}x{% endif %}", "x"},
	{"a dash before the trim", "{{ a-b-}} c", "dashedc"},
	// Functions.
	{"upper", `{{ upper(name) }}`, "ANN"},
	{"upper leaves others", `{{ upper(uni) }}`, "é€"},
	{"lower", `{{ lower("ÄBC") }}`, "Äbc"},
	{"capitalize", `{{ capitalize("hELLO") }}`, "Hello"},
	{"upper of a number", `{{ upper(n) }}`, "!1:4: upper(): a string is needed"},
	{"default", `{{ default(nobody, "x") }}`, "x"},
	{"default is not asked", `{{ default(name, nobody) }}`, "Ann"},
	{"default of null", `[{{ default(nil, "x") }}]`, "[]"},
	{"default of a call", `{{ default(upper(nobody), "x") }}`, "!1:18: variable 'nobody' not found"},
	{"exists", `{{ exists("obj.k") }}{{ exists("obj.z") }}`, "truefalse"},
	{"exists of an extraction", `{{ exists("n2") }}`, "true"},
	{"exists of a number", `{{ exists(1) }}`, "!1:4: exists(): a string is needed"},
	{"existsIn", `{{ existsIn(obj, "k") }}{{ existsIn(list, "k") }}`, "truefalse"},
	{"join", `{{ join(list, "-") }}`, "3-1-2"},
	{"join of others", `{{ join([1, {"a": 2}, "x"], ", ") }}`, `1, {"a":2}, x`},
	{"join of a string", `{{ join(name, "") }}`, "!1:4: join(): an array is needed"},
	{"length", `{{ length(list) }}{{ length(name) }}{{ length(obj) }}{{ length(uni) }}{{ length(nil) }}{{ length(n) }}`, "332501"},
	{"first and last", `{{ first(list) }}{{ last(list) }}`, "32"},
	{"first of nothing", `{{ first(none) }}`, "!1:4: first(): the list is empty"},
	{"last of a string", `{{ last(name) }}`, "!1:4: last(): an array or an object is needed"},
	{"sort", `{{ sort(list) }}{{ sort(words) }}`, `[1,2,3]["a","b"]`},
	{"sort of kinds", `{{ sort(["a", 1, null, true]) }}`, `[null,true,1,"a"]`},
	{"max and min", `{{ max(list) }}{{ min(list) }}{{ max(words) }}`, "31b"},
	{"max of nothing", `{{ max(none) }}`, "!1:4: max(): the list is empty"},
	{"range", `{{ range(4) }}`, "[0,1,2,3]"},
	{"range below zero", `{{ range(-1) }}`, "!1:4: range(): a number from 0 to 10000 is needed"},
	{"range too long", `{{ range(1000000000) }}`, "!1:4: range(): a number from 0 to 10000 is needed"},
	{"round", `{{ round(3.14159, 2) }}`, "3.14"},
	{"round to a whole", `{{ round(2.5, 0) }}`, "3"},
	{"round too far", `{{ round(2.5, 9999) }}`, "!1:4: round(): the number is too large"},
	{"float", `{{ float("2.50") }}{{ float("3 apples") }}`, "2.53.0"},
	{"float of text", `{{ float("x") }}`, "!1:4: float(): the string is no number"},
	{"int", `{{ int("12") }}{{ int("-7up") }}{{ int(2.9) }}`, "12-72"},
	{"int of text", `{{ int("") }}`, "!1:4: int(): the string is no number"},
	{"int too large", `{{ int("99999999999999999999") }}`, "!1:4: int(): the number is too large"},
	{"is of a string", `{{ isString(name) }}{{ isNumber(name) }}{{ isArray(name) }}`, "truefalsefalse"},
	{"is of numbers", `{{ isInteger(n) }}{{ isFloat(n) }}{{ isFloat(f) }}{{ isNumber(f) }}`, "truefalsetruetrue"},
	{"is of others", `{{ isArray(list) }}{{ isObject(obj) }}{{ isBoolean(t) }}`, "truetruetrue"},
	{"divisibleBy", `{{ divisibleBy(9, 3) }}{{ divisibleBy(9, 0) }}`, "truefalse"},
	{"even and odd", `{{ even(n) }}{{ odd(n) }}{{ odd(min) }}`, "falsetruefalse"},
	{"even of text", `{{ even(name) }}`, "!1:4: even(): a number is needed"},
	{"at", `{{ at(list, 0) }}{{ at(obj, "k") }}`, "3v"},
	{"at beyond", `{{ at(list, 7) }}`, "!1:4: at(): there is no such member"},
	{"at below", `{{ at(list, -1) }}`, "!1:4: at(): there is no such member"},
	{"at by name in a list", `{{ at(list, "0") }}`, "!1:4: at(): a whole number is needed"},
	{"replace", `{{ replace("aXbX", "X", "--") }}`, "a--b--"},
	{"replace nothing", `{{ replace("ab", "", "--") }}`, "ab"},
	{"substring", `{{ substring("hello", 1) }} {{ substring("hello", 1, 3) }}`, "ello ell"},
	{"substring beyond", `[{{ substring("hello", 9) }}{{ substring("hello", -1) }}]`, "[]"},
	{"substring of a length that is none", `{{ substring("hello", 1, 0) }} {{ substring("hello", 1, 99) }}`, "ello ello"},
	{"substring of no numbers", `[{{ substring("hello", "1") }}{{ substring("hello", 1, "2") }}]`, "[]"},
	{"substring of a number", `{{ substring(n, 1) }}`, "!1:4: substring(): a string is needed"},
	{"trim", `[{{ trim("  a b\n") }}]`, "[a b]"},
	{"base64_encode", `{{ base64_encode("a?>b~") }}`, "YT8+Yn4="},
	{"base64_decode", `{{ base64_decode("YT8+Yn4=") }}`, "a?>b~"},
	{"base64_decode of none", `[{{ base64_decode("*") }}{{ base64_decode("YQ") }}]`, "[]"},
	{"base64url_encode", `{{ base64url_encode("a?>b~") }}`, "YT8-Yn4"},
	{"base64url_decode", `{{ base64url_decode("YT8-Yn4") }}[{{ base64url_decode("YQ==") }}]`, "a?>b~[]"},
	{"word_count", `{{ word_count("  two  words ") }}{{ word_count(words) }}{{ word_count(obj) }}{{ word_count(nil) }}`, "2250"},
	{"raw_string", `{{ raw_string(quote) }}`, `say \"hi\"\n`},
	{"raw_string of a number", `{{ raw_string(n) }}`, "!1:4: raw_string(): a string is needed"},
	{"header", `{{ header("X-A") }}[{{ header("no") }}]{{ header(":path") }}`, "one[]/p?q=1"},
	{"header of a number", `{{ header(1) }}`, "!1:4: header(): a string is needed"},
	{"request_header", `{{ request_header("x-r") }}`, "asked"},
	{"extraction", `{{ extraction("n2") }}[{{ extraction("no") }}]`, "two[]"},
	{"body", `{{ body() }}`, `{"raw": 1}`},
	{"a variable hides a function", `{{ body }}`, "shadow"},
	{"a function without brackets", `{{ length(context) }}`, "21"},
	{"env", `{{ env("GIVEN") }}[{{ env("HOME") }}{{ env("PATH") }}]`, "yes[]"},
	{"dynamic_metadata", `{{ dynamic_metadata("n") + 1 }}{{ dynamic_metadata("bool") }}[{{ dynamic_metadata("no") }}]`, "8true[]"},
	{"dynamic_metadata of a namespace", `{{ dynamic_metadata("obj", "ns") }}`, `{"a":[true],"b":1}`},
	{"cluster_metadata", `[{{ cluster_metadata("a") }}{{ host_metadata("a", "b") }}{{ clusterMetadata("a") }}]`, "[]"},
	{"data_source", `{{ data_source("a") }}`, "!1:4: data_source is not available"},
	{"super", `{{ super() }}`, "!1:4: super is not available"},
	{"unknown function", `{{ f(1) }}`, "!1:4: unknown function 'f'"},
	{"too few arguments", `{{ at(list) }}`, "!1:4: at() takes 2 arguments, not 1"},
	{"too many arguments", `{{ upper(1, 2, 3, 4) }}`, "!1:20: upper() has too many arguments"},
	{"nested calls", `{{ upper(join(sort(words), lower("X"))) }}`, "AXB"},
	{"an unclosed call", `{{ upper(name }}`, "!1:15: expected ',', got '}}'"},
	{"a comma too many", `{{ at(list, ) }}`, "!1:13: expected a value, got ')'"},
}

func input(t testing.TB) *Input {
	t.Helper()
	v, err := ParseJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	key, two := NewExtraction("huggingface-api-key"), NewExtraction("n2")
	key.Value, two.Value = String("hf_x"), String("two")
	return &Input{
		Source: message{}, Context: v, Extractions: []Extraction{key, two},
		Env: func(name string) string { return map[string]string{"GIVEN": "yes"}[name] },
	}
}

func render(src string, opts Options, in *Input) string {
	tmpl, err := Parse(src, opts)
	if err != nil {
		return "!" + err.Error()
	}
	out, err := tmpl.Append(nil, in)
	if err != nil {
		return "!" + err.Error()
	}
	return string(out)
}

func TestLanguage(t *testing.T) {
	in := input(t) // shared: nothing of one rendering may show in the next
	seen := map[string]bool{}
	for _, tc := range plain {
		if seen[tc.text] {
			t.Errorf("%s: the template occurs twice", tc.name)
		}
		seen[tc.text] = true
		t.Run(tc.name, func(t *testing.T) {
			if got := render(tc.text, Options{}, in); got != tc.want {
				t.Errorf("%s\n got %q\nwant %q", tc.text, got, tc.want)
			}
		})
	}
	if len(plain) < 150 {
		t.Errorf("%d cases", len(plain))
	}
}

func TestAdvanced(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"slashes", "{{ obj/k }}", "v"},
		{"dots are part of a name", "{{ dotted.name }}", "d"},
		{"escapes of RFC 6901", "{{ sl~1ash }}{{ til~0de }}", "st"},
		{"extractions are no variables", "{{ x }}", "!1:4: variable 'x' not found"},
		{"extraction()", `{{ extraction("x") }}`, "took"},
		{"loops", "{% for r in rows %}{{ loop/index }}{{ r/id }}{% endfor %}", "0112"},
		{"an element", "{{ rows/1/id }}", "2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := ParseJSON(`{"obj": {"k": "v"}, "dotted.name": "d", "sl/ash": "s", "til~de": "t", "rows": [{"id": 1}, {"id": 2}]}`)
			if err != nil {
				t.Fatal(err)
			}
			x := NewExtraction("x")
			x.Value = String("took")
			if got := render(tc.text, Options{Advanced: true}, &Input{Context: v, Extractions: []Extraction{x}}); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestEscape(t *testing.T) {
	in := input(t)
	if got := render(`{"a": "{{ quote }}", "n": {{ n }}, "o": {{ obj }}}`, Options{Escape: true}, in); got != `{"a": "say \"hi\"\n", "n": 3, "o": {"deep":{"x":1},"k":"v"}}` {
		t.Errorf("got %s", got)
	}
}

func TestWithoutContext(t *testing.T) {
	list, _ := ParseJSON(`[1, 2]`)
	for _, in := range []*Input{{}, {Context: list}, {Context: String("x")}} {
		for src, want := range map[string]string{
			`{{ a }}`:           "!1:4: variable 'a' not found",
			`{{ exists("0") }}`: "false",
			`[{{ header("a") }}{{ env("a") }}{{ body() }}{{ dynamic_metadata("a") }}{{ request_header("a") }}]`: "[]",
			`{{ default(a, 1) }}`: "1",
		} {
			if got := render(src, Options{}, in); got != want {
				t.Errorf("%s: got %q, want %q", src, got, want)
			}
		}
	}
}

func TestRandomIsStable(t *testing.T) {
	in := input(t)
	in.Random = &Random{}
	src := `{{ replace_with_random("a-X-X", "X") }}`
	one := render(src, Options{}, in)
	if one != render(src, Options{}, in) {
		t.Error("drawn anew")
	}
	parts := strings.Split(one, "-")
	if raw, err := base64.RawStdEncoding.DecodeString(parts[1]); len(parts) != 3 || parts[1] != parts[2] || err != nil || len(raw) != 16 {
		t.Errorf("got %q: %v", one, err)
	}
	if render(`{{ replace_with_random("Y", "Y") }}`, Options{}, in) == parts[1] {
		t.Error("another pattern got the same")
	}
	if render(src, Options{}, input(t)) == one {
		t.Error("another request got the same")
	}
}

func TestBounds(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("(", n) + "1" + strings.Repeat(")", n) }
	for _, tc := range []struct{ name, text, want string }{
		{"nested expressions", "{{ " + deep(100) + " }}", "nested more than 64 times"},
		{"many operators", "{{ 1" + strings.Repeat(" + 1", 100) + " }}", "more than 64 operators"},
		{"many nots", "{{ " + strings.Repeat("not ", 100) + "1 }}", "nested more than 64 times"},
		{"many members", "{{ body()" + strings.Repeat(" . a", 100) + " }}", "more than 64 members"},
		{"nested statements", strings.Repeat("{% if t %}", 100) + strings.Repeat("{% endif %}", 100), "nested more than 32 times"},
		{"long template", strings.Repeat("x", 300<<10), "more than 262144"},
		{"deep literal", "{{ " + strings.Repeat("[", 200) + " }}", "nested too deeply"},
		{"loops in loops", strings.Repeat("{% for x in range(10000) %}", 4) + "{{ x }}" + strings.Repeat("{% endfor %}", 4), "too l"},
		{"endless doubling", `{% set s = "0123456789abcdef" %}` + strings.Repeat("{% set s = s + s %}", 60), "too large"},
		{"doubling by join", `{% set s = "xxxxxxxxxxxxxxxx" %}{% for i in range(1000) %}{% set s = replace(s, "x", "xx") %}{% endfor %}`, "too l"},
		{"printing again and again", `{% for i in range(9000) %}{{ context() }}{% endfor %}`, "too l"},
		{"comparing again and again", `{% set r = range(9000) %}{% for i in r %}{{ r == range(9000) }}{% endfor %}`, "too l"},
		{"sorting again and again", `{% for i in range(9000) %}{% set x = sort(range(9000)) %}{% endfor %}`, "too long"},
		{"many variables", manySets(), "too many variables"},
		{"encoding", `{% set s = "0123456789abcdef" %}{% for i in range(60) %}{% set s = base64_encode(s) %}{% endfor %}`, "too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := render(tc.text, Options{}, input(t))
			if !strings.HasPrefix(got, "!") || !strings.Contains(got, tc.want) {
				t.Errorf("got %.200q, want %q", got, tc.want)
			}
		})
	}
}

func manySets() string {
	var b strings.Builder
	for i := range 101 {
		b.WriteString("{% set v" + strings.Repeat("x", i) + " = 1 %}")
	}
	return b.String()
}

func TestUses(t *testing.T) {
	for _, tc := range []struct {
		src  string
		want Uses
	}{
		{"text", Uses{}},
		{"{{ a.b }}{% for x in l %}{{ x }}{{ loop.index }}{% endfor %}", Uses{Variables: []string{"a.b", "l"}}},
		{"{{ body() }}", Uses{Body: true}},
		{"{{ body }}", Uses{Body: true, Variables: []string{"body"}}},
		{`{{ exists("a") }}`, Uses{Context: true}},
		{`{{ header("x-api-key") }}{{ request_header("a") }}`, Uses{Headers: []string{"X-Api-Key"}, RequestHeaders: []string{"A"}}},
		{`{{ header(h) }}`, Uses{AnyHeader: true, Variables: []string{"h"}}},
		{`{{ default(a, b) }}`, Uses{Variables: []string{"a", "b"}}},
	} {
		tmpl, err := Parse(tc.src, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := tmpl.Uses(); strings.Join(got.Variables, " ") != strings.Join(tc.want.Variables, " ") || got.Body != tc.want.Body || got.Context != tc.want.Context ||
			got.AnyHeader != tc.want.AnyHeader || strings.Join(got.Headers, " ") != strings.Join(tc.want.Headers, " ") || strings.Join(got.RequestHeaders, " ") != strings.Join(tc.want.RequestHeaders, " ") {
			t.Errorf("%s: %+v", tc.src, got)
		}
	}
}

// What was read is told, so that a caller can treat the result as a secret.
func TestUsedExtractions(t *testing.T) {
	for _, tc := range []struct {
		src  string
		used bool
	}{
		{"{{ a.b }}", true},
		{"{{ a }}", true},
		{"{{ other }}", false},
		{"{{ context() }}", true},
		{`{{ extraction("a.b") }}`, true},
		{"{% for k, v in a %}{% endfor %}", true},
		{"{% if a.b == \"x\" %}y{% endif %}", true},
		{`{{ exists("a.b") }}`, false},
		{"{{ default(a.b, 1) }}", true},
		{"{% set x = a %}{{ x.b }}", true},
	} {
		x := NewExtraction("a.b")
		x.Value = String("v")
		in := &Input{Extractions: []Extraction{x}, Merged: true, Context: Object()}
		_ = in.Context.Set(x.Path(), x.Value)
		_ = in.Context.Set([]string{"other"}, String("o"))
		if got := render(tc.src, Options{}, in); strings.HasPrefix(got, "!") || in.Extractions[0].Used != tc.used {
			t.Errorf("%s: %q, used %v", tc.src, got, in.Extractions[0].Used)
		}
	}
}

func TestErrorsAreValues(t *testing.T) {
	_, err := Parse("a\nb{{ f( }}", Options{})
	var e *Error
	if !errors.As(err, &e) || e.Line != 2 || e.Column != 8 {
		t.Errorf("got %v", err)
	}
}
