package match

import (
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	patterns := []string{"*", "a.example.com", "*.example.com", "*.b.example.com", "llm.*", "llm.eu.*", "*.Upper.org", "localhost"}
	var entries []HostEntry[string]
	for _, p := range patterns {
		entries = append(entries, HostEntry[string]{Pattern: p, Value: p})
	}
	h, err := NewHosts(entries)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a.example.com":     "a.example.com",
		"x.example.com":     "*.example.com",
		"x.y.example.com":   "*.example.com",
		"x.b.example.com":   "*.b.example.com",
		"x.y.b.example.com": "*.b.example.com",
		"b.example.com":     "*.example.com",
		"example.com":       "*",
		".example.com":      "*",
		"llm.org":           "llm.*",
		"llm.us.org":        "llm.*",
		"llm.eu.org":        "llm.eu.*",
		"llm.":              "*",
		"llm":               "*",
		"llm.example.com":   "*.example.com",
		"x.upper.org":       "*.Upper.org",
		"localhost":         "localhost",
		"":                  "*",
	} {
		if got, ok := h.Find(host); !ok || got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

func TestHostsWithoutCatchAll(t *testing.T) {
	h, err := NewHosts([]HostEntry[int]{{Pattern: "a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Find("b.example"); ok {
		t.Error("an unknown host is found")
	}
}

func TestHostsRefuses(t *testing.T) {
	for _, patterns := range [][]string{
		{"a", "A"}, {"*", ""}, {"*.a", "*.a"}, {"a.*", "a.*"},
		{"a*b"}, {"*a"}, {"*-x.example.com"}, {"a*"}, {"*.*"}, {"*."}, {".*"}, {"**"},
	} {
		var entries []HostEntry[int]
		for _, p := range patterns {
			entries = append(entries, HostEntry[int]{Pattern: p})
		}
		if _, err := NewHosts(entries); err == nil {
			t.Errorf("%q: no error", patterns)
		}
	}
}

func FuzzHosts(f *testing.F) {
	f.Add("*.example.com", "llm.*", "x.example.com")
	f.Fuzz(func(t *testing.T, a, b, host string) {
		h, err := NewHosts([]HostEntry[string]{{a, a}, {b, b}})
		if err != nil {
			return
		}
		got, ok := h.Find(host)
		if !ok {
			return
		}
		p := strings.ToLower(got)
		switch {
		case p == "" || p == "*" || p == host:
		case p[0] == '*' && strings.HasSuffix(host, p[1:]) && len(host) >= len(p):
		case strings.HasSuffix(p, ".*") && strings.HasPrefix(host, p[:len(p)-1]) && len(host) >= len(p):
		default:
			t.Errorf("%q is found for %q", got, host)
		}
	})
}
