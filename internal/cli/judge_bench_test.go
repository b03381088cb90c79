package cli

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/resource"
	"github.com/postern-gateway/postern/internal/secret"
)

// heap returns the bytes that live.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkReview judges one route of 20,000. "times" is the memory with a Judge
// by that without.
func BenchmarkReview(b *testing.B) {
	for _, s := range []shape{
		{name: "hosts=100,services=200", hosts: 100, services: 200, dialects: []string{"gatewayapi"}},
		{name: "hosts=20000,services=20000", hosts: 20_000, services: 20_000, dialects: []string{"gatewayapi"}},
	} {
		b.Run(s.name, func(b *testing.B) {
			empty := heap()
			c := newCrowd(b, s)
			without := heap()
			dialects, err := builtin.Select(s.dialects, builtin.Options{})
			if err != nil {
				b.Fatal(err)
			}
			deps := offline(secret.NewStore())
			deps.Unserved = true
			trial := gateway.NewPipeline(dialects, compile.New(deps), "")
			trial.Try(c.lent)
			j := gateway.NewJudge(gateway.JudgeConfig{
				Pipeline: trial,
				Decode:   func(raw []byte) resource.Result { return c.dec.DecodeJSON(raw) }, Clock: time.Now,
			})
			j.Offer(c.set)
			version := 0
			review := func() {
				version++
				v, err := j.Judge(context.Background(), nil, []byte(s.route(version*7919%manyRoutes, version)))
				if err != nil || len(v.Errors) > 0 {
					b.Fatal(err, v)
				}
			}
			began := time.Now()
			review()
			b.Logf("%s: first verdict after %v", s.name, time.Since(began).Round(time.Millisecond))
			with := heap()
			for b.Loop() {
				review()
			}
			b.ReportMetric((without-empty)/1024/manyRoutes, "kB/route")
			b.ReportMetric((with-empty)/(without-empty), "times")
			runtime.KeepAlive(c)
		})
	}
}
