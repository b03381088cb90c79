package status

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Pass is what found something, in the order in which they run.
type Pass int

// The passes.
const (
	PassRead Pass = iota
	PassTranslate
	PassMerge
	PassCompile
	PassServe
)

// Ledger is a report that is kept up to date part by part: a part is what one
// pass says of one thing. What a change leaves alone costs nothing, however
// much it is. It says the same as a Report that all parts were joined to, in
// the order of the passes, and that was sorted.
//
// The zero Ledger is empty and ready, for any number of goroutines.
type Ledger struct {
	mu       sync.Mutex
	parts    map[any]*part
	objects  map[Object][]*part // who speaks of an object
	problems map[Problem]int    // how many parts tell of it
	unbound  map[Object]int     // how many outcomes say so
	totals   Totals
	news     news
}

// part is immutable.
type part struct {
	pass   Pass
	report Report
}

// Totals are counts over everything.
type Totals struct {
	// Errors and Warnings are problems.
	Errors, Warnings int
	// Unbound are policies whose target is not there, or that hold nowhere.
	Unbound int
}

// News are what has changed.
type News struct {
	// Problems that were not there before, sorted.
	Problems []Problem
	// Objects of which something else may be said than before, and Listeners
	// to which perhaps another number of routes is attached; in no order.
	Objects   []Object
	Listeners []string
}

// news are gathered until someone takes them.
type news struct {
	problems  map[Problem]int // how many parts told of it before
	objects   map[Object]struct{}
	listeners map[string]struct{}
}

// Put makes r what a pass says of a thing, in place of what it said before. An
// empty Report takes that back. The key must not be another pass's.
func (l *Ledger) Put(pass Pass, key any, r Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parts == nil {
		l.parts, l.objects = map[any]*part{}, map[Object][]*part{}
		l.problems, l.unbound = map[Problem]int{}, map[Object]int{}
	}
	old := l.parts[key]
	if old != nil && old.report.equal(r) {
		return
	}
	if !r.empty() {
		p := &part{pass, r}
		l.parts[key] = p
		l.addLocked(p)
	} else {
		delete(l.parts, key)
	}
	if old != nil {
		l.removeLocked(old)
	}
}

func (l *Ledger) addLocked(p *part) {
	for _, problem := range p.report.Problems {
		l.countLocked(problem, 1)
	}
	for i, o := range p.report.Outcomes {
		l.touchLocked(o, 1)
		if !slices.ContainsFunc(p.report.Outcomes[:i], func(e Outcome) bool { return e.Object == o.Object }) {
			l.objects[o.Object] = append(l.objects[o.Object], p)
		}
	}
	l.tellListenersLocked(p)
}

func (l *Ledger) removeLocked(p *part) {
	for _, problem := range p.report.Problems {
		l.countLocked(problem, -1)
	}
	for _, o := range p.report.Outcomes {
		l.touchLocked(o, -1)
		list := l.objects[o.Object]
		if i := slices.Index(list, p); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
		if l.objects[o.Object] = list; len(list) == 0 {
			delete(l.objects, o.Object)
		}
	}
	l.tellListenersLocked(p)
}

// countLocked counts a part that tells of a problem, or does no more.
func (l *Ledger) countLocked(p Problem, n int) {
	before := l.problems[p]
	now := before + n
	if l.problems[p] = now; now == 0 {
		delete(l.problems, p)
	}
	total := &l.totals.Warnings
	if p.Severity == Error {
		total = &l.totals.Errors
	}
	switch {
	case p.Severity == Note:
	case before == 0:
		*total++
	case now == 0:
		*total--
	}
	if l.news.problems == nil {
		l.news.problems = map[Problem]int{}
	}
	if _, ok := l.news.problems[p]; !ok {
		l.news.problems[p] = before
	}
}

// touchLocked takes note of an outcome that has come, or gone.
func (l *Ledger) touchLocked(o Outcome, n int) {
	if l.news.objects == nil {
		l.news.objects = map[Object]struct{}{}
	}
	l.news.objects[o.Object] = struct{}{}
	if o.Condition != "Attached" || o.OK {
		return
	}
	if l.unbound[o.Object] += n; l.unbound[o.Object] == 0 {
		delete(l.unbound, o.Object)
	}
	l.totals.Unbound = len(l.unbound)
}

func (l *Ledger) tellListenersLocked(p *part) {
	if l.news.listeners == nil {
		l.news.listeners = map[string]struct{}{}
	}
	for name := range p.report.Attached {
		l.news.listeners[name] = struct{}{}
	}
}

// Totals returns the counts.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals
}

// Take returns what has changed since it was last called.
func (l *Ledger) Take() News {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fresh Report
	for p, before := range l.news.problems {
		if before == 0 && l.problems[p] > 0 {
			fresh.Add(p)
		}
	}
	fresh.Sort()
	out := News{
		Problems: fresh.Problems,
		Objects:  slices.Collect(maps.Keys(l.news.objects)), Listeners: slices.Collect(maps.Keys(l.news.listeners)),
	}
	l.news = news{}
	return out
}

// Outcomes returns what became of an object, sorted as by Report.Sort.
func (l *Ledger) Outcomes(o Object) []Outcome {
	l.mu.Lock()
	parts := slices.Clone(l.objects[o])
	l.mu.Unlock()
	return outcomesOf(parts, func(e Outcome) bool { return e.Object == o })
}

// Report returns everything, sorted.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	parts := slices.Collect(maps.Values(l.parts))
	l.mu.Unlock()
	var out Report
	for _, p := range parts {
		out.Join(Report{Problems: p.report.Problems, Attached: p.report.Attached, Addresses: p.report.Addresses})
	}
	out.Sort()
	out.Outcomes = outcomesOf(parts, func(Outcome) bool { return true })
	return out
}

// outcomesOf joins the outcomes of parts that are asked for: of several in one
// respect a bad one stands, the earlier pass's, and in one part the first.
// What two parts of one pass say differently has no order but that of the
// words.
func outcomesOf(parts []*part, asked func(Outcome) bool) []Outcome {
	type told struct {
		Outcome
		pass Pass
	}
	var all []told
	for _, p := range parts {
		own := Report{}
		for _, o := range p.report.Outcomes {
			if asked(o) {
				own.Outcome(o)
			}
		}
		own.Sort()
		for _, o := range own.Outcomes {
			all = append(all, told{o, p.pass})
		}
	}
	slices.SortFunc(all, func(a, b told) int {
		return cmp.Or(a.compare(b.Outcome), compareBad(a.Outcome, b.Outcome), cmp.Compare(a.pass, b.pass),
			cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	var out []Outcome
	for i, t := range all {
		if i == 0 || t.compare(all[i-1].Outcome) != 0 {
			out = append(out, t.Outcome)
		}
	}
	return out
}

// compareBad puts what tells of a fault first.
func compareBad(a, b Outcome) int {
	switch {
	case a.Bad() == b.Bad():
		return 0
	case a.Bad():
		return -1
	}
	return 1
}

func (r *Report) empty() bool {
	return len(r.Problems)+len(r.Outcomes)+len(r.Attached)+len(r.Addresses) == 0
}

// equal reports whether two reports say the same in the same order.
func (r *Report) equal(other Report) bool {
	return slices.Equal(r.Problems, other.Problems) && slices.Equal(r.Outcomes, other.Outcomes) &&
		maps.Equal(r.Attached, other.Attached) &&
		maps.EqualFunc(r.Addresses, other.Addresses, func(a, b []Address) bool { return slices.Equal(a, b) })
}
