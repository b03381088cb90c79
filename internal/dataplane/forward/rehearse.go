package forward

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// rehearse ends an attempt that is not to be sent: it hands over the head.
func (x *exchange) rehearse(at *attempt, o *outgoing) *failure {
	u := &dataplane.TracedUpstream{
		Name: at.ep.upstream.cfg.Name, Endpoint: at.ep.address, Share: x.share(at),
		Method: o.Method, Host: o.Host, Header: o.Header.Clone(), Secrets: at.from,
		BodyBytes: o.ContentLength,
	}
	if _, h1 := at.ep.transport.of(u.Header).(*http1); h1 && namesTE(u.Header) {
		u.Header["Connection"] = []string{"TE"}
	}
	where := *o.URL
	where.Host = bare(where.Scheme, at.ep.address)
	u.URL = where.String()
	for name := range u.Secrets {
		u.Header[name] = []string{dataplane.Redacted}
	}
	x.e.Trace().Forward(u)
	return final(&dataplane.Answer{Verdict: dataplane.Allowed})
}

// bare returns an address without the port that a scheme has anyway.
func bare(scheme, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || scheme == "https" && port != "443" || scheme == "http" && port != "80" {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// share says by which chance the attempt goes where it goes.
func (x *exchange) share(at *attempt) string {
	if len(x.f.backends) > 1 {
		return fmt.Sprintf("weight %d of %d", x.backend.weight, x.f.total)
	}
	switch members, endpoints := len(x.backend.members), len(at.ep.upstream.members.Load().endpoints); {
	case members > 1:
		return "the first of " + strconv.Itoa(members) + " upstreams in " + strconv.Itoa(len(x.backend.tiers)) + " tiers"
	case endpoints > 1:
		return "one of " + strconv.Itoa(endpoints) + " endpoints"
	}
	return ""
}

// name is inject for a rehearsal: it puts on what is secret by name, and
// fetches nothing. It fails where inject would, as far as can be told.
func (x *exchange) name(ctx context.Context, at *attempt, o *outgoing, out *dataplane.Outbound, brought http.Header) error {
	in, cfg := at.ep.upstream.injector, at.ep.upstream.cfg.Credential
	at.from = map[string]string{}
	var keep []string
	if in != nil || len(out.Secrets) > 0 || out.CarriesCredential() {
		keep = dropCallers(o.Header, x.e.Caller)
	}
	for _, name := range out.WriteSecretHeaders(o.Header) {
		at.from[name] = x.e.Trace().Maker(name)
	}
	for _, s := range out.Secrets {
		if _, err := s.Value(); err != nil {
			return err
		}
		at.from[http.CanonicalHeaderKey(s.Name)] = s.Source()
	}
	keep = slices.AppendSeq(keep, maps.Keys(at.from))
	for name := range at.from {
		o.Header[name] = []string{dataplane.Redacted}
	}
	if in == nil {
		return nil
	}
	if cfg.Override != nil || atHand(cfg) {
		c := &credential.Outbound{
			Method: o.Method, Scheme: o.URL.Scheme, Host: o.Host, URL: o.URL, Header: o.Header.Clone(), Body: o.data,
			Caller: x.unaccepted(), Keep: keep, Override: brought, Metadata: x.metadata,
		}
		err := in.Inject(ctx, c)
		if callers := (*credential.CallerError)(nil); err != nil && (atHand(cfg) || errors.As(err, &callers)) {
			return err
		}
		if err == nil {
			o.Host, o.URL, o.Header = c.Host, c.URL, c.Header
			x.named(at, o, in, reference(cfg, len(brought) > 0))
			return nil
		}
	}
	for _, name := range credential.WellKnown() { // it would be fetched
		if !slices.Contains(keep, name) {
			delete(o.Header, name)
		}
	}
	for _, name := range in.Headers() {
		o.Header[http.CanonicalHeaderKey(name)] = []string{dataplane.Redacted}
	}
	x.named(at, o, in, reference(cfg, false))
	return nil
}

// named notes where the headers of an Injector come from.
func (x *exchange) named(at *attempt, o *outgoing, in credential.Injector, from string) {
	for _, name := range in.Headers() {
		if name = http.CanonicalHeaderKey(name); o.Header[name] != nil {
			at.from[name] = from
		}
	}
}

// atHand reports whether a credential is made of nothing but what the request
// brings and secrets that are at hand.
func atHand(c *ir.Credential) bool {
	return c.Header != nil || c.Passthrough != nil || c.AWS != nil && c.AWS.Keys.Static != nil && c.AWS.Keys.Role == nil
}

// reference says where a credential comes from.
func reference(c *ir.Credential, brought bool) string {
	switch {
	case brought:
		return "what the request brings"
	case c.Header != nil:
		return c.Header.Secret.String()
	case c.Passthrough != nil:
		return "the caller's own token"
	case c.AWS != nil && c.AWS.Keys.Static != nil:
		return "signed with " + c.AWS.Keys.Static.SecretAccessKey.String()
	case c.AWS != nil && c.AWS.Keys.Role == nil && c.AWS.Keys.File != nil:
		return "signed with the keys in " + c.AWS.Keys.File.Contents.String()
	case c.AWS != nil:
		return "signed with keys that are fetched, as " + c.Origin.String() + " says"
	}
	return "a token that is fetched, as " + c.Origin.String() + " says"
}
