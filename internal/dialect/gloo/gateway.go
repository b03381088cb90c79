package gloo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// The ports of the product's default Gateways.
const (
	plainPort = 8080
	tlsPort   = 8443
)

// impliedGateway stands for the Gateways that the product installs by
// default: plain HTTP and TLS, for every VirtualService.
var impliedGateway = resource.Key{GroupKind: gatewayKind, Namespace: "gloo-system", Name: "gateway-proxy"}

// door is one port of a Gateway: plain, or TLS.
type door struct {
	gateway   resource.Key
	object    *resource.Object // nil for the implied one
	spec      gatewaySpec
	port      int
	ssl       bool
	addresses []string
}

// doors returns every port that VirtualServices can be served on.
func (t *translation) doors() []door {
	var out []door
	for _, o := range t.v.All(gatewayKind) {
		if d, ok := doorOf(o); ok {
			out = append(out, d)
		}
	}
	if len(t.v.All(gatewayKind)) == 0 {
		out = []door{
			{gateway: impliedGateway, port: plainPort},
			{gateway: impliedGateway, port: tlsPort, ssl: true},
		}
	}
	return out
}

func doorOf(o *resource.Object) (door, bool) {
	s := o.Spec.(*gateway).Spec
	if s.TCPGateway.set() || s.HybridGateway.set() {
		return door{}, false
	}
	d := door{gateway: o.Key, object: o, spec: s, port: s.BindPort, ssl: s.SSL}
	if d.port == 0 {
		d.port = plainPort
		if s.SSL {
			d.port = tlsPort
		}
	}
	// Every address means the address that the command line gives.
	if ip := net.ParseIP(s.BindAddress); ip != nil && !ip.IsUnspecified() {
		d.addresses = []string{s.BindAddress}
	}
	return d, true
}

// listener names the listener of a door for a server name.
func (d *door) listener(sni string) string {
	n := d.gateway.Namespace + "/" + d.gateway.Name + "/http"
	if !d.ssl {
		return n
	}
	return strings.TrimSuffix(n+"s/"+sni, "/")
}

// admits reports whether the Gateway selects a VirtualService, TLS apart. One
// that says nothing selects all.
func (d *door) admits(vs *resource.Object) bool {
	h := d.spec.HTTPGateway
	if h == nil {
		return true
	}
	if len(h.VirtualServices) > 0 && h.VirtualServiceSelector == nil && h.VirtualServiceExpressions == nil {
		return slices.ContainsFunc(h.VirtualServices, func(r ref) bool {
			r = r.in(d.gateway.Namespace)
			return r.Namespace == vs.Namespace && r.Name == vs.Name
		})
	}
	if ns := h.VirtualServiceNamespaces; len(ns) > 0 && !slices.Contains(ns, "*") && !slices.Contains(ns, vs.Namespace) {
		return false
	}
	if e := h.VirtualServiceExpressions; e != nil {
		return fits(vs.Labels, e.Expressions)
	}
	return labelled(vs.Labels, h.VirtualServiceSelector)
}

// shown is what is shown to clients of one server name: the sslConfig of the
// oldest VirtualService that wants it.
type shown struct {
	owner  *resource.Object
	config *sslConfig
}

// snis returns what a TLS door shows, by server name; "" is for all others.
func (t *translation) snis(d *door) map[string]shown {
	all := slices.Clone(t.v.All(virtualServiceKind))
	slices.SortStableFunc(all, func(a, b *resource.Object) int {
		return cmp.Or(a.Created.Compare(b.Created), a.Key.Compare(b.Key))
	})
	out := map[string]shown{}
	for _, o := range all {
		c := o.Spec.(*virtualService).Spec.SSLConfig
		if c == nil || !d.admits(o) {
			continue
		}
		for _, sni := range serverNames(c) {
			if _, taken := out[sni]; !taken {
				out[sni] = shown{o, c}
			}
		}
	}
	return out
}

func serverNames(c *sslConfig) []string {
	if len(c.SNIDomains) == 0 {
		return []string{""}
	}
	var names []string
	for _, n := range c.SNIDomains {
		switch n = strings.ToLower(n); {
		case n == "*":
			names = append(names, "")
		case isDomain(n) && !strings.HasSuffix(n, "*"):
			names = append(names, n)
		}
	}
	return names
}

// same reports whether two VirtualServices show the same.
func same(a, b shown) bool {
	text := func(s shown) string {
		c := *s.config
		c.SNIDomains = nil
		if c.SecretRef != nil {
			r := c.SecretRef.in(s.owner.Namespace)
			c.SecretRef = &r
		}
		out, _ := json.Marshal(c)
		return string(out)
	}
	return a.owner == b.owner || text(a) == text(b)
}

// listenersOf returns the listeners that serve a VirtualService.
func (t *translation) listenersOf(o *resource.Object, s *virtualServiceSpec) []string {
	var out []string
	for _, d := range t.doors() {
		if d.ssl != (s.SSLConfig != nil) || !d.admits(o) {
			continue
		}
		if !d.ssl {
			out = append(out, d.listener(""))
			continue
		}
		there := t.snis(&d)
		for _, sni := range serverNames(s.SSLConfig) {
			if !same(there[sni], shown{o, s.SSLConfig}) {
				t.report.Add(status.Errorf(o.Origin("spec.sslConfig"), "%v shows another sslConfig for server name %q; this one is not served there", there[sni].owner.Key, sni).
					Fix("write the same sslConfig, or other sniDomains"))
				continue
			}
			out = append(out, d.listener(sni))
		}
	}
	if c := s.SSLConfig; c != nil {
		t.serverTLS(o, c) // for its problems
		if len(c.SNIDomains) > len(serverNames(c)) {
			t.report.Add(status.Errorf(o.Origin("spec.sslConfig.sniDomains"), "some are no server names; they are left out").Fix(`write names, or "*.suffix"`))
		}
	}
	if len(out) == 0 {
		t.report.Add(status.Warningf(o.Origin(""), "no Gateway serves this VirtualService").Fix("correct a Gateway's selector, or its ssl field"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// impliedListeners stand for the product's default Gateways. The one for TLS
// opens when a VirtualService has an sslConfig.
func (t *translation) impliedListeners() {
	for _, d := range t.doors() {
		t.listeners(&d)
	}
}

// gateway translates a Gateway into its listeners and their settings.
func (t *translation) gateway(o *resource.Object, s *gatewaySpec) {
	d, ok := doorOf(o)
	if !ok {
		t.report.Add(status.Errorf(o.Origin("spec"), "tcpGateway and hybridGateway are not supported; the Gateway does not open").Fix("use httpGateway"))
		return
	}
	if s.BindAddress != "" && net.ParseIP(s.BindAddress) == nil {
		t.report.Add(status.Errorf(o.Origin("spec.bindAddress"), "%q is no IP address; the Gateway does not open", s.BindAddress).Fix(`write one, such as "::"`))
		return
	}
	t.listeners(&d)
	target := dialect.TargetOf(o.Key)
	list := t.listenerSettings(o, "spec.options", s.Options)
	if s.HTTPGateway != nil {
		t.checkServices(o, s.HTTPGateway.VirtualServices)
		list = append(list, t.httpListenerSettings(o, "spec.httpGateway.options", s.HTTPGateway.Options)...)
	}
	p := t.options(o, "spec")
	if s.UseProxyProto {
		p.close("proxyProtocol", "useProxyProto", "remove it", "the PROXY protocol is not supported; the Gateway's routes are closed")
	}
	if len(s.ProxyNames) > 0 && !slices.Equal(s.ProxyNames, []string{"gateway-proxy"}) {
		p.Warn("proxyNames", "run another gateway with the other files", "there is one proxy: this gateway serves every Gateway that it reads")
	}
	if r := s.RouteOptions; r != nil {
		p.ignore("routeOptions.maxDirectResponseBodySizeBytes", r.MaxDirectResponseBodySizeBytes)
		if r.MostSpecificHeaderMutationsWins {
			p.Warn("routeOptions.mostSpecificHeaderMutationsWins", "remove it", "it is not supported: the widest level's header edits come last")
		}
	}
	t.attach(target, []int{0}, o, append(list, p.list...))
}

// checkServices reports VirtualServices that a Gateway names and that are not
// there.
func (t *translation) checkServices(o *resource.Object, list []ref) {
	for i, r := range list {
		r = r.in(o.Namespace)
		if t.v.Get(virtualServiceKind, r.Namespace, r.Name) == nil {
			t.report.Add(status.Warningf(o.Origin(fmt.Sprintf("spec.httpGateway.virtualServices[%d]", i)), "no VirtualService %q in %s", r.Name, r.Namespace).
				Fix("%s", t.suggest(virtualServiceKind, r)))
		}
	}
}

// listeners adds a door's listeners: one for plain HTTP, one for each server
// name of TLS.
func (t *translation) listeners(d *door) {
	base := dialect.Listener{Targets: []dialect.Target{dialect.TargetOf(d.gateway)}, Owner: d.gateway}
	base.Gateway = d.gateway.Namespace + "/" + d.gateway.Name
	base.Port, base.Addresses = d.port, d.addresses
	base.Origin = ir.Origin{Kind: gatewayKind.Kind, Namespace: d.gateway.Namespace, Name: d.gateway.Name}
	if d.object != nil {
		base.Age, base.Origin = d.object.Created, d.object.Origin("spec")
		if len(d.object.Faults) > 0 {
			base.Closed = reading.Unread(d.object)
		}
	}
	if !d.ssl {
		base.Name = d.listener("")
		t.f.Listeners = append(t.f.Listeners, &base)
		return
	}
	there := t.snis(d)
	for _, sni := range slices.Sorted(maps.Keys(there)) {
		l := base
		l.Name, l.Hostname = d.listener(sni), sni
		tls, closed := t.serverTLS(there[sni].owner, there[sni].config)
		l.TLS = tls
		if l.Closed == nil {
			l.Closed = closed
		}
		t.f.Listeners = append(t.f.Listeners, &l)
	}
	if len(there) == 0 && d.object != nil {
		t.report.Add(status.Warningf(base.Origin, "no VirtualService with an sslConfig is served here; port %d stays shut", d.port).
			Fix("give a VirtualService an sslConfig, or remove the Gateway"))
	}
}

// domains returns a virtual host's hostnames in their canonical form, without
// ports; none written means every host. One that is no hostname is reported
// and left out.
func (t *translation) domains(o *resource.Object, list []string) []string {
	if len(list) == 0 {
		return []string{"*"}
	}
	var out []string
	for i, written := range list {
		d := strings.ToLower(written)
		if host, _, err := net.SplitHostPort(d); err == nil {
			d = host
		}
		if d = strings.TrimSuffix(d, "."); !isDomain(d) {
			t.report.Add(status.Errorf(o.Origin(fmt.Sprintf("spec.virtualHost.domains[%d]", i)), "%q is no domain; it is left out", written).
				Fix(`write a name, "*.suffix", "prefix.*" or "*"`))
			continue
		}
		out = append(out, d)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isDomain reports whether d is "*", or a name or address of which the first
// or the last label may be "*".
func isDomain(d string) bool {
	if d == "*" {
		return true
	}
	if rest, ok := strings.CutPrefix(d, "*."); ok {
		d = rest
	} else if rest, ok := strings.CutSuffix(d, ".*"); ok {
		d = rest
	}
	for i := range len(d) {
		c := d[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.:[]", c) >= 0) {
			return false
		}
	}
	return d != "" && d[0] != '.' && !strings.Contains(d, "..")
}
