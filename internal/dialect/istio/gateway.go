package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// gateway translates a Gateway into its listeners.
func (p *place) gateway(s *gatewaySpec) {
	w := p.t.workloadOf(p.Object)
	switch {
	case p.t.opts.Mesh != nil: // the other side
		return
	case w == nil:
		p.Warn("selector", "give the gateway these labels by --workload-labels, or serve it by another one", "the Gateway selects other workloads than %v; it is not served here", p.t.opts.Workload)
		return
	}
	if len(s.Servers) == 0 {
		p.Warn("servers", "write servers", "the Gateway has no servers and opens nothing")
	}
	for i := range s.Servers {
		p.in(fmt.Sprintf("servers[%d]", i)).checkServer(&s.Servers[i])
	}
	for _, e := range p.t.entries(p.Object, w) {
		here := p.t.place(p.Object, e.at)
		if e.conflict != "" {
			here.Fail("", "make them alike, or give one of them another port or hosts",
				"port %d %s is served for %v, and %s; this server is not served", e.port, e.forHost(), e.door.gateway.Key, e.conflict)
			continue
		}
		if e.door.gateway == p.Object && e.door.at == e.at {
			here.open(e.door)
		}
		if e.server.redirects() {
			p.t.f.Hosts = append(p.t.f.Hosts, here.toHTTPS(e))
		}
	}
}

// forHost says in words which server name a door is for.
func (d *door) forHost() string {
	if d.hostname == "" {
		return "for every host"
	}
	return fmt.Sprintf("for host %q", d.hostname)
}

// checkServer reports what is not served of a server.
func (p *place) checkServer(s *server) {
	if problem := s.fit(); problem != nil {
		p.Fail(problem.field, problem.remedy, "%s", problem.what)
		return
	}
	if len(s.Hosts) == 0 {
		p.Fail("hosts", `write hosts, "*" for every one`, "the server has no hosts and serves nothing")
	}
	for i, h := range s.Hosts {
		if _, host := splitHost(h, p.Object.Namespace); !reading.IsHost(host) {
			p.Fail(fmt.Sprintf("hosts[%d]", i), `write a name, "*.suffix" or "*", with "namespace/" before it if need be`, "%q is no host and serves nothing", h)
		}
	}
	if s.DefaultEndpoint != "" {
		p.Warn("defaultEndpoint", "remove it", "defaultEndpoint is not supported and has no effect")
	}
	if s.plain() && s.TLS.serves() {
		p.Fail("tls", "write protocol: HTTPS, or remove it", "the port is plain %s, and tls says how to serve TLS; it is closed", s.Port.Protocol)
	}
	if s.secure() && s.TLS != nil && s.TLS.HTTPSRedirect {
		p.Warn("tls.httpsRedirect", "remove it here, and write it on the HTTP server", "httpsRedirect has no effect on an HTTPS server")
	}
}

// open adds the listener of a door.
func (p *place) open(d *door) {
	section := dialect.TargetOf(p.Object.Key)
	section.Section = fmt.Sprintf("port-%d", d.port)
	l := &dialect.Listener{Targets: []dialect.Target{section, dialect.TargetOf(p.Object.Key)}, Owner: p.Object.Key, Age: p.Object.Created}
	l.Name, l.Gateway, l.Port, l.Hostname = d.name, p.Object.Namespace+"/"+p.Object.Name, d.port, d.hostname
	l.Origin = p.Origin("")
	if d.bind != "" {
		l.Addresses = []string{d.bind}
	}
	mark := p.Mark()
	switch {
	case d.server.plain() && d.server.TLS.serves():
		l.Closed = &ir.Closed{Reason: "tls is written for a plain port", Origin: p.Origin("tls")}
	case d.server.passes():
		l.Passthrough = p.passthrough(d.server)
	case d.server.secure():
		l.TLS = p.in("tls").serverTLS(d.server.TLS, p.t.secretNamespaces(d.workload))
	}
	p.t.guard(d, l)
	if l.Passthrough != nil {
		p.t.protectConnections(d, l)
	} else {
		p.t.protect(d, l)
	}
	if closed := p.Since(mark); closed != nil {
		l.Closed = closed
	}
	if len(p.Object.Faults) > 0 {
		l.Closed = reading.Unread(p.Object)
	}
	p.t.f.Listeners = append(p.t.f.Listeners, l)
}

// secretNamespaces returns where the Secrets of a workload's certificates are:
// beside its pods. Where nobody said which workload we are, the pods of a
// Gateway may just as well be in the root namespace.
func (t *translation) secretNamespaces(w *Workload) []string {
	root := t.root()
	if t.opts.Workload != nil || w.Namespace == root {
		return []string{w.Namespace}
	}
	return []string{w.Namespace, root}
}

// toHTTPS sends the requests of a server to the same URL over TLS.
func (p *place) toHTTPS(e *entry) *dialect.VirtualHost {
	origin := p.Origin("tls.httpsRedirect")
	var names []string
	for _, h := range e.server.Hosts {
		if _, host := splitHost(h, p.Object.Namespace); reading.IsHost(host) && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return &dialect.VirtualHost{
		Listeners: []string{e.name}, Hostnames: names, Owner: p.Object.Key, Age: p.Object.Created, Origin: origin,
		Routes: []*dialect.Route{{
			Route: ir.Route{
				Name: p.Object.Key.String() + "/https-redirect", Matches: []ir.Match{{Order: ir.Order{-1}}}, Origin: origin,
				Action: ir.Action{Redirect: &ir.Redirect{Scheme: "https", Status: 301, Origin: origin}},
			},
			Owner: p.Object.Key,
		}},
	}
}

// guard closes a listener that an extension of Envoy would change: nobody can
// tell whether it protects something.
func (t *translation) guard(d *door, l *dialect.Listener) {
	for _, gk := range []resource.GroupKind{envoyFilterKind, wasmPluginKind} {
		for _, o := range t.v.All(gk) {
			if l.Closed == nil && extends(o, d.workload, "GATEWAY") {
				l.Closed = unsupported(o)
			}
		}
	}
}

func unsupported(o *resource.Object) *ir.Closed {
	return &ir.Closed{Reason: fmt.Sprintf("%v applies, which is not supported", o.Key), Origin: o.Origin("")}
}

// extends reports whether an EnvoyFilter or WasmPlugin changes what a workload
// does in a context of Envoy's. One that could not be read might.
func extends(o *resource.Object, w *Workload, context string) bool {
	s := o.Spec.(*extension).Spec
	switch {
	case !w.inScope(o.Namespace):
		return false
	case len(o.Faults) > 0:
		return true
	case s.WorkloadSelector != nil && !w.has(s.WorkloadSelector.Labels), s.Selector != nil && !w.has(s.Selector.MatchLabels):
		return false
	case len(s.TargetRefs) > 0: // for gateways of Gateway API
		return false
	}
	return len(s.ConfigPatches) == 0 || slices.ContainsFunc(s.ConfigPatches, func(c configPatch) bool {
		at := c.Match.Context
		return at == "" || at == "ANY" || at == context
	})
}

// checkExtension reports an extension of Envoy, which we do not have.
func (p *place) checkExtension() {
	context := "GATEWAY"
	if p.t.opts.Mesh != nil {
		context = "SIDECAR_OUTBOUND"
	}
	var closed []string
	for _, w := range p.t.workloads() {
		if extends(p.Object, w, context) {
			closed = append(closed, w.String())
		}
	}
	if len(closed) == 0 {
		p.Warn("", "remove it if it is for another program", "%s is not supported; it selects no workload of ours and has no effect", p.Object.Kind)
		return
	}
	p.Fail("", "remove it to serve without it", "%s is not supported, and nobody can tell whether it protects something; %s is closed", p.Object.Kind, strings.Join(closed, ", "))
}
