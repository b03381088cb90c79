package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/status"
	"github.com/postern-gateway/postern/internal/webhook"
)

// webhookOptions are the flags of the admission webhook.
type webhookOptions struct {
	addr        string
	certificate string
	clientCA    string
}

func (o *webhookOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.addr, "webhook", "", "`ADDR` of a validating admission webhook at "+webhook.Path+", which refuses what check calls errors (default none)")
	f.StringVar(&o.certificate, "webhook-cert", "", "`DIR` with the webhook's tls.crt and tls.key, read again when they change")
	f.StringVar(&o.clientCA, "webhook-client-ca", "", "`FILE` of the authorities, as PEM, of the one certificate with which the API server is to ask (default anybody may ask)")
}

// check returns what is wrong with the flags; cluster tells whether the
// resources are in one.
func (o *webhookOptions) check(cluster bool) error {
	switch {
	case o.addr == "" && o.certificate+o.clientCA == "":
		return nil
	case !cluster:
		return usageError{errors.New("--webhook needs --kubeconfig or --in-cluster")}
	case o.addr == "" || o.certificate == "":
		return usageError{errors.New("--webhook and --webhook-cert: name both")}
	}
	return nil
}

// openWebhook begins to answer an API server, if that was asked for; served is
// what serves.
func (o *runOptions) openWebhook(s *serving, served *gateway.Pipeline) error {
	if o.cluster.webhook.addr == "" {
		return nil
	}
	deps := offline(secret.NewStore())
	deps.Unserved = true
	pipeline, err := o.pipeline(deps)
	if err != nil {
		return err
	}
	pipeline.Try(served.Lend())
	s.judge = gateway.NewJudge(gateway.JudgeConfig{Pipeline: pipeline, Decode: s.cluster.Decode, Look: s.cluster.Look, Clock: time.Now})
	certificate, err := webhook.NewCertificate(o.cluster.webhook.certificate, time.Now, s.log)
	if err != nil {
		return fmt.Errorf("--webhook-cert: %w", err)
	}
	server, err := webhook.Server(&webhook.Handler{Judge: s.judged, Log: s.log}, certificate, o.cluster.webhook.clientCA)
	if err != nil {
		return fmt.Errorf("--webhook-client-ca: %w", err)
	}
	ln, err := net.Listen("tcp", o.cluster.webhook.addr)
	if err != nil {
		return fmt.Errorf("--webhook: %w", err)
	}
	server.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	s.servers = append(s.servers, server)
	go func() {
		if err := server.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("webhook ended", "error", err)
		}
	}()
	fmt.Fprintf(s.std.Err, "postern: webhook at https://%s%s\n", ln.Addr(), webhook.Path)
	return nil
}

func (s *serving) judged(ctx context.Context, old, object []byte) (errs, warnings []status.Problem, err error) {
	v, err := s.judge.Judge(ctx, old, object)
	return v.Errors, v.Warnings, err
}

// offerJudge tells the webhook of what is served.
func (s *serving) offerJudge(set *resource.Set) {
	if s.judge != nil {
		s.judge.Offer(set)
	}
}
