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
	whole     sync.RWMutex // held while several parts are changed
	mu        sync.Mutex
	parts     map[any]*part
	objects   map[Object][]*part          // who speaks of an object
	problems  map[Problem]int             // how many parts tell of it
	blamed    map[Object]map[Problem]bool // problems by origin, without a group
	unbound   map[Object]int              // how many outcomes and problems say so, without a group
	attached  map[string]int
	addresses map[string][]Address
	totals    Totals
	news      news
	brief     bool // outcomes are not kept
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
	// Unbound are policies whose target is not there, or that others come before.
	Unbound int
}

// News are what has changed.
type News struct {
	// Problems that were not there before, sorted.
	Problems []Problem
	// Objects of which something else may be said than before, in no order.
	Objects []Object
	// Blamed are objects of which perhaps other problems are told, as an origin
	// names them: without a group.
	Blamed []Object
	// Moved are names among Report.Attached and Report.Addresses of which
	// something else may be said, in no order.
	Moved []string
}

// news are gathered until someone takes them.
type news struct {
	problems map[Problem]int // how many parts told of it before
	objects  map[Object]struct{}
	blamed   map[Object]struct{}
	moved    map[string]struct{}
}

// Hold keeps readers waiting until release is called, so that they see nothing
// of a change that is only half put in.
func (l *Ledger) Hold() (release func()) {
	l.whole.Lock()
	return l.whole.Unlock
}

// ProblemsOnly makes a Ledger leave out all but the problems of what is put in
// from now on.
func (l *Ledger) ProblemsOnly() { l.brief = true }

// Put makes r what a pass says of a thing, in place of what it said before. An
// empty Report takes that back. The key must not be another pass's.
func (l *Ledger) Put(pass Pass, key any, r Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parts == nil {
		l.parts, l.objects = map[any]*part{}, map[Object][]*part{}
		l.problems, l.unbound = map[Problem]int{}, map[Object]int{}
		l.blamed = map[Object]map[Problem]bool{}
		l.attached, l.addresses = map[string]int{}, map[string][]Address{}
	}
	if l.brief {
		r = Report{Problems: r.Problems}
	}
	old := l.parts[key]
	if old != nil && old.report.equal(r) {
		return
	}
	if r.empty() && old == nil {
		return
	}
	if old != nil {
		l.countLocked(old, -1)
	}
	if delete(l.parts, key); !r.empty() {
		p := &part{pass, r}
		l.parts[key] = p
		l.countLocked(p, 1)
	}
}

// countLocked adds a part to what is known of all, or with -1 takes it away.
func (l *Ledger) countLocked(p *part, n int) {
	for _, problem := range p.report.Problems {
		l.countProblemLocked(problem, n)
	}
	for i, o := range p.report.Outcomes {
		l.countOutcomeLocked(o, n)
		if slices.ContainsFunc(p.report.Outcomes[:i], func(e Outcome) bool { return e.Object == o.Object }) {
			continue
		}
		list := l.objects[o.Object]
		if n > 0 {
			list = append(list, p)
		} else if i := slices.Index(list, p); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
		if l.objects[o.Object] = list; len(list) == 0 {
			delete(l.objects, o.Object)
		}
	}
	for name, count := range p.report.Attached {
		if l.attached[name] += n * count; l.attached[name] == 0 {
			delete(l.attached, name)
		}
		l.moved(name)
	}
	for name, list := range p.report.Addresses {
		if l.addresses[name] = list; n < 0 {
			delete(l.addresses, name)
		}
		l.moved(name)
	}
}

// countProblemLocked counts a part that tells of a problem, or does no more.
func (l *Ledger) countProblemLocked(p Problem, n int) {
	before := l.problems[p]
	now := before + n
	if l.problems[p] = now; now == 0 {
		delete(l.problems, p)
	}
	if (before == 0) != (now == 0) {
		l.blameLocked(p, now > 0)
	}
	if p.Alert == TargetNotFound {
		l.unboundLocked(Object{Kind: p.Origin.Kind, Namespace: p.Origin.Namespace, Name: p.Origin.Name}, n)
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

// blameLocked files a problem under the object that it is told of.
func (l *Ledger) blameLocked(p Problem, there bool) {
	o := Object{Kind: p.Origin.Kind, Namespace: p.Origin.Namespace, Name: p.Origin.Name}
	if l.blamed[o] == nil {
		l.blamed[o] = map[Problem]bool{}
	}
	if l.blamed[o][p] = true; !there {
		if delete(l.blamed[o], p); len(l.blamed[o]) == 0 {
			delete(l.blamed, o)
		}
	}
	if l.news.blamed == nil {
		l.news.blamed = map[Object]struct{}{}
	}
	l.news.blamed[o] = struct{}{}
}

// countOutcomeLocked takes note of an outcome that has come, or gone.
func (l *Ledger) countOutcomeLocked(o Outcome, n int) {
	if l.news.objects == nil {
		l.news.objects = map[Object]struct{}{}
	}
	l.news.objects[o.Object] = struct{}{}
	if o.Condition == "Attached" && !o.OK {
		l.unboundLocked(o.Object, n)
	}
}

// unboundLocked counts what says that a policy holds nowhere.
func (l *Ledger) unboundLocked(o Object, n int) {
	o.Group = "" // as in origins
	if l.unbound[o] += n; l.unbound[o] == 0 {
		delete(l.unbound, o)
	}
	l.totals.Unbound = len(l.unbound)
}

// moved takes note of another count or address.
func (l *Ledger) moved(name string) {
	if l.news.moved == nil {
		l.news.moved = map[string]struct{}{}
	}
	l.news.moved[name] = struct{}{}
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
		Objects:  slices.Collect(maps.Keys(l.news.objects)), Blamed: slices.Collect(maps.Keys(l.news.blamed)),
		Moved: slices.Collect(maps.Keys(l.news.moved)),
	}
	l.news = news{}
	return out
}

// Outcomes returns what became of an object, sorted as by Report.Sort.
func (l *Ledger) Outcomes(o Object) []Outcome {
	l.whole.RLock()
	defer l.whole.RUnlock()
	l.mu.Lock()
	parts := slices.Clone(l.objects[o])
	l.mu.Unlock()
	return outcomesOf(parts, func(e Outcome) bool { return e.Object == o })
}

// Problems returns what is wrong with an object, sorted. Origins name no group,
// so that of o does not count.
func (l *Ledger) Problems(o Object) []Problem {
	o.Group = ""
	l.whole.RLock()
	defer l.whole.RUnlock()
	l.mu.Lock()
	out := Report{Problems: slices.Collect(maps.Keys(l.blamed[o]))}
	l.mu.Unlock()
	out.Sort()
	return out.Problems
}

// Alerts returns the problems that a person must act on, sorted.
func (l *Ledger) Alerts() []Problem {
	l.whole.RLock()
	defer l.whole.RUnlock()
	l.mu.Lock()
	var out Report
	for p := range l.problems {
		if p.Alert != "" {
			out.Add(p)
		}
	}
	l.mu.Unlock()
	out.Sort()
	return out.Problems
}

// Report returns everything, sorted.
func (l *Ledger) Report() Report {
	parts, problems := l.everything()
	out := Report{Problems: problems}
	out.Attached, out.Addresses = l.Gateways()
	out.Sort()
	out.Outcomes = outcomesOf(parts, func(Outcome) bool { return true })
	return out
}

func (l *Ledger) everything() ([]*part, []Problem) {
	l.whole.RLock()
	defer l.whole.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.parts)), slices.Collect(maps.Keys(l.problems))
}

// Gateways returns how many routes are attached to each listener, and where
// each Gateway is reached, as a Report has them; nil: none.
func (l *Ledger) Gateways() (attached map[string]int, addresses map[string][]Address) {
	l.whole.RLock()
	defer l.whole.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.attached) > 0 {
		attached = maps.Clone(l.attached)
	}
	if len(l.addresses) > 0 {
		addresses = maps.Clone(l.addresses)
	}
	return attached, addresses
}

// outcomesOf joins the outcomes of parts that are asked for: of several in one
// respect a bad one stands, else one with a message, the earlier pass's, and in
// one part the first. What two parts of one pass say differently has no order
// but that of the words.
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
		return cmp.Or(a.compare(b.Outcome), cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.pass, b.pass),
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

func (r *Report) empty() bool {
	return len(r.Problems)+len(r.Outcomes)+len(r.Attached)+len(r.Addresses) == 0
}

// equal reports whether two reports say the same in the same order.
func (r *Report) equal(other Report) bool {
	return slices.Equal(r.Problems, other.Problems) && slices.Equal(r.Outcomes, other.Outcomes) &&
		maps.Equal(r.Attached, other.Attached) &&
		maps.EqualFunc(r.Addresses, other.Addresses, func(a, b []Address) bool { return slices.Equal(a, b) })
}
