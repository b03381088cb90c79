package telemetry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-gateway/postern/internal/credential"
)

func TestMetricsOfCredentials(t *testing.T) { synctest.Test(t, metricsOfCredentials) }

func metricsOfCredentials(t *testing.T) {
	m := NewMetrics()
	soon := time.Now().Add(time.Minute)
	m.Observe(Sources{Credentials: func() []credential.Status {
		return []credential.Status{
			{Name: "good", Valid: true, Expires: soon, Refreshes: 3, Failures: 1},
			{Name: "gone", Expires: soon, Failures: 5, Error: "no"},
			{Name: "two", Valid: true, Expires: soon.Add(time.Hour), Refreshes: 1},
			{Name: "two", Valid: true, Expires: soon, Refreshes: 2, Failures: 4},
			{Name: "half", Valid: true, Expires: soon, Refreshes: 1},
			{Name: "half", Failures: 1},
		}
	}})
	wantLines(t, scrape(t, m),
		`postern_credential_refreshes_total{credential="good"} 3`,
		`postern_credential_refresh_failures_total{credential="good"} 1`,
		`postern_credential_seconds_to_expiry{credential="good"} 60`,
		`postern_credential_seconds_to_expiry{credential="two"} 60`,
		`postern_credential_seconds_to_expiry{credential="gone"} 0`,
		`postern_credential_refreshes_total{credential="two"} 3`,
		`postern_credential_refresh_failures_total{credential="two"} 4`,
		`postern_credential_seconds_to_expiry{credential="half"} 0`,
	)
}
