package istio

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// policy is what a DestinationRule says of one port of one host. The zero
// policy says nothing.
type policy struct {
	portPolicy
	rule         *resource.Object
	subset       string
	subsetLabels map[string]string
	// unbuilt names a setting without which requests would go elsewhere.
	unbuilt string
}

// suffix tells upstreams of one host apart by what is said of them.
func (p *policy) suffix() string {
	if p.rule == nil {
		return ""
	}
	s := "+" + p.rule.Namespace + "/" + p.rule.Name
	if p.subset != "" {
		s += "#" + p.subset
	}
	return s
}

// plain reports whether a rule demands plain text.
func (p *policy) plain() bool { return p.TLS != nil && p.TLS.Mode == clientDisable }

// policyFor returns what holds for a port of a target; serviceNamespace is
// where the destination was declared.
func (t *translation) policyFor(g target, port int, serviceNamespace string) (*policy, *trouble) {
	o := t.ruleFor(g.host, serviceNamespace, g.workload)
	if o == nil {
		if g.subset != "" {
			return nil, &trouble{what: fmt.Sprintf("no DestinationRule for %q defines the subset %q", g.host, g.subset), remedy: "write one, or remove the subset"}
		}
		return &policy{}, nil
	}
	s := &o.Spec.(*destinationRule).Spec
	out := &policy{rule: o, subset: g.subset}
	if s.TrafficPolicy != nil {
		out.portPolicy, out.unbuilt = s.TrafficPolicy.of(port, s.TrafficPolicy.portPolicy), s.TrafficPolicy.unbuilt()
	}
	if g.subset == "" {
		return out, nil
	}
	i := slices.IndexFunc(s.Subsets, func(sub subset) bool { return sub.Name == g.subset })
	if i < 0 {
		return nil, &trouble{what: fmt.Sprintf("%v defines no subset %q", o.Key, g.subset), remedy: "define it, or correct the name"}
	}
	out.subsetLabels = s.Subsets[i].Labels
	if tp := s.Subsets[i].TrafficPolicy; tp != nil {
		out.unbuilt = cmp.Or(tp.unbuilt(), out.unbuilt)
		out.portPolicy = tp.of(port, portPolicy{
			LoadBalancer:     cmp.Or(tp.LoadBalancer, out.LoadBalancer),
			ConnectionPool:   cmp.Or(tp.ConnectionPool, out.ConnectionPool),
			OutlierDetection: cmp.Or(tp.OutlierDetection, out.OutlierDetection),
			TLS:              cmp.Or(tp.TLS, out.TLS),
		})
	}
	return out, nil
}

// unbuilt names what a policy asks for and is not built, where it decides on
// the way of requests.
func (tp *trafficPolicy) unbuilt() string {
	switch {
	case bool(tp.Tunnel):
		return "tunnel"
	case bool(tp.ProxyProtocol):
		return "proxyProtocol"
	}
	return ""
}

// of returns what is said of a port: its own settings, which inherit nothing,
// or those of all ports.
func (tp *trafficPolicy) of(port int, all portPolicy) portPolicy {
	for i := range tp.PortLevelSettings {
		if s := &tp.PortLevelSettings[i]; s.Port != nil && s.Port.Number == port {
			return s.portPolicy
		}
	}
	return all
}

// ruleFor returns the DestinationRule for a host: of the workload's namespace,
// else of the service's, else of the root namespace. In one namespace the
// closest host wins, then one that selects the workload, then the oldest.
func (t *translation) ruleFor(host, serviceNamespace string, w *Workload) *resource.Object {
	for i, ns := range []string{w.Namespace, serviceNamespace, t.root()} {
		if i > 0 && ns == w.Namespace {
			continue
		}
		var best *resource.Object
		for _, o := range t.v.In(destinationRuleKind, ns) {
			s := &o.Spec.(*destinationRule).Spec
			if covers(hostIn(s.Host, ns), host) && s.concerns(o, w) && (best == nil || closer(o, best) < 0) {
				best = o
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// concerns reports whether a rule is for a workload's requests.
func (s *destinationRuleSpec) concerns(o *resource.Object, w *Workload) bool {
	if s.WorkloadSelector != nil {
		return o.Namespace == w.Namespace && w.has(s.WorkloadSelector.MatchLabels)
	}
	return w.visible(o, s.ExportTo)
}

// closer orders the rules that take a host.
func closer(a, b *resource.Object) int {
	x, y := &a.Spec.(*destinationRule).Spec, &b.Spec.(*destinationRule).Spec
	wild := func(s *destinationRuleSpec) int {
		if strings.HasPrefix(s.Host, "*") {
			return 1
		}
		return 0
	}
	general := func(s *destinationRuleSpec) int {
		if s.WorkloadSelector == nil {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(wild(x), wild(y)), cmp.Compare(len(y.Host), len(x.Host)),
		cmp.Compare(general(x), general(y)), older(a, b),
	)
}

// apply sets what the policy bounds, TLS apart.
func (p *policy) apply(u *ir.Upstream) {
	switch {
	case p.rule != nil && len(p.rule.Faults) > 0:
		u.Closed = reading.Unread(p.rule)
	case p.unbuilt != "":
		u.Closed = &ir.Closed{Reason: p.unbuilt + " is not supported", Origin: p.rule.Origin("spec")}
	}
	if c := p.ConnectionPool; c != nil && c.TCP != nil {
		u.MaxConnections, u.ConnectTimeout = c.TCP.MaxConnections, c.TCP.ConnectTimeout.Duration
	}
	if c := p.ConnectionPool; c != nil && c.HTTP != nil {
		u.MaxRequests, u.IdleTimeout = c.HTTP.HTTP2MaxRequests, c.HTTP.IdleTimeout.Duration
		if c.HTTP.H2UpgradePolicy == upgradeToH2 {
			u.Protocol = ir.ProtocolHTTP2
		}
	}
	if o := p.OutlierDetection; o != nil {
		u.Outlier = o.outlier()
	}
}

// outlier returns passive health as Envoy has it; what counts no failures at
// all switches it off.
func (o *outlierDetection) outlier() *ir.Outlier {
	out := &ir.Outlier{Consecutive: 5, Ejection: o.BaseEjectionTime.Duration, MaxPercent: o.MaxEjectionPercent}
	for _, n := range []*int{o.ConsecutiveGatewayErrors, o.Consecutive5xxErrors, &o.ConsecutiveErrors} {
		if n != nil && *n > 0 {
			out.Consecutive = *n
			return out
		}
	}
	if o.Consecutive5xxErrors != nil { // 0 disables
		return nil
	}
	return out
}

// checkRule reports what of a DestinationRule has no effect.
func (p *place) checkRule(s *destinationRuleSpec) {
	if s.Host == "" {
		p.Fail("host", "write the host of a Service or ServiceEntry", "the DestinationRule has no host and holds for nothing")
		return
	}
	p.checkPolicy("trafficPolicy", s.TrafficPolicy)
	for i := range s.Subsets {
		p.checkPolicy(fmt.Sprintf("subsets[%d].trafficPolicy", i), s.Subsets[i].TrafficPolicy)
	}
	if other := p.t.shadow(p.Object, s); other != nil {
		p.Warn("host", "join the two", "%v is for the same host and comes first; this one has no effect", other.Key)
	}
}

// shadow returns the rule of the same namespace that keeps o from holding.
func (t *translation) shadow(o *resource.Object, s *destinationRuleSpec) *resource.Object {
	for _, other := range t.v.In(destinationRuleKind, o.Namespace) {
		r := &other.Spec.(*destinationRule).Spec
		if other != o && r.WorkloadSelector == nil && s.WorkloadSelector == nil && closer(other, o) < 0 && hostIn(r.Host, o.Namespace) == hostIn(s.Host, o.Namespace) {
			return other
		}
	}
	return nil
}

func (p *place) checkPolicy(at string, tp *trafficPolicy) {
	if tp == nil {
		return
	}
	here := p.in(at)
	here.Refuse("tunnel", tp.Tunnel)
	here.Refuse("proxyProtocol", tp.ProxyProtocol)
	here.Ignore("retryBudget", tp.RetryBudget)
	here.checkPortPolicy(&tp.portPolicy)
	for i := range tp.PortLevelSettings {
		here.in(fmt.Sprintf("portLevelSettings[%d]", i)).checkPortPolicy(&tp.PortLevelSettings[i].portPolicy)
	}
}

func (p *place) checkPortPolicy(pp *portPolicy) {
	if l := pp.LoadBalancer; l != nil {
		at := p.in("loadBalancer")
		at.Ignore("consistentHash", l.ConsistentHash)
		at.Ignore("backendUtilization", l.BackendUtilization)
		at.Ignore("localityLbSetting", l.LocalityLBSetting)
		at.Ignore("zoneAwareLbSetting", l.ZoneAwareLBSetting)
		at.Ignore("warmup", l.Warmup || l.WarmupDurationSecs)
		at.Ignore("simple", present(l.Simple == balancePassthrough))
	}
	if c := pp.ConnectionPool; c != nil && c.TCP != nil {
		p.Ignore("connectionPool.tcp.tcpKeepalive", c.TCP.TCPKeepalive)
		p.Ignore("connectionPool.tcp.maxConnectionDuration", c.TCP.MaxConnectionDuration)
	}
	if c := pp.ConnectionPool; c != nil && c.HTTP != nil {
		at := p.in("connectionPool.http")
		at.Ignore("maxRequestsPerConnection", c.HTTP.MaxRequestsPerConnection > 0)
		at.Ignore("maxRetries", c.HTTP.MaxRetries > 0)
		at.Ignore("http1MaxPendingRequests", c.HTTP.HTTP1MaxPendingRequests > 0)
		at.Ignore("useClientProtocol", present(c.HTTP.UseClientProtocol))
		at.Ignore("http2KeepAlive", c.HTTP.HTTP2KeepAlive)
	}
	if pp.TLS != nil {
		p.in("tls").checkClientTLS(pp.TLS)
	}
}
