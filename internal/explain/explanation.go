package explain

import (
	"errors"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// Decision is what would become of a request.
type Decision string

// The decisions.
const (
	// Allow: it would reach where the route leads.
	Allow Decision = "allow"
	// Deny: the gateway would refuse it.
	Deny Decision = "deny"
	// Unknown: that hangs on what another server would say.
	Unknown Decision = "unknown"
)

// Explanation is what would become of one request, and why. It holds no secret.
type Explanation struct {
	Request  string   `json:"request"`
	Decision Decision `json:"decision"`
	// Status of the gateway's own answer; 0: the upstream would answer.
	Status int `json:"status,omitempty"`
	// Verdict is the access log's word for it.
	Verdict string `json:"verdict"`
	// Reason for a refusal.
	Reason string `json:"reason,omitempty"`
	// Decided is what decided; nil: no policy did.
	Decided  *Decided `json:"decided,omitempty"`
	Listener *Place   `json:"listener,omitempty"`
	Route    *Place   `json:"route,omitempty"`
	// PassedOver are routes that came before in the order, and why they did
	// not take the request.
	PassedOver []Candidate `json:"passedOver,omitempty"`
	Identities []Identity  `json:"identities,omitempty"`
	Steps      []Step      `json:"steps,omitempty"`
	Upstream   *Upstream   `json:"upstream,omitempty"`
	// Copies are the upstreams that would get a copy.
	Copies []string `json:"copies,omitempty"`
	Model  string   `json:"model,omitempty"`
	// Location that a redirect names.
	Location string `json:"location,omitempty"`
	// Unasked are the servers that would be asked.
	Unasked []string `json:"unasked,omitempty"`
}

// Decided is the policy that decided, and its rule.
type Decided struct {
	// Policy as namespace/name, Slot as the access log calls it.
	Policy string `json:"policy"`
	Slot   string `json:"slot,omitempty"`
	// Rule by name or index, and its place in the list; -1: no rule did.
	Rule   string    `json:"rule,omitempty"`
	Index  int       `json:"index"`
	Origin ir.Origin `json:"origin,omitzero"`
}

// Place is a listener or a route, and where it was written.
type Place struct {
	Name   string    `json:"name"`
	Match  string    `json:"match,omitempty"`
	Port   int       `json:"port,omitempty"`
	Origin ir.Origin `json:"origin,omitzero"`
}

// Candidate is a route that did not take the request.
type Candidate struct {
	Route  string    `json:"route"`
	Match  string    `json:"match"`
	Why    string    `json:"why"`
	Origin ir.Origin `json:"origin,omitzero"`
}

// Identity is a proven caller, without what else was said of it.
type Identity struct {
	Method    string `json:"method,omitempty"`
	Provider  string `json:"provider"`
	Subject   string `json:"subject,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// Step is one step that the request came to.
type Step struct {
	Kind    string     `json:"kind"`
	Slot    string     `json:"slot,omitempty"`
	Origin  ir.Origin  `json:"origin,omitzero"`
	Rules   []Rule     `json:"rules,omitempty"`
	Proved  []Identity `json:"proved,omitempty"`
	Notes   []string   `json:"notes,omitempty"`
	Changes []Change   `json:"changes,omitempty"`
	// Refused says with which status the step ended the request, and Reason
	// why.
	Refused int    `json:"refused,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Rule is one rule that was looked at.
type Rule struct {
	Policy  string    `json:"policy,omitempty"`
	Rule    string    `json:"rule"`
	Matched bool      `json:"matched"`
	Why     string    `json:"why,omitempty"`
	Origin  ir.Origin `json:"origin,omitzero"`
}

// Change is what a step did to the request.
type Change struct {
	What string `json:"what"`
	// Value is the new one; empty: it was removed.
	Value string `json:"value,omitempty"`
}

// Upstream is the head of the request that would be sent; of a connection whose
// TLS is passed through, its ends alone.
type Upstream struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Chosen   string `json:"chosen,omitempty"`
	Method   string `json:"method,omitempty"`
	URL      string `json:"url,omitempty"`
	Host     string `json:"host"`
	// Headers without the credentials, Credentials by header with where they
	// come from.
	Headers     http.Header       `json:"headers,omitempty"`
	Credentials map[string]string `json:"credentials,omitempty"`
	BodyBytes   int64             `json:"bodyBytes,omitempty"`
}

func newExplanation(q *Request, s *dataplane.Socket, r *dataplane.Rehearsal) *Explanation {
	t := r.Trace
	out := &Explanation{
		Request: q.Title(), Verdict: string(r.Record.Verdict), Status: r.Record.Status, Reason: r.Record.Cause,
		Identities: identities(r.Identities), Copies: t.Copies, Model: r.Record.Model,
	}
	for _, what := range t.Unasked {
		if !slices.Contains(out.Unasked, what) {
			out.Unasked = append(out.Unasked, what)
		}
	}
	out.Decision = decisionOf(r)
	if r.Listener != nil {
		out.Listener = &Place{Name: r.Listener.Name, Port: s.Port, Origin: r.Listener.Origin}
	}
	if r.Route != nil {
		out.Route = &Place{Name: r.Route.Name, Match: pathText(r.Matched), Origin: r.Route.Origin}
	}
	for i := range t.Steps {
		out.Steps = append(out.Steps, newStep(&t.Steps[i]))
	}
	if u := t.Upstream; u != nil {
		out.Upstream = newUpstream(u)
	}
	if r.Answer != nil && r.Answer.Header != nil {
		out.Location = r.Answer.Header.Get("Location")
	}
	out.Decided = decidedBy(r)
	return out
}

// refusedUnread is what becomes of a request that the server cannot read.
func refusedUnread(q *Request, why error) *Explanation {
	if wrapped := errors.Unwrap(why); wrapped != nil { // without the target, which may hold a token
		why = wrapped
	}
	return &Explanation{
		Request: q.Title(), Decision: Deny, Status: http.StatusBadRequest, Verdict: string(dataplane.Invalid),
		Reason: "the request cannot be read: " + why.Error(),
	}
}

// decisionOf reads the outcome. What cannot be told is never called allowed.
func decisionOf(r *dataplane.Rehearsal) Decision {
	switch {
	case r.Trace.Doubt:
		return Unknown
	case r.Answer != nil && r.Answer.Verdict == dataplane.Allowed:
		return Allow
	}
	return Deny
}

// decidedBy finds the policy that decided: the one that refused, or the last
// that let the request through.
func decidedBy(r *dataplane.Rehearsal) *Decided {
	a := r.Answer
	switch {
	case a != nil && a.Verdict == dataplane.Allowed:
		return passedBy(r.Trace.Steps)
	case a == nil || a.Verdict != dataplane.Denied && a.Policy == "":
		return nil
	}
	d := &Decided{Policy: objectOf(a.Origin), Slot: a.Policy, Origin: a.Origin, Index: -1}
	for i := range r.Trace.Steps {
		if s := &r.Trace.Steps[i]; s.Answer == a {
			d.ruled(s)
		}
	}
	return d
}

func passedBy(steps []dataplane.TracedStep) *Decided {
	for i := len(steps) - 1; i >= 0; i-- {
		s := &steps[i]
		decides := slices.ContainsFunc(s.Rules, func(r dataplane.TracedRule) bool { return r.Decides })
		if decides || len(s.Found) > 0 {
			d := &Decided{Policy: objectOf(s.Origin), Slot: s.Slot, Origin: s.Origin, Index: -1}
			d.ruled(s)
			return d
		}
	}
	return nil
}

// ruled adds the rule that decided, if one did.
func (d *Decided) ruled(s *dataplane.TracedStep) {
	index := map[string]int{}
	for _, r := range s.Rules {
		at := index[r.Policy]
		index[r.Policy]++
		if !r.Decides {
			continue
		}
		d.Rule, d.Index = r.Rule, at
		if r.Policy != "" {
			d.Policy = r.Policy
		}
		if r.Origin != (ir.Origin{}) {
			d.Origin = r.Origin
		}
	}
}

func objectOf(o ir.Origin) string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

func identities(list []authn.Identity) []Identity {
	var out []Identity
	for i := range list {
		id := &list[i]
		out = append(out, Identity{Method: id.Method, Provider: id.Provider, Subject: id.Subject, Issuer: id.Issuer, Namespace: id.Namespace})
	}
	return out
}

func newStep(s *dataplane.TracedStep) Step {
	out := Step{Kind: s.Kind, Slot: s.Slot, Origin: s.Origin, Proved: identities(s.Found), Notes: s.Notes}
	for _, r := range s.Rules {
		out.Rules = append(out.Rules, Rule{Policy: r.Policy, Rule: r.Rule, Matched: r.Matched, Why: r.Why, Origin: r.Origin})
	}
	for _, c := range s.Changes {
		out.Changes = append(out.Changes, Change{What: c.What, Value: c.Value})
	}
	if s.Answer != nil {
		out.Refused, out.Reason = s.Answer.Status, s.Answer.Cause
	}
	return out
}

func newUpstream(u *dataplane.TracedUpstream) *Upstream {
	out := &Upstream{
		Name: u.Name, Endpoint: u.Endpoint, Chosen: u.Share, Method: u.Method, URL: u.URL, Host: u.Host,
		Headers: http.Header{}, Credentials: u.Secrets, BodyBytes: u.BodyBytes,
	}
	for name, values := range u.Header {
		if _, secret := u.Secrets[name]; secret {
			continue
		}
		if dataplane.IsCredentialHeader(name) { // the caller's own
			values = []string{dataplane.Redacted}
		}
		out.Headers[name] = values
	}
	return out
}
