// Package gateway is the only wiring: it leads what a source delivers through
// the dialects and the compiler, swaps the snapshot that serves, and starts,
// reloads and drains the listeners.
//
//	source ──Update──► Pipeline ──Result──► Listeners.Apply ──► requests
//	                      │                     │
//	                      └────── status.Report ┘
//
// The new is built before the old is let go of; a request that began with the
// old keeps it.
package gateway

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/status"
)

// Pipeline turns the updates of one source into snapshots. It is for one
// goroutine.
type Pipeline struct {
	translator *dialect.Translator
	merger     dialect.Merger
	compiler   *compile.Compiler
	only       string // serve this Gateway alone

	last *Result
}

// GiveAddresses makes each Gateway have addresses of its own. It is called
// before the first update.
func (p *Pipeline) GiveAddresses(a dialect.Addresser) { p.merger.Addresses = a }

// Result is what one update led to.
type Result struct {
	// Set that was translated.
	Set      *resource.Set
	Config   *ir.Config
	Compiled *compile.Compiled
	Objects  int
	// Translated and Built count what was done anew: roots and routes.
	Translated, Built int

	found   status.Report // of translate, Merge and compile
	read    []status.Problem
	unbound []Unbound
	refused func([]dialect.Refusal) status.Report
	// dropped are secrets that nothing needs once this is served.
	dropped []secret.Ref
}

// NewPipeline returns a Pipeline. only, if not empty, is the one Gateway that
// is served, as "namespace/name".
func NewPipeline(dialects []dialect.Dialect, compiler *compile.Compiler, only string) *Pipeline {
	return &Pipeline{translator: dialect.NewTranslator(dialects), compiler: compiler, only: only}
}

// Translate turns a set into configuration, without compiling it.
func (p *Pipeline) Translate(set *resource.Set) (*ir.Config, status.Report, int) {
	fragments, report, done := p.translator.Translate(set)
	config := p.merge(fragments, &report)
	return config, report, done
}

// merge puts fragments together, and adds to the report what becomes of them.
func (p *Pipeline) merge(fragments []*dialect.Fragment, report *status.Report) *ir.Config {
	config, merged := p.merger.Merge(fragments)
	report.Join(merged)
	if p.only != "" {
		all := gatewayNames(config)
		config.Listeners = slices.DeleteFunc(config.Listeners, func(l *ir.Listener) bool { return l.Gateway != p.only })
		if len(config.Listeners) == 0 {
			report.Add(status.Errorf(ir.Origin{Kind: "--gateway", Name: p.only}, "no such Gateway has a listener; nothing is served").
				Fix("%s", cmp.Or(dialect.Suggest(p.only, all), "name one of "+strings.Join(all, ", "))))
		}
	}
	return config
}

// gatewayNames returns the Gateways that have a listener.
func gatewayNames(c *ir.Config) []string {
	var out []string
	for _, l := range c.Listeners {
		if !slices.Contains(out, l.Gateway) {
			out = append(out, l.Gateway)
		}
	}
	return out
}

// Apply returns what an update leads to. An update without a Set changes no
// snapshot: the last result comes back, with the problems of the new bytes.
func (p *Pipeline) Apply(u source.Update) *Result {
	if u.Set == nil && p.last != nil {
		r := *p.last
		r.Translated, r.Built = 0, 0
		r.read, r.dropped = u.Problems, u.Dropped
		p.last = &r
		return &r
	}
	set := u.Set
	if set == nil {
		set = resource.NewSet(nil, nil)
	}
	fragments, report, done := p.translator.Translate(set)
	for u.Supply != nil {
		more := u.Supply(p.translator.Demand())
		if more == nil {
			break
		}
		if u = *more; u.Set != nil {
			var n int
			set = u.Set
			fragments, report, n = p.translator.Translate(set)
			done += n
		}
	}
	config := p.merge(fragments, &report)
	compiled := p.compiler.Compile(config)
	report.Join(compiled.Report)
	p.last = &Result{
		Set: set, Config: config, Compiled: compiled, Objects: set.Len(),
		Translated: done, Built: compiled.Built,
		found: report, read: u.Problems, refused: p.merger.Refused, dropped: u.Dropped,
	}
	return p.last
}

// bound takes note of the ports that could not be bound, and of where the
// Gateways are reached.
func (r *Result) bound(unbound []Unbound, reached map[string][]status.Address) {
	r.unbound = unbound
	r.found.Join(status.Report{Addresses: reached})
}

// Report returns everything that is known of the resources now, sorted.
func (r *Result) Report() status.Report {
	var out status.Report
	out.Add(r.read...)
	out.Join(r.found)
	out.Add(r.Compiled.SecretProblems()...)
	var refusals []dialect.Refusal
	for _, u := range r.unbound {
		out.Add(u.Problem())
		refusals = append(refusals, u.refusals()...)
	}
	for _, c := range r.Compiled.CertificateFaults() {
		refusals = append(refusals, dialect.Refusal{
			Listener: c.Listener, Condition: "ResolvedRefs", Reason: "InvalidCertificateRef", Message: c.Reason, Partly: c.Partly,
		})
	}
	if len(refusals) > 0 {
		out.Join(r.refused(refusals))
	}
	out.Sort()
	return out
}
