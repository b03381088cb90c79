package explain

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// mostPassedOver bounds the routes that are listed beside the one that took
// the request.
const mostPassedOver = 8

// passedOver lists the routes that came before the one that took the request
// and whose path fits; where none took it, the others too.
func (t *Target) passedOver(r *dataplane.Rehearsal) []Candidate {
	if r.Listener == nil || r.Trace.Met == nil {
		return nil
	}
	var near, far []Candidate
	for _, m := range t.matches(r) {
		why := objection(m.match, r.Trace.Met, r.Record.Model)
		if why == "" || r.Route != nil && m.route.Name == r.Route.Name && r.Record.Model == "" && objection(headOnly(m.match), r.Trace.Met, "") == "" {
			break // or refused before its body was read for the model
		}
		c := Candidate{Route: m.route.Name, Match: matchText(m.match), Why: why, Origin: m.route.Origin}
		if takes(ir.Match{Path: m.match.Path}, r.Trace.Met) {
			near = append(near, c)
		} else if r.Route == nil {
			far = append(far, c)
		}
	}
	all := append(near, far...)
	return all[:min(len(all), mostPassedOver)]
}

// headOnly is what a match asks of everything but the model.
func headOnly(m ir.Match) ir.Match {
	m.Model = nil
	return m
}

type ranked struct {
	route *ir.Route
	match ir.Match
}

// matches returns the matches of the request's host, the first to be tried
// first.
func (t *Target) matches(r *dataplane.Rehearsal) []ranked {
	var out []ranked
	for _, l := range t.Config.Listeners {
		if l.Name != r.Listener.Name {
			continue
		}
		var hosts []match.HostEntry[*ir.VirtualHost]
		for _, h := range l.Hosts {
			hosts = append(hosts, match.HostEntry[*ir.VirtualHost]{Pattern: h.Hostname, Value: h})
		}
		table, err := match.NewHosts(hosts)
		if err != nil {
			return nil
		}
		h, ok := table.Find(r.Trace.Met.Host)
		if !ok {
			return nil
		}
		for _, rt := range h.Routes {
			for _, m := range rt.Matches {
				out = append(out, ranked{rt, m})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b ranked) int { return slices.Compare(a.match.Order, b.match.Order) })
	return out
}

// takes reports whether a match takes a request, by the data plane's matcher.
func takes(m ir.Match, req *match.Request) bool {
	router, err := match.NewRouter([]*match.Entry[struct{}]{{Match: m}})
	if err != nil {
		return false
	}
	_, ok := router.Find(req)
	return ok
}

// objection says why a match does not take a request; "": it does.
func objection(m ir.Match, req *match.Request, model string) string {
	if !takes(ir.Match{Path: m.Path}, req) {
		return "the path is another"
	}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, req.Method) {
		return "the method is not " + strings.Join(m.Methods, " or ")
	}
	for _, h := range m.Headers {
		if !takes(ir.Match{Headers: []ir.StringMatch{h}}, req) {
			return "header " + stringText(h) + " does not hold"
		}
	}
	for _, q := range m.Query {
		if !takes(ir.Match{Query: []ir.StringMatch{q}}, req) {
			return "query parameter " + stringText(q) + " does not hold"
		}
	}
	for _, s := range m.Model {
		s.Name = "Model" // compared as a header's value would be
		if !takes(ir.Match{Headers: []ir.StringMatch{s}}, named(model)) {
			if model == "" {
				return "the body names no model"
			}
			return "the body names the model " + model
		}
	}
	return ""
}

// named is a request that holds a model as a header.
func named(model string) *match.Request {
	r := &match.Request{Path: "/", Header: http.Header{}}
	if model != "" {
		r.Header["Model"] = []string{model}
	}
	return r
}

// matchText describes a match in a line.
func matchText(m ir.Match) string {
	parts := []string{pathText(m.Path)}
	if len(m.Methods) > 0 {
		parts = append(parts, strings.Join(m.Methods, "|"))
	}
	for _, h := range m.Headers {
		parts = append(parts, "header "+stringText(h))
	}
	for _, q := range m.Query {
		parts = append(parts, "query "+stringText(q))
	}
	for _, s := range m.Model {
		s.Name = "model"
		parts = append(parts, stringText(s))
	}
	return strings.Join(parts, ", ")
}

func pathText(p ir.PathMatch) string {
	fold := ""
	if p.IgnoreCase {
		fold = " (any case)"
	}
	switch p.Kind {
	case ir.PathAny:
		return "any path"
	case ir.PathExact:
		return "path " + p.Value + fold
	case ir.PathPrefix:
		return "prefix " + p.Value + fold
	case ir.PathSegments:
		return "below " + p.Value + fold
	}
	return string(p.Kind) + " " + p.Value + fold
}

func stringText(s ir.StringMatch) string {
	how, value := "", ""
	switch {
	case s.Exact != nil:
		how, value = "=", *s.Exact
	case s.Prefix != nil:
		how, value = "begins with", *s.Prefix
	case s.Suffix != nil:
		how, value = "ends in", *s.Suffix
	case s.Regex != nil:
		how, value = "~", *s.Regex
	default:
		if s.Invert {
			return s.Name + " absent"
		}
		return s.Name + " present"
	}
	text := fmt.Sprintf("%s %s %q", s.Name, how, value)
	if s.Invert {
		text = "not " + text
	}
	return text
}
