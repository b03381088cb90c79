package match

import (
	"fmt"
	"maps"
	"strings"
)

// HostEntry is a host pattern and what stands behind it.
type HostEntry[T any] struct {
	// Pattern is an exact name, "*.suffix" (one or more labels before the
	// suffix), "prefix.*" (anything after the prefix), or "*" or "" for every
	// host. Case does not count.
	Pattern string
	Value   T
}

// Hosts finds the most specific of many host patterns: exact, then the longest
// "*.suffix", then the longest "prefix.*", then "*", as Envoy does
// (config.route.v3.VirtualHost.domains). The zero Hosts finds nothing.
type Hosts[T any] struct {
	exact    shards[T]
	suffixes map[string]T // ".suffix"
	prefixes map[string]T // "prefix."
	any      *T
}

// NewHosts returns the Hosts of entries. A pattern that occurs twice, or that
// has a wildcard elsewhere than in place of its first or last labels, is an
// error.
func NewHosts[T any](entries []HostEntry[T]) (*Hosts[T], error) {
	h := &Hosts[T]{exact: newShards[T](len(entries)), suffixes: map[string]T{}, prefixes: map[string]T{}}
	for i, e := range entries {
		if err := h.add(strings.ToLower(e.Pattern), e.Value); err != nil {
			return nil, fmt.Errorf("host %d %q: %w", i, e.Pattern, err)
		}
	}
	return h, nil
}

func (h *Hosts[T]) add(pattern string, value T) error {
	if pattern == "" || pattern == "*" {
		if h.any != nil {
			return errTwice
		}
		h.any = &value
		return nil
	}
	names, key := h.exact.of(pattern), pattern
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		names, key = h.suffixes, rest
	} else if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		names, key = h.prefixes, rest
	}
	if err := checkHost(pattern, key); err != nil {
		return err
	}
	if _, twice := names[key]; twice {
		return errTwice
	}
	names[key] = value
	return nil
}

// With returns Hosts with entries in the place of those of the same pattern, and
// without those of the patterns that are gone. h stays as it is; it takes time
// for what changes, and next to none for the others.
func (h *Hosts[T]) With(entries []HostEntry[T], gone []string) (*Hosts[T], error) {
	n := &Hosts[T]{suffixes: copied(h.suffixes), prefixes: copied(h.prefixes), any: h.any}
	touched := make([]string, 0, len(entries)+len(gone))
	for _, e := range entries {
		touched = append(touched, strings.ToLower(e.Pattern))
	}
	for _, pattern := range gone {
		touched = append(touched, strings.ToLower(pattern))
	}
	n.exact = h.exact.copied(touched)
	for _, pattern := range touched {
		n.remove(pattern)
	}
	for i, e := range entries {
		if err := n.add(touched[i], e.Value); err != nil {
			return nil, fmt.Errorf("host %q: %w", e.Pattern, err)
		}
	}
	return n, nil
}

// copied returns a copy to which can be added, of the zero Hosts' too.
func copied[T any](names map[string]T) map[string]T {
	if names == nil {
		return map[string]T{}
	}
	return maps.Clone(names)
}

func (h *Hosts[T]) remove(pattern string) {
	if pattern == "" || pattern == "*" {
		h.any = nil
		return
	}
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		delete(h.suffixes, rest)
	} else if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		delete(h.prefixes, rest)
	} else {
		delete(h.exact.of(pattern), pattern)
	}
}

var errTwice = fmt.Errorf("pattern is used twice")

// checkHost checks what is left of a pattern without its wildcard.
func checkHost(pattern, key string) error {
	switch {
	case strings.Contains(key, "*"):
		return fmt.Errorf("a wildcard stands for the first or the last labels only")
	case key != pattern && (len(key) < 2 || pattern[0] == '*' && key[0] != '.' || pattern[0] != '*' && !strings.HasSuffix(key, ".")):
		return fmt.Errorf("a wildcard stands for whole labels only")
	}
	return nil
}

// Find returns the value of the most specific pattern that host fits. host is
// canonical: in lower case, without port and trailing dot. Find does not
// allocate.
func (h *Hosts[T]) Find(host string) (value T, ok bool) {
	if v, ok := h.exact.of(host)[host]; ok {
		return v, true
	}
	if len(h.suffixes) > 0 {
		if v, ok := h.findSuffix(host); ok {
			return v, true
		}
	}
	if len(h.prefixes) > 0 {
		if v, ok := h.findPrefix(host); ok {
			return v, true
		}
	}
	if h.any != nil {
		return *h.any, true
	}
	return value, false
}

func (h *Hosts[T]) findSuffix(host string) (value T, ok bool) {
	for i := 1; i < len(host); i++ { // from 1: a label stands before the suffix
		if host[i] != '.' {
			continue
		}
		if v, ok := h.suffixes[host[i:]]; ok {
			return v, true
		}
	}
	return value, false
}

func (h *Hosts[T]) findPrefix(host string) (value T, ok bool) {
	for i := len(host) - 2; i > 0; i-- { // a label stands behind the prefix
		if host[i] != '.' {
			continue
		}
		if v, ok := h.prefixes[host[:i+1]]; ok {
			return v, true
		}
	}
	return value, false
}
