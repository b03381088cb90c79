package gloomesh

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// door is one listener of ours: a port of a VirtualGateway, and with TLS one
// server name of it.
type door struct {
	name     string
	port     int
	hostname string // server name; "": any
	at       string // path of what opens it
	spec     *gatewayListener
	redirect bool
	// rules are the allowedRouteTables of every listener that is written for
	// the port; open says that one of them has none, so that all are allowed.
	rules   []allowedTable
	open    bool
	gateway *resource.Object
	// conflict says that two listeners want the port differently.
	conflict bool
}

// doors returns what a VirtualGateway opens. Listeners of one port are one
// door, since Envoy's are; with TLS, one for each server name.
func (t *translation) doors(o *resource.Object) []*door {
	var out []*door
	list := o.Spec.(*virtualGateway).Spec.Listeners
	for i := range list {
		l := &list[i]
		if bool(l.TCP) || l.Port == nil || l.Port.Number <= 0 || l.Port.Number > 65535 {
			continue // gateway reports it
		}
		for _, hostname := range l.serverNames() {
			d := &door{port: l.Port.Number, hostname: hostname, at: fmt.Sprintf("spec.listeners[%d]", i), spec: l, redirect: l.HTTPSRedirect, gateway: o}
			d.name = fmt.Sprintf("%s/%s/port-%d", o.Namespace, o.Name, d.port)
			if hostname != "" {
				d.name += "/" + hostname
			}
			same := slices.IndexFunc(out, func(other *door) bool { return other.name == d.name })
			if same < 0 {
				out, same = append(out, d), len(out)
			}
			out[same].conflict = out[same].conflict || !sameWay(l, out[same].spec)
			out[same].rules = append(out[same].rules, l.AllowedRouteTables...)
			out[same].open = out[same].open || len(l.AllowedRouteTables) == 0
		}
	}
	return out
}

// sameWay reports whether two listeners of one port are spoken to alike.
func sameWay(a, b *gatewayListener) bool {
	return a.HTTPSRedirect == b.HTTPSRedirect && reflect.DeepEqual(a.TLS, b.TLS)
}

// serverNames returns the names that a listener with TLS is for; one for all
// hosts has the name "".
func (l *gatewayListener) serverNames() []string {
	if l.TLS == nil || len(l.AllowedRouteTables) == 0 {
		return []string{""}
	}
	var out []string
	for _, a := range l.AllowedRouteTables {
		h := strings.ToLower(a.Host)
		if h == "" || h == "*" || !reading.IsHost(h) {
			return []string{""}
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// allows returns those of a table's hosts that are served behind a door.
func (d *door) allows(t *translation, table *resource.Object, hosts []string) []string {
	var out []string
	if d.redirect {
		return nil
	}
	for _, h := range hosts {
		if d.hostname != "" && !covers(d.hostname, h) {
			continue
		}
		if d.open && t.together(d.gateway.Namespace, table.Namespace) || slices.ContainsFunc(d.rules, func(a allowedTable) bool {
			return covers(cmp.Or(strings.ToLower(a.Host), "*"), h) && t.picks(a.Selector, table, d.gateway.Namespace)
		}) {
			out = append(out, h)
		}
	}
	return out
}

// covers reports whether a host pattern takes all that another takes.
func covers(pattern, host string) bool {
	if pattern == "*" || pattern == host {
		return true
	}
	suffix, wild := strings.CutPrefix(pattern, "*")
	return wild && strings.HasPrefix(suffix, ".") && strings.HasSuffix(host, suffix)
}

// gateway translates a VirtualGateway into its listeners.
func (t *translation) gateway(o *resource.Object, s *virtualGatewaySpec) {
	p := t.place(o, "spec")
	if t.elsewhere(o, s) {
		p.Warn("workloads", "give the gateway these labels by --workload-labels, or serve it by another one", "the VirtualGateway selects other workloads than %v; it is not served here", t.opts.Workload)
		return
	}
	if len(s.Listeners) == 0 {
		p.Warn("listeners", "write listeners", "the VirtualGateway has no listeners and opens nothing")
	}
	for i := range s.Listeners {
		p.in(fmt.Sprintf("listeners[%d]", i)).checkListener(&s.Listeners[i])
	}
	for _, d := range t.doors(o) {
		t.open(d, s)
	}
}

// checkListener reports what is not served of a listener.
func (p *place) checkListener(l *gatewayListener) {
	switch {
	case bool(l.TCP):
		p.Fail("tcp", "write http: {}", "tcp listeners are not supported; the port stays shut")
	case l.Port == nil || l.Port.Number <= 0 || l.Port.Number > 65535:
		p.Fail("port", "write port.number", "the port has no valid number; it stays shut")
	}
	if l.TLS != nil && l.HTTPSRedirect {
		p.Fail("httpsRedirect", "keep one of them", "tls and httpsRedirect exclude each other")
	}
	p.Ignore("exposedExternalServices", l.ExposedExternalServices)
	switch strings.ToLower(l.AppProtocol) {
	case "", "http", "http2", "https", "grpc", "grpc-web":
	default:
		p.Warn("appProtocol", "remove it", "appProtocol %q is not supported and has no effect", l.AppProtocol)
	}
	for i, a := range l.AllowedRouteTables {
		here := fmt.Sprintf("allowedRouteTables[%d]", i)
		p.Ignore(here+".allowedRoutes", a.AllowedRoutes)
		if a.Host != "" && !reading.IsHost(strings.ToLower(a.Host)) {
			p.Warn(here+".host", `write a name, "*.suffix" or "*"`, "%q is no host and allows nothing", a.Host)
		}
	}
}

// open adds the listener of a door.
func (t *translation) open(d *door, s *virtualGatewaySpec) {
	o := d.gateway
	section := dialect.TargetOf(o.Key)
	section.Section = fmt.Sprintf("port-%d", d.port)
	l := &dialect.Listener{Targets: []dialect.Target{section, dialect.TargetOf(o.Key)}, Owner: o.Key, Age: o.Created}
	l.Name, l.Gateway, l.Port, l.Hostname = d.name, o.Namespace+"/"+o.Name, d.port, d.hostname
	l.Origin = o.Origin(d.at)
	p := t.place(o, d.at)
	mark := p.Mark()
	if d.spec.TLS != nil {
		l.TLS = p.in("tls").serverTLS(d.spec.TLS, s.namespaces(o.Namespace))
		l.Closed = p.Since(mark)
	}
	if d.spec.TLS != nil && d.spec.HTTPSRedirect {
		l.Closed = &ir.Closed{Reason: "tls and httpsRedirect exclude each other", Origin: l.Origin}
	}
	if d.conflict {
		what := fmt.Sprintf("two listeners of port %d differ in tls or httpsRedirect", d.port)
		p.Fail("", "give one of them another port, or with tls other hosts", "%s; the port is closed", what)
		l.Closed = &ir.Closed{Reason: what, Origin: l.Origin}
	}
	if len(o.Faults) > 0 {
		l.Closed = reading.Unread(o)
	}
	t.f.Listeners = append(t.f.Listeners, l)
	if d.redirect {
		t.f.Hosts = append(t.f.Hosts, toHTTPS(d, o))
	}
}

// toHTTPS sends every request of a door to the same URL over TLS.
func toHTTPS(d *door, o *resource.Object) *dialect.VirtualHost {
	origin := o.Origin(d.at + ".httpsRedirect")
	return &dialect.VirtualHost{
		Listeners: []string{d.name}, Hostnames: []string{"*"}, Owner: o.Key, Age: o.Created, Origin: origin,
		Routes: []*dialect.Route{{
			Route: ir.Route{
				Name: o.Key.String() + "/https-redirect", Matches: []ir.Match{{}}, Origin: origin,
				Action: ir.Action{Redirect: &ir.Redirect{Scheme: "https", Status: 301, Origin: origin}},
			},
			Owner: o.Key,
		}},
	}
}

// namespaces returns where the gateway's workloads run, and so where the
// Secrets with its certificates are: those that its selectors name, then its
// own.
func (s *virtualGatewaySpec) namespaces(own string) []string {
	var out []string
	for _, w := range s.Workloads {
		if w.Selector != nil && w.Selector.Namespace != "" && !slices.Contains(out, w.Selector.Namespace) {
			out = append(out, w.Selector.Namespace)
		}
	}
	if !slices.Contains(out, own) {
		out = append(out, own)
	}
	return out
}
