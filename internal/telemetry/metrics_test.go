package telemetry

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/internal/authn"
	"github.com/postern-gateway/postern/internal/dataplane"
)

// scrape returns the lines of the metrics that begin with postern_.
func scrape(t testing.TB, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var out []string
	for l := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(l, "postern_") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "")
}

func wantLines(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains("\n"+text, "\n"+w+"\n") {
			t.Errorf("no line %s in\n%s", w, text)
		}
	}
}

func TestMetricsOfExchanges(t *testing.T) {
	m := NewMetrics()
	Recorders{m, m}.Record(denial())
	m.Record(&dataplane.Record{Listener: "l", Verdict: dataplane.NoRoute, Status: 404})
	wantLines(t, scrape(t, m),
		`postern_requests_total{class="4xx",listener="ns/gw/https",route="HTTPRoute ns/openai/rule-0",verdict="deny"} 2`,
		`postern_requests_total{class="4xx",listener="l",route="",verdict="no-route"} 1`,
		`postern_request_duration_seconds_count{listener="ns/gw/https",verdict="deny"} 2`,
		`postern_upstream_first_byte_seconds_bucket{listener="ns/gw/https",le="0.25"} 2`,
		`postern_upstream_attempts_total{class="5xx",upstream="Upstream ns/openai"} 4`,
		`postern_body_bytes_total{direction="sent"} 38`,
		`postern_answers_cut_total{listener="ns/gw/https"} 2`,
	)
}

func TestMetricsOfLoads(t *testing.T) {
	m := NewMetrics()
	at := time.UnixMilli(1767323045500)
	m.Loaded(Load{OK: true, At: at, Took: 20 * time.Millisecond, Errors: 1, Warnings: 2, Exposed: 3, Unbound: 4})
	m.Loaded(Load{At: at.Add(time.Second), Errors: 9})
	wantLines(t, scrape(t, m),
		`postern_config_problems{severity="error"} 1`, `postern_config_problems{severity="warning"} 2`,
		`postern_routes_exposed 3`, `postern_policies_unbound 4`, `postern_config_reload_seconds_sum 0.02`, `postern_config_reload_seconds_bucket{le="0.05"} 1`,
		`postern_config_reloads_total{result="ok"} 1`, `postern_config_reloads_total{result="failed"} 1`,
		`postern_config_last_reload_timestamp_seconds{result="ok"} 1.7673230455e+09`,
	)
}

func TestObserved(t *testing.T) {
	m := NewMetrics()
	m.Observe(Sources{
		Tokens: func() (uint64, uint64, int, int) { return 1, 2, 3, 4 },
		KeySets: func() []authn.KeyStatus {
			return []authn.KeyStatus{
				{URL: "https://a/jwks", LastSuccess: time.Unix(1000, 0), Keys: 2},
				{URL: "https://b/jwks", LastError: "no route to host"},
				{URL: "https://b/jwks", LastSuccess: time.Unix(2000, 0)},
			}
		},
		BodyBytes: func() int64 { return 5 },
		Ejected:   func() map[string]int { return map[string]int{"u": 1} },
		LostLines: func() uint64 { return 6 },
		Version:   "v1",
	})
	wantLines(t, scrape(t, m),
		`postern_token_cache_hits_total 1`, `postern_token_cache_misses_total 2`, `postern_token_cache_entries 3`, `postern_token_cache_bytes 4`,
		`postern_jwks_last_success_timestamp_seconds{url="https://a/jwks"} 1000`, `postern_jwks_failing{url="https://a/jwks"} 0`, `postern_jwks_keys{url="https://a/jwks"} 2`,
		`postern_jwks_last_success_timestamp_seconds{url="https://b/jwks"} 0`, `postern_jwks_failing{url="https://b/jwks"} 1`,
		`postern_held_body_bytes 5`, `postern_endpoints_ejected{upstream="u"} 1`, `postern_access_log_lost_lines_total 6`, `postern_build_info{version="v1"} 1`,
	)
}

// Row26: names that come and go take no memory without bound.
func TestRow26SeriesAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range mostNames + 50 {
		m.Record(&dataplane.Record{Route: fmt.Sprint("r", i), Upstream: "u", Attempts: 1, Verdict: dataplane.Allowed, Status: 200})
	}
	text := scrape(t, m)
	if n := strings.Count(text, "\npostern_requests_total{"); n > mostNames+1 {
		t.Errorf("%d series", n)
	}
	wantLines(t, text, `postern_requests_total{class="2xx",listener="",route="(other)",verdict="allow"} 50`)
	m.Retain(func(name string) bool { return name == "r7" }, func(string) bool { return false })
	text = scrape(t, m)
	if strings.Contains(text, `route="r8"`) || strings.Contains(text, `upstream="u"`) || !strings.Contains(text, `route="r7"`) {
		t.Error("what is gone has series")
	}
}

func BenchmarkMetrics(b *testing.B) {
	m := NewMetrics()
	r := denial()
	b.ReportAllocs()
	for b.Loop() {
		m.Record(r)
	}
}
