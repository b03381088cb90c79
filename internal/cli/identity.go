package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/identity"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
)

// identityPatience is how long the start waits for the workload certificate
// before it goes on without one.
const identityPatience = 5 * time.Second

// identityOptions are the flags of the gateway's own workload certificate.
type identityOptions struct{ from string }

func (o *identityOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.from, "identity", "", "this gateway's own workload certificate: a `DIR` with cert-chain.pem, key.pem and root-cert.pem, read again when they change; or istiod://HOST:PORT, unix:///SOCKET of a SPIFFE agent, or spiffe: for the one that SPIFFE_ENDPOINT_SOCKET names")
}

// given says whether there is a workload certificate.
func (o *identityOptions) given() compile.Identity {
	if o.from == "" {
		return compile.IdentityNone
	}
	return compile.IdentityGiven
}

// own is the gateway's workload certificate, followed until close.
type own struct {
	*identity.Holder
	stop context.CancelFunc
	done chan struct{}
}

// start follows the workload certificate that the flags name, nil if they name
// none. changed is called when there is something new to tell of it.
func (o *identityOptions) start(std Streams, store *secret.Store, log *slog.Logger, changed func()) (*own, error) {
	if o.from == "" {
		return nil, nil
	}
	src, err := identity.Parse(o.from, std.Env)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, usageError{err}
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &own{
		Holder: identity.NewHolder(src, identity.Deps{Store: store, Clock: time.Now, Log: log}),
		stop:   stop, done: make(chan struct{}),
	}
	w.OnChange(changed)
	go func() {
		defer close(w.done)
		w.Run(ctx)
	}()
	patience := time.NewTimer(identityPatience)
	defer patience.Stop()
	select {
	case <-w.First():
	case <-patience.C:
		log.Warn("workload certificate: no answer yet; listeners and upstreams that need it refuse until then", "from", src.String())
	}
	return w, nil
}

// close ends the following.
func (w *own) close() {
	w.stop()
	<-w.done
}

// ownProblems are those of the workload certificate.
func (s *serving) ownProblems() []status.Problem {
	if s.own == nil {
		return nil
	}
	return s.own.Problems()
}

// ready returns why the gateway is not ready, or nil. One that is to prove who
// it is and cannot is of no use to anyone. One whose API server is away is
// ready: all of them would be of no use at once, and what they serve stands.
func (s *serving) ready() error {
	if err := s.gateway.Check(); err != nil && s.cluster != nil {
		return cmp.Or(s.cluster.Check(), err)
	}
	if err := s.gateway.Check(); err != nil || s.own == nil {
		return err
	}
	return s.own.Check()
}
