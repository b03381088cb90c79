package transform

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// bearer is the transformation of a key's secret into a bearer token.
func bearer() ir.Template {
	return ir.Template{
		Extractors: []ir.Extractor{{Name: "huggingface-api-key", Header: "x-api-key", Regex: ".*"}},
		Set:        header("Authorization", "Bearer {{ huggingface-api-key }}"),
	}
}

func request(cfg ir.Template) *ir.Transform {
	return &ir.Transform{Rules: []ir.TransformRule{{Request: &cfg}}}
}

var byKey = []string{"X-Api-Key", "X-User-Id"}

// Rows 7 and 8: what is made of a secret goes to the upstream alone, in place
// of every other credential, and nowhere else.
func TestRow08SecretBecomesBearer(t *testing.T) {
	g := newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, request(bearer())))
	s := g.got("POST /", `{"inputs":"hi"}`, "api-key: mysecretkey", "x-api-key: client", "Authorization: Bearer client", "X-Goog-Api-Key: client", "X-Other: stays")
	if got := s.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+marker {
		t.Errorf("authorization %q", got)
	}
	for _, name := range []string{"Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
		if v, ok := s.Header[name]; ok {
			t.Errorf("%s: %q reached the upstream", name, v)
		}
	}
	if s.Header.Get("X-Other") != "stays" || s.Body != `{"inputs":"hi"}` {
		t.Errorf("got %+v", s)
	}
}

// A credential that authentication was to bring and did not is never made up,
// whatever the client sent.
func TestMissingCredentialIsClosed(t *testing.T) {
	for name, cfg := range map[string]ir.Template{
		"an extractor":                      bearer(),
		"header()":                          {Set: header("authorization", `Bearer {{ header("x-api-key") }}`)},
		"request_header()":                  {Set: header("authorization", `Bearer {{ request_header("X-API-KEY") }}`)},
		"extraction()":                      {Advanced: true, Extractors: bearer().Extractors, Set: header("x-goog-api-key", `k{{ extraction("huggingface-api-key") }}`)},
		"appended":                          {Extractors: bearer().Extractors, Append: header("api-key", "k{{ huggingface-api-key }}")},
		"nothing beside it":                 {Extractors: bearer().Extractors, Set: header("authorization", "{{ huggingface-api-key }}")},
		"an expression that does not match": {Extractors: []ir.Extractor{{Name: "k", Header: "x-api-key", Regex: "sk-.*"}}, Set: header("authorization", "Bearer {{ k }}")},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, request(cfg)))
			res, body := g.send("POST /", "{}", "api-key: empty", "x-api-key: client", "Authorization: Bearer client")
			if res.StatusCode != 403 || strings.Contains(body, "client") {
				t.Errorf("got %d %q", res.StatusCode, body)
			}
			r := g.last()
			if r.Verdict != dataplane.Denied || r.Policy != "mesh/transform" || !strings.Contains(r.Cause, "made of X-Api-Key, which authentication did not set") {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// A header that comes out empty is removed, and that is no credential.
func TestEmptyCredentialIsRemoved(t *testing.T) {
	cfg := bearer()
	cfg.Set[0].Text = `{% if huggingface-api-key != "" %}Bearer {{ huggingface-api-key }}{% endif %}`
	g := newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, request(cfg)))
	if s := g.got("POST /", "{}", "api-key: empty", "Authorization: Bearer client"); s.Header["Authorization"] != nil {
		t.Errorf("got %q", s.Header["Authorization"])
	}
}

// However a secret gets into a text, the text is a secret, and its source
// goes no further.
func TestSecretsAreFollowed(t *testing.T) {
	take := []ir.Extractor{{Name: "k", Header: "x-api-key", Regex: ".*"}, {Name: "a.k", Header: "x-api-key", Regex: ".*"}}
	for name, text := range map[string]string{
		"extraction":        "{{ k }}",
		"header":            `{{ header("x-api-key") }}`,
		"encoded":           "{{ base64_decode(base64_encode(k)) }}",
		"set":               "{% set x = k %}{{ x }}",
		"a loop":            "{% for n, v in a %}{{ v }}{% endfor %}",
		"the context":       "{{ at(at(context(), \"a\"), \"k\") }}",
		"metadata":          `{{ dynamic_metadata("m") }}`,
		"an earlier header": `{{ header("x-first") }}`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ir.Template{Extractors: take, Set: []ir.HeaderTemplate{{Name: "x-token", Text: text}}}
			switch name {
			case "metadata":
				cfg.Metadata = []ir.MetadataTemplate{{Key: "m", Text: "{{ k }}"}}
			case "an earlier header":
				cfg.Set = append([]ir.HeaderTemplate{{Name: "x-first", Text: "{{ k }}"}}, cfg.Set...)
				cfg.Remove = []string{"x-first"}
			}
			var seen string
			look := dataplane.StageFunc(func(_ context.Context, e *dataplane.Exchange) *dataplane.Answer {
				seen = e.Header.Get("X-Token")
				return nil
			})
			g := newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, request(cfg)), look)
			s := g.got("POST /", "", "api-key: mysecretkey", "Authorization: Bearer client")
			if s.Header.Get("X-Token") != marker || seen != "" {
				t.Errorf("got %q, another stage saw %q", s.Header.Get("X-Token"), seen)
			}
			if s.Header["X-Api-Key"] != nil || s.Header["Authorization"] != nil {
				t.Errorf("got %v", s.Header)
			}
		})
	}
}

// A credential that the caller brings is treated alike.
func TestCallersCredential(t *testing.T) {
	cfg := ir.Template{Extractors: []ir.Extractor{{Name: "t", Header: "authorization", Regex: "Bearer (.*)", Group: 1}}, Set: header("x-api-key", "{{ t }}")}
	g := transforming(t, cfg)
	s := g.got("POST /", "", "Authorization: Bearer "+marker)
	if s.Header.Get("X-Api-Key") != marker || s.Header["Authorization"] != nil {
		t.Errorf("got %v", s.Header)
	}
	same := transforming(t, ir.Template{Set: header("authorization", `{{ replace(header("authorization"), "Bearer", "Token") }}`)})
	if got := same.got("GET /", "", "Authorization: Bearer "+marker).Header["Authorization"]; len(got) != 1 || got[0] != "Token "+marker {
		t.Errorf("got %q", got)
	}
}

func TestSecretInTheBody(t *testing.T) {
	cfg := bearer()
	cfg.Set, cfg.MergeExtractors = nil, true
	g := newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, request(cfg)))
	if s := g.got("POST /", "{}", "api-key: mysecretkey"); s.Header["X-Api-Key"] != nil || s.Body != `{"huggingface-api-key":"`+marker+`"}` {
		t.Errorf("got %+v", s)
	}
}

// Neither the path nor the client's answer can hold a secret.
func TestRow08SecretsStayIn(t *testing.T) {
	path := bearer()
	path.Set = header(":path", "/{{ huggingface-api-key }}")
	g := newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, request(path)))
	if res, body := g.send("POST /", "{}", "api-key: mysecretkey"); res.StatusCode != 400 || strings.Contains(body, marker) {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	cfg := request(bearer())
	cfg.Rules[0].Request.Metadata = []ir.MetadataTemplate{{Key: "m", Text: "{{ huggingface-api-key }}"}}
	cfg.Rules[0].Response = &ir.Template{Body: text(`{% set n = "x-api" %}{{ request_header(n + "-key") }}{{ request_header("autho" + "rization") }}{{ dynamic_metadata("m") }}{{ request_header("x-other") }}`)}
	g = newGateway(t).one(byKey, dataplane.StageFunc(keyed), stage(t, cfg))
	if res, body := g.send("POST /", "{}", "api-key: mysecretkey", "X-Other: o"); body != "o" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}
