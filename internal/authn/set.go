package authn

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// maxMethods bounds the methods of one Set: they are bits of a word.
const maxMethods = 64

// Set authenticates by several methods, joined by a boolean expression. Each
// method is asked once at most, from left to right, and only while the outcome
// depends on it.
//
//   - A refusal is that of the first method that refused.
//   - What a method proved counts if the part of the expression that it stands
//     in was needed to let the caller pass.
//   - "!m" passes if m refuses. It proves nobody; and while m cannot be asked,
//     because a server is down, it refuses as m does.
type Set struct {
	names   []string
	methods []Authenticator
	expr    ir.AuthExpr
	// sanitize is what every Result holds; inputs are where credentials are.
	sanitize, inputs []string
	calls            bool
	single           bool // the expression is the only method
}

var _ Authenticator = (*Set)(nil)

// sanitizing is an authenticator that says beforehand which headers it may
// set.
type sanitizing interface{ SanitizeHeaders() []string }

// reading is an authenticator that says in which headers credentials are.
type reading interface{ InputHeaders() []string }

// sparing is an authenticator that tells which credentials of its kind are in
// a request that passed without it, so that no upstream gets to see them.
type sparing interface{ Spare(r *Request) []Location }

// NewSet makes cfg ready. An error names the method, and quotes no secret.
func NewSet(cfg *ir.AuthSet, deps Deps) (*Set, error) {
	s := &Set{}
	var err error
	switch {
	case len(cfg.Methods) == 0:
		return nil, errors.New("authentication: no methods")
	case len(cfg.Methods) > maxMethods:
		return nil, fmt.Errorf("authentication: more than %d methods", maxMethods)
	}
	if s.expr, err = cfg.Tree(); err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	for i := range cfg.Methods {
		m := &cfg.Methods[i]
		if m.Name == "" || slices.Contains(s.names, m.Name) {
			return nil, fmt.Errorf("authentication: the name %q of method %d is empty or taken", m.Name, i)
		}
		a, err := newMethod(m, deps)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("authentication %q: %w", m.Name, err)
		}
		if deps.Answer != nil {
			answerFor(a, deps.Answer(m))
		}
		s.calls = s.calls || m.External != nil
		s.names, s.methods = append(s.names, m.Name), append(s.methods, a)
		if x, ok := a.(sanitizing); ok {
			s.sanitize = append(s.sanitize, x.SanitizeHeaders()...)
		}
		if x, ok := a.(reading); ok {
			s.inputs = append(s.inputs, x.InputHeaders()...)
		}
	}
	s.sanitize, s.inputs = unique(s.sanitize), unique(s.inputs)
	s.single = len(s.methods) == 1 && (s.expr.Method > 0 || len(s.expr.And) == 1 && s.expr.And[0].Method > 0)
	return s, nil
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Clip(slices.Compact(list))
}

// newMethod is the list of all methods there are.
func newMethod(m *ir.AuthMethod, deps Deps) (Authenticator, error) {
	switch {
	case m.APIKey != nil:
		if deps.KeyRing == nil {
			return NewAPIKey(m.Name, m.APIKey, NewKeyRing(m.APIKey, deps.Store))
		}
		return NewAPIKey(m.Name, m.APIKey, deps.KeyRing(m.APIKey))
	case m.Basic != nil:
		return NewBasic(m.Name, m.Basic, deps)
	case m.Token != nil:
		return NewAccessToken(m.Name, m.Token, deps)
	case m.External != nil:
		return NewExternal(m.Name, m.External, deps)
	case m.Verified != nil:
		return NewVerified(m.Name), nil
	}
	return nil, errors.New("method of no known kind")
}

// Close lets go of what the methods hold.
func (s *Set) Close() {
	for _, a := range s.methods {
		if c, ok := a.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// SanitizeHeaders is what every Result's Sanitize holds.
func (s *Set) SanitizeHeaders() []string { return s.sanitize }

// Calls reports whether a method has to be told of more than the headers.
func (s *Set) Calls() bool { return s.calls }

// InputHeaders are the headers that may hold a credential.
func (s *Set) InputHeaders() []string { return s.inputs }

// Problems tells which secrets of the methods cannot be used now.
func (s *Set) Problems() []status.Problem {
	var out []status.Problem
	for _, a := range s.methods {
		if p, ok := a.(interface{ Problems() []status.Problem }); ok {
			out = append(out, p.Problems()...)
		}
	}
	return out
}

// asking is one evaluation of a Set.
type asking struct {
	s   *Set
	ctx context.Context
	r   *Request

	asked, passed uint64
	results       []Result
	failures      []*Failure
	broken        error
}

// Authenticate asks the methods that the expression needs.
func (s *Set) Authenticate(ctx context.Context, r *Request) (Result, error) {
	if s.single {
		return s.one(ctx, r)
	}
	q := asking{s: s, ctx: ctx, r: r, results: make([]Result, len(s.methods)), failures: make([]*Failure, len(s.methods))}
	needed, f := q.holds(&s.expr)
	switch {
	case q.broken != nil:
		return Result{}, q.broken
	case f != nil:
		return Result{}, f
	}
	out := Result{Sanitize: s.sanitize}
	for m := q.passed; m != 0; m &= m - 1 {
		i := bits.TrailingZeros64(m)
		got := &q.results[i]
		out.Consumed = join(out.Consumed, got.Consumed)
		if needed>>i&1 == 1 {
			out.take(s.names[i], got)
		}
	}
	for i, a := range s.methods {
		if sp, ok := a.(sparing); ok && q.passed>>i&1 == 0 {
			out.Consumed = join(out.Consumed, sp.Spare(r))
		}
	}
	return out, nil
}

// one asks the only method.
func (s *Set) one(ctx context.Context, r *Request) (Result, error) {
	out, err := s.methods[0].Authenticate(ctx, r)
	var f *Failure
	switch {
	case errors.As(err, &f) && f != nil:
		return Result{}, f
	case err != nil:
		return Result{}, fmt.Errorf("authentication %q: %w", s.names[0], err)
	}
	out.By, out.Sanitize = s.names[0], s.sanitize
	return out, nil
}

// take adds what a method found.
func (r *Result) take(name string, from *Result) {
	if r.By == "" {
		r.By = name
	} else {
		r.By += ", " + name
	}
	r.Identities = join(r.Identities, from.Identities)
	r.Set = join(r.Set, from.Set)
	r.Secrets = join(r.Secrets, from.Secrets)
	r.Remove = join(r.Remove, from.Remove)
	r.Reply = join(r.Reply, from.Reply)
	if r.Ignored == nil {
		r.Ignored = from.Ignored
	}
}

// holds evaluates x. It returns the methods that were needed to make it hold,
// or why it does not.
func (q *asking) holds(x *ir.AuthExpr) (needed uint64, f *Failure) {
	switch {
	case x.Method > 0:
		return q.ask(x.Method - 1)
	case x.Not != nil:
		return 0, q.not(x.Not)
	case len(x.Or) > 0:
		return q.any(x.Or)
	}
	for i := range x.And {
		n, f := q.holds(&x.And[i])
		if f != nil {
			return 0, f
		}
		needed |= n
	}
	return needed, nil
}

// any returns the first operand that holds, or the first refusal. If one of
// them could not be asked, that is true of the whole.
func (q *asking) any(list []ir.AuthExpr) (uint64, *Failure) {
	var first *Failure
	unavailable := false
	for i := range list {
		n, f := q.holds(&list[i])
		if f == nil || q.broken != nil {
			return n, f
		}
		if first == nil {
			first = f
		}
		unavailable = unavailable || f.Unavailable
	}
	if unavailable && !first.Unavailable {
		c := *first
		c.Unavailable = true
		first = &c
	}
	return 0, first
}

var errExcluded = errors.New("the expression refuses whoever satisfies what it negates")

func (q *asking) not(x *ir.AuthExpr) *Failure {
	switch _, f := q.holds(x); {
	case f == nil:
		return &Failure{Status: http.StatusForbidden, Header: noHeader, Cause: errExcluded}
	case f.Unavailable:
		return f
	}
	return nil
}

// noHeader is for refusals without a challenge.
var noHeader = http.Header{}

// ask asks a method, unless it was asked before.
func (q *asking) ask(i int) (uint64, *Failure) {
	if bit := uint64(1) << i; q.asked&bit == 0 {
		q.asked |= bit
		result, err := q.s.methods[i].Authenticate(q.ctx, q.r)
		if err != nil {
			q.fail(i, err)
		} else {
			q.passed |= bit
			q.results[i] = result
		}
	}
	if q.passed>>i&1 == 1 {
		return 1 << i, nil
	}
	return 0, q.failures[i]
}

// fail keeps why a method refused. What is no refusal is a fault of ours, and
// ends the request whatever else holds.
func (q *asking) fail(i int, err error) {
	var f *Failure
	if !errors.As(err, &f) || f == nil {
		q.broken = fmt.Errorf("authentication %q: %w", q.s.names[i], err)
		f = &Failure{Unavailable: true}
	}
	q.failures[i] = f
}
