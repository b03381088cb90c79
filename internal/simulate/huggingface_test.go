package simulate

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHuggingFaceGenerates(t *testing.T) {
	s, client := start(t, Config{})
	for _, rest := range []string{"", "/z?q=1", "/a/b%2Fc"} {
		r := newRequest(t, "POST", gpt2URL+rest, `{"inputs":"Once upon a time"}`,
			"Authorization: Bearer "+huggingFaceKey, "Content-Type: application/json; charset=utf-8")
		got := do(t, client, r)
		var answer []struct {
			Text string `json:"generated_text"`
		}
		if err := json.Unmarshal(got.body, &answer); err != nil {
			t.Fatalf("%s: %v", got.body, err)
		}
		if got.StatusCode != 200 || len(answer) != 1 || !strings.HasPrefix(answer[0].Text, "Once upon a time ") {
			t.Errorf("%q: %d %s", rest, got.StatusCode, got.body)
		}
		records := s.Requests()
		if last := records[len(records)-1]; last.Target != "/models/openai-community/gpt2"+rest {
			t.Errorf("target %q", last.Target)
		}
	}
}

func TestHuggingFaceRefusals(t *testing.T) {
	const (
		good = "Authorization: Bearer " + huggingFaceKey
		body = `{"inputs":"x"}`
	)
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		want                     string
	}{
		{"none", "POST", "/models/a/b", body, nil, 401, "Invalid username or password."},
		{"wrong", "POST", "/models/a/b", body, []string{"Authorization: Bearer hf_MARKER"}, 401, "Authorization header is correct, but the token seems invalid"},
		{"another vendor's", "POST", "/models/a/b", body, []string{"Authorization: Bearer " + openAIKey}, 401, "Authorization header is correct, but the token seems invalid"},
		{"twice", "POST", "/models/a/b", body, []string{good, "Authorization: Bearer x"}, 400, "Expected one Authorization header"},
		{"one segment", "POST", "/models/gpt2", body, []string{good}, 404, "Model does not exist"},
		{"no name", "POST", "/models/a//", body, []string{good}, 404, "Model does not exist"},
		{"dots", "POST", "/models/..%2fadmin/b", body, []string{good}, 404, "Model does not exist"},
		{"elsewhere", "POST", "/admin", body, []string{good}, 404, "Model does not exist"},
		{"delete", "DELETE", "/models/a/b", body, []string{good}, 405, "Method not allowed"},
		{"form", "POST", "/models/a/b", body, []string{good, "Content-Type: application/x-www-form-urlencoded"}, 415, "Content type not supported. Supported content types are: application/json"},
		{"no type", "POST", "/models/a/b", body, []string{good, "Content-Type: "}, 415, "Content type not supported. Supported content types are: application/json"},
		{"no object", "POST", "/models/a/b", `"x"`, []string{good, "Content-Type: application/json"}, 400, "Error: the body is not a JSON object"},
		{"no inputs", "POST", "/models/a/b", `{"Inputs":"x"}`, []string{good, "Content-Type: application/json"}, 400, "Error in `inputs`: field required"},
		{"inputs not text", "POST", "/models/a/b", `{"inputs":1}`, []string{good, "Content-Type: application/json"}, 400, "Error in `inputs`: string expected"},
	}
	_, client := start(t, Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := do(t, client, newRequest(t, tt.method, "https://api-inference.huggingface.co"+tt.path, tt.body, tt.headers...))
			var body map[string]string
			if err := json.Unmarshal(got.body, &body); err != nil {
				t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
			}
			if got.StatusCode != tt.status {
				t.Errorf("status %d, want %d", got.StatusCode, tt.status)
			}
			if diff := cmp.Diff(map[string]string{"error": tt.want}, body); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHuggingFaceModels(t *testing.T) {
	p := NewHuggingFace(ProviderConfig{Keys: []string{huggingFaceKey}, Models: []string{"a/b"}})
	_, client := start(t, Config{Providers: []Provider{p}})
	for path, want := range map[string]int{"/models/a/b": 200, "/models/a/b/c": 200, "/models/a/c": 404} {
		got := do(t, client, newRequest(t, "HEAD", "https://localhost"+path, "", "Authorization: Bearer "+huggingFaceKey))
		if got.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, got.StatusCode, want)
		}
	}
}

func FuzzParseInputs(f *testing.F) {
	for _, body := range []string{`{"inputs":"x"}`, `{"inputs":null}`, `{"inputs":["x"]}`, `null`, ``} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, problem := parseInputs(body); problem == "" && !json.Valid(body) {
			t.Error("accepted what is no JSON")
		}
	})
}
