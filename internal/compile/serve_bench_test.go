package compile

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/dataplane"
	"github.com/postern-gateway/postern/internal/ir"
)

// guarded is the main job: verify the caller's token, check a claim, rewrite
// the path, put the provider's credential on.
func guarded(order int64, path string) *ir.Route {
	full := "/v1/chat/completions"
	return &ir.Route{
		Name: path, Matches: prefix(path, order), Action: forwardTo("u"),
		Steps: []ir.Step{
			{Phase: ir.PhaseAuthenticate, Slot: "t/jwt", JWT: &ir.JWT{Providers: []ir.JWTProvider{{Name: "p", Issuer: "solo.io", Keys: ir.KeySource{Inline: publicKey}}}}},
			{Phase: ir.PhaseAuthorize, Slot: "t/rbac", ClaimRules: &ir.ClaimRules{Rules: []ir.ClaimRule{{Name: "r", Principals: []ir.ClaimPrincipal{{
				Claims: []ir.ClaimMatch{{Path: []string{"llms", "openai"}, Matcher: ir.ClaimListContains, Value: "gpt-3.5-turbo"}},
			}}}}}},
			{Phase: ir.PhaseForward, Path: &ir.PathRewrite{Full: &full}},
			{Phase: ir.PhaseFilter, Headers: &ir.HeaderEdit{Request: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "Authorization", Secret: tokenRef}}}}},
		},
	}
}

// BenchmarkServe takes one chat request through a snapshot, over a real
// connection to the upstream; the client's side is in memory.
func BenchmarkServe(b *testing.B) {
	jwt, err := os.ReadFile("../../examples/gloo-ai-gateway/alice.jwt")
	if err != nil {
		b.Fatal(err)
	}
	for _, routes := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			var list []*ir.Route
			for i := range routes {
				list = append(list, guarded(int64(i), fmt.Sprintf("/team-%d", i)))
			}
			h := dataplane.NewHandler(discard{}, dataplane.NewBudget(1<<20), slog.New(slog.DiscardHandler), time.Now)
			h.Swap(newBench(b, ExposedWarn).Compile(config(provider(b), list...)).Snapshot.Sockets[0])
			body := `{"model":"gpt-3.5-turbo","messages":[{"role":"user","content":"` + strings.Repeat("x", 330) + `"}]}`
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("http://gateway/team-%d/chat", i%routes), strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(jwt)))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if _, err := io.Copy(io.Discard, w.Body); err != nil || w.Code != http.StatusOK {
					b.Fatalf("%d, %v", w.Code, err)
				}
			}
		})
	}
}

// BenchmarkCompile builds a configuration from nothing.
func BenchmarkCompile(b *testing.B) {
	var list []*ir.Route
	for i := range 10_000 {
		list = append(list, guarded(int64(i), fmt.Sprintf("/team-%d", i)))
	}
	u := provider(b)
	b.ReportAllocs()
	for b.Loop() {
		newBench(b, ExposedWarn).Compile(config(u, list...)).Snapshot.Release()
	}
}

// BenchmarkCompileOneChange replaces one of many routes.
func BenchmarkCompileOneChange(b *testing.B) {
	var list []*ir.Route
	for i := range 10_000 {
		list = append(list, guarded(int64(i), fmt.Sprintf("/team-%d", i)))
	}
	u := provider(b)
	c := newBench(b, ExposedWarn)
	last := c.Compile(config(u, list...))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := *list[i%len(list)]
		list[i%len(list)] = &n
		next := c.Compile(config(u, list...))
		last.Snapshot.Release()
		last = next
	}
}
