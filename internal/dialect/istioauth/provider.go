package istioauth

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/internal/dialect/reading"
	"github.com/postern-gateway/postern/internal/ir"
)

// ExtensionProvider is a server that CUSTOM policies can ask.
type ExtensionProvider struct {
	Name string
	// Host and Port of the service.
	Host string
	Port int
	// Auth is how it is asked, without its address; nil: it cannot be.
	Auth *ir.ExternalAuth
	// Rematch says that what it changes may choose another route.
	Rematch bool
	Origin  ir.Origin
}

// extensionProvider is MeshConfig's. Of the other kinds (tracers, loggers)
// nothing is read.
type extensionProvider struct {
	Name string       `yaml:"name"`
	HTTP *extAuthHTTP `yaml:"envoyExtAuthzHttp"`
	GRPC *extAuth     `yaml:"envoyExtAuthzGrpc"`
}

// extAuth are the fields of both protocols.
type extAuth struct {
	Service                   string         `yaml:"service"`
	Port                      int            `yaml:"port"`
	Timeout                   string         `yaml:"timeout"`
	FailOpen                  bool           `yaml:"failOpen"`
	StatusOnError             string         `yaml:"statusOnError"`
	ClearRouteCache           bool           `yaml:"clearRouteCache"`
	IncludeRequestBodyInCheck *bodyInCheck   `yaml:"includeRequestBodyInCheck"`
	Others                    map[string]any `yaml:",inline"`
}

type bodyInCheck struct {
	MaxRequestBytes     int64 `yaml:"maxRequestBytes"`
	AllowPartialMessage bool  `yaml:"allowPartialMessage"`
	PackAsBytes         bool  `yaml:"packAsBytes"`
}

type extAuthHTTP struct {
	extAuth
	PathPrefix                      string
	IncludeHeadersInCheck           []string
	IncludeRequestHeadersInCheck    []string
	IncludeAdditionalHeadersInCheck map[string]string
	HeadersToUpstreamOnAllow        []string
	HeadersToDownstreamOnDeny       []string
	HeadersToDownstreamOnAllow      []string
}

// UnmarshalYAML reads the fields of both protocols, and then its own.
func (h *extAuthHTTP) UnmarshalYAML(n *yaml.Node) error {
	if err := n.Decode(&h.extAuth); err != nil {
		return err
	}
	own := map[string]any{
		"pathPrefix": &h.PathPrefix, "includeHeadersInCheck": &h.IncludeHeadersInCheck,
		"includeRequestHeadersInCheck": &h.IncludeRequestHeadersInCheck, "includeAdditionalHeadersInCheck": &h.IncludeAdditionalHeadersInCheck,
		"headersToUpstreamOnAllow": &h.HeadersToUpstreamOnAllow, "headersToDownstreamOnDeny": &h.HeadersToDownstreamOnDeny,
		"headersToDownstreamOnAllow": &h.HeadersToDownstreamOnAllow,
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		to := own[n.Content[i].Value]
		if to == nil {
			continue
		}
		if err := n.Content[i+1].Decode(to); err != nil {
			return err
		}
		delete(h.Others, n.Content[i].Value)
	}
	return nil
}

// defaultAsk is Istio's bound on a question.
const defaultAsk = 600 * time.Second

// provider reads one extension provider. One with a fault is kept, and cannot
// be asked.
func (r *meshReader) provider(at string, s *extensionProvider) {
	if s.HTTP == nil && s.GRPC == nil {
		return
	}
	p := ExtensionProvider{Name: s.Name, Origin: r.Origin(at)}
	before := r.Mark()
	auth := &ir.ExternalAuth{}
	var common *extAuth
	switch {
	case s.HTTP != nil && s.GRPC != nil:
		r.Fail(at, "keep one", "the provider has two protocols")
		common = &s.HTTP.extAuth
	case s.HTTP != nil:
		at += ".envoyExtAuthzHttp"
		common, auth.HTTP = &s.HTTP.extAuth, r.http(at, s.HTTP)
	default:
		at += ".envoyExtAuthzGrpc"
		common, auth.GRPC = s.GRPC, &ir.ExternalGRPC{}
	}
	r.common(at, common, auth)
	p.Host, p.Port, p.Rematch = hostOf(common.Service), common.Port, common.ClearRouteCache
	if s.Name == "" {
		r.Fail(at, "name it", "the provider has no name")
	}
	if twin := r.m.provider(s.Name); twin != nil {
		twin.Auth = nil
		r.Fail(at, "name one of them otherwise", "the name %q is used twice; neither can be asked", s.Name)
		return
	}
	if r.Mark() == before {
		p.Auth = auth
	}
	if common.FailOpen {
		r.Report.Add(warning(p.Origin, "everybody passes while the server cannot be asked", "write failOpen: false"))
	}
	r.m.Providers = append(r.m.Providers, p)
}

// hostOf takes the namespace off "[NAMESPACE/]HOST".
func hostOf(service string) string {
	if _, host, ok := strings.Cut(service, "/"); ok {
		return host
	}
	return service
}

// common reads the fields of both protocols.
func (r *meshReader) common(at string, s *extAuth, out *ir.ExternalAuth) {
	if host := hostOf(s.Service); host == "" || strings.ContainsAny(host, "/:@ ") {
		r.Fail(at+".service", "write the service's host", "it is no host")
	}
	if s.Port < 1 || s.Port > 65535 {
		r.Fail(at+".port", "write the service's port", "it is no port")
	}
	out.Timeout = defaultAsk
	if s.Timeout != "" {
		d, err := time.ParseDuration(s.Timeout)
		if err != nil || d < time.Millisecond {
			r.Fail(at+".timeout", "write 1s, for instance", "it is no duration of a millisecond or more")
		}
		out.Timeout = d
	}
	if s.StatusOnError != "" {
		n, err := strconv.Atoi(s.StatusOnError)
		if err != nil || n < 400 || n > 599 {
			r.Fail(at+".statusOnError", "write a status from 400 to 599", "it is no status of an error")
		}
		out.StatusOnError = n
	}
	out.FailOpen = s.FailOpen
	if b := s.IncludeRequestBodyInCheck; b != nil {
		if b.MaxRequestBytes <= 0 {
			r.Fail(at+".includeRequestBodyInCheck.maxRequestBytes", "write how many bytes", "it is not above 0")
		}
		out.BodyBytes, out.PartialBody, out.RawBody = b.MaxRequestBytes, b.AllowPartialMessage, b.PackAsBytes
	}
	for name := range s.Others {
		r.Fail(at+"."+name, "remove it", "the field is not known, or not supported")
	}
}

// sentAnyway are headers of the request that Envoy sends along in any case.
var sentAnyway = [...]string{"authorization"}

func (r *meshReader) http(at string, s *extAuthHTTP) *ir.ExternalHTTP {
	out := &ir.ExternalHTTP{
		AppendPath:      true,
		RequestHeaders:  unique(slices.Concat(sentAnyway[:], s.IncludeRequestHeadersInCheck, s.IncludeHeadersInCheck)),
		AddHeaders:      s.IncludeAdditionalHeadersInCheck,
		UpstreamHeaders: s.HeadersToUpstreamOnAllow,
		ClientHeaders:   s.HeadersToDownstreamOnDeny,
		SuccessHeaders:  s.HeadersToDownstreamOnAllow,
	}
	if p := s.PathPrefix; p != "" && !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#") {
		r.Fail(at+".pathPrefix", "begin it with a slash", "it is no path")
	}
	out.URL = strings.TrimSuffix(s.PathPrefix, "/")
	for _, f := range []struct {
		name     string
		names    []string
		settable bool
	}{
		{"includeRequestHeadersInCheck", out.RequestHeaders, false}, {"headersToUpstreamOnAllow", out.UpstreamHeaders, true},
		{"headersToDownstreamOnDeny", out.ClientHeaders, false}, {"headersToDownstreamOnAllow", out.SuccessHeaders, true},
	} {
		for _, name := range f.names {
			bare := strings.TrimSuffix(strings.TrimPrefix(name, "*"), "*")
			if !isHeader(bare) || strings.ContainsAny(bare, "*:") || f.settable && isFraming(name) {
				r.Fail(at+"."+f.name, "write names of headers, with a * at one end", "%q is none that fits here", name)
			}
		}
	}
	for name, value := range out.AddHeaders {
		if reading.HoldsCredential(name) {
			r.Fail(at+".includeAdditionalHeadersInCheck", "let the server know this gateway by its network", "a credential is written in %q, and a ConfigMap is no place for a secret", name)
		}
		if !isHeader(name) || strings.ContainsAny(value, "\r\n\x00") {
			r.Fail(at+".includeAdditionalHeadersInCheck", "correct it", "%q is no header name, or its value holds a line break", name)
		}
	}
	return out
}

// ask returns the question to an extension provider, which a policy puts; nil:
// it cannot be asked.
func (e *Env) ask(name string, policy ir.Origin) *ir.AuthSet {
	p := e.Mesh.provider(name)
	if p == nil || p.Auth == nil {
		return nil
	}
	auth := *p.Auth
	upstream := ""
	if e.Upstream != nil {
		upstream = e.Upstream(p.Host, p.Port)
	}
	address := net.JoinHostPort(p.Host, strconv.Itoa(p.Port))
	switch {
	case auth.HTTP != nil:
		h := *auth.HTTP
		h.URL, h.Upstream = fmt.Sprintf("http://%s%s", address, h.URL), upstream
		auth.HTTP = &h
	default:
		g := *auth.GRPC
		g.Address, g.Upstream = address, upstream
		auth.GRPC = &g
	}
	return &ir.AuthSet{Methods: []ir.AuthMethod{{Name: p.Name, External: &auth, Origin: policy}}}
}
