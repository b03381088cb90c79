package ir

import "fmt"

// Asks lists what a route asks its callers for, in words: one entry for each
// step that lets nobody pass unproven. Empty means that it asks nobody.
func (r *Route) Asks() []string {
	var out []string
	for _, s := range r.Steps {
		switch {
		case s.JWT != nil && s.JWT.Missing == JWTRequired:
			out = append(out, "JWT of "+issuers(s.JWT))
		case s.AuthSet != nil:
			if asks := s.AuthSet.asks(); asks != "" {
				out = append(out, asks)
			}
		case s.ClaimRules != nil:
			out = append(out, "claims")
		case s.Authorization != nil:
			if asks := s.Authorization.asks(); asks != "" {
				out = append(out, asks)
			}
		case s.AccessRules != nil && s.AccessRules.asks():
			out = append(out, "access rules")
		}
	}
	return out
}

func issuers(j *JWT) string {
	text := ""
	for i, p := range j.Providers {
		if i > 0 {
			text += " or "
		}
		if p.Issuer == "" {
			text += "any issuer (" + p.Name + ")"
		} else {
			text += p.Issuer
		}
	}
	return text
}

// asks says what a set asks for; empty if it may let a caller pass who has
// none of it. An external check that fails open asks for nothing: nobody is
// kept out while its server is down.
func (s *AuthSet) asks() string {
	x, err := s.Tree()
	if err != nil || x.Holds(func(i int) bool { e := s.Methods[i].External; return e != nil && e.FailOpen }) {
		return ""
	}
	return s.words(&x)
}

func (s *AuthSet) words(x *AuthExpr) string {
	switch {
	case x.Method > 0:
		return s.Methods[x.Method-1].words()
	case x.Not != nil:
		return "not " + s.words(x.Not)
	}
	list, join := x.And, " and "
	if len(x.Or) > 0 {
		list, join = x.Or, " or "
	}
	text := ""
	for i := range list {
		part := s.words(&list[i])
		if len(list[i].And)+len(list[i].Or) > 0 {
			part = "(" + part + ")"
		}
		if i > 0 {
			text += join
		}
		text += part
	}
	return text
}

func (m *AuthMethod) words() string {
	switch {
	case m.APIKey != nil:
		return "API key"
	case m.Basic != nil:
		return "user and password"
	case m.Token != nil:
		return "access token"
	case m.External != nil:
		return "external check"
	}
	return "verified token"
}

// Carries lists the provider credentials that requests of a route get, by the
// name of their secret. A credential that the caller brings is not one.
func (c *Config) Carries(r *Route) []string {
	var out []string
	add := func(s string) {
		for _, o := range out {
			if o == s {
				return
			}
		}
		out = append(out, s)
	}
	secretHeaders := func(steps []Step) {
		for _, s := range steps {
			for _, m := range s.AuthSet.metadata() {
				add(fmt.Sprintf("the caller's Secret[%s] in %s", m.Key, m.Header))
			}
			if s.Headers == nil {
				continue
			}
			for _, list := range [][]HeaderValue{s.Headers.Request.Set, s.Headers.Request.Add} {
				for _, v := range list {
					if !v.Secret.IsZero() {
						add(v.Secret.String())
					}
				}
			}
		}
	}
	secretHeaders(r.Steps)
	if r.Action.Forward == nil {
		return out
	}
	for _, b := range r.Action.Forward.Backends {
		secretHeaders(b.Steps)
		for _, u := range c.Reached(b) {
			secretHeaders(u.Steps)
			if s := u.Credential.Secret(); s != "" {
				add(s)
			}
		}
	}
	return out
}

// metadata are the headers that the Secrets of API keys become, where there is
// a Secret that has one.
func (a *AuthSet) metadata() []MetadataHeader {
	if a == nil {
		return nil
	}
	var out []MetadataHeader
	for _, m := range a.Methods {
		if m.APIKey == nil {
			continue
		}
		all := m.APIKey.Entries.Len()
		for i, h := range m.APIKey.FromMetadata {
			if m.APIKey.Entries.Missing(i) < all {
				out = append(out, h)
			}
		}
	}
	return out
}

// Reached returns the upstreams that a backend can send to: its own, or the
// members of its tiers.
func (c *Config) Reached(b Backend) []*Upstream {
	u := c.Upstreams[b.Upstream]
	if u == nil || b.Closed != nil {
		return nil
	}
	if len(u.Tiers) == 0 {
		return []*Upstream{u}
	}
	var out []*Upstream
	for _, tier := range u.Tiers {
		for _, member := range tier {
			if m := c.Upstreams[member.Upstream]; m != nil {
				out = append(out, m)
			}
		}
	}
	return out
}
