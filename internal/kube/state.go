package kube

import (
	"sort"
	"sync"

	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/status"
)

// state is what became of the objects of a Set.
type state struct {
	set    *resource.Set
	report status.Report

	once     sync.Once
	problems map[named][]status.Problem
}

// named is an object as an origin names it, which knows no groups.
type named struct{ kind, namespace, name string }

// outcomes returns those of one object.
func (s *state) outcomes(k resource.Key) []status.Outcome {
	all, want := s.report.Outcomes, k.Status()
	i := sort.Search(len(all), func(i int) bool { return compareObjects(all[i].Object, want) >= 0 })
	if i == len(all) || all[i].Object != want {
		return nil
	}
	return run(all[i:])
}

// byObject returns the problems of each object.
func (s *state) byObject() map[named][]status.Problem {
	s.once.Do(func() {
		s.problems = map[named][]status.Problem{}
		for _, p := range s.report.Problems {
			n := named{p.Origin.Kind, p.Origin.Namespace, p.Origin.Name}
			s.problems[n] = append(s.problems[n], p)
		}
	})
	return s.problems
}

// problemsOf returns those of one object.
func (s *state) problemsOf(k resource.Key) []status.Problem {
	return s.byObject()[named{k.Kind, k.Namespace, k.Name}]
}
