package istio

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/dialect/secretref"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
)

// modelAnnotation says whose model counts where a request names one and the
// configuration another: "provider", the default, or "client".
const modelAnnotation = "postern.dev/model"

const httpsPort = 443

// selects reports whether a provider is for a workload.
func (s *llmProviderSpec) selects(o *resource.Object, w *Workload) bool {
	return w.inScope(o.Namespace) && (s.WorkloadSelector == nil || w.has(s.WorkloadSelector.Labels))
}

// providerOf returns the LLMProvider of a host: the oldest that selects the
// workload, else one that does not.
func (t *translation) providerOf(host string, w *Workload) *resource.Object {
	var found *resource.Object
	for _, o := range t.v.All(llmProviderKind) {
		s := &o.Spec.(*llmProvider).Spec
		if !strings.EqualFold(s.Host, host) {
			continue
		}
		ours := s.selects(o, w)
		switch {
		case found == nil:
			found = o
		case ours != found.Spec.(*llmProvider).Spec.selects(found, w):
			if ours {
				found = o
			}
		case older(o, found) < 0:
			found = o
		}
	}
	return found
}

// llmProvider checks a provider, and serves it by its host where no LLMRoute
// says how.
func (p *place) llmProvider(s *llmProviderSpec) {
	host := strings.ToLower(s.Host)
	if !reading.IsHost(host) || strings.Contains(host, "*") {
		p.Fail("host", "write the provider's DNS name", "%q is no host; the provider is not served", s.Host)
		return
	}
	var ours []*Workload
	for _, w := range p.t.workloads() {
		if s.selects(p.Object, w) {
			ours = append(ours, w)
		}
	}
	switch {
	case len(ours) == 0 && p.t.opts.Mesh != nil: // the egress gateway's
		return
	case len(ours) == 0:
		p.Fail("workloadSelector", p.selectable(), "the provider selects no workload that the gateway is; it is not served, and its key not used")
		return
	}
	for _, w := range ours {
		if first := p.t.providerOf(host, w); first != p.Object {
			p.Fail("host", "give each provider a host of its own, or select other workloads", "%v has the same host for %v and comes first; this one is not served there", first.Key, w)
		}
	}
	for _, rule := range append([]string{""}, slices.Sorted(maps.Keys(s.Configs.RouteSpecificConfigs))...) {
		if rule != "" || s.Configs.DefaultConfig != nil {
			p.providerUpstream(rule, &policy{})
		}
	}
	if s.Configs.DefaultConfig == nil && len(s.Configs.RouteSpecificConfigs) == 0 {
		p.Fail("configs", "write configs.defaultConfig", "the provider has no configuration; requests for it are closed")
	}
	p.checkRules(s)
	p.unrouted(s, host, ours)
}

// selectable says which labels the gateway's workloads have.
func (p *place) selectable() string {
	var out []string
	for _, w := range p.t.workloads() {
		out = append(out, fmt.Sprintf("%s with {%s}", w.Namespace, labelText(w.Labels)))
	}
	if len(out) == 0 {
		return "write a Gateway, which says what workload it runs on"
	}
	return "select " + strings.Join(out, " or ") + ", from that namespace or " + p.t.root()
}

// checkRules reports configurations for rules that no LLMRoute has.
func (p *place) checkRules(s *llmProviderSpec) {
	var names []string
	for _, o := range p.t.v.All(llmRouteKind) {
		for _, r := range o.Spec.(*llmRoute).Spec.Rules {
			names = append(names, r.Name)
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(s.Configs.RouteSpecificConfigs)) {
		if !slices.Contains(names, rule) {
			remedy := cmp.Or(dialect.Suggest(rule, names), "name it for a rule of an LLMRoute")
			p.Warn("configs.routeSpecificConfigs."+rule, remedy, "no LLMRoute has a rule %q; the configuration has no effect", rule)
		}
	}
}

// unrouted serves a provider that no LLMRoute names behind every door of the
// workloads that it selects.
func (p *place) unrouted(s *llmProviderSpec, host string, workloads []*Workload) {
	for _, o := range p.t.v.All(llmRouteKind) {
		if strings.EqualFold(o.Spec.(*llmRoute).Spec.Host, host) {
			return
		}
	}
	b := &bound{}
	for _, w := range workloads {
		if p.t.providerOf(host, w) == p.Object {
			b.join(p.t.allEntries(w), "", p.Object.Namespace, []string{host})
			p.t.joinMesh(b, []string{host})
		}
	}
	for _, sc := range b.scopes {
		matches := []ir.Match{{}}
		rank(matches, p.Object, rankLLMProvider, nil)
		backend := ir.Backend{Weight: 1, Origin: p.Origin("host")}
		up, problem := p.t.upstream(target{host: host, workload: sc.workload, llm: true})
		if backend.Upstream = up; problem != nil {
			backend.Closed = p.in("host").nowhere(problem)
		}
		p.offer(sc, []*dialect.Route{{
			Route: ir.Route{
				Name: p.Object.Key.String(), Matches: matches, Origin: p.Origin(""),
				Action: ir.Action{Forward: &ir.Forward{Backends: []ir.Backend{backend}, Origin: backend.Origin}},
			},
			Owner: p.Object.Key,
		}})
	}
	if len(b.scopes) == 0 && p.Mark() == 0 {
		p.Warn("host", "add the host to a server of a Gateway, or write an LLMRoute", "no server of the gateway serves %s", host)
	}
}

// provider brings along the upstream of an LLMProvider under the rule that
// leads there.
func (t *translation) provider(g target, o *resource.Object) (string, *trouble) {
	s := &o.Spec.(*llmProvider).Spec
	if !s.selects(o, g.workload) {
		return "", &trouble{what: fmt.Sprintf("%v does not select the workload %v", o.Key, g.workload), remedy: "correct its workloadSelector, or name another provider"}
	}
	rule := g.rule
	if _, ok := s.Configs.RouteSpecificConfigs[rule]; !ok {
		rule = ""
	}
	if rule == "" && s.Configs.DefaultConfig == nil {
		return "", &trouble{what: fmt.Sprintf("%v has no configuration for it", o.Key), remedy: "write configs.defaultConfig there"}
	}
	pol, problem := t.policyFor(g, httpsPort, o.Namespace)
	if problem != nil {
		return "", problem
	}
	quiet := t.quiet().place(o, "spec")
	u := quiet.providerUpstream(rule, pol)
	if u.Closed == nil && pol.TLS != nil {
		u.TLS, u.Closed = t.clientTLS(pol, tlsTarget{host: strings.ToLower(s.Host)})
	}
	if u.TLS == nil && u.Closed == nil {
		return "", &trouble{what: fmt.Sprintf("by %v the key of %v would travel without TLS", pol.rule.Key, o.Key), remedy: "write tls.mode: SIMPLE there, or remove it"}
	}
	pol.apply(u)
	return t.bring(u), nil
}

// providerUpstream makes the upstream of one configuration of a provider:
// what is written for a rule lies over the default, field by field. What is
// wrong closes it.
func (p *place) providerUpstream(rule string, pol *policy) *ir.Upstream {
	s := &p.Object.Spec.(*llmProvider).Spec
	host := strings.ToLower(s.Host)
	mark := p.Mark()
	u := &ir.Upstream{
		Name:      fmt.Sprintf("%s:LLMProvider/%s/%s", name, p.Object.Namespace, p.Object.Name),
		Endpoints: []ir.Endpoint{{Host: host, Port: httpsPort}}, Host: host,
		TLS: &ir.ClientTLS{SNI: host, Origin: p.Origin("host")}, Origin: p.Origin(""),
	}
	if rule != "" {
		u.Name += "#" + rule
	}
	u.Name += pol.suffix()
	c := p.config(s, rule)
	u.LLM = &ir.LLM{Schema: "openai", Path: s.Path, Model: c.model, Stream: c.stream, ModelDefault: p.clientsModel()}
	if !strings.HasPrefix(s.Path, "/") || strings.ContainsFunc(s.Path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		p.Fail("path", "write the path of its chat completions", "%q is no path; requests for the provider are closed", s.Path)
	}
	u.Credential = c.credential
	u.Closed = p.Since(mark)
	if len(p.Object.Faults) > 0 {
		u.Closed = reading.Unread(p.Object)
	}
	return u
}

// clientsModel reports whether a model that a request names is left alone.
func (p *place) clientsModel() bool {
	switch v := p.Object.Annotations[modelAnnotation]; v {
	case "", "provider":
		return false
	case "client":
		return true
	default:
		meta := p.t.place(p.Object, "metadata.annotations")
		meta.Fail(modelAnnotation, "write provider or client", "%q is neither provider nor client", v)
		return false
	}
}

// merged is the configuration of a provider for one rule.
type merged struct {
	model      string
	stream     *bool
	credential *ir.Credential
}

// config lays the configuration of a rule over the default one.
func (p *place) config(s *llmProviderSpec, rule string) merged {
	var out merged
	keyed := false
	layer := func(field string, c *providerConfig) {
		if c == nil {
			return
		}
		at := p.in(field + ".openAIConfig")
		if c.OpenAIConfig == nil {
			p.Fail(field, "write openAIConfig", "the configuration names no API; requests for it are closed")
			return
		}
		if m := c.OpenAIConfig.Model; m != nil {
			out.model = *m
		}
		out.stream = cmp.Or(c.OpenAIConfig.Stream, out.stream)
		if credential, ok := at.key(c.OpenAIConfig); ok {
			out.credential, keyed = credential, true
		}
	}
	layer("configs.defaultConfig", s.Configs.DefaultConfig)
	at := "configs.defaultConfig"
	if c, ok := s.Configs.RouteSpecificConfigs[rule]; ok && rule != "" {
		at = "configs.routeSpecificConfigs." + rule
		layer(at, &c)
	}
	if !keyed {
		p.Warn(at, "write apiKey, or apiKeySecretRef", "there is no key for the provider; it gets what the caller shows")
	}
	return out
}

// key reads the provider's key; ok tells that there is one, if only a broken
// one.
func (p *place) key(c *openAIConfig) (credential *ir.Credential, ok bool) {
	out := &ir.HeaderCredential{Name: "Authorization", Prefix: "Bearer "}
	origin := p.Origin("apiKey")
	switch r := c.APIKeySecretRef; {
	case r != nil && !c.APIKey.IsZero():
		p.Fail("apiKeySecretRef", "keep one of them", "apiKey and apiKeySecretRef exclude each other; requests for the provider are closed")
		return nil, true
	case r != nil:
		o, data := secretref.First(p.t.v, []string{p.Object.Namespace}, r.Name)
		key := cmp.Or(r.Key, "apiKey")
		switch {
		case o == nil:
			missing := secretref.None(p.t.v, []string{p.Object.Namespace}, r.Name)
			p.Fail("apiKeySecretRef.name", missing.Remedy, "%s; requests for the provider are closed", missing.What)
			return nil, true
		case !data.HasKey(key):
			p.Fail("apiKeySecretRef.key", "put it into the Secret's data", "secret %s/%s has no key %q; requests for the provider are closed", o.Namespace, o.Name, key)
			return nil, true
		}
		out.Secret, origin = secretref.Of(o.Key, key), p.Origin("apiKeySecretRef")
	case !c.APIKey.IsZero():
		out.Secret = c.APIKey
	default:
		return nil, false
	}
	return &ir.Credential{Header: out, Origin: origin}, true
}
