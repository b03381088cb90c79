package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/postern-gateway/postern/internal/secret"
)

// WorkloadAPI takes the certificate from a SPIFFE agent's Workload API, which
// says by itself when there is a new one. The first of several identities is
// used, and the bundle of its own trust domain.
type WorkloadAPI struct{ address string }

// NewWorkloadAPI returns the Source behind an address, such as
// unix:///run/spire/agent.sock.
func NewWorkloadAPI(address string) (*WorkloadAPI, error) {
	if err := workloadapi.ValidateAddress(address); err != nil {
		return nil, fmt.Errorf("--identity %q: %w", address, err)
	}
	return &WorkloadAPI{address: address}, nil
}

// String returns the address.
func (w *WorkloadAPI) String() string { return w.address }

// Run follows the agent until ctx ends. A connection that breaks is made
// again, ever more slowly.
func (w *WorkloadAPI) Run(ctx context.Context, take func(Document, error)) {
	err := workloadapi.WatchX509Context(ctx, watcher{w, take}, workloadapi.WithAddr(w.address))
	if err != nil && ctx.Err() == nil {
		take(Document{}, fmt.Errorf("%s: %w", w.address, err))
		<-ctx.Done()
	}
}

// watcher turns the Workload API's updates into documents.
type watcher struct {
	of   *WorkloadAPI
	take func(Document, error)
}

// OnX509ContextUpdate takes an update.
func (w watcher) OnX509ContextUpdate(c *workloadapi.X509Context) {
	doc, err := documentOf(c)
	if err != nil {
		err = fmt.Errorf("%s: %w", w.of.address, err)
	}
	w.take(doc, err)
}

// OnX509ContextWatchError takes a failure.
func (w watcher) OnX509ContextWatchError(err error) {
	if !errors.Is(err, context.Canceled) {
		w.take(Document{}, fmt.Errorf("%s: %w", w.of.address, err))
	}
}

func documentOf(c *workloadapi.X509Context) (Document, error) {
	if len(c.SVIDs) == 0 {
		return Document{}, errors.New("the agent has no identity for this workload")
	}
	svid := c.SVIDs[0]
	bundle, err := c.Bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		return Document{}, err
	}
	chain, key, err := svid.Marshal()
	if err != nil {
		return Document{}, errors.New("the agent's certificate and key cannot be encoded")
	}
	roots, err := bundle.Marshal()
	if err != nil {
		return Document{}, errors.New("the agent's bundle cannot be encoded")
	}
	return Document{Chain: bytes.Clone(chain), Key: secret.NewValue(key), Roots: roots}, nil
}
