package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/dataplane/forward"
	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
	"github.com/postern-gateway/postern/internal/telemetry"
)

// shape is a way in which many routes lie on hosts and backends.
type shape struct {
	name            string
	hosts, services int
	dialects        []string
}

const manyRoutes, manySecrets = 20_000, 2_000

// route returns one HTTPRoute; version shows in a header that it sets.
func (s shape) route(i, version int) string {
	return fmt.Sprintf(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r-%[1]d", "namespace": "ns-%[5]d"},
		"spec": {"parentRefs": [{"name": "gw", "namespace": "apps"}], "hostnames": ["h%[2]d.example.com"], "rules": [
		{"matches": [{"path": {"type": "PathPrefix", "value": "/r-%[1]d"}}],
		"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-Version", "value": "%[3]d"}]}}],
		"backendRefs": [{"name": "s-%[4]d", "namespace": "apps", "port": 80}]}]}}`, i, i%s.hosts, version, i%s.services, i%20)
}

// rest returns everything but the routes.
func (s shape) rest() []string {
	out := []string{
		`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "c"}, "spec": {"controllerName": "postern.dev/gateway-controller"}}`,
		`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "gw", "namespace": "apps"},
			"spec": {"gatewayClassName": "c", "listeners": [{"name": "http", "port": 18080, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}]}}`,
	}
	for i := range 20 {
		out = append(out, fmt.Sprintf(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant", "metadata": {"name": "g-%[1]d", "namespace": "apps"},
			"spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "ns-%[1]d"}], "to": [{"group": "", "kind": "Service"}]}}`, i))
	}
	for i := range s.services {
		out = append(out, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s-%[1]d", "namespace": "apps"}, "spec": {"ports": [{"name": "p", "port": 80}]}}`, i),
			fmt.Sprintf(`{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s-%[1]d", "namespace": "apps", "labels": {"kubernetes.io/service-name": "s-%[1]d"}},
			"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.%[2]d.%[3]d"]}], "ports": [{"name": "p", "port": 8080}]}`, i, i/250, i%250+1))
	}
	for i := range manySecrets {
		out = append(out, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k-%d", "namespace": "apps", "labels": {"team": "t%d"}}, "data": {"api-key": "a2V5"}}`, i, i%10))
	}
	return out
}

// hand is a source whose updates a test hands out.
type hand chan source.Update

// Run hands them on.
func (h hand) Run(ctx context.Context, apply func(source.Update)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-h:
			apply(u)
			h <- source.Update{} // served
		}
	}
}

// crowd is a gateway with many routes.
type crowd struct {
	shape
	dec    *resource.Decoder
	set    *resource.Set
	served hand
	lent   *dialect.Lent // what its pipeline lends
}

func (c *crowd) decode(b testing.TB, text string) *resource.Object {
	r := c.dec.DecodeJSON([]byte(text))
	if len(r.Objects) != 1 || len(r.Problems) > 0 {
		b.Fatal(text, r.Problems)
	}
	return r.Objects[0]
}

func (c *crowd) apply() {
	c.served <- source.Update{Set: c.set}
	<-c.served
}

func newCrowd(b testing.TB, s shape) *crowd {
	dialects, err := builtin.Select(s.dialects, builtin.Options{})
	if err != nil {
		b.Fatal(err)
	}
	kinds := builtin.Kinds(dialects)
	c := &crowd{shape: s, dec: resource.NewDecoder(kinds, resource.Options{EnvMode: resource.EnvRefuse}), served: make(hand)}
	var objects []*resource.Object
	for _, text := range s.rest() {
		objects = append(objects, c.decode(b, text))
	}
	for i := range manyRoutes {
		objects = append(objects, c.decode(b, s.route(i, 0)))
	}
	c.set = resource.NewSet(objects, kinds)
	objects = nil
	began := time.Now()
	c.serve(b, dialects)
	c.apply()
	b.Logf("%s: first update after %v", s.name, time.Since(began).Round(time.Millisecond))
	return c
}

func (c *crowd) serve(b testing.TB, dialects []dialect.Dialect) {
	log := slog.New(slog.DiscardHandler)
	store := secret.NewStore()
	kept := new(keep.Keep)
	s := &serving{std: Streams{Out: io.Discard, Err: io.Discard}, metrics: telemetry.NewMetrics(), log: log, kept: kept, quiet: true}
	deps := compile.Deps{
		Store: store, Keep: kept, Tokens: authn.NewTokenCache(10), Clock: time.Now, Log: log,
		Forward: forward.Deps{Store: store, Clock: time.Now, Log: log},
	}
	ports, err := gateway.ParsePorts("127.0.0.1", []string{"18080=127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	pipeline := gateway.NewPipeline(dialects, compile.New(deps), "")
	c.lent = pipeline.Lend()
	s.gateway = gateway.New(gateway.Config{
		Source: c.served, Store: store, Pipeline: pipeline, Ports: ports,
		Recorder: s.recorders(), BodyBudget: 1 << 20, DrainLimit: time.Second, Reloaded: s.reloaded, Clock: time.Now, Log: log,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.gateway.Run(ctx) }()
	b.Cleanup(func() { stop(); <-ended })
}

// BenchmarkChange takes up one changed route among 20,000.
func BenchmarkChange(b *testing.B) {
	all := builtin.Names()
	for _, s := range []shape{
		{"hosts=100,services=200", 100, 200, []string{"gatewayapi"}},
		{"hosts=20000,services=20000", 20_000, 20_000, []string{"gatewayapi"}},
		{"hosts=1,services=1", 1, 1, []string{"gatewayapi"}},
		{"hosts=100,services=200,all dialects", 100, 200, all},
	} {
		b.Run(s.name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := newCrowd(b, s)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1024/manyRoutes, "kB/route")
			version := 0
			for b.Loop() {
				version++
				c.set = c.set.With([]*resource.Object{c.decode(b, s.route(version*7919%manyRoutes, version))}, nil)
				c.apply()
			}
		})
	}
	if os.Getenv("POSTERN_SOAK") == "" {
		return
	}
}
