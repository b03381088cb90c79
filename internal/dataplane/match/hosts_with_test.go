package match

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// entriesOf are patterns, each with the value behind "=", or its own.
func entriesOf(patterns ...string) []HostEntry[string] {
	var out []HostEntry[string]
	for _, p := range patterns {
		pattern, value, ok := strings.Cut(p, "=")
		if !ok {
			value = pattern
		}
		out = append(out, HostEntry[string]{pattern, value})
	}
	return out
}

func hostsOf(t *testing.T, entries []HostEntry[string]) *Hosts[string] {
	t.Helper()
	h, err := NewHosts(entries)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// valueFor is what is found for a host; nothing: "-".
func valueFor(h *Hosts[string], host string) string {
	if v, ok := h.Find(host); ok {
		return v
	}
	return "-"
}

func TestHostsWith(t *testing.T) {
	before := entriesOf("a.example.com", "*.example.com", "llm.*", "*")
	for _, c := range []struct {
		name  string
		put   []HostEntry[string]
		gone  []string
		found map[string]string
	}{
		{"nothing", nil, nil, map[string]string{"a.example.com": "a.example.com", "x.example.com": "*.example.com", "llm.org": "llm.*", "other": "*"}},
		{"one more of each", entriesOf("b.example.com", "*.b.example.com", "llm.eu.*"), nil, map[string]string{
			"b.example.com": "b.example.com", "x.b.example.com": "*.b.example.com", "llm.eu.org": "llm.eu.*", "a.example.com": "a.example.com",
		}},
		{"others in their places, whatever their case", entriesOf("A.example.com=1", "*.EXAMPLE.com=2", "LLM.*=3", "=4"), nil, map[string]string{
			"a.example.com": "1", "x.example.com": "2", "llm.org": "3", "other": "4",
		}},
		{"each is gone", nil, []string{"A.Example.com"}, map[string]string{"a.example.com": "*.example.com", "llm.org": "llm.*"}},
		{"a suffix is gone", nil, []string{"*.example.com"}, map[string]string{"a.example.com": "a.example.com", "x.example.com": "*"}},
		{"a prefix is gone", nil, []string{"llm.*"}, map[string]string{"llm.org": "*"}},
		{"every host is gone, by its other name", nil, []string{""}, map[string]string{"other": "-", "x.example.com": "*.example.com"}},
		{"all are gone", nil, []string{"a.example.com", "*.example.com", "llm.*", "*"}, map[string]string{"a.example.com": "-", "llm.org": "-", "other": "-"}},
		{"one that was not there is gone", nil, []string{"none", "*.none", "none.*"}, map[string]string{"none": "*", "a.example.com": "a.example.com"}},
		{"gone and put in one step", entriesOf("a.example.com=new"), []string{"a.example.com"}, map[string]string{"a.example.com": "new"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hostsOf(t, before)
			n, err := h.With(c.put, c.gone)
			if err != nil {
				t.Fatal(err)
			}
			for host, want := range c.found {
				if got := valueFor(n, host); got != want {
					t.Errorf("%q: got %q, want %q", host, got, want)
				}
			}
			for host, want := range map[string]string{"a.example.com": "a.example.com", "x.example.com": "*.example.com", "llm.org": "llm.*", "other": "*"} {
				if got := valueFor(h, host); got != want {
					t.Errorf("before the change, %q: got %q, want %q", host, got, want)
				}
			}
		})
	}
}

func TestHostsWithOfNone(t *testing.T) {
	for name, h := range map[string]*Hosts[string]{"zero": {}, "new": hostsOf(t, nil)} {
		n, err := h.With(entriesOf("a", "*.a", "a.*", "*"), []string{"none"})
		if err != nil {
			t.Fatal(name, err)
		}
		for host, want := range map[string]string{"a": "a", "x.a": "*.a", "a.x": "a.*", "x": "*"} {
			if got := valueFor(n, host); got != want {
				t.Errorf("%s: %q: got %q, want %q", name, host, got, want)
			}
			if got := valueFor(h, host); got != "-" {
				t.Errorf("%s: it was changed: %q is %q", name, host, got)
			}
		}
	}
}

func TestHostsWithRefuses(t *testing.T) {
	h := hostsOf(t, entriesOf("a", "*.a"))
	for _, patterns := range [][]string{{"b", "B"}, {"a", "a"}, {"*", ""}, {"*.b", "*.b"}, {"a*b"}, {"*b"}, {"**"}, {"*."}} {
		if n, err := h.With(entriesOf(patterns...), nil); err == nil || n != nil {
			t.Errorf("%q: %v, no error", patterns, n)
		}
	}
	if got := valueFor(h, "a") + valueFor(h, "x.a") + valueFor(h, "b"); got != "a*.a-" {
		t.Errorf("refused, and changed: %s", got)
	}
}

// TestHostsWithIsNewHosts changes hosts at random, beyond one shard: after each
// step they find what new Hosts of the same entries find, and those of the step
// before find what they found.
func TestHostsWithIsNewHosts(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	var hosts []string
	for i := range 300 {
		hosts = append(hosts, fmt.Sprintf("h%d.x%d.example", i, i%7))
	}
	pattern := func() string {
		host := hosts[random.IntN(len(hosts))]
		first, rest, _ := strings.Cut(host, ".")
		return []string{host, host, host, "*." + rest, first + ".*", "*"}[random.IntN(6)]
	}
	entries := map[string]string{}
	for range 200 {
		p := pattern()
		entries[p] = p
	}
	listed := func() []HostEntry[string] {
		var out []HostEntry[string]
		for _, p := range slices.Sorted(maps.Keys(entries)) {
			out = append(out, HostEntry[string]{p, entries[p]})
		}
		return out
	}
	h := hostsOf(t, listed())
	for step := range 200 {
		was := make([]string, len(hosts))
		for i, host := range hosts {
			was[i] = valueFor(h, host)
		}
		put, gone := map[string]string{}, []string{}
		for range random.IntN(6) {
			put[pattern()] = fmt.Sprint("step ", step)
		}
		for range random.IntN(6) {
			if p := pattern(); put[p] == "" {
				gone = append(gone, p)
				delete(entries, p)
			}
		}
		var changed []HostEntry[string]
		for p, v := range put {
			changed, entries[p] = append(changed, HostEntry[string]{p, v}), v
		}
		n, err := h.With(changed, gone)
		if err != nil {
			t.Fatal(step, err)
		}
		want := hostsOf(t, listed())
		for i, host := range hosts {
			if got := valueFor(n, host); got != valueFor(want, host) {
				t.Fatalf("step %d: %q: got %q, want %q", step, host, got, valueFor(want, host))
			}
			if got := valueFor(h, host); got != was[i] {
				t.Fatalf("step %d changed what was before it: %q: %q, before %q", step, host, got, was[i])
			}
		}
		h = n
	}
}
