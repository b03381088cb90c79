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
	only       string                        // serve this Gateway alone
	behind     bool                          // each Gateway has a Service of its own
	bare       map[*ir.Listener]*ir.Listener // those served behind one, without its addresses
	ledger     *status.Ledger

	last *Result
}

// GiveAddresses makes each Gateway have addresses of its own. It is called
// before the first update.
func (p *Pipeline) GiveAddresses(a dialect.Addresser) { p.merger.Addresses = a }

// Lend returns what others may Borrow. It is called before the first update.
func (p *Pipeline) Lend() *dialect.Lent { return p.translator.Lend() }

// Try makes a Pipeline one whose results nobody serves, and of which problems
// alone are asked for: with what another one lends, it holds little itself. It
// is called before the first update.
func (p *Pipeline) Try(lent *dialect.Lent) {
	p.translator.Borrow(lent)
	p.ledger.ProblemsOnly()
}

// Result is what one update led to.
type Result struct {
	// Set that was translated.
	Set      *resource.Set
	Config   *ir.Config
	Compiled *compile.Compiled
	Objects  int
	// Translated and Built count what was done anew: roots and routes.
	Translated, Built int

	pipeline *Pipeline
	unbound  []Unbound
	// dropped are secrets that nothing needs once this is served.
	dropped []secret.Ref
}

// NewPipeline returns a Pipeline. only, if not empty, is the one Gateway that
// is served, as "namespace/name".
func NewPipeline(dialects []dialect.Dialect, compiler *compile.Compiler, only string) *Pipeline {
	p := &Pipeline{translator: dialect.NewTranslator(dialects), compiler: compiler, only: only, ledger: new(status.Ledger)}
	p.merger.Ledger, p.compiler.Ledger = p.ledger, p.ledger
	return p
}

// Translate turns a set into configuration, without compiling it.
func (p *Pipeline) Translate(set *resource.Set) (*ir.Config, status.Report, int) {
	changes, done := p.translator.Update(set)
	config := p.merge(changes)
	return config, p.ledger.Report(), done
}

// Keys of what the Ledger is told here.
type (
	readKey    struct{} // of the source
	ownKey     struct{} // of what is no resource
	besideKey  struct{} // of what else is known
	onlyKey    struct{} // of --gateway
	boundKey   struct{} // of ports and certificates
	reachedKey struct{} // of addresses
)

// merge puts the fragments after changes together.
func (p *Pipeline) merge(changes []dialect.Change) *ir.Config {
	for _, c := range changes {
		p.ledger.Put(status.PassTranslate, c.Place, c.Report)
	}
	config := p.merger.Update(changes)
	if p.only == "" {
		return config
	}
	var told status.Report
	all := gatewayNames(config)
	config.Listeners = slices.DeleteFunc(config.Listeners, func(l *ir.Listener) bool { return l.Gateway != p.only })
	if len(config.Listeners) == 0 {
		told.Add(status.Errorf(ir.Origin{Kind: "--gateway", Name: p.only}, "no such Gateway has a listener; nothing is served").
			Fix("%s", cmp.Or(dialect.Suggest(p.only, all), "name one of "+strings.Join(all, ", "))))
	}
	p.ledger.Put(status.PassMerge, onlyKey{}, told)
	if p.behind {
		p.strip(config)
	}
	return config
}

// strip makes listeners those of every address of this machine. Those that are
// as they were are the same pointers.
func (p *Pipeline) strip(config *ir.Config) {
	bare := make(map[*ir.Listener]*ir.Listener, len(config.Listeners))
	for i, l := range config.Listeners {
		b := p.bare[l]
		if b == nil {
			n := *l
			n.Addresses = nil
			b = &n
		}
		bare[l], config.Listeners[i] = b, b
	}
	p.bare = bare
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
		r.Translated, r.Built, r.dropped = 0, 0, u.Dropped
		p.last = &r
		p.read(u.Problems)
		return &r
	}
	set := u.Set
	if set == nil {
		set = resource.NewSet(nil, nil)
	}
	changes, done := p.translator.Update(set)
	for u.Supply != nil {
		more := u.Supply(p.translator.Demand())
		if more == nil {
			break
		}
		if u = *more; u.Set != nil {
			set = u.Set
			again, n := p.translator.Update(set)
			changes, done = dialect.Join(changes, again), done+n
		}
	}
	defer p.ledger.Hold()()
	config := p.merge(changes)
	compiled := p.compiler.Compile(config)
	p.last = &Result{
		Set: set, Config: config, Compiled: compiled, Objects: set.Len(),
		Translated: done, Built: compiled.Built, pipeline: p, dropped: u.Dropped,
	}
	p.read(u.Problems)
	return p.last
}

func (p *Pipeline) read(problems []status.Problem) {
	p.ledger.Put(status.PassRead, readKey{}, status.Report{Problems: problems})
}

// bound takes note of the ports that could not be bound, and of where the
// Gateways are reached.
func (r *Result) bound(unbound []Unbound, reached map[string][]status.Address) {
	r.unbound = unbound
	r.pipeline.ledger.Put(status.PassServe, reachedKey{}, status.Report{Addresses: reached})
}

// review looks again at what changes with bytes and ports, and at problems of
// what is no resource.
func (r *Result) review(own []status.Problem, beside status.Report) {
	r.Compiled.LookAtSecrets()
	var told status.Report
	r.reviewClientCertificates(&told)
	refusals := r.refusals(&told)
	for _, c := range r.Compiled.CertificateFaults() {
		refusals = append(refusals, dialect.Refusal{
			Listener: c.Listener, Condition: "ResolvedRefs", Reason: "InvalidCertificateRef", Message: c.Reason, Partly: c.Partly,
		})
	}
	if len(refusals) > 0 {
		told.Join(r.pipeline.merger.Refused(refusals))
	}
	r.pipeline.ledger.Put(status.PassServe, boundKey{}, told)
	r.pipeline.ledger.Put(status.PassServe, ownKey{}, status.Report{Problems: own})
	r.pipeline.ledger.Put(status.PassServe, besideKey{}, beside)
}

// reviewClientCertificates looks again at what Gateways show to upstreams.
func (r *Result) reviewClientCertificates(told *status.Report) {
	list := r.pipeline.merger.ClientCertificates()
	if only := r.pipeline.only; only != "" {
		list = slices.DeleteFunc(list, func(c *dialect.GatewayCertificate) bool { return c.Gateway != only })
	}
	pairs := make([]*ir.KeyPair, len(list))
	for i, c := range list {
		pairs[i] = c.Pair
	}
	for i, err := range r.Compiled.KeyPairFaults(pairs) {
		if err != nil {
			told.Join(list[i].Refused(err))
		}
	}
}

// Report returns everything that is known of the resources now, sorted.
func (r *Result) Report() status.Report {
	r.review(nil, status.Report{})
	return r.pipeline.ledger.Report()
}
