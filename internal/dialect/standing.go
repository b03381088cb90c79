package dialect

import (
	"maps"
	"slices"
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
