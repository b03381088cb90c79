package forward

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/llm"
)

// head makes the request of one attempt, from the exchange and from nothing
// that an earlier attempt left.
func (x *exchange) head(ctx context.Context, at *attempt) (*outgoing, *failure) {
	e, u := x.e, at.ep.upstream
	e.Rewind(x.mark)
	e.FreeTo(x.held) // an earlier attempt's copy of the body
	h := e.Header.Clone()
	e.DropConsumed(h)
	data, a := x.adapt(ctx, at.m, h)
	out := e.Outbound
	path, query := e.OutPath(), e.OutQuery()
	e.Outbound = x.mark.Outbound()
	if a != nil {
		return nil, final(a)
	}
	o := &outgoing{data: data, stream: x.stream}
	o.Request = &http.Request{Method: e.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h}
	o.Host = outHost(&out, at.ep, e.Authority)
	var err error
	if o.URL, err = outURL(u, at.ep, path, query); err != nil {
		return nil, final(internalError(err.Error()))
	}
	x.frame(o)
	if err := x.inject(ctx, at, o, &out); err != nil {
		return nil, noCredential(err)
	}
	if o.stream != nil && o.ContentLength < 0 {
		o.Trailer = x.announced(o.Header) // also of what was injected, nothing can be said again
	}
	o.sni = at.ep.serverName(o.Host)
	if cause := unsendable(o); cause != "" {
		return nil, final(internalError(cause))
	}
	at.header = o.Header
	return o, nil
}

// adapt lets the LLM adapter and the upstream's stages change the attempt:
// its head h, its body, and where it goes.
func (x *exchange) adapt(ctx context.Context, m *member, h http.Header) ([]byte, *dataplane.Answer) {
	data, e := x.data, x.e
	if m.adapter != nil {
		var a *dataplane.Answer
		if data, a = x.adaptLLM(m.adapter, h); a != nil {
			return nil, a
		}
	}
	if len(m.stages) == 0 {
		return data, nil
	}
	kept := e.Header
	e.Header = h
	defer func() { e.Header = kept }()
	var a *dataplane.Answer
	stages := func() {
		for _, s := range m.stages {
			if a = s.Run(ctx, e); a != nil {
				return
			}
		}
	}
	if x.stream != nil {
		stages()
	} else {
		data = e.WithBody(data, stages)
	}
	return data, a
}

// adaptLLM turns the request into what the provider takes. A compressed body
// cannot be looked into, so it cannot be shown to ask for what it may.
func (x *exchange) adaptLLM(adapter *llm.Adapter, h http.Header) ([]byte, *dataplane.Answer) {
	e, data := x.e, x.data
	r := &llm.Request{Path: e.OutPath(), RawQuery: e.OutQuery(), ContentType: h.Get("Content-Type"), Object: e.Object()}
	if adapter.NeedsBody(r.Path) {
		if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
			return nil, &dataplane.Answer{Status: http.StatusUnsupportedMediaType, Body: "the request body must not be compressed", Verdict: dataplane.Invalid, Cause: "the body is compressed, and has to be read"}
		}
		r.Body = data
	}
	c, err := adapter.Adapt(r)
	if err != nil {
		return nil, dataplane.BadRequest(err.Error())
	}
	e.Outbound.Path, e.Outbound.RawQuery, e.Outbound.HasQuery = c.Path, c.RawQuery, true
	for _, v := range c.Header {
		h[http.CanonicalHeaderKey(v.Name)] = []string{v.Value}
	}
	if c.Model != "" {
		e.Record.Model = c.Model
	}
	if c.Body != nil {
		return c.Body, e.Hold(int64(len(c.Body)))
	}
	return data, nil
}

// frame settles how the body is delimited, and drops every header that says
// something of it. Expect is ours to answer: the server asks the client for
// its body when it is first read.
func (x *exchange) frame(o *outgoing) {
	h := o.Header
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Host", "Expect", "Upgrade", "Keep-Alive", "Proxy-Connection"} {
		delete(h, name)
	}
	o.ContentLength = int64(len(o.data))
	if o.stream != nil {
		o.ContentLength = x.e.Length
	}
	if x.upgrade != "" {
		h["Connection"] = []string{"Upgrade"}
		h["Upgrade"] = []string{x.upgrade}
	}
}

// inject puts on what is secret: the headers that authentication gave the
// request, the route's credentials, then the upstream's. With the first
// credential goes what the caller sent in such headers.
func (x *exchange) inject(ctx context.Context, at *attempt, o *outgoing, out *dataplane.Outbound) error {
	brought := x.takeBrought(o.Header)
	if x.e.Trace() != nil {
		return x.name(ctx, at, o, out, brought)
	}
	in := at.ep.upstream.injector
	var keep []string
	if in != nil || len(out.Secrets) > 0 || out.CarriesCredential() {
		keep = dropCallers(o.Header, x.e.Caller)
	}
	at.secret = append(at.secret, out.WriteSecretHeaders(o.Header)...)
	keep = append(keep, at.secret...)
	for _, s := range out.Secrets {
		v, err := s.Value()
		if err != nil {
			return err
		}
		name := http.CanonicalHeaderKey(s.Name)
		o.Header[name] = []string{v}
		keep, at.secret = append(keep, name), append(at.secret, name)
	}
	if in == nil {
		return nil
	}
	c := &credential.Outbound{
		Method: o.Method, Scheme: o.URL.Scheme, Host: o.Host, URL: o.URL, Header: o.Header, Body: o.data,
		Caller: x.unaccepted(), Keep: keep, Override: brought, Metadata: x.metadata,
	}
	if err := in.Inject(ctx, c); err != nil {
		return err
	}
	o.Host, o.URL, o.Header = c.Host, c.URL, c.Header
	at.secret = append(at.secret, in.Headers()...)
	return nil
}

// takeBrought removes from h the headers in which a request may bring its own
// credential for any of the route's upstreams, and returns them: what a stage
// has set, or else what the client sent.
func (x *exchange) takeBrought(h http.Header) http.Header {
	var out http.Header
	for _, name := range x.f.brought {
		values, ok := h[name]
		if !ok {
			values, ok = x.e.Brought[name]
		}
		if !ok {
			continue
		}
		if out == nil {
			out = http.Header{}
		}
		out[name] = values
		delete(h, name)
	}
	return out
}

// metadata returns what a step left.
func (x *exchange) metadata(namespace, key string) (text string, isJSON, ok bool) {
	m, ok := x.e.Metadata(namespace, key)
	return m.Text, m.JSON, ok
}

// dropCallers removes from h what the caller sent in credential headers, and
// returns the names of those in which something of ours is left.
func dropCallers(h, caller http.Header) []string {
	var keep []string
	for name, values := range h {
		if !dataplane.IsCredentialHeader(name) {
			continue
		}
		sent := caller[name]
		ours := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return slices.Contains(sent, v) })
		if len(ours) == 0 {
			delete(h, name)
			continue
		}
		h[name] = ours
		keep = append(keep, name)
	}
	return keep
}

// unaccepted are the caller's credentials without those that were accepted as
// proof to the gateway.
func (x *exchange) unaccepted() http.Header {
	caller := x.e.Caller
	for name := range caller {
		if x.e.Consumed(name) {
			caller = caller.Clone()
			for name := range caller {
				if x.e.Consumed(name) {
					delete(caller, name)
				}
			}
			return caller
		}
	}
	return caller
}

// outHost returns the Host that the upstream gets.
func outHost(out *dataplane.Outbound, ep *endpoint, authority string) string {
	switch {
	case out.Host != "":
		return out.Host
	case out.AutoHost && !isAddr(ep.host):
		return ep.host
	case ep.upstream.cfg.Host != "":
		return ep.upstream.cfg.Host
	}
	return authority
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// outURL makes the URL of an escaped path and a raw query, which are sent as
// they are.
func outURL(u *Upstream, ep *endpoint, path, query string) (*url.URL, error) {
	out := &url.URL{Scheme: "http", Host: ep.address, Path: path, RawPath: path, RawQuery: query}
	if u.tls != nil {
		out.Scheme = "https"
	}
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("the rewritten path %q does not begin with a slash", path)
	}
	if strings.ContainsRune(path, '%') {
		plain, err := url.PathUnescape(path)
		if err != nil {
			return nil, fmt.Errorf("the rewritten path %q holds a broken escape", path)
		}
		out.Path = plain
	}
	return out, nil
}

// serverName returns the name that TLS asks for and verifies.
func (ep *endpoint) serverName(host string) string {
	t := ep.upstream.tls
	switch {
	case t == nil:
		return ep.host
	case ep.sni != "":
		return ep.sni
	case t.sni != "":
		return t.sni
	case t.auto:
		return hostName(host)
	}
	return ep.host
}

// hostName returns an authority without its port and brackets.
func hostName(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		authority = authority[:i]
	}
	return strings.Trim(authority, "[]")
}

// unsendable says what of o would split or forge a head, or "". Values are
// not quoted: they may be secret.
func unsendable(o *outgoing) string {
	for name, values := range o.Header {
		if !isToken(name) {
			return fmt.Sprintf("outbound header name %q is malformed", name)
		}
		if !sendable(values) {
			return "outbound header " + name + " holds a line break or NUL"
		}
	}
	if !isHostText(o.Host) {
		return "the outbound host is malformed"
	}
	if strings.ContainsFunc(o.URL.RawQuery, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.Contains(o.URL.RequestURI(), "\r\n") {
		return "the outbound query is malformed"
	}
	if !isToken(o.Method) {
		return "the method is malformed"
	}
	return ""
}

func sendable(values []string) bool {
	for _, v := range values {
		for i := 0; i < len(v); i++ {
			if c := v[i]; c == '\r' || c == '\n' || c == 0 {
				return false
			}
		}
	}
	return true
}

// tokenBytes are those of a field name or method (RFC 9110 5.6.2).
var tokenBytes = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return t
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

func isHostText(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '@' || c == '?' || c == '#' || c == '\\' || c == ',' {
			return false
		}
	}
	return s != ""
}

func lowerAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}
