package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/builtin"
	"github.com/postern-gateway/postern/internal/compile"
	"github.com/postern-gateway/postern/internal/gateway"
	"github.com/postern-gateway/postern/internal/keep"
	"github.com/postern-gateway/postern/internal/secret"
	"github.com/postern-gateway/postern/internal/source"
)

func scratchFile(f, skip int, v string) string {
	var b strings.Builder
	for i := f * 100; i < f*100+100; i++ {
		if i == skip {
			if v == "" {
				continue
			}
		}
		k := fmt.Sprintf("key-%d", i)
		if i == skip {
			k = v
		}
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: caller-%d\n  namespace: team-%d\n  labels:\n    team: callers\n    number: \"%d\"\ntype: extauth.solo.io/apikey\ndata:\n  api-key: %s\n  plan: cGxhbg==\n", i, i%50, i, base64.StdEncoding.EncodeToString([]byte(k)))
	}
	return b.String()
}

const scratchGw = `apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: vs, namespace: apps}
spec:
  virtualHost:
    domains: ["*"]
    options: {extauth: {configRef: {name: keys, namespace: apps}}}
    routes:
    - {matchers: [{prefix: /}], routeAction: {single: {upstream: {name: up}}}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up, namespace: apps}
spec: {static: {hosts: [{addr: 127.0.0.1, port: 9}]}}
---
apiVersion: enterprise.gloo.solo.io/v1
kind: AuthConfig
metadata: {name: keys, namespace: apps}
spec:
  configs:
  - apiKeyAuth:
      headerName: api-key
      k8sSecretApikeyStorage: {labelSelector: {team: callers}}
      headersFromMetadataEntry: {x-plan: {name: plan, required: true}}
`

func TestScratch(t *testing.T) {
	dir := t.TempDir()
	n := 100000
	os.WriteFile(filepath.Join(dir, "gw.yaml"), []byte(scratchGw), 0o600)
	for f := range n / 100 {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("keys-%05d.yaml", f)), []byte(scratchFile(f, -1, "")), 0o600)
	}
	dialects := builtin.Dialects()
	store := secret.NewStore()
	src := builtin.Files(builtin.FileConfig{Paths: []string{dir}, Dialects: dialects, Store: store, Env: os.LookupEnv})
	kept := &keep.Keep{}
	deps := offline(store)
	deps.Keep = kept
	p := gateway.NewPipeline(dialects, compile.New(deps), "")
	ch := make(chan string, 10)
	var last *gateway.Result
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	go src.Run(ctx, func(u source.Update) {
		at := time.Now()
		r := p.Apply(u)
		pa := time.Since(at)
		store.Drop(u.Dropped)
		at = time.Now()
		rep := r.Report()
		re := time.Since(at)
		if last != nil && last.Compiled != r.Compiled {
			last.Compiled.Snapshot.Release()
		}
		last = r
		ch <- fmt.Sprintf("since %v apply %v report %v set %v problems %d built %d", time.Since(began), pa, re, u.Set != nil, len(rep.Problems), r.Built)
	})
	t.Log("load", <-ch)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("heap %d MB, %d per key", m.HeapAlloc>>20, m.HeapAlloc/uint64(n))
	for i := range 10 {
		for _, v := range []string{fmt.Sprint("new-", i), ""} {
			for len(ch) > 0 {
				<-ch
			}
			began = time.Now()
			os.WriteFile(filepath.Join(dir, "keys-00500.yaml"), []byte(scratchFile(500, 50007, v)), 0o600)
			t.Logf("%q: %s", v, <-ch)
		}
	}
	cancel()
}
