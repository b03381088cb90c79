package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// Holder keeps the last good document of a Source in the Store.
type Holder struct {
	source Source
	deps   Deps

	mu     sync.Mutex
	doc    Document
	facts  facts // the zero value: there has been none
	err    error // why the newest is not in use
	told   string
	change func()
	first  chan struct{}
	once   sync.Once
}

// Deps is what a Holder works with.
type Deps struct {
	Store *secret.Store
	Clock func() time.Time
	Log   *slog.Logger
}

// NewHolder returns a Holder of what source provides. Run starts it.
func NewHolder(source Source, deps Deps) *Holder {
	return &Holder{source: source, deps: deps, first: make(chan struct{})}
}

// OnChange registers what is called, on the Source's goroutine, when what the
// Holder has to tell has changed. It is called before Run.
func (h *Holder) OnChange(f func()) { h.change = f }

// Run follows the source until ctx ends.
func (h *Holder) Run(ctx context.Context) { h.source.Run(ctx, h.take) }

// First is closed when the source has answered for the first time, be it that
// there is no certificate.
func (h *Holder) First() <-chan struct{} { return h.first }

// take looks at what the source hands over, and uses it if it is good.
func (h *Holder) take(doc Document, err error) {
	changed := h.use(doc, err)
	h.once.Do(func() { close(h.first) })
	if changed && h.change != nil {
		h.change()
	}
}

func (h *Holder) use(doc Document, err error) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && h.facts.id != "" && doc.equal(h.doc) {
		return h.settle(nil)
	}
	var f facts
	if err == nil {
		f, err = doc.check(h.deps.Clock())
	}
	if err != nil {
		return h.settle(err)
	}
	h.deps.Store.Put(map[secret.Ref]secret.Value{
		ir.IdentityRef(ir.IdentityChain): secret.NewValue(doc.Chain),
		ir.IdentityRef(ir.IdentityKey):   doc.Key,
		ir.IdentityRef(ir.IdentityRoots): secret.NewValue(doc.Roots),
	})
	h.doc, h.facts = doc, f
	h.settle(nil)
	h.deps.Log.Info("workload certificate in use", "id", f.id, "until", f.notAfter.UTC().Format(time.RFC3339), "from", h.source.String())
	return true
}

// settle remembers why the newest document is not in use, and tells of it
// once.
func (h *Holder) settle(err error) (changed bool) {
	h.err = err
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == h.told {
		return false
	}
	h.told = text
	if err != nil {
		h.deps.Log.Warn("workload certificate", "from", h.source.String(), "error", err, "in use", h.facts.id)
	}
	return true
}

// Status is what a Holder has to show.
type Status struct {
	// From is the source.
	From string
	// ID is the SPIFFE ID of the certificate in use, empty if there is none.
	ID string
	// NotBefore and NotAfter are when it is good.
	NotBefore, NotAfter time.Time
	// Err is why a newer one is not in use, or there is none at all.
	Err error
}

// Status returns the state now.
func (h *Holder) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Status{From: h.source.String(), ID: h.facts.id, NotBefore: h.facts.notBefore, NotAfter: h.facts.notAfter, Err: h.err}
}

var errNone = errors.New("there is no workload certificate yet")

// Check returns why the gateway cannot prove who it is, or nil.
func (h *Holder) Check() error {
	s := h.Status()
	switch {
	case s.ID == "" && s.Err != nil:
		return fmt.Errorf("no workload certificate: %w", s.Err)
	case s.ID == "":
		return errNone
	case h.deps.Clock().After(s.NotAfter):
		return fmt.Errorf("the workload certificate has expired: it was good until %s", s.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// Problems tells what is wrong with the certificate now.
func (h *Holder) Problems() []status.Problem {
	origin := ir.Origin{Kind: "--identity", Name: h.source.String()}
	s := h.Status()
	if err := h.Check(); err != nil {
		return []status.Problem{status.Errorf(origin, "%v; listeners and upstreams that need it refuse", err).Fix("provide a good one")}
	}
	left, life := s.NotAfter.Sub(h.deps.Clock()), s.NotAfter.Sub(s.NotBefore)
	switch {
	case s.Err != nil:
		return []status.Problem{status.Warningf(origin, "%v; the one before is in use until %s", s.Err, s.NotAfter.UTC().Format(time.RFC3339)).Fix("provide a good one")}
	case left < life/10:
		return []status.Problem{status.Warningf(origin, "the workload certificate expires in %v and has not been renewed", left.Round(time.Second)).Fix("see to its renewal")}
	}
	return nil
}
