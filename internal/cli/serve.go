package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/postern-gateway/postern/internal/admin"
	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/credential"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/telemetry"
)

// tokenCacheEntries bounds the cache of verified tokens.
const tokenCacheEntries = 10_000

// serving is one gateway with all that belongs to it.
type serving struct {
	std     Streams
	gateway *gateway.Gateway
	metrics *telemetry.Metrics
	log     *slog.Logger
	kept    *keep.Keep
	lines   *telemetry.AccessLog // nil: none
	own     *own                 // nil: no workload certificate
	cluster builtin.Cluster      // nil: the resources are in files
	duties  *duties              // nil: none
	judge   *gateway.Judge       // nil: there is no webhook
	closers []io.Closer
	servers []*http.Server
	quiet   bool   // says nothing at the start
	serves  bool   // otherwise it only follows and reports
	admin   string // address of the admin listener; empty: there is none
}

// assemble builds everything that serves, without serving yet. Resources that
// cannot be decoded are an error here.
func (o *runOptions) assemble(ctx context.Context, std Streams) (*serving, error) {
	var err error
	if o.mesh, err = o.newMesh(); err != nil {
		return nil, usageError{err}
	}
	log := slog.New(slog.NewTextHandler(std.Err, nil))
	r, err := o.open(ctx, std, log)
	if err != nil {
		return nil, err
	}
	if r.fatal != nil {
		return nil, r.refuse(std.Err)
	}
	s := &serving{std: std, metrics: telemetry.NewMetrics(), kept: new(keep.Keep), log: log, cluster: r.cluster, duties: r.duties, serves: o.deploys == nil}
	if text := exposedMesh(o.mesh); text != "" {
		s.log.Warn(text)
	}
	dialer, err := gateway.NewDialer(o.connectTo)
	if err != nil {
		return nil, usageError{err}
	}
	if dialer.Guard, err = o.newGuard(); err != nil {
		return nil, usageError{err}
	}
	roots, err := gateway.Roots(o.upstreamCA)
	if err != nil {
		return nil, err
	}
	ports, err := gateway.ParsePorts(o.bind, o.ports)
	if err != nil {
		return nil, usageError{err}
	}
	ports.Shift = o.behind
	client := keyClient(dialer, roots)
	upgrades, tokens := new(forward.Upgrades), authn.NewTokenCache(tokenCacheEntries)
	pipeline, err := o.pipeline(o.serves(compile.Deps{
		Store: r.store, Keep: s.kept, Tokens: tokens, Clock: time.Now, Log: s.log,
		KeyClient: client, Identity: o.identity.given(),
		Forward: forward.Deps{
			Store: r.store, Clock: time.Now, Log: s.log, Dial: dialer.Dial, Roots: roots, Upgrades: upgrades,
			Client: client, Env: std.Env, Machine: keyClient(&gateway.Dialer{ConnectTo: dialer.ConnectTo}, roots),
		},
	}))
	if err != nil {
		return nil, err
	}
	if err := o.giveAddresses(pipeline); err != nil {
		return nil, usageError{err}
	}
	if err := s.openAccessLog(o.accessLog); err != nil {
		return nil, err
	}
	s.gateway = gateway.New(gateway.Config{
		Source: r.source, Store: r.store, Pipeline: pipeline, Ports: ports,
		Recorder: s.recorders(), BodyBudget: o.bodyBudget, DrainLimit: o.drain, DrainDelay: o.drainDelay,
		Upgraded: upgrades, Reloaded: s.reloaded, Problems: s.ownProblems, Beside: s.duties.made, Clock: time.Now, Log: s.log,
		Deaf: o.deploys != nil, Patient: o.addresses != "",
	})
	if o.deploys != nil {
		o.deploys.refresh = s.gateway.Refresh
	}
	if s.own, err = o.identity.start(std, r.store, s.log, s.gateway.Refresh); err != nil {
		s.close()
		return nil, err
	}
	s.observe(tokens)
	if err := o.openWebhook(s, pipeline); err != nil {
		s.close()
		return nil, err
	}
	return s, s.listen(o.admin, o.health)
}

// serves returns what is compiled with: where nothing is served, nothing is
// dialled, and no key set is fetched.
func (o *runOptions) serves(deps compile.Deps) compile.Deps {
	if o.deploys == nil {
		return deps
	}
	out := offline(deps.Store)
	out.Keep, out.Log = deps.Keep, deps.Log
	return out
}

// open returns the resources: those of files are read once.
func (o *runOptions) open(ctx context.Context, std Streams, log *slog.Logger) (*read, error) {
	if o.cluster.given() {
		return o.openCluster(log)
	}
	return o.load(ctx, std, false)
}

// giveAddresses makes each Gateway have an address of its own, or that of a
// Service, if that was asked for.
func (o *runOptions) giveAddresses(p *gateway.Pipeline) error {
	switch {
	case o.addresses != "" && o.behind:
		return errors.New("--gateway-addresses and --behind-service: addresses are ours, or a Service's")
	case o.deploys != nil, o.behind && o.gateway != "":
		p.BehindServices()
		return nil
	case o.addresses == "":
		return nil
	case o.mesh != nil:
		return errors.New("--gateway-addresses and --mesh: the side of a workload has one address, that of --mesh")
	}
	addresses, err := gateway.ParseAddresses(o.addresses)
	if err != nil {
		return err
	}
	p.GiveAddresses(addresses)
	return nil
}

// newGuard returns what refuses destinations, or nil.
func (o *runOptions) newGuard() (*gateway.Guard, error) {
	g := &gateway.Guard{}
	for _, a := range o.allow {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return nil, fmt.Errorf("--allow-destination %q: want a network such as 10.0.0.0/8", a)
		}
		g.Allow = append(g.Allow, p.Masked())
	}
	if !o.guard {
		return nil, nil
	}
	if own, err := net.ResolveTCPAddr("tcp", o.admin); err == nil {
		g.Own = append(g.Own, own.AddrPort())
	}
	if p, err := netip.ParsePrefix(o.addresses); err == nil {
		g.Ours = p.Masked()
	}
	return g, nil
}

// keyClient fetches key sets and credentials, and asks authorization servers. It follows no redirect and keeps no cookie.
func keyClient(d *gateway.Dialer, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.Dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *serving) openAccessLog(name string) error {
	var w io.Writer
	switch name {
	case "":
		return nil
	case "-":
		w = s.std.Out
	default:
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("--access-log: %w", err)
		}
		s.closers = append(s.closers, f)
		w = f
	}
	s.lines = telemetry.NewAccessLog(w, s.log)
	return nil
}

func (s *serving) recorders() telemetry.Recorders {
	out := telemetry.Recorders{s.metrics}
	if s.lines != nil {
		out = append(out, s.lines)
	}
	return out
}

// observe shows the state of what serves in the metrics.
func (s *serving) observe(tokens *authn.TokenCache) {
	sources := telemetry.Sources{
		Version:   version,
		BodyBytes: s.gateway.Budget().Used, Handshakes: s.gateway.Listeners().Handshakes,
		Tokens: func() (hits, misses uint64, entries, bytes int) {
			entries, bytes = tokens.Len()
			return tokens.Hits(), tokens.Misses(), entries, bytes
		},
		KeySets: func() []authn.KeyStatus {
			var out []authn.KeyStatus
			for _, k := range keep.All[*authn.RemoteKeys](s.kept) {
				out = append(out, k.Status())
			}
			return out
		},
		Credentials: s.credentials,
		Ejected:     func() map[string]int { return ejected(keep.All[*forward.Upstream](s.kept)) },
	}
	if s.own != nil {
		sources.IdentityEnds = func() time.Time { return s.own.Status().NotAfter }
	}
	if s.lines != nil {
		sources.LostLines = s.lines.Lost
	}
	s.metrics.Observe(sources)
}

// credentials tells of the credentials that are fetched.
func (s *serving) credentials() []credential.Status { return credential.Statuses(s.kept) }

func ejected(upstreams []*forward.Upstream) map[string]int {
	out := map[string]int{}
	for _, u := range upstreams {
		for _, e := range u.Health() {
			if !e.Healthy {
				out[u.Name()]++
			}
		}
	}
	return out
}

// listen binds the admin and health listeners and starts to serve them.
func (s *serving) listen(adminAddr, healthAddr string) error {
	deps := admin.Deps{
		Ready: s.ready, Report: s.gateway.Report, Config: s.gateway.IR,
		Metrics: s.metrics.Handler(), Version: version, Credentials: s.credentials,
	}
	for _, l := range []struct {
		flag, addr string
		handler    http.Handler
	}{{"--admin", adminAddr, admin.New(deps)}, {"--health", healthAddr, admin.NewHealth(deps)}} {
		if l.addr == "" {
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			s.close()
			return fmt.Errorf("%s: %w", l.flag, err)
		}
		if l.flag == "--admin" {
			s.admin = ln.Addr().String()
		}
		server := &http.Server{Handler: l.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
		s.servers = append(s.servers, server)
		go func() {
			if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("admin listener ended", "error", err)
			}
		}()
	}
	return nil
}

// serve runs the gateway until ctx ends.
func (s *serving) serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	wait := s.duties.begin(ctx, s.gateway)
	defer wait()
	var judging sync.WaitGroup
	if s.judge != nil {
		judging.Go(func() { s.judge.Follow(ctx) })
	}
	defer judging.Wait()
	defer stop()
	if err := s.gateway.Run(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.std.Err, "postern: drained")
	return nil
}

// close ends what serve leaves.
func (s *serving) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	if s.own != nil {
		s.own.close()
	}
	if s.lines != nil {
		s.lines.Close()
	}
	for _, c := range s.closers {
		_ = c.Close()
	}
}

// reloaded tells of an update that is served: at the start the banner, later
// the problems that are new.
func (s *serving) reloaded(a *gateway.Applied) {
	s.duties.offer(a)
	s.offerJudge(a.Set)
	s.metrics.Loaded(telemetry.Load{
		OK: true, At: time.Now(), Took: a.Took, Errors: a.Totals.Errors, Warnings: a.Totals.Warnings,
		Exposed: a.Compiled.Exposed, Unbound: a.Totals.Unbound,
	})
	s.metrics.Retain(a.Compiled.Routes, func(name string) bool { return a.Config.Upstreams[name] != nil })
	if a.First && s.quiet {
		return
	}
	if a.First && s.serves {
		printBanner(s.std.Err, a.Config, s.gateway.Listeners())
	}
	printProblems(s.std.Err, a.News.Problems)
	if a.First {
		if s.admin != "" {
			fmt.Fprintf(s.std.Err, "postern: admin at http://%s\n", s.admin)
		}
		fmt.Fprintln(s.std.Err, "postern: ready")
		return
	}
	if a.Changed {
		fmt.Fprintf(s.std.Err, "postern: reloaded %s in %v\n", count(a.Objects, "object"), a.Took.Round(100*time.Microsecond))
	}
}
