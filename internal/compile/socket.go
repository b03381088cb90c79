package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/dataplane/filter"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

type socketKey struct {
	address string
	port    int
}

// sockets groups the listeners by address and port and compiles each group.
func (r *run) sockets() {
	groups := map[socketKey][]*ir.Listener{}
	for _, l := range r.config.Listeners {
		addresses := l.Addresses
		if len(addresses) == 0 {
			addresses = []string{""}
		}
		for _, a := range addresses {
			k := socketKey{a, l.Port}
			groups[k] = append(groups[k], l)
		}
	}
	compiled := map[*ir.Listener]*dataplane.Listener{}
	for k, list := range groups {
		s := &dataplane.Socket{Address: k.address, Port: k.port}
		var hosts []match.HostEntry[*dataplane.Listener]
		for _, l := range list {
			if compiled[l] == nil {
				compiled[l] = r.listener(l)
			}
			hosts = append(hosts, match.HostEntry[*dataplane.Listener]{Pattern: l.Hostname, Value: compiled[l]})
			s.Listeners = append(s.Listeners, compiled[l])
			s.Limits = widest(s.Limits, compiled[l].Limits)
		}
		var err error
		if s.Hosts, err = match.NewHosts(hosts); err != nil {
			r.problem(list[0].Origin, "correct the hostname", "%v; port %d is not served", err, k.port)
			continue
		}
		if list[0].TLS != nil {
			s.TLS = r.serverTLS(list, s.Hosts, compiled)
		}
		r.out.Snapshot.Sockets = append(r.out.Snapshot.Sockets, s)
	}
	slices.SortFunc(r.out.Snapshot.Sockets, func(a, b *dataplane.Socket) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
}

// listener compiles one listener with its virtual hosts.
func (r *run) listener(l *ir.Listener) *dataplane.Listener {
	out := &dataplane.Listener{
		Name: l.Name, Gateway: l.Gateway, Port: l.Port, Origin: l.Origin,
		Limits: limits(l.HTTP), Paths: l.HTTP.PathNormalization,
		TrustedHops: l.HTTP.TrustedHops, Via: l.HTTP.Via,
		ServerName:    cmp.Or(l.HTTP.ServerName, "envoy"),
		ForwardedPort: l.HTTP.AppendForwardedPort,
		KeepRequestID: l.HTTP.KeepRequestID,
		Closed:        l.Closed,
	}
	if l.Redirect != nil {
		out.Stages = append(out.Stages, r.redirectAll(l))
	}
	for i, s := range l.HTTP.Steps {
		stage, err := r.stage(s, nil)
		if err != nil {
			stage = r.closedFor(s.Origin, err)
		}
		out.Stages = append(out.Stages, r.traced(stage, &l.HTTP.Steps[i]))
	}
	if l.Otherwise != nil {
		out.Otherwise = r.route(l.Otherwise).route
	}
	var hosts []match.HostEntry[*dataplane.VirtualHost]
	for _, h := range l.Hosts {
		hosts = append(hosts, match.HostEntry[*dataplane.VirtualHost]{Pattern: h.Hostname, Value: r.virtualHost(l, h)})
	}
	var err error
	if out.Hosts, err = match.NewHosts(hosts); err != nil {
		r.problem(l.Origin, "correct the hostname", "%v; the listener is closed", err)
		out.Closed = &ir.Closed{Reason: err.Error(), Origin: l.Origin}
	}
	return out
}

// redirectAll answers every request of a listener with a redirect.
func (r *run) redirectAll(l *ir.Listener) dataplane.Stage {
	stage, err := filter.NewRedirect(l.Redirect)
	if err != nil {
		return r.closedFor(cmp.Or(l.Redirect.Origin, l.Origin), err)
	}
	return stage
}

// virtualHost compiles the routes of a host into a router. A match that
// cannot be compiled is replaced by one that takes at least as much, and
// closed.
func (r *run) virtualHost(l *ir.Listener, h *ir.VirtualHost) *dataplane.VirtualHost {
	routes := make([]*built, len(h.Routes))
	for i, rt := range h.Routes {
		routes[i] = r.route(rt)
	}
	key := hostKey{l.Name, h.Hostname}
	if old := r.Compiler.hosts[key]; old != nil && slices.Equal(old.routes, routes) {
		r.hosts[key] = old
		return old.host
	}
	entries, err := entriesOf(h.Routes, routes)
	if err != nil {
		return r.partlyClosed(h, entries)
	}
	router, err := match.NewRouter(entries)
	if err != nil {
		return r.partlyClosed(h, entries)
	}
	vh := &dataplane.VirtualHost{Router: router}
	r.hosts[key] = &builtHost{routes, vh}
	return vh
}

// hostKey finds a host compiled before.
type hostKey struct{ listener, hostname string }

// builtHost is a compiled host of which every match could be. Snapshots share
// it as long as its routes are the same.
type builtHost struct {
	routes []*built
	host   *dataplane.VirtualHost
}

// entriesOf returns the matches of routes, and what they were compiled to. An
// error says that one of them has a path that no request can have.
func entriesOf(routes []*ir.Route, compiled []*built) ([]match.Entry[*dataplane.Route], error) {
	var out []match.Entry[*dataplane.Route]
	var fault error
	for i, rt := range routes {
		for _, m := range rt.Matches {
			path, err := normalized(m.Path)
			m.Path, fault = path, cmp.Or(fault, err)
			out = append(out, match.Entry[*dataplane.Route]{Match: m, Value: compiled[i].route})
		}
	}
	return out, fault
}

// partlyClosed compiles a host that has a match which cannot be.
func (r *run) partlyClosed(h *ir.VirtualHost, entries []match.Entry[*dataplane.Route]) *dataplane.VirtualHost {
	var owners []*ir.Route
	for _, rt := range h.Routes {
		for range rt.Matches {
			owners = append(owners, rt)
		}
	}
	for i, e := range entries {
		_, err := normalized(e.Match.Path)
		if err == nil {
			_, err = match.NewRouter(entries[i : i+1])
		}
		if err != nil {
			entries[i] = r.closedMatch(owners[i], e.Match, err)
		}
	}
	router, err := match.NewRouter(entries)
	if err != nil { // cannot be: every entry was tried alone
		r.problem(h.Origin, "correct its matches", "host %q: %v; it is closed", h.Hostname, err)
		c := dataplane.Closed(&ir.Closed{Reason: err.Error(), Origin: h.Origin})
		router, _ = match.NewRouter([]match.Entry[*dataplane.Route]{{Value: &dataplane.Route{Name: h.Hostname, Stages: []dataplane.Stage{c}}}})
	}
	return &dataplane.VirtualHost{Router: router}
}

// normalized returns p as requests' paths are compared with it. One that no
// request can have is an error: were it let be, a wider route with fewer
// protections would take what it was meant for.
func normalized(p ir.PathMatch) (ir.PathMatch, error) {
	tail := ""
	switch p.Kind {
	case ir.PathExact, ir.PathSegments:
	case ir.PathPrefix: // it may end inside a segment: /.well
		tail = "x"
	default:
		return p, nil
	}
	value, err := dataplane.NormalizePath(p.Value + tail)
	if err != nil {
		return p, fmt.Errorf("path %q: %w", p.Value, err)
	}
	p.Value = strings.TrimSuffix(value, tail)
	return p, nil
}

// closedMatch stands in for a match that cannot be compiled: whatever begins
// as it could have begun is answered with 500.
func (r *run) closedMatch(rt *ir.Route, m ir.Match, err error) match.Entry[*dataplane.Route] {
	if rt.Action.Closed == nil { // else it is known already
		r.problem(rt.Origin, "correct the match", "%v; what it could match is closed", err)
	}
	wide := ir.Match{Order: m.Order, Methods: m.Methods}
	if p := literalPrefix(m.Path); p != "" {
		wide.Path = ir.PathMatch{Kind: ir.PathPrefix, Value: p}
	}
	if headOnly, ok := withoutModel(m); ok { // the model alone is at fault
		wide = headOnly
		wide.Model = []ir.StringMatch{{}}
	}
	c := &ir.Closed{Reason: err.Error(), Origin: rt.Origin}
	return match.Entry[*dataplane.Route]{Match: wide, Value: &dataplane.Route{
		Name: rt.Name, Origin: rt.Origin, Stages: []dataplane.Stage{dataplane.Closed(c)},
	}}
}

// withoutModel returns m without its comparisons of the model, if it has some
// and can be compiled without them.
func withoutModel(m ir.Match) (ir.Match, bool) {
	had := len(m.Model) > 0
	m.Model = nil
	if _, err := normalized(m.Path); err != nil || !had {
		return m, false
	}
	_, err := match.NewRouter([]match.Entry[int]{{Match: m}})
	return m, err == nil
}

// literalPrefix returns what every path that p takes begins with, as far as
// can be told without compiling it.
func literalPrefix(p ir.PathMatch) string {
	if p.IgnoreCase || p.Kind == ir.PathSuffix || p.Kind == ir.PathAny {
		return ""
	}
	value := p.Value
	if p.Kind != ir.PathRegex {
		return normalPrefix(value)
	}
	for len(value) > 0 && value[0] == '^' {
		value = value[1:]
	}
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$':
			if value[i] == '|' || containsAlternation(value[i:]) {
				return ""
			}
			if i > 0 && (value[i] == '*' || value[i] == '?' || value[i] == '{') {
				i-- // the byte before may be absent
			}
			return value[:i]
		}
	}
	return value
}

// normalPrefix returns as much of a path as can begin a request's.
func normalPrefix(path string) string {
	path = "/" + strings.TrimLeft(path, "/")
	for i := len(path); i > 1; i-- {
		if p, err := dataplane.NormalizePath(path[:i]); err == nil {
			return p
		}
	}
	return ""
}

// containsAlternation reports whether an alternation may stand at the top
// level of what is left of an expression.
func containsAlternation(rest string) bool {
	if !strings.Contains(rest, "|") {
		return false
	}
	depth := 0
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth <= 0 {
				return true
			}
		}
	}
	return depth != 0
}

// Defaults of what a listener accepts; the comments of ir.HTTPSettings say
// the same.
const (
	defaultHeaderBytes = 64 << 10
	defaultHeaders     = 100
	defaultBodyBytes   = 32 << 20
	defaultHeadTimeout = 10 * time.Second
	defaultIdleTimeout = time.Hour
	defaultStreamIdle  = 5 * time.Minute
	defaultStreams     = 100
)

func limits(s ir.HTTPSettings) dataplane.Limits {
	return dataplane.Limits{
		HeaderBytes:    cmp.Or(s.MaxHeaderBytes, defaultHeaderBytes),
		Headers:        cmp.Or(s.MaxHeaders, defaultHeaders),
		BodyBytes:      cmp.Or(s.MaxBodyBytes, defaultBodyBytes),
		HeadTimeout:    cmp.Or(s.HeadTimeout, defaultHeadTimeout),
		RequestTimeout: s.RequestTimeout,
		IdleTimeout:    cmp.Or(s.IdleTimeout, defaultIdleTimeout),
		StreamIdle:     cmp.Or(s.StreamIdleTimeout, defaultStreamIdle),
		Streams:        cmp.Or(s.MaxStreams, defaultStreams),
	}
}

// widest returns limits that are not narrower than a or b. A zero
// RequestTimeout is none, and so the widest.
func widest(a, b dataplane.Limits) dataplane.Limits {
	if a == (dataplane.Limits{}) {
		return b
	}
	out := dataplane.Limits{
		HeaderBytes: max(a.HeaderBytes, b.HeaderBytes),
		Headers:     max(a.Headers, b.Headers),
		BodyBytes:   max(a.BodyBytes, b.BodyBytes),
		HeadTimeout: max(a.HeadTimeout, b.HeadTimeout),
		IdleTimeout: max(a.IdleTimeout, b.IdleTimeout),
		StreamIdle:  max(a.StreamIdle, b.StreamIdle),
		Streams:     max(a.Streams, b.Streams),
	}
	if a.RequestTimeout > 0 && b.RequestTimeout > 0 {
		out.RequestTimeout = max(a.RequestTimeout, b.RequestTimeout)
	}
	return out
}
