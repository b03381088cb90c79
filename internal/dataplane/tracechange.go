package dataplane

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// state is what a step may change of a request.
type state struct {
	header       http.Header
	secrets      []string // names of injected and secret headers
	from         []string // and what they are made of
	consumed     []string
	path, query  string
	method, host string
}

func stateOf(e *Exchange) state {
	s := state{
		header: e.Header.Clone(), path: e.OutPath(), query: e.OutQuery(), method: e.Method,
		consumed: slices.Clone(e.Record.consumedHeaders), host: e.Outbound.Host,
	}
	if e.Outbound.AutoHost {
		s.host = "(the endpoint's name)"
	}
	for _, c := range e.Outbound.carried {
		s.secrets, s.from = append(s.secrets, c.name), append(s.from, e.trace.Maker(c.name))
	}
	for _, c := range e.Outbound.Secrets {
		s.secrets, s.from = append(s.secrets, http.CanonicalHeaderKey(c.Name)), append(s.from, c.Source())
	}
	return s
}

// changes tells how e differs from what it was.
func (s *state) changes(e *Exchange) []TracedChange {
	var out []TracedChange
	now := stateOf(e)
	add := func(what, before, after string) {
		if before != after {
			out = append(out, TracedChange{What: what, Value: after})
		}
	}
	add("method", s.method, now.method)
	add("path", s.path, now.path)
	if s.query != now.query {
		out = append(out, TracedChange{What: "query", Value: Redacted})
	}
	add("host", s.host, now.host)
	for _, name := range s.names(&now) {
		before, after := s.header[name], now.header[name]
		if slices.Equal(before, after) {
			continue
		}
		value := strings.Join(after, ", ")
		if IsCredentialHeader(name) && value != "" {
			value = Redacted
		}
		out = append(out, TracedChange{What: "header " + name, Value: value})
	}
	for i, name := range now.secrets {
		if slices.Contains(s.secrets, name) {
			continue
		}
		value := Redacted
		if now.from[i] != "" {
			value = "[" + now.from[i] + "]"
		}
		out = append(out, TracedChange{What: "credential " + name, Value: value})
	}
	for _, name := range s.secrets {
		if !slices.Contains(now.secrets, name) && !slices.Contains(now.consumed, name) {
			out = append(out, TracedChange{What: "credential " + name})
		}
	}
	for _, name := range now.consumed {
		if !slices.Contains(s.consumed, name) {
			out = append(out, TracedChange{What: "the caller's " + name + " from what the upstream gets"})
		}
	}
	return out
}

// names returns the headers of either state, sorted.
func (s *state) names(now *state) []string {
	all := maps.Clone(now.header)
	if all == nil {
		all = http.Header{}
	}
	maps.Copy(all, s.header)
	return slices.Sorted(maps.Keys(all))
}
