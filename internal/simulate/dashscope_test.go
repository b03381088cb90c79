package simulate

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDashScope(t *testing.T) {
	d := NewDashScope(ProviderConfig{Keys: []string{"k"}})
	for _, tc := range []struct {
		name, path, model, key string
		status                 int
		body                   string
	}{
		{"chat", "/compatible-mode/v1/chat/completions", "qwen1.5-72b-chat", "k", 200, `"model":"qwen1.5-72b-chat"`},
		{"another's path", "/v1/chat/completions", "qwen1.5-72b-chat", "k", 404, "error"},
		{"unknown path", "/compatible-mode/v2/chat", "qwen1.5-72b-chat", "k", 404, "error"},
		{"wrong key", "/compatible-mode/v1/chat/completions", "qwen1.5-72b-chat", "x", 401, "error"},
		{"another's model", "/compatible-mode/v1/chat/completions", "gpt-4", "k", 404, "gpt-4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := `{"model":"` + tc.model + `","messages":[{"role":"user","content":"hi"}]}`
			r := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+tc.key)
			r.Header.Set("Content-Type", "application/json")
			a := d.Answer(&Request{Request: r, Payload: []byte(body)})
			if status := max(a.Status, 200); status != tc.status || !strings.Contains(string(a.Body), tc.body) {
				t.Errorf("got %d %s, want %d with %s", status, a.Body, tc.status, tc.body)
			}
		})
	}
}
