package dataplane

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane/match"
	"github.com/postern-gateway/postern/internal/ir"
)

// Trace is what a rehearsed exchange tells of itself. Its methods may be
// called on nil, which is what every exchange that is served has: they do
// nothing then, and cost a comparison.
type Trace struct {
	// Steps are those that the exchange came to, in order.
	Steps []TracedStep
	// Upstream is the request that would have been sent; nil: none.
	Upstream *TracedUpstream
	// Copies are the upstreams that would have got a copy.
	Copies []string
	// Met is what routes were matched with first; nil: it came to none.
	Met *match.Request
	// Unasked names what would have to be asked of another server and was not,
	// and Doubt says that the outcome depends on one of its answers.
	Unasked []string
	Doubt   bool

	given Given
	made  map[string]string // what wrote a secret header, by name
	open  []int             // the steps under way, by index
}

// TracedStep is what one step did.
type TracedStep struct {
	// Kind says what the step is, Slot what put it there.
	Kind   string
	Slot   string
	Origin ir.Origin
	// Rules are the policies and rules that the step looked at, in order.
	Rules []TracedRule
	// Found are the callers that it proved.
	Found []authn.Identity
	// Note says what else it saw.
	Notes []string
	// Changes are what it did to the request, as far as Given.Changes asks.
	Changes []TracedChange
	// Answer ended the request here; nil: it went on.
	Answer *Answer
}

// TracedRule is what became of one rule of a policy.
type TracedRule struct {
	// Policy is empty where the step is the policy.
	Policy, Rule string
	Origin       ir.Origin
	Matched      bool
	// Decides says that the step's outcome is this rule's.
	Decides bool
	// Why it did not match, or did.
	Why string
}

// TracedChange is one change to the request.
type TracedChange struct {
	// What names the changed part: "path", "host", "header X-Team".
	What string
	// Value is the new one; empty: the part is gone.
	Value string
}

// TracedUpstream is the head of a request that would have been sent; of a
// connection that is carried, its ends alone.
type TracedUpstream struct {
	// Name of the upstream, and Endpoint as host:port.
	Name, Endpoint string
	// Share says how the upstream was chosen; empty: there was no choice.
	Share  string
	Method string
	// URL says where it would be sent; Host what the upstream would be told.
	URL, Host string
	Header    http.Header
	// Secrets are the headers whose values are credentials, by name, and
	// where these come from. Header holds no value for them.
	Secrets map[string]string
	// BodyBytes is the length of the body as it would be sent.
	BodyBytes int64
}

// Redacted stands in a TracedUpstream's header for a credential.
const Redacted = "[redacted]"

// Trace returns what a rehearsed exchange is told by; nil: it is served.
func (e *Exchange) Trace() *Trace { return e.trace }

// Rule tells of a rule that the present step looked at.
func (t *Trace) Rule(r TracedRule) {
	if s := t.step(); s != nil {
		s.Rules = append(s.Rules, r)
	}
}

// Note tells what the present step saw.
func (t *Trace) Note(text string) {
	if s := t.step(); s != nil {
		s.Notes = append(s.Notes, text)
	}
}

// Step tells of a step that is no Stage; done ends it, with what it answered.
func (t *Trace) Step(kind, slot string, origin ir.Origin) (done func(*Answer)) {
	if t == nil {
		return func(*Answer) {}
	}
	at := len(t.Steps)
	t.Steps = append(t.Steps, TracedStep{Kind: kind, Slot: slot, Origin: origin})
	t.open = append(t.open, at)
	return func(a *Answer) {
		t.open = t.open[:len(t.open)-1]
		t.Steps[at].Answer = a
	}
}

// Forward tells of the request that would have been sent.
func (t *Trace) Forward(u *TracedUpstream) {
	if t != nil {
		t.Upstream = u
	}
}

// Copy tells of an upstream that would have got a copy.
func (t *Trace) Copy(upstream string) {
	if t != nil {
		t.Copies = append(t.Copies, upstream)
	}
}

// Claims returns the claims that are taken as those of a verified token; nil:
// there are none, and the request's own tokens count.
func (t *Trace) Claims() map[string]any {
	if t == nil {
		return nil
	}
	return t.given.Claims
}

// Maker returns what wrote a secret header of the request, for people.
func (t *Trace) Maker(name string) string { return t.made[name] }

// carried notes which step wrote a secret header.
func (t *Trace) carried(name string) {
	s := t.step()
	if s == nil {
		return
	}
	if t.made == nil {
		t.made = map[string]string{}
	}
	t.made[name] = "made of a secret by " + s.Origin.Object()
}

// Doubtful says that the present step's result depends on what was not asked.
func (t *Trace) Doubtful() {
	if t != nil {
		t.Doubt = true
	}
}

// meet keeps what routes are matched with, before a step changes it.
func (t *Trace) meet(e *Exchange) {
	if t != nil && t.given.Changes {
		r := *e.MatchRequest()
		r.Header = r.Header.Clone()
		t.Met = &r
	}
}

// peer returns the identity of a client certificate that was put in, or "".
func (t *Trace) peer() string {
	if t == nil {
		return ""
	}
	return t.given.Peer
}

// client returns the caller's address, unless another was put in.
func (t *Trace) client(found netip.Addr) netip.Addr {
	if t != nil && t.given.Remote.IsValid() {
		return t.given.Remote
	}
	return found
}

func (t *Trace) step() *TracedStep {
	if t == nil || len(t.open) == 0 {
		return nil
	}
	return &t.Steps[t.open[len(t.open)-1]]
}

func (t *Trace) unasked(what string) { t.Unasked = append(t.Unasked, what) }

// Traced returns a stage that tells an exchange's Trace what stage does. kind
// and s say what it was compiled from. It is for resources that are looked at
// and not served.
func Traced(stage Stage, kind string, s *ir.Step) Stage {
	return &traced{stage, kind, s}
}

type traced struct {
	stage Stage
	kind  string
	from  *ir.Step
}

// Unwrap returns the stage that is told of.
func (s *traced) Unwrap() Stage { return s.stage }

// save returns a copy that restore goes back to: of routes that were only
// tried, nothing is told.
func (t *Trace) save() *Trace {
	if t == nil {
		return nil
	}
	c := *t
	c.Steps, c.made = slices.Clone(t.Steps), maps.Clone(t.made)
	c.Copies, c.Unasked, c.open = slices.Clip(t.Copies), slices.Clip(t.Unasked), slices.Clone(t.open)
	return &c
}

func (t *Trace) restore(saved *Trace) {
	if t != nil {
		met := t.Met
		*t = *saved.save()
		t.Met = met
	}
}

func (s *traced) Run(ctx context.Context, e *Exchange) *Answer {
	t := e.trace
	if t == nil {
		return s.stage.Run(ctx, e)
	}
	at, asked, proven := len(t.Steps), len(t.Unasked), len(e.Identities)
	t.Steps = append(t.Steps, TracedStep{Kind: s.kind, Slot: s.from.Slot, Origin: s.from.Origin})
	t.open = append(t.open, at)
	var before state
	if t.given.Changes {
		before = stateOf(e)
	}
	a := s.stage.Run(ctx, e)
	t.open = t.open[:len(t.open)-1]
	out := &t.Steps[at]
	out.Answer = a
	out.Found = e.Identities[min(proven, len(e.Identities)):]
	if t.given.Changes {
		out.Changes = before.changes(e)
	}
	if a != nil && len(t.Unasked) > asked {
		t.Doubt = true
	}
	return a
}
