package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"syscall"
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
	listeners       int // that the Gateway has besides, for hostnames of their own
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
		s.gateway(""),
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
	ports, err := gateway.ParsePorts("127.0.0.1", []string{"18080=127.0.0.1:0", "18081=127.0.0.1:0"})
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

// change is one way in which a crowd changes, the n-th time.
type change struct {
	name string
	make func(c *crowd, n int) string
}

// gateway returns the Gateway with a label, and with more listeners.
func (s shape) gateway(label string, more ...string) string {
	listeners := []string{openListener}
	for i := range s.listeners {
		listeners = append(listeners, fmt.Sprintf(`{"name": "l%[1]d", "port": 18080, "protocol": "HTTP", "hostname": "l%[1]d.example.net", "allowedRoutes": {"namespaces": {"from": "All"}}}`, i))
	}
	return fmt.Sprintf(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "gw", "namespace": "apps", "labels": {"version": %q}},
		"spec": {"gatewayClassName": "c", "listeners": [%s]}}`, label, strings.Join(append(listeners, more...), ","))
}

// openListener takes the routes of every namespace.
const openListener = `{"name": "http", "port": 18080, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}`

var changes = []change{
	{"route", func(c *crowd, n int) string { return c.route(n*7919%manyRoutes, n) }},
	{"match", func(c *crowd, n int) string {
		return strings.Replace(c.route(n*7919%manyRoutes, n), `"value": "/r-`, fmt.Sprintf(`"value": "/v%d/r-`, n), 1)
	}},
	{"slice", func(c *crowd, n int) string {
		return fmt.Sprintf(`{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s-0", "namespace": "apps", "labels": {"kubernetes.io/service-name": "s-0"}},
			"addressType": "IPv4", "endpoints": [{"addresses": ["10.2.%d.%d"]}], "ports": [{"name": "p", "port": 8080}]}`, n/250%250, n%250+1)
	}},
	{"service", func(c *crowd, n int) string {
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s-0", "namespace": "apps", "labels": {"version": "%d"}}, "spec": {"ports": [{"name": "p", "port": 80}]}}`, n)
	}},
	{"listener", func(c *crowd, n int) string {
		return c.gateway("", fmt.Sprintf(`{"name": "more", "port": 18081, "protocol": "HTTP", "hostname": "n%d.example.org", "allowedRoutes": {"namespaces": {"from": "All"}}}`, n))
	}},
	{"wide", func(c *crowd, n int) string { // a listener for all routes comes and goes
		if n%2 == 0 {
			return c.gateway("")
		}
		return c.gateway("", `{"name": "more", "port": 18081, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}`)
	}},
	{"gateway", func(c *crowd, n int) string { return c.gateway(fmt.Sprint(n)) }},
	{"namespace", func(c *crowd, n int) string {
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns-0", "labels": {"version": "%d"}}}`, n)
	}},
}

// processorTime returns what this process has used of the processors, whatever
// else the machine does.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkChange takes up one change of a configuration with 20,000 routes.
func BenchmarkChange(b *testing.B) {
	all := builtin.Names()
	for _, s := range []shape{
		{name: "hosts=100,services=200", hosts: 100, services: 200, dialects: []string{"gatewayapi"}},
		{name: "hosts=100,services=200,listeners=64", hosts: 100, services: 200, dialects: []string{"gatewayapi"}, listeners: 63},
		{name: "hosts=20000,services=20000", hosts: 20_000, services: 20_000, dialects: []string{"gatewayapi"}},
		{name: "hosts=1,services=1", hosts: 1, services: 1, dialects: []string{"gatewayapi"}},
		{name: "hosts=100,services=200,all dialects", hosts: 100, services: 200, dialects: all},
	} {
		b.Run(s.name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := newCrowd(b, s)
			runtime.GC()
			runtime.ReadMemStats(&after)
			perRoute := float64(after.HeapAlloc-before.HeapAlloc) / 1024 / manyRoutes
			for _, kind := range changes {
				b.Run(kind.name, func(b *testing.B) {
					n, before := 0, processorTime(b)
					for b.Loop() {
						n++
						c.set = c.set.With([]*resource.Object{c.decode(b, kind.make(c, n))}, nil)
						c.apply()
					}
					b.ReportMetric(float64((processorTime(b)-before).Microseconds())/1000/float64(n), "cpu-ms/op")
					b.ReportMetric(perRoute, "kB/route")
				})
			}
		})
	}
}
