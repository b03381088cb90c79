package policytest

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/explain"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/status"
)

// Result is what became of one case, or of a test that could not be run.
type Result struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	// Test is the PolicyTest's name, Name the case's.
	Test   string `json:"test,omitempty"`
	Name   string `json:"name,omitempty"`
	Passed bool   `json:"passed"`
	// Expected and Got are nil where there was nothing to compare.
	Expected *Expect `json:"expected,omitempty"`
	Got      *Expect `json:"got,omitempty"`
	// Differs says, in words, in what they differ.
	Differs []string `json:"differs,omitempty"`
	// Problems of the test, or of what it tests.
	Problems []string `json:"problems,omitempty"`
	// Explanation of a case that failed.
	Explanation *explain.Explanation `json:"explanation,omitempty"`
}

// Run runs tests, several at a time, and returns the results in their order.
func Run(ctx context.Context, tests []*Test, load Load) []Result {
	each := make([][]Result, len(tests))
	parallel(len(tests), func(i int) { each[i] = tests[i].run(ctx, load) })
	var out []Result
	for _, list := range each {
		out = append(out, list...)
	}
	return out
}

// parallel calls f for 0 to n-1, on all processors.
func parallel(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	all.Wait()
}

func (t *Test) run(ctx context.Context, load Load) []Result {
	if len(t.Problems) > 0 {
		return []Result{{File: t.File, Test: t.Name, Problems: texts(t.Problems)}}
	}
	g, problems := t.ground(ctx, load)
	if g == nil {
		return []Result{{File: t.File, Test: t.Name, Problems: texts(problems)}}
	}
	defer g.release()
	out := make([]Result, len(t.Spec.Cases))
	parallel(len(out), func(i int) { out[i] = t.try(ctx, g, i) })
	return out
}

func texts(list []status.Problem) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

// try runs one case.
func (t *Test) try(ctx context.Context, g *ground, i int) Result {
	c := &t.Spec.Cases[i]
	out := Result{File: t.File, Line: t.line(i), Test: t.Name, Name: c.Name, Expected: &c.Expect}
	q, err := c.Request.made(g)
	var x *explain.Explanation
	if err == nil {
		x, err = g.target.Decide(ctx, q)
	}
	if err != nil {
		out.Problems = []string{err.Error()}
		return out
	}
	out.Got, out.Differs = compare(&c.Expect, x)
	if out.Passed = len(out.Differs) == 0; out.Passed {
		return out
	}
	if out.Explanation, err = g.target.Explain(ctx, q); err != nil {
		out.Explanation = x
	}
	out.Problems = texts(g.problems)
	return out
}

// made returns the request that is explained.
func (r *Request) made(g *ground) (*explain.Request, error) {
	q := &explain.Request{
		Method: r.Method, URL: r.URL, Host: r.Host, Port: r.Port, Path: r.Path, Body: []byte(r.Body), Peer: r.Peer,
		SourceIP: r.SourceIP, RemoteIP: r.RemoteIP, DestinationIP: r.DestinationIP, DestinationPort: r.DestinationPort, SNI: r.SNI,
		Header: make(map[string][]string, len(r.Headers)),
	}
	for name, values := range r.Headers {
		q.Header[name] = append(q.Header[name], values...)
	}
	if len(r.Claims) > 0 {
		claims, err := authn.ParseClaims(r.Claims)
		if err != nil {
			return nil, err
		}
		q.Claims = claims
	}
	if g.alone && q.URL == "" && q.Host == "" {
		q.Host = anyHost
	}
	return q, nil
}

// anyHost is asked where policies are tried alone and a case names none.
const anyHost = "postern.test"

// ground is what a test's cases are tried on.
type ground struct {
	target *explain.Target
	// alone says that there are policies and no route: they decide.
	alone    bool
	problems []status.Problem
	release  func()
}

// fault is a problem of the test itself.
func (t *Test) fault(field, format string, args ...any) status.Problem {
	o := ir.Origin{File: t.File}
	if t.object != nil {
		o = t.object.Origin(field)
	}
	return status.Errorf(o, format, args...)
}
