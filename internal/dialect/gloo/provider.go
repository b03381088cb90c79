package gloo

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/internal/ir"
)

// pools makes an upstream of every provider of a pool, and tiers of the pools.
// A provider that cannot be reached is closed by itself; what closes the
// Upstream closes all.
func (p *options) pools(s *aiMulti, u *ir.Upstream) []*ir.Upstream {
	var members []*ir.Upstream
	for tier, pr := range s.Priorities {
		var names []ir.TierMember
		for i := range pr.Pool {
			at := fmt.Sprintf("ai.multi.priorities[%d].pool[%d]", tier, i)
			m := *u
			m.Name, m.Origin, m.Tiers = fmt.Sprintf("%s#%d.%d", u.Name, tier, i), p.Origin(at), nil
			before := p.Mark()
			p.provider(at, &pr.Pool[i], &m)
			m.Closed = cmp.Or(u.Closed, p.Since(before))
			members, names = append(members, &m), append(names, ir.TierMember{Upstream: m.Name})
		}
		if len(names) > 0 {
			u.Tiers = append(u.Tiers, names)
		}
	}
	if len(u.Tiers) == 0 {
		before := p.Mark()
		p.Fail("ai.multi", "write a provider into a pool", "multi has no provider")
		u.Closed = cmp.Or(u.Closed, p.Since(before))
	}
	u.TLS, u.Protocol = nil, ir.ProtocolHTTP1 // the members have them
	return members
}

func providers(s *aiProvider) int {
	n := 0
	for _, set := range []bool{
		s.Anthropic != nil, s.AzureOpenAI != nil, s.Bedrock != nil, s.Gemini != nil, s.Mistral != nil, s.OpenAI != nil, s.VertexAI != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// call is how one provider is spoken to.
type call struct {
	host   string
	llm    ir.LLM
	custom *customHost
	// header and prefix carry the key.
	header, prefix string
	token          *authToken
}

// provider reads one LLM provider into u.
func (p *options) provider(at string, s *aiProvider, u *ir.Upstream) {
	var c call
	switch n := providers(s); {
	case n != 1:
		p.Fail(at, "write one of openai, azureOpenai, anthropic, gemini, vertexAi, mistral, bedrock", "there are %d providers, want one", n)
		return
	case s.OpenAI != nil:
		at, c = at+".openai", openAICall("api.openai.com", s.OpenAI)
	case s.Mistral != nil:
		at, c = at+".mistral", openAICall("api.mistral.ai", s.Mistral)
	case s.Anthropic != nil:
		at += ".anthropic"
		c = p.anthropicCall(at, s.Anthropic)
	case s.AzureOpenAI != nil:
		at += ".azureOpenai"
		c = p.azureCall(at, s.AzureOpenAI)
	case s.Gemini != nil:
		at += ".gemini"
		c = p.geminiCall(at, s.Gemini)
	case s.VertexAI != nil:
		at += ".vertexAi"
		c = p.vertexCall(at, s.VertexAI)
	case s.Bedrock != nil:
		at += ".bedrock"
		c = p.bedrockCall(at, s.Bedrock)
	}
	p.address(at, &c, u)
	if s.Bedrock != nil {
		u.Credential = p.awsCredential(at, s.Bedrock)
	} else {
		u.Credential = p.credential(at, &c)
	}
	u.LLM = &c.llm
	if u.TLS == nil && u.Credential != nil {
		p.Warn(at+".customHost", "use port 443, or write sslConfig", "the provider's credential travels without TLS")
	}
}

func openAICall(host string, s *openAI) call {
	return call{
		host: host, custom: s.CustomHost, token: s.AuthToken, header: "Authorization", prefix: "Bearer ",
		llm: ir.LLM{Schema: "openai", Path: "/v1/chat/completions", PlatformPaths: true, Model: s.Model},
	}
}

func (p *options) anthropicCall(at string, s *anthropic) call {
	c := call{
		host: "api.anthropic.com", custom: s.CustomHost, token: s.AuthToken, header: "x-api-key",
		llm: ir.LLM{Schema: "anthropic", Path: "/v1/messages", Model: s.Model},
	}
	if s.Version != "" {
		if strings.ContainsAny(s.Version, "\r\n\x00") {
			p.Fail(at+".version", "write it on one line", "the version holds a line break or NUL")
		}
		c.llm.Headers = []ir.HeaderValue{{Name: "anthropic-version", Value: s.Version, Origin: p.Origin(at + ".version")}}
	}
	return c
}

func (p *options) azureCall(at string, s *azureOpenAI) call {
	p.Need(at+".endpoint", s.Endpoint)
	p.Need(at+".deploymentName", s.DeploymentName)
	p.Need(at+".apiVersion", s.APIVersion)
	host := s.Endpoint
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	host = strings.TrimRight(host, "/")
	if strings.ContainsAny(host, "/?#@ ") {
		p.Fail(at+".endpoint", "write it as name.openai.azure.com", "the endpoint is no host")
	}
	return call{
		host: host, custom: s.CustomHost, token: s.AuthToken, header: "api-key",
		llm: ir.LLM{
			Schema: "openai",
			Path:   "/openai/deployments/" + url.PathEscape(s.DeploymentName) + "/chat/completions?api-version=" + url.QueryEscape(s.APIVersion),
		},
	}
}

func (p *options) geminiCall(at string, s *gemini) call {
	p.Need(at+".model", s.Model)
	p.Need(at+".apiVersion", s.APIVersion)
	base := "/" + url.PathEscape(s.APIVersion) + "/models/" + url.PathEscape(s.Model)
	return call{
		host: "generativelanguage.googleapis.com", custom: s.CustomHost, token: s.AuthToken, header: "x-goog-api-key",
		llm: ir.LLM{
			Schema: "gemini", Path: base + ":generateContent", StreamPath: base + ":streamGenerateContent?alt=sse",
			Model: s.Model, ModelInPath: true,
		},
	}
}

func (p *options) vertexCall(at string, s *vertexAI) call {
	p.Need(at+".model", s.Model)
	p.Need(at+".apiVersion", s.APIVersion)
	p.Need(at+".projectId", s.ProjectID)
	p.Need(at+".location", s.Location)
	if s.Location != "" && !isLabel(s.Location) {
		p.Fail(at+".location", "write one such as us-central1", "the location is no part of a host name")
	}
	base := fmt.Sprintf("/%s/projects/%s/locations/%s/publishers/google/models/%s",
		url.PathEscape(s.APIVersion), url.PathEscape(s.ProjectID), url.PathEscape(s.Location), url.PathEscape(s.Model))
	c := call{
		host: s.Location + "-aiplatform.googleapis.com", custom: s.CustomHost, token: s.AuthToken, header: "Authorization", prefix: "Bearer ",
		llm: ir.LLM{
			Schema: "gemini", Path: base + ":generateContent", StreamPath: base + ":streamGenerateContent?alt=sse",
			Model: s.Model, ModelInPath: true,
		},
	}
	if s.ModelPath != "" {
		c.llm.Path, c.llm.StreamPath = base+":"+url.PathEscape(s.ModelPath), ""
	}
	switch s.JSONSchema {
	case schemaAnthropic:
		c.llm.Schema = "anthropic"
	case schemaOpenAI:
		c.llm.Schema = "openai"
	}
	return c
}

func (p *options) bedrockCall(at string, s *bedrock) call {
	p.Need(at+".model", s.Model)
	p.Need(at+".region", s.Region)
	if s.Region != "" && !isLabel(s.Region) {
		p.Fail(at+".region", "write one such as us-east-1", "the region is no part of a host name")
	}
	base := "/model/" + url.PathEscape(s.Model)
	return call{
		host: "bedrock-runtime." + s.Region + ".amazonaws.com", custom: s.CustomHost,
		llm: ir.LLM{
			Schema: "bedrock", Path: base + "/converse", StreamPath: base + "/converse-stream",
			Model: s.Model, ModelInPath: true,
		},
	}
}

// isLabel reports whether s can stand in a host name without becoming
// another host.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}

// address sets where a provider is, and how it is named: customHost goes
// before the provider's own host, and port 443 means TLS.
func (p *options) address(at string, c *call, u *ir.Upstream) {
	host, port, hostname := c.host, httpsPort, ""
	if h, ps, err := net.SplitHostPort(c.host); err == nil {
		if n, err := strconv.Atoi(ps); err == nil {
			host, port = h, n
		}
	}
	if o := c.custom; o != nil {
		host, port = cmp.Or(o.Host, host), cmp.Or(o.Port, port)
		if o.Hostname != nil {
			hostname = *o.Hostname
		}
		if path := o.PathOverride; path != nil {
			p.overridePath(at+".customHost.pathOverride", path.FullPath, path.BasePath, &c.llm)
		}
	}
	if c.custom != nil && (port < 0 || port > 65535 || strings.ContainsAny(host+hostname, "/?#@ \r\n")) {
		p.Fail(at+".customHost", "write a host name and a port", "customHost is no address")
	}
	name := cmp.Or(hostname, host)
	u.Endpoints = []ir.Endpoint{{Host: host, Port: port}}
	u.Host = name
	if port != httpsPort && hostname == "" {
		u.Host = net.JoinHostPort(host, strconv.Itoa(port))
	}
	tls := ir.ClientTLS{SNI: name, Origin: p.Origin(at)}
	switch {
	case u.TLS != nil:
		tls = *u.TLS
		tls.SNI = cmp.Or(tls.SNI, name)
	case port != httpsPort:
		return
	}
	u.TLS = &tls
}

// overridePath takes a whole path for chat, or puts something before every
// path.
func (p *options) overridePath(at, full, base string, llm *ir.LLM) {
	switch {
	case full != "" && base != "":
		p.Fail(at, "keep one of them", "fullPath and basePath exclude each other")
	case full != "":
		llm.Path, llm.StreamPath = slashed(full), ""
	case base != "":
		base = strings.TrimRight(slashed(base), "/")
		llm.Path, llm.BasePath = base+llm.Path, base
		if llm.StreamPath != "" {
			llm.StreamPath = base + llm.StreamPath
		}
	}
}

func slashed(path string) string { return "/" + strings.TrimLeft(path, "/") }
