package ir

// AccessRules are asked in their order; the first that fits decides.
type AccessRules struct {
	Rules []AccessRule `json:"rules,omitempty"`
	// DefaultAllow lets a request pass that no rule fits; otherwise it is
	// refused.
	DefaultAllow bool `json:"defaultAllow,omitempty"`
}

// AccessRule allows, or refuses, what all of its conditions fit. One without
// conditions fits every request.
type AccessRule struct {
	Name string `json:"name"`
	// Allow says what the rule decides: it refuses unless it is set.
	Allow bool `json:"allow,omitempty"`
	// ClientCIDRs of which one must hold the caller's address; empty: any.
	ClientCIDRs []string `json:"clientCIDRs,omitempty"`
	// Token that the caller must have proven; nil: none need be.
	Token *AccessTokenMatch `json:"token,omitempty"`
	// Headers that must all be as they say.
	Headers []AccessHeader `json:"headers,omitempty"`
	// Methods; empty: any.
	Methods []string `json:"methods,omitempty"`
	// Path; nil: any.
	Path   *AccessPath `json:"path,omitempty"`
	Origin Origin      `json:"origin,omitzero"`
}

// AccessTokenMatch fits a caller whose token one provider verified, with all of
// Claims and all of Scopes.
type AccessTokenMatch struct {
	Provider string        `json:"provider"`
	Claims   []AccessClaim `json:"claims,omitempty"`
	// Scopes are words of the scope claim, a text or a list of texts.
	Scopes []string `json:"scopes,omitempty"`
}

// AccessClaim fits a claim that is a text equal to one of Values, or with List
// a list with one of them in it.
type AccessClaim struct {
	Path   []string `json:"path"`
	List   bool     `json:"list,omitempty"`
	Values []string `json:"values"`
}

// AccessHeader fits a request header whose value is one of Values. Without a
// Name, it is the model that the request names.
type AccessHeader struct {
	Name   string   `json:"name,omitempty"`
	Values []string `json:"values"`
}

// AccessPath fits the path as the client sent it, normalized.
type AccessPath struct {
	PathMatch
	// Invert fits what would not fit.
	Invert bool `json:"invert,omitempty"`
}

// asks reports whether nobody passes without a token or a known address.
func (a *AccessRules) asks() bool {
	if a.DefaultAllow {
		return false
	}
	for _, r := range a.Rules {
		if r.Allow && r.Token == nil && len(r.ClientCIDRs) == 0 {
			return false
		}
	}
	return true
}
