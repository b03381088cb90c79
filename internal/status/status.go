// Package status is plain data about what became of the user's resources:
// problems, outcomes, and the report that gathers them. Translate, Merge,
// compile and the listeners fill it in turn; the command line, the admin page
// and the Kubernetes statuses are renderings of it.
package status

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
)

// Severity of a Problem.
type Severity string

// The severities.
const (
	// Error means that something the user asked for is not in force.
	Error Severity = "error"
	// Warning means that it is, and deserves a second look.
	Warning Severity = "warning"
	// Note means that nothing is wrong: it says how something was understood.
	Note Severity = "note"
)

// Problem is a fault in the user's resources.
type Problem struct {
	Severity Severity  `json:"severity"`
	Origin   ir.Origin `json:"origin"`
	// What is wrong, and Remedy what to do; neither quotes a secret.
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
	// Alert is one word for a fault that a person must act on at once, such as
	// ExposedCredential; empty for all others. In a cluster it is an Event.
	Alert string `json:"alert,omitempty"`
}

// Errorf returns a Problem of severity Error without a remedy.
func Errorf(o ir.Origin, format string, args ...any) Problem {
	return Problem{Severity: Error, Origin: o, What: fmt.Sprintf(format, args...)}
}

// Warningf returns a Problem of severity Warning without a remedy.
func Warningf(o ir.Origin, format string, args ...any) Problem {
	return Problem{Severity: Warning, Origin: o, What: fmt.Sprintf(format, args...)}
}

// Notef returns a Problem of severity Note without a remedy.
func Notef(o ir.Origin, format string, args ...any) Problem {
	return Problem{Severity: Note, Origin: o, What: fmt.Sprintf(format, args...)}
}

// Fix returns p with a remedy.
func (p Problem) Fix(format string, args ...any) Problem {
	p.Remedy = fmt.Sprintf(format, args...)
	return p
}

// Alerting returns p with an Alert.
func (p Problem) Alerting(alert string) Problem {
	p.Alert = alert
	return p
}

// The Alerts.
const (
	// ExposedCredential: anybody may use a provider's credential.
	ExposedCredential = "ExposedCredential"
	// CredentialUnavailable: requests cannot be given their credential.
	CredentialUnavailable = "CredentialUnavailable"
	// CredentialNotRenewed: they can, until it ends.
	CredentialNotRenewed = "CredentialNotRenewed"
	// ParentNotFound: a route is served nowhere, since what it names is not
	// there. Its status has no place for that: an entry is for a parent of ours.
	ParentNotFound = "ParentNotFound"
	// TargetNotFound: a policy protects nothing, likewise.
	TargetNotFound = "TargetNotFound"
)

// String returns "file:line: kind ns/name: field: what; remedy".
func (p Problem) String() string {
	s := p.Origin.String()
	switch pos := p.Origin.Position(); {
	case s == p.Origin.File: // of no object
		s = pos
	case pos != "":
		s = pos + ": " + s
	}
	s += ": " + p.What
	if p.Remedy != "" {
		s += "; " + p.Remedy
	}
	return s
}

// Told returns the problem as it is told at its own object: "field: what (remedy)".
func (p Problem) Told() string {
	s := p.What
	if p.Origin.Field != "" {
		s = p.Origin.Field + ": " + s
	}
	if p.Remedy != "" {
		s += " (" + p.Remedy + ")"
	}
	return s
}

// Object identifies a resource in outcomes.
type Object struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String returns "kind namespace/name".
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Outcome is what became of one object in one respect: a condition, in the
// words of its API (Accepted, ResolvedRefs, Programmed, Attached ...).
type Outcome struct {
	Object Object `json:"object"`
	// About narrows it: the parent of a route, the listener of a Gateway, the
	// target of a policy; empty: the object as a whole.
	About string `json:"about,omitempty"`
	// Condition is the condition's type.
	Condition string `json:"condition"`
	// OK is the condition's status.
	OK      bool   `json:"ok"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Bad reports whether the condition's status is the one that tells of a fault:
// false for most, true for those that are named for a fault.
func (o Outcome) Bad() bool {
	switch o.Condition {
	case "Conflicted", "PartiallyInvalid", "InsecureFrontendValidationMode":
		return o.OK
	}
	return !o.OK
}

// rank orders outcomes in one respect: the lowest stands.
func (o Outcome) rank() int {
	switch {
	case o.Bad():
		return 0
	case o.Message != "":
		return 1
	}
	return 2
}

// Report gathers what one pass found. The zero Report is empty and ready.
type Report struct {
	Problems []Problem `json:"problems,omitempty"`
	Outcomes []Outcome `json:"outcomes,omitempty"`
	// Attached counts the objects whose routes are attached to each listener,
	// by ir.Listener.Name; none: 0.
	Attached map[string]int `json:"attached,omitempty"`
	// Addresses at which each Gateway is reached, by "namespace/name"; who
	// binds or makes its addresses fills them in.
	Addresses map[string][]Address `json:"addresses,omitempty"`
}

// Address is where a Gateway is reached.
type Address struct {
	// Type is IPAddress or Hostname, as in a Gateway's status.
	Type  string `json:"type"`
	Value string `json:"value"`
}

// Add appends problems.
func (r *Report) Add(p ...Problem) { r.Problems = append(r.Problems, p...) }

// Outcome appends an outcome.
func (r *Report) Outcome(o Outcome) { r.Outcomes = append(r.Outcomes, o) }

// Join appends all that another report holds.
func (r *Report) Join(other Report) {
	r.Problems = append(r.Problems, other.Problems...)
	r.Outcomes = append(r.Outcomes, other.Outcomes...)
	for name, n := range other.Attached {
		if r.Attached == nil {
			r.Attached = map[string]int{}
		}
		r.Attached[name] += n
	}
	for name, a := range other.Addresses {
		if r.Addresses == nil {
			r.Addresses = map[string][]Address{}
		}
		r.Addresses[name] = append(r.Addresses[name], a...)
	}
}

// Errors counts the problems of severity Error.
func (r *Report) Errors() int { return r.count(Error) }

// Warnings counts the problems of severity Warning.
func (r *Report) Warnings() int { return r.count(Warning) }

func (r *Report) count(s Severity) int {
	n := 0
	for _, p := range r.Problems {
		if p.Severity == s {
			n++
		}
	}
	return n
}

// Sort orders problems by position and drops doubles, so that the same
// resources always give the same report. Of several outcomes of one object in
// one respect a bad one stands, else one with a message, the first that was
// added: a later pass may find a fault in what an earlier one found good, and
// never the reverse.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Origin.File, b.Origin.File),
			cmp.Compare(a.Origin.Line, b.Origin.Line),
			cmp.Compare(a.Origin.String(), b.Origin.String()),
			cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.What, b.What),
		)
	})
	r.Problems = slices.Compact(r.Problems)
	slices.SortStableFunc(r.Outcomes, func(a, b Outcome) int {
		return cmp.Or(a.compare(b), cmp.Compare(a.rank(), b.rank()))
	})
	r.Outcomes = slices.CompactFunc(r.Outcomes, func(a, b Outcome) bool { return a.compare(b) == 0 })
}

// compare orders outcomes by what they are about.
func (o Outcome) compare(p Outcome) int {
	return cmp.Or(
		cmp.Compare(o.Object.Kind, p.Object.Kind),
		cmp.Compare(o.Object.Namespace, p.Object.Namespace),
		cmp.Compare(o.Object.Name, p.Object.Name),
		cmp.Compare(o.Object.Group, p.Object.Group),
		cmp.Compare(o.About, p.About),
		cmp.Compare(o.Condition, p.Condition),
	)
}
