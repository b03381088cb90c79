package compile

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/ir"
)

// processor returns the time that the process has had of its processors.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLargeBody sends 10 MB through a gateway on real sockets: streamed,
// read for its model, read and given another model. The client and the
// provider are in the same process and cost the same each time: what differs
// in cpu-ms/op is what the gateway adds.
func BenchmarkLargeBody(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(srv.Close)
	plain := &ir.Upstream{Name: "u", Endpoints: []ir.Endpoint{endpointOf(srv.Listener.Addr().String())}}
	renamed := *plain
	renamed.LLM = &ir.LLM{Schema: "openai", Path: "/chat", Model: "other"}
	prose := "The quick brown fox jumps over the lazy dog, and so on and on.\\n"
	body := []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat(prose, 10<<20/len(prose)) + `"}],"model":"m"}`)
	for _, bb := range []struct {
		name     string
		upstream *ir.Upstream
		match    []ir.Match
	}{
		{"streamed", plain, []ir.Match{{}}},
		{"model known", plain, exactly("m")},
		{"model known and set", &renamed, exactly("m")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSite(b, newBench(b, ExposedWarn), many([]*ir.Upstream{bb.upstream}, routed("r", bb.match)), 1<<30)
			b.SetBytes(int64(len(body)))
			before := processor()
			for b.Loop() {
				if status, text := s.post(bytes.NewReader(body)); status != 200 {
					b.Fatal(status, text)
				}
			}
			b.ReportMetric(float64(processor()-before)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}
