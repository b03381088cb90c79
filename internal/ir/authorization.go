package ir

// Authorization asks policies whether a request may pass. All of them are
// looked at, in no order of their own:
//
//  1. A rule of a policy with AccessAsk that matches hands the decision to Ask.
//  2. A rule of one with AccessDeny that matches refuses.
//  3. Without a policy with AccessAllow the request passes.
//  4. A rule of one that matches lets it pass; otherwise it is refused.
//
// AccessAudit marks what it matches, in the access log, and decides nothing.
// No policies at all let every request pass. A step holds either policies with
// AccessAsk, or none of these.
type Authorization struct {
	Policies []AccessPolicy `json:"policies"`
	// Ask is who decides on what a policy with AccessAsk matches; nil: nobody
	// can be asked, and such requests are refused.
	Ask *AuthSet `json:"ask,omitempty"`
	// Rematch chooses the route again after Ask let a request pass, since it
	// may have changed what routes match on.
	Rematch bool `json:"rematch,omitempty"`
}

// AccessAction is what becomes of a request that a rule of a policy matches.
type AccessAction string

// The actions.
const (
	AccessAllow AccessAction = "allow"
	AccessDeny  AccessAction = "deny"
	AccessAudit AccessAction = "audit"
	AccessAsk   AccessAction = "ask"
)

// AccessPolicy is one policy: its action is for requests that any of its rules
// matches. Without rules it matches none, and with AccessAllow counts all the
// same.
type AccessPolicy struct {
	Namespace string       `json:"namespace,omitempty"`
	Name      string       `json:"name"`
	Action    AccessAction `json:"action"`
	// DryRun evaluates the policy, and notes in the access log what would have
	// come of it, while it decides nothing.
	DryRun bool         `json:"dryRun,omitempty"`
	Rules  []PolicyRule `json:"rules,omitempty"`
	Origin Origin       `json:"origin,omitzero"`
}

// PolicyRule matches a request for which one of From holds, one of To, and all
// of When; where one of the three is empty, it holds.
type PolicyRule struct {
	// Index of the rule as it was written.
	Index  int              `json:"index"`
	From   []AccessConjunct `json:"from,omitempty"`
	To     []AccessConjunct `json:"to,omitempty"`
	When   AccessConjunct   `json:"when,omitempty"`
	Origin Origin           `json:"origin,omitzero"`
}

// AccessConjunct holds when each of its tests does.
type AccessConjunct []AccessTest

// AccessAttribute is what an AccessTest looks at. One that a request does not
// have, or has empty, equals nothing: no value matches it.
type AccessAttribute string

// The attributes. Those of the peer come from its verified certificate, those
// of the token from the first verified JWT.
const (
	// PeerID is the SPIFFE ID without its scheme: "td/ns/default/sa/sleep".
	PeerID AccessAttribute = "peer.id"
	// PeerTrustDomain, PeerNamespace and PeerServiceAccount are parts of it.
	PeerTrustDomain    AccessAttribute = "peer.trustDomain"
	PeerNamespace      AccessAttribute = "peer.namespace"
	PeerServiceAccount AccessAttribute = "peer.serviceAccount"
	// PeerAddress is the other end of the connection, ClientAddress what
	// trusted proxies say of the client.
	PeerAddress   AccessAttribute = "peer.address"
	ClientAddress AccessAttribute = "client.address"
	// LocalAddress and LocalPort are this end of the connection.
	LocalAddress AccessAttribute = "local.address"
	LocalPort    AccessAttribute = "local.port"
	// ServerName is what the client's TLS asked for.
	ServerName AccessAttribute = "tls.serverName"
	// TokenPrincipal is the token's issuer and subject, of which neither may
	// be empty.
	TokenPrincipal AccessAttribute = "token.principal"
	// TokenClaim is the claim at Key, outermost name first: a text, or any
	// text of a list.
	TokenClaim AccessAttribute = "token.claim"
	// RequestHost is host and port as the client wrote them, in any case.
	RequestHost   AccessAttribute = "request.host"
	RequestMethod AccessAttribute = "request.method"
	// RequestPath is normalized, and without its query.
	RequestPath AccessAttribute = "request.path"
	// RequestHeader is the header Key[0], several lines joined with ",".
	RequestHeader AccessAttribute = "request.header"
)

// AccessTest holds when the attribute is one of Any, unless Any is empty, and
// none of None.
type AccessTest struct {
	Attribute AccessAttribute `json:"attribute"`
	Key       []string        `json:"key,omitempty"`
	Any       []AccessValue   `json:"any,omitempty"`
	None      []AccessValue   `json:"none,omitempty"`
}

// AccessKind is how an AccessValue compares.
type AccessKind string

// The kinds.
const (
	// AccessExact wants the whole value: the zero value.
	AccessExact  AccessKind = ""
	AccessPrefix AccessKind = "prefix"
	AccessSuffix AccessKind = "suffix"
	// AccessPresent wants any value that is not empty.
	AccessPresent AccessKind = "present"
	// AccessGlob takes "*" for any text, the empty one too.
	AccessGlob AccessKind = "glob"
	// AccessTemplate is for paths: "{*}" is one segment that is not empty,
	// "{**}" any text, slashes included. Each is a whole segment; there is one
	// "{**}" at most, and no "{*}" after it.
	AccessTemplate AccessKind = "template"
	// AccessNetwork is an address or a CIDR, for addresses alone.
	AccessNetwork AccessKind = "network"
)

// AccessValue is a value to compare with.
type AccessValue struct {
	Kind  AccessKind `json:"kind,omitempty"`
	Value string     `json:"value,omitempty"`
	// In compares what the value stands in, and must match too: the issuer of
	// a TokenPrincipal, of which Value is the subject, or the namespace of a
	// PeerServiceAccount.
	In *AccessValue `json:"in,omitempty"`
}

// String returns the value as people would write it.
func (v AccessValue) String() string {
	s := v.Value
	switch v.Kind {
	case AccessPrefix:
		s += "*"
	case AccessSuffix:
		s = "*" + s
	case AccessPresent:
		s = "*"
	}
	if v.In != nil {
		s = v.In.String() + "/" + s
	}
	return s
}

// identifies reports whether a test holds for nobody who has not proven who
// they are.
func (t *AccessTest) identifies() bool {
	switch t.Attribute {
	case PeerID, PeerTrustDomain, PeerNamespace, PeerServiceAccount, TokenPrincipal, TokenClaim:
		return len(t.Any) > 0
	}
	return false
}

// holdsForNobody reports whether a test holds for everybody who has not proven
// who they are.
func (t *AccessTest) holdsForNobody() bool {
	switch t.Attribute {
	case PeerID, PeerTrustDomain, PeerNamespace, PeerServiceAccount, TokenPrincipal, TokenClaim:
		return len(t.Any) == 0
	}
	return false
}

func every[T any](list []T, holds func(*T) bool) bool {
	for i := range list {
		if !holds(&list[i]) {
			return false
		}
	}
	return true
}

func some[T any](list []T, holds func(*T) bool) bool {
	return !every(list, func(e *T) bool { return !holds(e) })
}

// identifies reports whether a rule matches no request of somebody unproven.
func (r *PolicyRule) identifies() bool {
	one := func(c *AccessConjunct) bool { return some(*c, (*AccessTest).identifies) }
	return one(&r.When) || len(r.From) > 0 && every(r.From, one) || len(r.To) > 0 && every(r.To, one)
}

// takesUnproven reports whether a rule matches every request of somebody
// unproven.
func (r *PolicyRule) takesUnproven() bool {
	all := func(c *AccessConjunct) bool { return every(*c, (*AccessTest).holdsForNobody) }
	return all(&r.When) && (len(r.From) == 0 || some(r.From, all)) && (len(r.To) == 0 || some(r.To, all))
}

// asks says what the policies ask for; empty if somebody who has not proven
// who they are may pass.
func (a *Authorization) asks() string {
	allows, proven := 0, true
	for i := range a.Policies {
		p := &a.Policies[i]
		switch {
		case p.DryRun:
		case p.Action == AccessAsk && some(p.Rules, (*PolicyRule).takesUnproven):
			if a.Ask == nil {
				return "nobody may pass"
			}
			if asks := a.Ask.asks(); asks != "" {
				return asks
			}
		case p.Action == AccessDeny && some(p.Rules, (*PolicyRule).takesUnproven):
			return "policy " + p.Namespace + "/" + p.Name
		case p.Action == AccessAllow:
			allows++
			proven = proven && every(p.Rules, (*PolicyRule).identifies)
		}
	}
	if allows > 0 && proven {
		return "policies on who calls"
	}
	return ""
}

// Upstreams names the upstreams that carry questions of the policies' own.
func (a *Authorization) Upstreams() []string {
	if a.Ask == nil {
		return nil
	}
	return a.Ask.Upstreams()
}
