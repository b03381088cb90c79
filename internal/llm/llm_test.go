package llm

import (
	"errors"
	"testing"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
)

func adapter(tb testing.TB, cfg ir.LLM, opts ...*ir.LLMOptions) *Adapter {
	tb.Helper()
	a, err := New(&cfg, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func system(text string) []ir.Message { return []ir.Message{{Role: "SYSTEM", Content: text}} }

func TestAdaptBody(t *testing.T) {
	both := &ir.LLMOptions{
		Prepend: append(system("be <brief>"), ir.Message{Role: "user", Content: "p"}),
		Append:  append(system("be \"kind\""), ir.Message{Role: "Assistant", Content: "q"}),
	}
	stream := &ir.LLMOptions{Stream: true}
	tests := []struct {
		name, schema, model string
		opts                *ir.LLMOptions
		body, want          string // want empty: unchanged
	}{
		{"model replaced", "openai", "m", nil, `{ "model" : "x", "n":12345678901234567890 }`, `{ "model" : "m", "n":12345678901234567890 }`},
		{"model put in", "openai", "m", nil, `{"n":1.0 }`, `{"n":1.0,"model":"m" }`},
		{"model put into nothing", "openai", "m", nil, `{ }`, `{"model":"m" }`},
		{"same model", "openai", "m", nil, `{"model":"\u006d"}`, ``},
		{"model of another type", "openai", "m", nil, `{"model":null}`, `{"model":"m"}`},
		{"no body", "openai", "m", both, ``, ``},
		{"not JSON to anybody", "openai", "m", both, `hello`, ``},

		{"default put in", "openai", "", &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "temperature", Value: "0.50"}}}, `{"a":1}`, `{"a":1,"temperature":0.50}`},
		{"default is there", "openai", "", &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "temperature", Value: "0.5"}}}, `{"temperature":null}`, ``},
		{"default overrides", "openai", "", &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "n", Value: ` {"x":1} `, Override: true}}}, `{"n":2,"a":1}`, `{"n":{"x":1},"a":1}`},
		{"the last override holds", "openai", "", &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "n", Value: "1"}, {Name: "n", Value: "2"}, {Name: "n", Value: "3", Override: true}}}, `{}`, `{"n":3}`},

		{"openai prompts", "openai", "", both, `{"messages":[ {"role":"user","content":"hi"} ]}`,
			`{"messages":[{"role":"system","content":"be <brief>"},{"role":"user","content":"p"}, {"role":"user","content":"hi"} ,{"role":"system","content":"be \"kind\""},{"role":"assistant","content":"q"}]}`},
		{"openai, no messages in it", "openai", "", &ir.LLMOptions{Prepend: system("s")}, `{"messages":[ ]}`, `{"messages":[{"role":"system","content":"s"} ]}`},
		{"openai, no messages", "openai", "", both, `{"input":"x"}`, ``},
		{"anthropic", "anthropic", "", both, `{"messages":[{}],"system":"old"}`,
			`{"messages":[{"role":"user","content":"p"},{},{"role":"assistant","content":"q"}],"system":"old\nbe <brief>\nbe \"kind\""}`},
		{"anthropic, no system", "anthropic", "", &ir.LLMOptions{Prepend: []ir.Message{{Role: "developer", Content: "a\nb"}}}, `{"messages":[{}]}`, `{"messages":[{}],"system":"a\nb"}`},
		{"anthropic, empty system", "anthropic", "", &ir.LLMOptions{Prepend: system("a")}, `{"system":""}`, `{"system":"a"}`},
		{"anthropic, blocks", "anthropic", "", both, `{"system":[{"type":"text","text":"old"}]}`, `{"system":[{"type":"text","text":"old"},{"type":"text","text":"be <brief>\nbe \"kind\""}]}`},
		{"bedrock", "bedrock", "", both, `{"messages":[{}],"system":[{"text":"old"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"p"}]},{},{"role":"assistant","content":[{"text":"q"}]}],"system":[{"text":"be <brief>"},{"text":"old"},{"text":"be \"kind\""}]}`},
		{"bedrock, no system", "bedrock", "", &ir.LLMOptions{Append: system("s")}, `{}`, `{"system":[{"text":"s"}]}`},
		{"gemini", "gemini", "", both, `{"contents":[{}],"systemInstruction":{"parts":[{"text":"old"}],"role":"x"}}`,
			`{"contents":[{"role":"user","parts":[{"text":"p"}]},{},{"role":"model","parts":[{"text":"q"}]}],"systemInstruction":{"parts":[{"text":"be <brief>"},{"text":"old"},{"text":"be \"kind\""}],"role":"x"}}`},
		{"gemini, no system", "gemini", "", &ir.LLMOptions{Prepend: system("s")}, `{"contents":[]}`, `{"contents":[],"system_instruction":{"parts":[{"text":"s"}]}}`},
		{"gemini, system without parts", "gemini", "", &ir.LLMOptions{Prepend: system("s")}, `{"system_instruction":{}}`, `{"system_instruction":{"parts":[{"text":"s"}]}}`},

		{"stream forced", "openai", "", stream, `{"stream":false}`, `{"stream":true,"stream_options":{"include_usage":true}}`},
		{"stream options kept", "openai", "", stream, `{"stream":true,"stream_options":{"x":1,"include_usage":false}}`, `{"stream":true,"stream_options":{"x":1,"include_usage":true}}`},
		{"stream as it should be", "openai", "", stream, `{"stream":true,"stream_options":{"include_usage":true}}`, ``},
		{"anthropic stream", "anthropic", "", stream, `{}`, `{"stream":true}`},
		{"bedrock streams by its path", "bedrock", "", stream, `{}`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var opts []*ir.LLMOptions
			if tt.opts != nil {
				opts = append(opts, tt.opts)
			}
			a := adapter(t, ir.LLM{Schema: tt.schema, Path: "/chat", Model: tt.model}, opts...)
			c, err := a.Adapt(&Request{Path: "/any", Body: []byte(tt.body)})
			if err != nil {
				t.Fatal(err)
			}
			if string(c.Body) != tt.want {
				t.Errorf("\n got %s\nwant %s", c.Body, tt.want)
			}
		})
	}
}

func TestAdaptFillsIn(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name       string
		cfg        ir.LLM
		body, want string // want empty: unchanged
		stream     bool
	}{
		{"stream put in", ir.LLM{Stream: &yes}, `{"n":1}`, `{"n":1,"stream":true}`, true},
		{"stream is there", ir.LLM{Stream: &no}, `{"stream":true}`, ``, true},
		{"stream is null", ir.LLM{Stream: &no}, `{"stream":null}`, `{"stream":false}`, false},
		{"stream left alone", ir.LLM{}, `{}`, ``, false},
		{"model put in", ir.LLM{Model: "m", ModelDefault: true}, `{}`, `{"model":"m"}`, false},
		{"model is there", ir.LLM{Model: "m", ModelDefault: true}, `{"model":"x"}`, ``, false},
		{"model is null", ir.LLM{Model: "m", ModelDefault: true}, `{"model":null}`, `{"model":"m"}`, false},
		{"both", ir.LLM{Model: "m", Stream: &no}, `{"messages":[]}`, `{"messages":[],"model":"m","stream":false}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Schema, tt.cfg.Path, tt.cfg.StreamPath = "openai", "/chat", "/stream"
			a := adapter(t, tt.cfg)
			c, err := a.Adapt(&Request{Path: "/", Body: []byte(tt.body)})
			if err != nil {
				t.Fatal(err)
			}
			if string(c.Body) != tt.want || c.Stream != tt.stream || (c.Path == "/stream") != tt.stream {
				t.Errorf("got %s, stream %v, path %s; want %s, stream %v", c.Body, c.Stream, c.Path, tt.want, tt.stream)
			}
		})
	}
}

func TestAdaptRefuses(t *testing.T) {
	prompts := &ir.LLMOptions{Prepend: system("s")}
	override := &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "max_tokens", Value: "5", Override: true}}}
	tests := []struct {
		name, schema, model string
		opts                *ir.LLMOptions
		body, contentType   string
		want                error
	}{
		{"model twice", "openai", "m", nil, `{"model":"m","model":"x"}`, "", ErrAmbiguous},
		{"model in another case", "openai", "m", nil, `{"Model":"x"}`, "", ErrAmbiguous},
		{"a lenient parser's JSON", "openai", "m", nil, `{"model":"x","t":NaN}`, "", ErrSyntax},
		{"the same with prompts", "openai", "", prompts, `{"messages":[],"t":NaN}`, "", ErrSyntax},
		{"the same with an override", "openai", "", override, `{"max_tokens":9,}`, "", ErrSyntax},
		{"another charset", "openai", "m", nil, `{"model":"x"}`, "application/json; charset=utf-16", ErrSyntax},
		{"BOM", "openai", "m", nil, "\xef\xbb\xbf{}", "", ErrSyntax},
		{"messages twice", "openai", "", prompts, `{"messages":[],"messages":[]}`, "", ErrAmbiguous},
		{"override twice", "openai", "", override, `{"max_tokens":1,"MAX_TOKENS":9}`, "", ErrAmbiguous},
		{"messages are no list", "openai", "", prompts, `{"messages":{}}`, "", ErrMember},
		{"system is a number", "anthropic", "", prompts, `{"system":1}`, "", ErrMember},
		{"gemini's system in both spellings", "gemini", "", prompts, `{"systemInstruction":{},"system_instruction":{}}`, "", ErrAmbiguous},
		{"parts twice", "gemini", "", prompts, `{"systemInstruction":{"parts":[],"Parts":[]}}`, "", ErrAmbiguous},
		{"stream options are no object", "openai", "", &ir.LLMOptions{Stream: true}, `{"stream_options":1}`, "", ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var opts []*ir.LLMOptions
			if tt.opts != nil {
				opts = append(opts, tt.opts)
			}
			a := adapter(t, ir.LLM{Schema: tt.schema, Path: "/chat", Model: tt.model}, opts...)
			if c, err := a.Adapt(&Request{Path: "/any", Body: []byte(tt.body), ContentType: tt.contentType}); !errors.Is(err, tt.want) {
				t.Errorf("got %v, body %s; want %v", err, c.Body, tt.want)
			}
		})
	}
}

func TestUnreadableBodyWithoutPolicy(t *testing.T) {
	a := adapter(t, ir.LLM{Schema: "openai", Path: "/chat"}, &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "n", Value: "1"}}})
	c, err := a.Adapt(&Request{Path: "/x", Body: []byte(`{"a":NaN}`)})
	if err != nil || c.Body != nil || c.Path != "/chat" {
		t.Errorf("got %+v, %v; want the body untouched", c, err)
	}
}

func TestAdaptPath(t *testing.T) {
	openai := ir.LLM{Schema: "openai", Path: "/v1/chat/completions", PlatformPaths: true, BasePath: "/openai/", Model: "m"}
	azure := ir.LLM{Schema: "openai", Path: "/openai/deployments/d/chat/completions?api-version=1", Model: "d", ModelInPath: true}
	gemini := ir.LLM{Schema: "gemini", Path: "/v1/models/m:generateContent", StreamPath: "/v1/models/m:streamGenerateContent?alt=sse", Model: "m", ModelInPath: true}
	byBody := ir.LLM{Schema: "openai", Path: "/a", StreamPath: "/b"}
	tests := []struct {
		name              string
		cfg               ir.LLM
		force             bool
		path, query, body string
		wantPath, wantQ   string
		model             string
		stream, needs     bool
	}{
		{"chat", openai, false, "/anything", "a=1", `{"model":"x"}`, "/v1/chat/completions", "", "m", false, true},
		{"platform", openai, false, "/team/v1/files/f1", "a=1", `{"model":"x"}`, "/openai/v1/files/f1", "a=1", "", false, false},
		{"a version alone", openai, false, "/v1/chat/completions", "", `{"stream":true}`, "/v1/chat/completions", "", "m", true, true},
		{"path with a query", azure, false, "/x", "a=1", `{"model":"x"}`, "/openai/deployments/d/chat/completions", "api-version=1", "d", false, false},
		{"stream by option", gemini, true, "/x", "", `{}`, "/v1/models/m:streamGenerateContent", "alt=sse", "m", true, false},
		{"no stream", gemini, false, "/x", "", `{}`, "/v1/models/m:generateContent", "", "m", false, false},
		{"stream by body", byBody, false, "/x", "", `{"stream":true,"model":"y"}`, "/b", "", "y", true, true},
		{"no stream by body", byBody, false, "/x", "", `{"model":"y"}`, "/a", "", "y", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := adapter(t, tt.cfg, &ir.LLMOptions{Stream: tt.force})
			if got := a.NeedsBody(tt.path); got != tt.needs {
				t.Errorf("NeedsBody is %v", got)
			}
			r := &Request{Path: tt.path, RawQuery: tt.query}
			if tt.needs {
				r.Body = []byte(tt.body)
			}
			c, err := a.Adapt(r)
			if err != nil {
				t.Fatal(err)
			}
			if c.Path != tt.wantPath || c.RawQuery != tt.wantQ || c.Model != tt.model || c.Stream != tt.stream {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestPlatformPath(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/models":               "/v1/models",
		"/x/y/v1beta/files/f/g":    "/v1beta/files/f/g",
		"/v1/files/v2/models":      "/v2/models",
		"/v1/files/v2/other":       "/v1/files/v2/other",
		"/v10/audio/speech":        "/v10/audio/speech",
		"/v1/chat/completions":     "",
		"/v1/modelsx":              "",
		"/xv1/models":              "",
		"/v/models":                "",
		"/v1-beta/models":          "",
		"/v1B/models":              "",
		"/v1":                      "",
		"/models":                  "",
		"":                         "",
		"/":                        "",
		"/v1/models/":              "/v1/models/",
		"/v1/responses/r1/content": "/v1/responses/r1/content",
	} {
		if got, _ := platformPath(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  ir.LLM
		opts *ir.LLMOptions
	}{
		"schema":        {ir.LLM{Schema: "palm"}, nil},
		"default":       {ir.LLM{Schema: "openai"}, &ir.LLMOptions{Defaults: []ir.JSONMember{{Name: "a", Value: "{"}}}},
		"no name":       {ir.LLM{Schema: "openai"}, &ir.LLMOptions{Defaults: []ir.JSONMember{{Value: "1"}}}},
		"secret header": {ir.LLM{Schema: "openai", Headers: []ir.HeaderValue{{Name: "x", Secret: secret.Ref{Name: "s"}}}}, nil},
	} {
		opts := []*ir.LLMOptions{}
		if tt.opts != nil {
			opts = append(opts, tt.opts)
		}
		if _, err := New(&tt.cfg, opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNothingToDo(t *testing.T) {
	a := adapter(t, ir.LLM{Schema: "openai", Path: "/chat", Headers: []ir.HeaderValue{{Name: "x-version", Value: "1"}}})
	if a.NeedsBody("/x") {
		t.Error("the body is needed for nothing")
	}
	c, err := a.Adapt(&Request{Path: "/x"})
	if err != nil || c.Path != "/chat" || len(c.Header) != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
}
