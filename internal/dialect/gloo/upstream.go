package gloo

import (
	"cmp"
	"fmt"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/service"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// httpsPort is the port on which TLS is assumed.
const httpsPort = 443

// upstream translates an Upstream into one ir.Upstream, or, for a pool of
// providers, several.
func (t *translation) upstream(o *resource.Object, s *upstreamSpec) {
	p := t.options(o, "spec")
	before := p.Mark()
	u := &ir.Upstream{Name: upstreamName(ref{o.Name, o.Namespace}), Origin: o.Origin("spec")}
	p.connection(s, u)
	if s.SSLConfig != nil {
		u.TLS = t.options(o, "spec.sslConfig").clientTLS(s.SSLConfig)
		if len(s.SSLConfig.ALPNProtocols) > 0 {
			p.Warn("sslConfig.alpnProtocols", "use useHttp2", "alpnProtocols is not supported and has no effect")
		}
	}
	switch n := upstreamTypes(s); {
	case n != 1:
		p.Fail("", "write one of static, kube, ai", "the Upstream has %d types, want one", n)
	case s.Static != nil:
		p.static(s.Static, u)
	case s.Kube != nil:
		p.kube(s.Kube, u)
	case s.AI != nil && s.AI.Multi == nil:
		p.provider("ai", &s.AI.aiProvider, u)
	case s.AI != nil:
		if providers(&s.AI.aiProvider) > 0 {
			p.Fail("ai", "keep one of them", "multi and a provider beside it exclude each other")
		}
	default:
		p.Fail("", "use static, kube or ai", "%s is not supported", unbuiltType(s))
	}
	p.rest(s)
	if len(o.Faults) > 0 {
		u.Closed = reading.Unread(o)
	}
	u.Closed = cmp.Or(u.Closed, p.Since(before))
	t.f.Upstreams = append(t.f.Upstreams, u)
	if s.AI != nil && s.AI.Multi != nil {
		t.f.Upstreams = append(t.f.Upstreams, p.pools(s.AI.Multi, u)...)
	}
}

func upstreamTypes(s *upstreamSpec) int {
	n := 0
	for _, set := range []bool{
		s.AI != nil, s.Kube != nil, s.Static != nil,
		s.AWS.set(), s.AWSEC2.set(), s.Azure.set(), s.Consul.set(), s.GCP.set(), s.Pipe.set(),
	} {
		if set {
			n++
		}
	}
	return n
}

func unbuiltType(s *upstreamSpec) string {
	for _, k := range []struct {
		name  string
		value raw
	}{{"aws", s.AWS}, {"awsEc2", s.AWSEC2}, {"azure", s.Azure}, {"consul", s.Consul}, {"gcp", s.GCP}} {
		if k.value.set() {
			return k.name
		}
	}
	return "pipe"
}

// static reads hosts that are written down. TLS is on where it is asked for,
// and, unless useTls says otherwise, where a host has port 443.
func (p *options) static(s *staticUpstream, u *ir.Upstream) {
	const at = "static"
	if len(s.Hosts) == 0 {
		p.Fail(at+".hosts", "write addr and port", "the Upstream has no hosts")
	}
	tls := false
	for i, h := range s.Hosts {
		here := fmt.Sprintf("%s.hosts[%d]", at, i)
		if h.Addr == "" || h.Port <= 0 || h.Port > 65535 {
			p.Fail(here, "write addr and port", "the host has no address, or no valid port")
		}
		tls = tls || h.Port == httpsPort
		e := ir.Endpoint{Host: h.Addr, Port: h.Port, SNI: h.SNIAddr}
		if h.LoadBalancingWeight != nil {
			e.Weight = *h.LoadBalancingWeight
		}
		u.Endpoints = append(u.Endpoints, e)
		p.ignore(here+".healthCheckConfig", h.HealthCheckConfig)
		p.ignore(here+".metadata", h.Metadata)
	}
	if s.UseTLS != nil {
		tls = *s.UseTLS
	}
	if tls && u.TLS == nil {
		u.TLS = &ir.ClientTLS{Origin: p.Origin(at)}
	}
	p.ignore(at+".serviceSpec", s.ServiceSpec)
	if s.AutoSNIRewrite != nil && !*s.AutoSNIRewrite {
		p.Warn(at+".autoSniRewrite", "remove it", "a host's name is always sent as SNI, since it is what is verified")
	}
}

// kube sends requests to a Service.
func (p *options) kube(s *kubeUpstream, u *ir.Upstream) {
	const at = "kube"
	r := ref{s.ServiceName, s.ServiceNamespace}.in(p.Object.Namespace)
	if len(s.Selector) > 0 {
		p.Fail(at+".selector", "make a Service with this selector", "kube.selector is not supported: it would narrow the Service's endpoints")
	}
	if s.SubsetSpec.set() {
		p.Fail(at+".subsetSpec", "remove it", "subsetSpec is not supported")
	}
	p.ignore(at+".serviceSpec", s.ServiceSpec)
	svc, err := service.Upstream(p.t.v, service.Ref{Namespace: r.Namespace, Name: r.Name, Port: s.ServicePort}, service.Options{Dialect: name, TLS: u.TLS})
	if err != nil {
		problem, remedy := serviceProblem(err)
		p.Fail(at, remedy, "%s", problem)
		return
	}
	u.Endpoints = svc.Endpoints
	if svc.Protocol != ir.ProtocolHTTP1 {
		u.Protocol = svc.Protocol
	}
}

// connection reads limits and time-outs of connections.
func (p *options) connection(s *upstreamSpec, u *ir.Upstream) {
	if s.UseHTTP2 != nil && *s.UseHTTP2 {
		u.Protocol = ir.ProtocolHTTP2
	}
	if c := s.CircuitBreakers; c != nil {
		if c.MaxConnections != nil {
			u.MaxConnections = *c.MaxConnections
		}
		if c.MaxRequests != nil {
			u.MaxRequests = *c.MaxRequests
		}
		if c.MaxPendingRequests != nil || c.MaxRetries != nil {
			p.Warn("circuitBreakers", "use maxConnections and maxRequests", "maxPendingRequests and maxRetries are not supported and have no effect")
		}
	}
	if c := s.ConnectionConfig; c != nil {
		u.ConnectTimeout = c.ConnectTimeout.Duration
		if h := c.CommonHTTPProtocolOptions; h != nil {
			const at = "connectionConfig.commonHttpProtocolOptions."
			u.IdleTimeout = h.IdleTimeout.Duration
			p.ignore(at+"headersWithUnderscoresAction", h.HeadersWithUnderscoresAction)
			p.ignore(at+"maxHeadersCount", h.MaxHeadersCount)
			p.ignore(at+"maxStreamDuration", h.MaxStreamDuration)
		}
		p.ignore("connectionConfig.http1ProtocolOptions", c.HTTP1ProtocolOptions)
		p.ignore("connectionConfig.maxRequestsPerConnection", c.MaxRequestsPerConnection)
		p.ignore("connectionConfig.perConnectionBufferLimitBytes", c.PerConnectionBufferLimitBytes)
		p.ignore("connectionConfig.tcpKeepalive", c.TCPKeepalive)
	}
	p.outlier(s.OutlierDetection, u)
}

func (p *options) outlier(s *outlierDetection, u *ir.Upstream) {
	const at = "outlierDetection."
	if s == nil {
		return
	}
	u.Outlier = &ir.Outlier{Ejection: s.BaseEjectionTime.Duration}
	if s.Consecutive5xx != nil {
		u.Outlier.Consecutive = *s.Consecutive5xx
	}
	if s.MaxEjectionPercent != nil {
		u.Outlier.MaxPercent = *s.MaxEjectionPercent
	}
	p.ignore(at+"consecutiveGatewayFailure", s.ConsecutiveGatewayFailure)
	p.ignore(at+"consecutiveLocalOriginFailure", s.ConsecutiveLocalOriginFailure)
	p.ignore(at+"enforcingConsecutive5xx", s.EnforcingConsecutive5xx)
	p.ignore(at+"enforcingConsecutiveGatewayFailure", s.EnforcingConsecutiveGatewayFailure)
	p.ignore(at+"enforcingConsecutiveLocalOriginFailure", s.EnforcingConsecutiveLocalOriginFailure)
	p.ignore(at+"enforcingLocalOriginSuccessRate", s.EnforcingLocalOriginSuccessRate)
	p.ignore(at+"enforcingSuccessRate", s.EnforcingSuccessRate)
	p.ignore(at+"interval", s.Interval)
	p.ignore(at+"splitExternalLocalOriginErrors", s.SplitExternalLocalOriginErrors)
	p.ignore(at+"successRateMinimumHosts", s.SuccessRateMinimumHosts)
	p.ignore(at+"successRateRequestVolume", s.SuccessRateRequestVolume)
	p.ignore(at+"successRateStdevFactor", s.SuccessRateStdevFactor)
}

// rest reports what an Upstream of any type may say and we do not do. What
// would take another way to the upstream closes it.
func (p *options) rest(s *upstreamSpec) {
	for _, f := range []struct {
		field string
		value raw
	}{
		{"httpProxyHostname", s.HTTPProxyHostname},
		{"httpConnectSslConfig", s.HTTPConnectSSLConfig},
		{"httpConnectHeaders", s.HTTPConnectHeaders},
		{"proxyProtocolVersion", s.ProxyProtocolVersion},
	} {
		if f.value.set() {
			p.Fail(f.field, "remove it", "%s is not supported; the Upstream is closed", f.field)
		}
	}
	p.ignore("dnsRefreshRate", s.DNSRefreshRate)
	p.ignore("failover", s.Failover)
	p.ignore("healthChecks", s.HealthChecks)
	p.ignore("ignoreHealthOnHostRemoval", s.IgnoreHealthOnHostRemoval)
	p.ignore("initialConnectionWindowSize", s.InitialConnectionWindowSize)
	p.ignore("initialStreamWindowSize", s.InitialStreamWindowSize)
	p.ignore("loadBalancerConfig", s.LoadBalancerConfig)
	p.ignore("maxConcurrentStreams", s.MaxConcurrentStreams)
	p.ignore("overrideStreamErrorOnInvalidHttpMessage", s.OverrideStreamErrorOnInvalidHTTPMessage)
	p.ignore("preconnectPolicy", s.PreconnectPolicy)
	p.ignore("protocolSelection", s.ProtocolSelection)
	p.ignore("respectDnsTtl", s.RespectDNSTTL)
}
