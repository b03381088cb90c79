package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const keptGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: any, listeners: [{name: http, protocol: HTTP, port: 8080}]}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: up}
spec: {static: {hosts: [{addr: 127.0.0.1, port: 9}]}, connectionConfig: {connectTimeout: %ds}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%d}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: up, group: gloo.solo.io, kind: Upstream}]}]}
`

// TestReloadsKeepNothing reloads many times, each time with another pool and
// another route: what was replaced is let go, and at the end everything.
func TestReloadsKeepNothing(t *testing.T) {
	dir := t.TempDir()
	write := func(i int) {
		text := fmt.Appendf(nil, keptGateway, i+1, i)
		if err := os.WriteFile(filepath.Join(dir, "all.yaml"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	o := runOptions{
		resourceOptions: resourceOptions{paths: []string{dir}, exposed: "warn"},
		bind:            "127.0.0.1", ports: []string{"8080=0"}, drain: time.Second, bodyBudget: 1 << 20,
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	s, err := o.assemble(ctx, Streams{In: &out, Out: &out, Err: &out, Env: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx) }()
	await := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %s; %d things are kept", what, s.kept.Len())
			}
		}
	}
	await("start", func() bool { return s.gateway.Check() == nil })
	first := s.kept.Len()
	for i := 1; i <= 20; i++ {
		before := s.gateway.IR()
		write(i)
		await("reload", func() bool { return s.gateway.IR() != before })
		await("release of what was replaced", func() bool { return s.kept.Len() == first })
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := s.kept.Len(); first == 0 || n != 0 {
		t.Errorf("%d things are kept at the end, of %d", n, first)
	}
}
