package dialect

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// Standing is what became of one object: all that its status is made of.
type Standing struct {
	// View of the Set that was translated.
	View   *resource.View
	Object *resource.Object
	// Outcomes of the object, sorted by About and Condition; none: nothing is
	// said of it, or nothing any more.
	Outcomes []status.Outcome
	// Problems of the object, as the report has them.
	Problems []status.Problem
	// Attached and Addresses are the report's.
	Attached  map[string]int
	Addresses map[string][]status.Address
	// Reporter is the namespace that we run in: our name where a status has an
	// entry for each program that reports.
	Reporter string
	Now      time.Time
}

// StatusFunc returns an object's status as it should be, out of the one that
// it has: with our own part in place of what we wrote before, and what others
// wrote as it is. It is in the form in which an API server's objects are
// decoded (maps, slices, strings, int64). live must not be changed, and is what
// is returned for an object whose status is not ours to write.
type StatusFunc func(live map[string]any, s Standing) map[string]any

// About returns the outcomes in one respect.
func (s *Standing) About(about string) []status.Outcome {
	var out []status.Outcome
	for _, o := range s.Outcomes {
		if o.About == about {
			out = append(out, o)
		}
	}
	return out
}

// Respects returns everything that the outcomes are about, sorted.
func (s *Standing) Respects() []string {
	all := map[string]bool{}
	for _, o := range s.Outcomes {
		all[o.About] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// Verdict is what became of an object as a whole, for kinds whose status is one
// word.
type Verdict int

// The verdicts.
const (
	// Unknown: nothing is said of the object.
	Unknown Verdict = iota
	// Accepted: all that it asks for is in force.
	Accepted
	// Warned: it is in force, and deserves a second look.
	Warned
	// Rejected: something that it asks for is not in force.
	Rejected
)

// Verdict returns what became of the object, and why it is not Accepted. An
// error of whichever pass rejects it; where all that is wrong is a reference
// that leads nowhere, or another object that comes first, it is a warning.
func (s *Standing) Verdict() (Verdict, string) {
	v, first := Unknown, ""
	tell := func(verdict Verdict, why string) {
		if verdict > v {
			v, first = verdict, why
		}
	}
	for _, o := range s.Outcomes {
		switch {
		case o.Bad() && (o.Condition == "Accepted" || o.Condition == "Ready" || o.Condition == "Programmed"):
			tell(Rejected, o.Message)
		case o.Bad(), o.Reason == "Warning":
			tell(Warned, o.Message)
		default:
			tell(Accepted, "")
		}
	}
	if v == Unknown {
		return v, ""
	}
	worst := Rejected
	if s.Unresolved() { // that is what the errors are about
		worst = Warned
	}
	for _, p := range s.Problems {
		switch p.Severity {
		case status.Error:
			tell(worst, p.What)
		case status.Warning:
			tell(Warned, p.What)
		}
	}
	if v == Accepted {
		return v, ""
	}
	return v, cmp.Or(s.told(status.Error), s.told(status.Warning), first)
}

// Unresolved reports whether a reference of the object leads nowhere.
func (s *Standing) Unresolved() bool {
	return slices.ContainsFunc(s.Outcomes, func(o status.Outcome) bool { return o.Condition == "ResolvedRefs" && !o.OK })
}

// mostTold bounds the problems that a status quotes.
const mostTold = 8

// told returns the object's problems of one severity as a text.
func (s *Standing) told(severity status.Severity) string {
	var texts []string
	for _, p := range s.Problems {
		if p.Severity == severity && len(texts) < mostTold {
			texts = append(texts, p.Told())
		}
	}
	return strings.Join(texts, "; ")
}
