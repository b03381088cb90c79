package envoyai

import (
	"cmp"
	"regexp"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
)

// credentialData is the data key of what an HTTPRouteFilter injects.
const credentialData = "credential"

// routeFilter reads an HTTPRouteFilter, for the HTTPRoutes that name it in an
// ExtensionRef.
func (p *place) routeFilter(s *httpRouteFilterSpec) {
	mark := p.Mark()
	var steps []ir.Step
	add := func(phase ir.Phase, field string, s ir.Step) {
		s.Phase, s.Slot, s.Origin = phase, p.slot(field), p.Origin(field)
		steps = append(steps, s)
	}
	if s.Matches {
		p.Fail("matches", "match by headers of the HTTPRoute", "matches of cookies are not supported; the routes that name the filter are closed")
	}
	if u := s.URLRewrite; u != nil {
		at := p.in("urlRewrite")
		forwarded := u.AppendXForwardedHost != nil && *u.AppendXForwardedHost
		if u.Hostname != nil {
			h := at.in("hostname").hostRewrite(u.Hostname)
			h.AppendForwarded = forwarded
			add(ir.PhaseForward, "urlRewrite.hostname", ir.Step{Host: h})
		}
		if u.Path != nil {
			if u.Path.Type != "ReplaceRegexMatch" || u.Path.ReplaceRegexMatch == nil {
				at.Fail("path", "write type: ReplaceRegexMatch with replaceRegexMatch", "the path's type and its fields do not agree")
			} else {
				add(ir.PhaseForward, "urlRewrite.path", ir.Step{Path: &ir.PathRewrite{Regex: at.in("path.replaceRegexMatch").regex(u.Path.ReplaceRegexMatch)}})
			}
		}
	}
	if s.CredentialInjection != nil {
		add(ir.PhaseForward, "credentialInjection", ir.Step{Headers: p.in("credentialInjection").injection(s)})
	}
	if d := s.DirectResponse; d != nil {
		at := p.in("directResponse")
		if d.Header != nil {
			add(ir.PhaseFilter, "directResponse.header", ir.Step{Headers: &ir.HeaderEdit{Response: at.in("header").edit(d.Header)}})
			at.Refuse("header.remove", present(len(d.Header.Remove) > 0))
		}
		add(ir.PhaseForward, "directResponse", ir.Step{Direct: at.direct(d)})
	}
	closed := p.Since(mark)
	if c := faulty(p.Object); c != nil {
		closed = c
	}
	if closed != nil {
		steps = nil
	}
	t := target(p.Object.Key)
	p.t.f.Referable = append(p.t.f.Referable, t)
	p.t.f.Attachments = append(p.t.f.Attachments, &dialect.Attachment{
		Target: t, Slot: p.slot(p.Object.Namespace + "/" + p.Object.Name), Combine: dialect.All, Owner: p.Object.Key, Age: p.Object.Created,
		Steps: steps, Closed: closed, Origin: p.Origin(""),
	})
}

// injection reads a credential that is put on.
func (p *place) injection(s *httpRouteFilterSpec) *ir.HeaderEdit {
	c := s.CredentialInjection
	header := cmp.Or(c.Header, "Authorization")
	p.headerName("header", header)
	if c.Credential == nil {
		p.Fail("credential", "name a Secret", "nothing says what to inject")
		return &ir.HeaderEdit{}
	}
	ref := p.secretKey("credential.valueRef", c.Credential.ValueRef, credentialData)
	set := []ir.HeaderValue{{Name: header, Secret: ref, Origin: p.Origin("credential")}}
	return &ir.HeaderEdit{Request: ir.HeaderChanges{Set: set}}
}

func (p *place) hostRewrite(s *hostRewrite) *ir.HostRewrite {
	switch {
	case s.Type == "Header" && s.Header != "" && s.PathRegex == nil:
		p.headerName("header", s.Header)
		return &ir.HostRewrite{FromHeader: s.Header}
	case s.Type == "Backend" && s.Header == "" && s.PathRegex == nil:
		return &ir.HostRewrite{Auto: true}
	case s.Type == "PathRegex" && s.PathRegex != nil && s.Header == "":
		return &ir.HostRewrite{FromPath: p.in("pathRegex").regex(s.PathRegex)}
	}
	p.Fail("", "write type Header, Backend or PathRegex with the field of that name", "the type and the fields of the host name do not agree")
	return &ir.HostRewrite{}
}

func (p *place) regex(s *regexEdit) *ir.RegexRewrite {
	if _, err := regexp.Compile(s.Pattern); err != nil || s.Pattern == "" {
		p.Fail("pattern", "write it in the syntax of RE2", "the expression is not valid")
	}
	return &ir.RegexRewrite{Pattern: s.Pattern, Substitution: s.Substitution}
}

func (p *place) direct(s *directResponse) *ir.Direct {
	out := &ir.Direct{Status: s.StatusCode, ContentType: s.ContentType, Origin: p.Origin("")}
	if out.Status == 0 {
		out.Status = 200
	}
	if out.Status < 200 || out.Status > 599 {
		p.Fail("statusCode", "use 200 to 599", "%d is no status of an answer", out.Status)
	}
	b := s.Body
	switch {
	case b == nil:
	case (b.Type == "" || b.Type == "Inline") && b.ValueRef == nil:
		out.Body = b.Inline
	case b.Type == "ValueRef" && b.ValueRef != nil:
		out.Body = p.configMap("body.valueRef", b.ValueRef, "response.body")
	default:
		p.Fail("body", "write inline, or type: ValueRef with valueRef", "the body's type and its fields do not agree")
	}
	return out
}

// guard closes what a policy targets whose protection we do not have.
func (p *place) guard(s *targeting) {
	p.attach(s, targetKinds, []field{
		p.build("spec", true, func(*place) []ir.Step {
			p.Fail("", "remove it to serve these routes without it", "%s is not supported; what it would guard is closed", p.Object.Kind)
			return nil
		}),
	})
}

// quota reports a QuotaPolicy; its backends are closed by themselves.
func (p *place) quota(list []targetRef) {
	p.Fail("", "remove it to serve these backends without a quota", "%s is not supported; the backends that it is for are closed", p.Object.Kind)
	for i, t := range list {
		key := targetKey(t, p.Object.Namespace)
		if p.t.v.Get(key.GroupKind, key.Namespace, key.Name) == nil {
			p.in("targetRefs[%d]", i).Fail("name", p.suggest(key), "no %s %q in %s", key.Kind, key.Name, key.Namespace)
		}
	}
}
